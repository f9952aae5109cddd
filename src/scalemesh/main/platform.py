"""The services over their adapters, as the settings choose them; shared by every process that has a database."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scalemesh.accounts import Accounts
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import Limits
from scalemesh.db import Database, Wakeup, open_wakeup
from scalemesh.deployments import BuildPolicy, Deployments
from scalemesh.errors import BadSettings
from scalemesh.logs import LogService, open_archive, open_bus
from scalemesh.projects import Cipher, Projects, Sites, load_or_create_key
from scalemesh.sandbox.etc import REGISTRIES
from scalemesh.settings import Settings
from scalemesh.sources import Sources, SourceSettings

MAX_WEIGHT = 1000
# What programs that we start inherit: where things are, whom to trust; never a setting or a secret of ours.
_LAUNCH_S, _LAUNCH_ELSEWHERE_S = 120, 900  # elsewhere images are pulled, and machines started
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "PYTHONPATH",
              *REGISTRIES)  # fmt: skip


@dataclass(frozen=True)
class Platform:
    settings: Settings
    db: Database
    wakeup: Wakeup
    logs: LogService
    accounts: Accounts
    projects: Projects
    sources: Sources
    deployments: Deployments


@asynccontextmanager
async def open_platform(settings: Settings, *, pump: bool) -> AsyncIterator[Platform]:
    """Opened, and the database's schema up to date. `pump`: this process moves log lines to the archive."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "artifacts").mkdir(mode=0o700, exist_ok=True)  # not for other users of this machine
    sites = Sites(settings.sites_url)
    cipher = Cipher(load_or_create_key(settings.secret_key, settings.data_dir / "secret.key"))
    bus, archive = open_bus(settings.log_bus_url), open_archive(settings.log_archive_url)
    async with (
        Database(settings.database_url) as db,
        LogService(bus, archive, pump=pump, access_days=settings.access_days) as logs,
        open_wakeup(db.url) as wakeup,
    ):
        await db.migrate()
        sources = Sources(_sources(settings))
        projects = Projects(db, cipher, sites, check_url=sources.check_url, wakeup=wakeup)
        deployments = Deployments(
            db,
            BlobStore(settings.storage_url),
            logs,
            wakeup,
            projects,
            sources,
            sites,
            _policy(settings),
            local_sources=Sources(_sources(settings, local=True)),
        )
        yield Platform(settings, db, wakeup, logs, Accounts(db), projects, sources, deployments)


def environ_of_programs() -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}


def repositories(settings: Settings) -> Path:
    """Where the platform keeps repositories of its own (the demo's)."""
    return settings.data_dir / "repositories"


def uids(settings: Settings) -> range:
    return range(settings.build.uid_first, settings.build.uid_first + settings.build.uid_count)


def _sources(settings: Settings, *, local: bool = False) -> SourceSettings:
    build = settings.build
    return SourceSettings(
        directory=settings.data_dir / "git",
        transports=("file",) if local else build.git_transports,
        allow_private=build.git_allow_private,
        egress_allow=build.egress_allow,
        sandbox="none" if build.sandbox == "none" else "bubblewrap",
        uids=uids(settings),
        environ=environ_of_programs(),
        readable=(repositories(settings),) if local else (),
    )


def _policy(settings: Settings) -> BuildPolicy:
    build = settings.build
    limits = Limits(
        memory_bytes=build.memory_bytes,
        cpus=build.cpus,
        processes=build.processes,
        disk_bytes=build.disk_bytes,
        open_files=build.open_files,
        build_timeout_s=build.timeout_s,
        log_bytes=build.log_bytes,
        output_bytes=build.output_bytes,
        output_files=build.output_files,
    )
    return BuildPolicy(
        limits=limits,
        lease_s=build.lease_s,
        launch_s=_LAUNCH_S if settings.builder == "local" else _LAUNCH_ELSEWHERE_S,
        attempts=build.attempts,
        git_allow_private=build.git_allow_private,
        egress_allow=build.egress_allow,
        team_weights=_weights(build.team_weights),
        queue_limit=build.queue_limit,
        hourly_limit=build.hourly_limit,
        cache_bytes=build.cache_bytes,
        has_room=lambda: shutil.disk_usage(settings.data_dir).free >= settings.min_free_disk_bytes,
    )


def _weights(given: tuple[str, ...]) -> dict[str, int]:
    """`acme:4` → {"acme": 4}."""
    weights: dict[str, int] = {}
    for each in given:
        team, _, share = each.rpartition(":")
        if not team or not share.isdecimal() or not 0 < int(share) <= MAX_WEIGHT:
            raise BadSettings(
                f"SCALEMESH_BUILD_TEAM_WEIGHTS: {each!r} is not `team:share` with a share of 1 to {MAX_WEIGHT}.",
                hint="For example acme:4,globex:2.",
                field="SCALEMESH_BUILD_TEAM_WEIGHTS",
            )
        weights[team] = int(share)
    return weights
