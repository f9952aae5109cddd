"""The services of one platform over any database, with memory adapters around them, and short ways to fill them."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from pwdlib.hashers.argon2 import Argon2Hasher

from scalemesh.accounts import Accounts, Actor, Passwords
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import Batch, BlobRef, BuildErrored, Credentials
from scalemesh.core.ids import new_id
from scalemesh.core.logs import LogLine
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Membership, Role, User
from scalemesh.deployments import BuildPolicy, Claimed, ClaimLimits, Deployments, DeploymentView, NewDeployment
from scalemesh.deployments.builds import Build
from scalemesh.errors import InvalidInput
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.logs.service import LogService
from scalemesh.projects import Cipher, NewProject, Projects, ProjectView, Sites

DISPATCHER = "test-dispatcher"
START_MS = 1_800_000_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


@dataclass(frozen=True)
class MemoryResolved:
    commit: str
    ref: str | None


@dataclass
class MemorySources:
    """Resolves whatever it has been given: ref → commit. `asked` is the record."""

    refs: dict[str | None, str] = field(default_factory=lambda: {None: "a" * 40, "main": "a" * 40})
    asked: list[tuple[str, str | None, Credentials]] = field(default_factory=list)

    async def resolve(self, url: str, ref: str | None, credentials: Credentials) -> MemoryResolved:
        self.asked.append((url, ref, credentials))
        if ref not in self.refs:
            raise InvalidInput(f"No branch {ref!r}.", code="branch_not_found", field="ref")
        return MemoryResolved(self.refs[ref], ref or "main")


@dataclass
class Kit:
    """Everything opened, and a team in it."""

    db: Database
    clock: Clock
    wakeup: Wakeup
    store: BlobStore
    logs: LogService
    accounts: Accounts
    sources: MemorySources
    projects: Projects
    deployments: Deployments

    async def actor(self, team: str = "acme", role: Role = Role.OWNER) -> Actor:
        """A new user with a role in a team, which is made if it is not there."""
        of_team = await self.accounts.ensure_team(team, team)
        user = User(id=new_id("usr"), email=f"{new_id('usr')}@example.org", password_hash="", created_at=self.clock())
        async with self.db.write() as session:
            session.add(user)
            await session.flush()
            session.add(Membership(user_id=user.id, team_id=of_team.team_id, role=role, created_at=self.clock()))
        return Actor(user.id, of_team.team_id, team, role)

    async def project(self, actor: Actor, name: str = "blog") -> ProjectView:
        return await self.projects.create(actor, NewProject(name=name, git_url=f"https://git.example/{name}.git"))

    async def queued(self, actor: Actor, project: str = "blog", target: str = "production") -> DeploymentView:
        new = NewDeployment(target="production" if target == "production" else "preview")
        return await self.deployments.create(actor, project, new)

    async def claim(
        self, dispatcher: str = DISPATCHER, *, limit: int = 0, team_limit: int = 0, project_limit: int = 0
    ) -> Claimed | None:
        limits = ClaimLimits(limit, team_limit, project_limit)
        return next(iter(await self.deployments.queue.claim(dispatcher, "memory", limits)), None)

    async def launched(self, claimed: Claimed | None = None) -> "Agent":
        """An agent that has claimed the spec of the next deployment in the queue."""
        claimed = claimed or await self.claim()
        if claimed is None:
            raise LookupError("the queue is empty")
        build = await self.deployments.builds.authenticate(claimed.attempt, claimed.token)
        claim = await self.deployments.builds.claim(build, "nonce")
        return Agent(self, claimed, build, claim.first_seq)

    async def ready(
        self, actor: Actor, project: str = "blog", target: str = "production", files: Mapping[str, bytes] | None = None
    ) -> DeploymentView:
        """A deployment taken through the whole path. The clock moves on, so that the next one is newer."""
        made = await self.queued(actor, project, target)
        await (await self.launched()).publish(files or {"/index.html": made.id.encode()})
        self.clock.advance(seconds=2)
        return await self.deployments.get(actor, made.id)


@dataclass
class Agent:
    """What a build server does, by hand."""

    kit: Kit
    claimed: Claimed
    build: Build
    next_seq: int
    next_event: int = 0

    def lines(self, *texts: str) -> list[LogLine]:
        return [
            LogLine(deployment=self.build.deployment, attempt=self.build.number, seq=seq, ts=0, text=text)
            for seq, text in enumerate(texts, start=self.next_seq)
        ]

    async def log(self, *texts: str) -> None:
        answer = await self.kit.deployments.builds.ingest(self.build, Batch(lines=self.lines(*texts)))
        self.next_seq = answer.next_seq

    async def fail(self, code: str = "command_failed", *, infrastructure: bool = False) -> None:
        error = BuildErrored(n=self.next_event, code=code, message="It failed.", infrastructure=infrastructure)
        await self.kit.deployments.builds.ingest(self.build, Batch(events=[error]))

    async def publish(self, files: Mapping[str, bytes]) -> Manifest:
        await self.kit.deployments.builds.put_blobs(self.build, frames(files.values()))
        made = manifest(files)
        await self.kit.deployments.builds.accept_manifest(self.build, made)
        return made


def ref(data: bytes) -> BlobRef:
    return BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


def manifest(files: Mapping[str, bytes]) -> Manifest:
    return Manifest(files={path: Entry(identity=ref(data), type="text/html") for path, data in files.items()})


async def frames(blobs: Iterable[bytes]) -> AsyncIterator[bytes]:
    for data in blobs:
        yield hashlib.sha256(data).digest() + len(data).to_bytes(8, "big") + data


@asynccontextmanager
async def open_kit(
    database_url: str,
    policy: BuildPolicy | None = None,
    wakeup: Wakeup | None = None,
    logs: LogService | None = None,
    storage_url: str = "memory:///",
) -> AsyncIterator[Kit]:
    """The database must have been migrated, and `logs` been entered."""
    wakeup = wakeup or Wakeup()
    clock, sources, sites = Clock(), MemorySources(), Sites("http://*.localhost:8080")
    store = BlobStore(storage_url)
    own = LogService(MemoryBus(), MemoryArchive())
    async with Database(database_url) as db, nullcontext(logs) if logs else own as logs:
        projects = Projects(db, Cipher(b"k" * 32), sites, check_url=lambda url: url, wakeup=wakeup, clock=clock)
        yield Kit(
            db=db,
            clock=clock,
            wakeup=wakeup,
            store=store,
            logs=logs,
            accounts=Accounts(db, clock, Passwords(_fast_hasher())),
            sources=sources,
            projects=projects,
            deployments=Deployments(
                db, store, logs, wakeup, projects, sources, sites, policy, local_sources=sources, clock=clock
            ),
        )


def _fast_hasher() -> Argon2Hasher:
    return Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)
