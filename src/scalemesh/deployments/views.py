"""What goes into and comes out of Deployments; the views are the API's JSON, nulls included."""

from typing import Literal

import msgspec

from scalemesh.core.build import GitSource, Plan, Source, UploadFile
from scalemesh.core.clock import rfc3339
from scalemesh.core.documents import Document
from scalemesh.core.manifest import Manifest
from scalemesh.core.state import TERMINAL, State
from scalemesh.db.tables import Deployment, Project
from scalemesh.deployments.fairness import Place
from scalemesh.projects import Sites

SETTLING_MS = 1000  # a ready deployment is shown `building` until its edges know it, or for so long


class NewUpload(Document, frozen=True, tag="upload", tag_field="kind"):
    """The files of a deployment; every blob has been sent before."""

    files: list[UploadFile]


class NewDeployment(Document, frozen=True):
    """`ref`: branch, tag or commit; None is the production branch. `source` instead of it: uploaded files."""

    ref: str | None = None
    target: Literal["production", "preview"] = "preview"
    force: bool = False
    source: NewUpload | None = None


class CommitView(msgspec.Struct, frozen=True, kw_only=True):
    sha: str
    ref: str | None
    message: str
    author: str


class ErrorView(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    step: str
    started_at: str
    finished_at: str | None
    duration_ms: int | None
    exit_code: int | None
    detail: str


class OutputView(msgspec.Struct, frozen=True, kw_only=True):
    files: int
    bytes: int


class QueueView(msgspec.Struct, frozen=True, kw_only=True):
    """`position` 1 is next; `expected_wait_s` None: nothing has been built yet that would say."""

    position: int
    expected_wait_s: int | None


class DeploymentView(msgspec.Struct, frozen=True, kw_only=True):
    """`project` is its name. `url` is immutable; `aliases` are the other URLs that serve it at this moment.

    `reused_from`: the deployment whose build it serves, because nothing was different; None where it was built.
    """

    id: str
    project: str
    project_id: str
    team: str
    state: str
    target: str
    trigger: str
    url: str
    aliases: list[str]
    source: str
    commit: CommitView | None
    attempt: int
    error: ErrorView | None
    plan: Plan | None
    steps: list[StepView]
    output: OutputView | None
    cancel_requested: bool
    reused_from: str | None
    queue: QueueView | None = None  # while it is queued
    created_at: str
    started_at: str | None
    ready_at: str | None
    finished_at: str | None


class AliasView(msgspec.Struct, frozen=True, kw_only=True):
    """One of a project's URLs; `deployment` None: nothing is served there yet."""

    url: str
    host: str
    kind: str
    deployment: str | None


class FileView(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    type: str
    size: int
    sha256: str
    encodings: list[str]


class StepRow(msgspec.Struct):
    """One step as it is stored in `deployments.steps`."""

    step: str
    started_at: int
    finished_at: int | None = None
    exit_code: int | None = None
    detail: str = ""


def is_settling(row: Deployment, now: int) -> bool:
    """Ready so lately that the edges decide whether it is shown."""
    return row.state == State.READY and (row.ready_at or 0) + SETTLING_MS > now


def shown_state(row: Deployment, now: int, acknowledged: int | None) -> State:
    """`acknowledged`: the version that every connected edge has; None where no edge is connected."""
    if is_settling(row, now) and acknowledged is not None and acknowledged < (row.route_version or 0):
        return State.BUILDING
    return State(row.state)


def deployment_view(
    row: Deployment,
    project: Project,
    team_slug: str,
    state: State,
    sites: Sites,
    production_host: str | None,
    place: Place | None = None,
) -> DeploymentView:
    is_production = state == State.READY and project.production_deployment_id == row.id
    source: Source = msgspec.json.decode(row.source, type=Source)
    return DeploymentView(
        id=row.id,
        project=project.name,
        project_id=project.id,
        team=team_slug,
        state=state,
        target=row.target,
        trigger=row.trigger,
        url=sites.url(sites.host(row.host_label)),
        aliases=[sites.url(production_host)] if is_production and production_host else [],
        source="git" if isinstance(source, GitSource) else "upload",
        commit=_commit(row),
        attempt=row.attempt,
        queue=_queue(place),
        error=ErrorView(code=row.error_code, message=row.error_message or "")
        if row.error_code and state in TERMINAL
        else None,
        plan=msgspec.json.decode(row.plan, type=Plan) if row.plan else None,
        steps=[_step(step) for step in msgspec.json.decode(row.steps, type=list[StepRow])],
        output=None if row.output_files is None else OutputView(files=row.output_files, bytes=row.output_bytes or 0),
        cancel_requested=row.cancel_requested_at is not None,
        reused_from=row.reused_from,
        created_at=rfc3339(row.created_at),
        started_at=_time(row.started_at),
        ready_at=_time(row.ready_at) if state == State.READY else None,
        finished_at=_time(row.finished_at) if state == row.state else None,
    )


def _commit(row: Deployment) -> CommitView | None:
    if row.commit_sha is None:
        return None
    return CommitView(sha=row.commit_sha, ref=row.ref, message=row.commit_message, author=row.commit_author)


def _queue(place: Place | None) -> QueueView | None:
    if place is None:
        return None
    wait_s = None if place.wait_ms is None else round(place.wait_ms / 1000)
    return QueueView(position=place.position, expected_wait_s=wait_s)


def _step(row: StepRow) -> StepView:
    return StepView(
        step=row.step,
        started_at=rfc3339(row.started_at),
        finished_at=_time(row.finished_at),
        duration_ms=None if row.finished_at is None else row.finished_at - row.started_at,
        exit_code=row.exit_code,
        detail=row.detail,
    )


def _time(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)


def file_views(manifest: Manifest) -> list[FileView]:
    return [
        FileView(
            path=path,
            type=entry.type,
            size=entry.identity.size,
            sha256=entry.identity.sha256,
            encodings=[name for name in ("br", "zstd", "gzip") if getattr(entry, name)],
        )
        for path, entry in sorted(manifest.files.items())
    ]
