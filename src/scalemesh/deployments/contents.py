"""What a deployment serves: its files, and how an edge would answer."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from scalemesh.accounts import Actor
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import Flavour
from scalemesh.core.decision import Decision
from scalemesh.core.documents import decode
from scalemesh.core.manifest import Manifest, Rules
from scalemesh.db import Database
from scalemesh.deployments.lookup import Lookup
from scalemesh.deployments.views import FileView, file_views
from scalemesh.errors import Conflict, InvalidInput
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready, Request
from scalemesh.rules.targets import parse_host, parse_path


class RulesView(msgspec.Struct, frozen=True, kw_only=True):
    """How many rules it has, whose way they go, and what was left out of them (`file:line: what is wrong`)."""

    flavour: Flavour | None
    rules: int
    headers: int
    complaints: list[str]


class _RulesAlone(msgspec.Struct):
    """Of a manifest; its files, which may be many, are passed over."""

    rules: Rules = Rules()
    complaints: list[str] = []


class Contents:
    """Every method raises NotFound, and Conflict before the deployment is ready."""

    def __init__(self, db: Database, store: BlobStore, lookup: Lookup) -> None:
        self._db = db
        self._store = store
        self._lookup = lookup

    async def files(self, actor: Actor, deployment_id: str) -> Sequence[FileView]:
        """By path."""
        return file_views(await self._manifest(actor, deployment_id))

    async def rules(self, actor: Actor, deployment_id: str) -> RulesView:
        """Of its redirects, rewrites and headers."""
        found = msgspec.json.decode(await self._stored(actor, deployment_id), type=_RulesAlone)
        rules = found.rules
        return RulesView(
            flavour=rules.flavour, rules=len(rules.rules), headers=len(rules.headers), complaints=found.complaints
        )

    async def explain(
        self,
        actor: Actor,
        deployment_id: str,
        target: str,
        method: str = "GET",
        headers: Mapping[bytes, bytes] | None = None,
    ) -> Decision:
        """What an edge would answer to `method` and `target` (`/path?query`), decided by the edge's own code.

        `headers` by lower-case name. Their `host` is what the rules see as the host.
        """
        raw, _, query = target.partition("?")
        path = parse_path(raw.encode())
        if path is None:
            raise InvalidInput(f"{raw!r} is not a path: it begins with a slash.", code="invalid_path", field="path")
        manifest = await self._manifest(actor, deployment_id)
        headers = headers or {}
        host = parse_host(headers.get(b"host", b"")) or ""
        request = Request(path=path, query=query, method=method, host=host, headers=headers)
        return await asyncio.to_thread(lambda: decide(request, manifest.files.get, Ready(manifest.rules)))

    async def _manifest(self, actor: Actor, deployment_id: str) -> Manifest:
        return decode(Manifest, await self._stored(actor, deployment_id))

    async def _stored(self, actor: Actor, deployment_id: str) -> bytes:
        async with self._db.read() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:read")
        if row.manifest_sha256 is None:
            raise Conflict(f"{row.id} is {row.state}: it has no files yet.", code="not_ready")
        return await self._store.get(row.team_id, row.manifest_sha256)
