"""The agents' side: one attempt, its token, and what may be done with it while it is the current one."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.artifacts import receipt
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import (
    Batch,
    BatchAnswer,
    BlobRef,
    BuildErrored,
    BuildIgnored,
    BuildSpec,
    CacheIndex,
    Claim,
    HeartbeatAnswer,
    SignedPut,
    Source,
    UploadSource,
)
from scalemesh.core.documents import decode, encode
from scalemesh.core.ids import secret_hash
from scalemesh.core.logs import LogLine
from scalemesh.core.manifest import Manifest
from scalemesh.core.state import ACTIVE, Event, State
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Attempt, Deployment, Project
from scalemesh.deployments import ingest, journal, promotion, totals
from scalemesh.deployments.blobs import Blobs
from scalemesh.deployments.caches import BuildCaches
from scalemesh.deployments.ending import end
from scalemesh.deployments.ingest import Cursor
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.reuse import inputs
from scalemesh.deployments.routes import Routes
from scalemesh.deployments.spec import branch_of, build_spec, previous_commit
from scalemesh.deployments.state import Cause, apply, locked
from scalemesh.deployments.uploads import Uploads
from scalemesh.errors import Conflict, InvalidInput, NotFound, Unauthenticated
from scalemesh.logs.service import LogService
from scalemesh.projects import Projects, Sites
from scalemesh.projects.hosts import production_host
from scalemesh.rules.check import fault

MAX_NONCE = 64
MAX_KNOWN = 10_000
_OWNERS = (Deployment.id, Deployment.team_id, Deployment.project_id)


@dataclass(frozen=True)
class Build:
    """An authenticated agent: the attempt that its token opens."""

    attempt: str
    number: int
    deployment: str
    team: str
    project: str


class Builds:
    """Every call with a Build raises Conflict (`attempt_over`) once its attempt is not the current one."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        logs: LogService,
        wakeup: Wakeup,
        projects: Projects,
        sites: Sites,
        policy: BuildPolicy,
        blobs: Blobs,
        caches: BuildCaches,
        uploads: Uploads,
        routes: Routes,
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._store = store
        self._cursors = ingest.Cursors(db)
        self._logs = logs
        self._wakeup = wakeup
        self._projects = projects
        self._sites = sites
        self._policy = policy
        self._blobs = blobs
        self._caches = caches
        self._uploads = uploads
        self._routes = routes
        self._clock = clock
        self._known: dict[tuple[str, str], Build] = {}

    async def recognize(self, attempt_id: str, token: str) -> Build:
        """As `authenticate`, but asked once: whose a token is stays, and `ingest` sees when its attempt is over."""
        key = attempt_id, secret_hash(token)
        if (known := self._known.get(key)) is None:
            known = await self.authenticate(attempt_id, token)
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[key] = known
        return known

    async def authenticate(self, attempt_id: str, token: str) -> Build:
        """Raises Unauthenticated for a wrong token and an unknown attempt alike, Conflict for one that is over."""
        query = (
            select(Attempt.token_hash, Attempt.ended_at, Attempt.number, *_OWNERS)
            .join(Deployment, Deployment.id == Attempt.deployment_id)
            .where(Attempt.id == attempt_id)
        )
        async with self._db.read() as session:
            found = (await session.execute(query)).first()
        known, ended_at, number, *owners = found or (None, None, 0)
        if not owners or (known is None and ended_at is None):
            raise Unauthenticated("That build token is not valid.", code="invalid_token")
        if known is None:
            raise _over(attempt_id)
        if not hmac.compare_digest(known, secret_hash(token)):
            raise Unauthenticated("That build token is not valid.", code="invalid_token")
        return Build(attempt_id, number, *owners)

    async def claim(self, build: Build, nonce: str) -> Claim:
        """The spec with its secrets, once: the same nonce is answered the same, another one is a Conflict."""
        now = self._clock()
        async with self._db.write() as session:
            row, attempt = await self._live(session, build)
            project = await session.get_one(Project, row.project_id)
            env, secret_names = await self._projects.env_for(session, project.id, row.target, branch_of(row))
            if attempt.nonce is None:
                attempt.nonce, attempt.first_seq = nonce[:MAX_NONCE], row.log_next
                row = await apply(session, row.id, Event.STARTED, attempt=build.number, now=now)
                row.inputs = await inputs(session, row)
                previous = await previous_commit(session, row)
                production = await production_host(session, project.id)
                host = production.host if production else None
                spec = build_spec(row, attempt, project, list(env), self._policy, self._sites, previous, host)
                row.spec = encode(spec).decode()
            elif not hmac.compare_digest(attempt.nonce, nonce[:MAX_NONCE]):
                raise Conflict("This attempt has been claimed by another agent.", code="already_claimed")
            attempt.lease_expires_at = now + self._policy.lease_s * 1000
            spec = decode(BuildSpec, row.spec or "")
        self._wakeup.notify(f"deployment:{build.deployment}")
        return Claim(
            spec=spec,
            env=env,
            secret_names=list(secret_names),
            credentials=self._projects.credentials(project),
            first_seq=attempt.first_seq,
            lease_s=self._policy.lease_s,
        )

    async def ingest(self, build: Build, batch: Batch) -> BatchAnswer:
        """Durable on return. Cursor first, under the fence; then the lines; then the events, under the fence again.

        A batch that would leave a gap is not taken: the answer says what is wanted.
        """
        ingest.check(build.deployment, build.number, batch.lines)
        cursor = await self._advance(build, batch)
        if batch.lines and cursor.taken:
            await self._logs.publish(batch.lines)
        if batch.events and cursor.taken:
            next_event = (await self._record(build, batch)).events_next
        else:
            next_event = cursor.next_event
        return BatchAnswer(next_seq=cursor.next_seq, next_event=next_event, cancel=cursor.canceled)

    async def heartbeat(self, build: Build) -> HeartbeatAnswer:
        """Prolongs the lease, and says whether to stop."""
        async with self._db.write() as session:
            row, attempt = await self._live(session, build)
            attempt.lease_expires_at = self._clock() + self._policy.lease_s * 1000
        return HeartbeatAnswer(cancel=row.cancel_requested_at is not None, lease_s=self._policy.lease_s)

    async def missing(self, build: Build, refs: Sequence[BlobRef]) -> list[str]:
        """Which blobs this team does not have."""
        await self._check(build)
        return await self._blobs.missing(build.team, refs)

    async def put_blobs(self, build: Build, body: AsyncIterable[bytes]) -> int:
        """Stores the blobs of the body (artifacts.frames); answers how many."""
        await self._check(build)
        return await self._blobs.put_stream(build.team, body, self._policy.limits.output_bytes)

    async def presign(self, build: Build, refs: Sequence[BlobRef]) -> list[SignedPut]:
        """Where the agent may put these itself; [] where blobs travel through `put_blobs`. Raises InvalidInput."""
        await self._check(build)
        return await self._blobs.presign(build.team, refs)

    async def stored(self, build: Build, refs: Sequence[BlobRef]) -> None:
        """The agent has put these. Raises InvalidInput (`blob_missing`) for one that is not in the store."""
        await self._check(build)
        await self._blobs.accept(build.team, refs)

    async def caches(self, build: Build) -> CacheIndex:
        """What earlier builds have left for this one."""
        return await self._caches.readable(await self._check(build))

    async def archive(self, build: Build, sha256: str) -> AsyncIterator[bytes]:
        """One archive of those. Raises NotFound."""
        return await self._caches.stream(await self._check(build), sha256)

    async def leave(self, build: Build, index: CacheIndex) -> None:
        """What this one leaves to later ones, if it becomes ready. Raises InvalidInput."""
        await self._check(build)
        await self._caches.propose(build.attempt, build.team, index)

    async def source_tar(self, build: Build) -> AsyncIterator[bytes]:
        """The uploaded files. Raises NotFound when the source is a repository."""
        row = await self._check(build)
        source = msgspec.json.decode(row.source, type=Source)
        if not isinstance(source, UploadSource):
            raise NotFound("This deployment's source is a repository.", code="no_upload")
        return self._uploads.tar(build.team, source.tree)

    async def accept_manifest(self, build: Build, manifest: Manifest) -> None:
        """Validates, publishes, and returns when the edges serve it (or after 1 s). A repeat is accepted."""
        data = encode(manifest)
        sha256 = hashlib.sha256(data).hexdigest()
        if await self._is_published(build, sha256):
            return
        sizes = await self._blobs.sizes(build.team, {ref.sha256 for ref in receipt.blobs(manifest)})
        await asyncio.to_thread(self._validate, manifest, sizes)  # 100,000 files take a while
        await self._blobs.put(build.team, sha256, data)
        version = await self._publish(build, manifest, BlobRef(sha256=sha256, size=len(data)))
        self._wakeup.notify("routes", "queue", "attempts")
        await self._routes.wait_acknowledged(version)
        self._wakeup.notify(f"deployment:{build.deployment}")

    def _validate(self, manifest: Manifest, sizes: Mapping[str, int]) -> None:
        receipt.validate(manifest, sizes, self._policy.limits)
        if found := fault(manifest.rules):
            where, what = found
            raise InvalidInput(f"The manifest is refused: {where}: {what}", code="invalid_rules", field=where)

    async def _advance(self, build: Build, batch: Batch) -> Cursor:
        if batch.lines:
            first, count = batch.lines[0].seq, len(batch.lines)
            wanted = ingest.Advance(build.deployment, build.attempt, first, count)
            if found := await self._cursors.advance(wanted):
                return found
        async with self._db.read() as session:
            row, attempt = _current(*await _rows(session, build))
        if batch.lines and batch.lines[0].seq < attempt.first_seq:
            raise InvalidInput("These numbers are from before this attempt.", code="invalid_line")
        canceled = row.cancel_requested_at is not None
        return Cursor(not batch.lines, row.log_next, attempt.events_next, canceled)

    async def _record(self, build: Build, batch: Batch) -> Attempt:
        async with self._db.write() as session:
            row, attempt = await self._live(session, build)
            ended = ingest.record(row, attempt, batch.events)
            line = await self._end(session, build, ended) if ended else None
        await journal.publish(self._logs, line)
        self._wakeup.notify(f"deployment:{build.deployment}")
        if ended:
            self._wakeup.notify("queue", "attempts")
        return attempt

    async def _end(self, session: AsyncSession, build: Build, ended: BuildErrored | BuildIgnored) -> LogLine | None:
        if isinstance(ended, BuildIgnored):
            event, cause = Event.CANCELED, Cause("ignored", ended.message)
        else:
            event = Event.REQUEUED if ended.infrastructure else Event.FAILED
            cause = Cause(ended.code, ended.message)
        await session.flush()
        found = await end(session, build.attempt, event, cause, self._policy, self._clock())
        return found[1] if found else None

    async def _publish(self, build: Build, manifest: Manifest, ref: BlobRef) -> int:
        """READY, its hosts, production and the route version: one transaction."""
        now = self._clock()
        async with self._db.write() as session:
            _, attempt = await self._live(session, build)
            row = await apply(session, build.deployment, Event.PUBLISHED, attempt=build.number, now=now)
            row.manifest_sha256, row.manifest_size = ref.sha256, ref.size
            row.output_files = len(manifest.files)
            row.output_bytes = sum(entry.identity.size for entry in manifest.files.values())
            attempt.ended_at, attempt.outcome = now, State.READY
            project = await promotion.lock_project(session, row.project_id)
            await self._caches.adopt(session, row, attempt)
            version = await promotion.publish(session, row, project, self._sites.host(row.host_label), now)
            await totals.add(session, totals.of_steps(row))
            return version

    async def _is_published(self, build: Build, sha256: str) -> bool:
        """The answer to the first time was lost."""
        async with self._db.read() as session:
            row = await session.get_one(Deployment, build.deployment)
        return row.state == State.READY and row.attempt == build.number and row.manifest_sha256 == sha256

    async def _check(self, build: Build) -> Deployment:
        async with self._db.read() as session:
            row, attempt = await _rows(session, build)
        return _current(row, attempt)[0]

    async def _live(self, session: AsyncSession, build: Build) -> tuple[Deployment, Attempt]:
        """The rows, locked."""
        await locked(session, build.deployment)
        return _current(*await _rows(session, build))


async def _rows(session: AsyncSession, build: Build) -> tuple[Deployment, Attempt]:
    attempt = await session.get(Attempt, build.attempt, populate_existing=True)
    row = await session.get(Deployment, build.deployment)
    if attempt is None or row is None:
        raise _over(build.attempt)
    return row, attempt


def _current(row: Deployment, attempt: Attempt) -> tuple[Deployment, Attempt]:
    if attempt.ended_at is not None or row.attempt != attempt.number or row.state not in ACTIVE:
        raise _over(attempt.id)
    return row, attempt


def _over(attempt_id: str) -> Conflict:
    return Conflict(f"Attempt {attempt_id} is over.", code="attempt_over")
