"""Every table, once. Times are integer milliseconds UTC; ids are core.ids; documents are JSON text.

users ─ memberships ─ teams ─┬─ api_tokens
                             ├─ projects ─┬─ env_vars
                             │            ├─ deployments ── attempts
                             │            └─ promotions
                             ├─ blobs
                             └─ hosts          edges, counters, installation: of the platform itself
"""

from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from scalemesh.core.state import State


def _one_of(column: str, values: type[StrEnum]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_valid")


_NAMES = {  # the same on both engines, so that a later migration can name what it changes
    "ix": "%(column_0_label)s_index",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "pk": "%(table_name)s_pkey",
}


_NOT_CLEANED = text("cleaned_at IS NULL")


class Role(StrEnum):
    OWNER = "owner"  # everything, members and deletion included
    DEVELOPER = "developer"  # deploys, promotes, sets variables
    VIEWER = "viewer"  # reads; never secrets


class Target(StrEnum):
    PRODUCTION = "production"
    PREVIEW = "preview"


class HostKind(StrEnum):
    PRODUCTION = "production"  # follows promote and rollback
    DEPLOYMENT = "deployment"  # immutable


class PromotionKind(StrEnum):
    AUTOMATIC = "automatic"  # a production deployment became ready
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {int: BigInteger, bytes: LargeBinary}


class Installation(Base):
    """Facts of this installation by key: `setup_token_hash`, `setup_completed_at`."""

    __tablename__ = "installation"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class Counter(Base):
    """`route_version`: incremented in the transaction that changes a host, so commit order is version order."""

    __tablename__ = "counters"
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int]


class User(Base):
    __tablename__ = "users"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(Text)
    created_at: Mapped[int]


class Team(Base):
    __tablename__ = "teams"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    turn: Mapped[int] = mapped_column(default=0, server_default="0")  # in the queue: deployments.fairness
    created_at: Mapped[int]


class Membership(Base):
    __tablename__ = "memberships"
    __table_args__ = (_one_of("role", Role),)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), primary_key=True)
    role: Mapped[Role] = mapped_column(String(16))
    created_at: Mapped[int]


class Session(Base):
    """A signed-in browser; the cookie carries the secret, the row its hash."""

    __tablename__ = "sessions"
    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[int]
    expires_at: Mapped[int]


class ApiToken(Base):
    """Belongs to one user in one team; loses its power with the membership."""

    __tablename__ = "api_tokens"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id", ondelete="CASCADE"), index=True)
    scope: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[int]
    expires_at: Mapped[int | None]
    last_used_at: Mapped[int | None]


class Project(Base):
    __tablename__ = "projects"
    __table_args__ = (UniqueConstraint("team_id", "name"),)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"), index=True)
    name: Mapped[str] = mapped_column(String(63))
    git_url: Mapped[str | None] = mapped_column(Text)
    production_branch: Mapped[str | None] = mapped_column(String(255))
    settings: Mapped[str] = mapped_column(Text, default="{}")  # core.build.BuildSettings
    concurrency: Mapped[int | None]  # builds at once; None: as the operator says, 0: no limit
    cancel_running: Mapped[bool] = mapped_column(default=False, server_default=false())  # previews that are superseded
    skip_unaffected: Mapped[bool] = mapped_column(default=True, server_default=true())  # pushes outside the root folder
    pinned: Mapped[bool] = mapped_column(default=False)
    internal: Mapped[bool] = mapped_column(default=False)  # made by the platform: its repository may be a local folder
    production_deployment_id: Mapped[str | None] = mapped_column(String(40))
    deploy_key_public: Mapped[str | None] = mapped_column(Text)
    deploy_key: Mapped[bytes | None]  # encrypted
    known_hosts: Mapped[str | None] = mapped_column(Text)
    hook_secret: Mapped[bytes | None]  # encrypted
    created_at: Mapped[int]
    updated_at: Mapped[int]


class HookDelivery(Base):
    """A push that has been taken: the same delivery again makes no second deployment."""

    __tablename__ = "hook_deliveries"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    delivery: Mapped[str] = mapped_column(String(64), primary_key=True)
    deployment_id: Mapped[str] = mapped_column(String(40))
    received_at: Mapped[int]


class EnvVar(Base):
    """`value` is encrypted, plain ones too; `secret` ones are never shown again."""

    __tablename__ = "env_vars"
    __table_args__ = (UniqueConstraint("project_id", "key", "target", "branch"),)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team_id: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(String(256))
    value: Mapped[bytes]
    secret: Mapped[bool]
    target: Mapped[str] = mapped_column(String(16))  # production | preview | all
    branch: Mapped[str] = mapped_column(String(255), default="")  # "" is every branch
    created_at: Mapped[int]
    updated_at: Mapped[int]


class Deployment(Base):
    """One immutable deployment. Only deployments.apply writes `state`; every write is fenced by `attempt`."""

    __tablename__ = "deployments"
    __table_args__ = (
        _one_of("state", State),
        _one_of("target", Target),
        Index("deployments_of_project", "project_id", "id"),
        Index("deployments_by_state", "state", "not_before"),
        Index("deployments_of_team_by_state", "team_id", "state"),
        Index("deployments_of_project_by_state", "project_id", "state"),
        Index("deployments_by_tree", "project_id", "tree"),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team_id: Mapped[str] = mapped_column(ForeignKey("teams.id"))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    host_label: Mapped[str] = mapped_column(String(63), unique=True)
    state: Mapped[State] = mapped_column(String(16))
    target: Mapped[Target] = mapped_column(String(16))
    trigger: Mapped[str] = mapped_column(String(16))  # manual | redeploy | hook | upload | demo
    creator_id: Mapped[str | None] = mapped_column(String(40))
    source: Mapped[str] = mapped_column(Text)  # core.build.Source
    settings: Mapped[str] = mapped_column(Text)  # core.build.BuildSettings, as they were at creation
    spec: Mapped[str | None] = mapped_column(Text)  # core.build.BuildSpec of the last attempt
    plan: Mapped[str | None] = mapped_column(Text)  # core.build.Plan
    steps: Mapped[str] = mapped_column(Text, default="[]")  # [{step, started_at, finished_at, exit_code, detail}]
    ref: Mapped[str | None] = mapped_column(String(255))
    commit_sha: Mapped[str | None] = mapped_column(String(64))
    commit_message: Mapped[str] = mapped_column(Text, default="")
    commit_author: Mapped[str] = mapped_column(Text, default="")
    tree: Mapped[str | None] = mapped_column(String(64))
    inputs: Mapped[str | None] = mapped_column(String(64))  # hash of what else its output depends on: deployments.reuse
    reused_from: Mapped[str | None] = mapped_column(String(40))  # the deployment whose build this one serves
    force: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)  # 0: never claimed
    log_next: Mapped[int] = mapped_column(default=0)  # the next log number wanted
    not_before: Mapped[int] = mapped_column(default=0)  # backoff after an infrastructure fault
    deadline_at: Mapped[int | None]  # set when claimed; past it the reaper ends the deployment
    cancel_requested_at: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    manifest_sha256: Mapped[str | None] = mapped_column(String(64))
    manifest_size: Mapped[int | None]
    output_bytes: Mapped[int | None]
    output_files: Mapped[int | None]
    route_version: Mapped[int | None]  # of its own host; shown ready once the edges have acknowledged it
    created_at: Mapped[int]
    started_at: Mapped[int | None]
    ready_at: Mapped[int | None]
    finished_at: Mapped[int | None]


class Attempt(Base):
    """One try at building a deployment. Its token opens this attempt alone, while it is the current one."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("deployment_id", "number"),
        Index("attempts_not_cleaned", "dispatcher", sqlite_where=_NOT_CLEANED, postgresql_where=_NOT_CLEANED),
    )
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    deployment_id: Mapped[str] = mapped_column(ForeignKey("deployments.id", ondelete="CASCADE"))
    number: Mapped[int]
    token_hash: Mapped[str | None] = mapped_column(String(64))
    nonce: Mapped[str | None] = mapped_column(String(64))  # of the claim; a repeat with the same one answers the same
    backend: Mapped[str] = mapped_column(String(16))
    handle: Mapped[str | None] = mapped_column(Text)  # JSON, stored as soon as the backend gives it
    dispatcher: Mapped[str] = mapped_column(String(64))
    lease_expires_at: Mapped[int]
    first_seq: Mapped[int]
    events_next: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[int]
    ended_at: Mapped[int | None]  # the attempt is over and may write no more
    cleaned_at: Mapped[int | None]  # the backend has confirmed that nothing of it is left
    outcome: Mapped[str | None] = mapped_column(String(64))
    caches: Mapped[str | None] = mapped_column(Text)  # JSON of a CacheIndex: what it leaves if it becomes ready


class Cache(Base):
    """One entry of a project's caches in the artifact store: `archives` is JSON of core.build.CacheArchives."""

    __tablename__ = "caches"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    trust: Mapped[str] = mapped_column(String(16), primary_key=True)
    entry: Mapped[str] = mapped_column(String(80), primary_key=True)
    team_id: Mapped[str] = mapped_column(String(40), index=True)
    archives: Mapped[str] = mapped_column(Text)
    size: Mapped[int]
    used_at: Mapped[int]


class Blob(Base):
    """A blob of one team. `promised_at`: last time that an upload was told it need not send it again.

    `collected_at`: nothing needed it, its bytes are gone or going; to all but deployments.collect it is absent.
    """

    __tablename__ = "blobs"
    team_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    stored_at: Mapped[int]
    promised_at: Mapped[int]
    collected_at: Mapped[int | None]


class Promotion(Base):
    """Append-only: who moved production, when, from what, to what."""

    __tablename__ = "promotions"
    __table_args__ = (_one_of("kind", PromotionKind), Index("promotions_of_project", "project_id", "id"))
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    team_id: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    kind: Mapped[PromotionKind] = mapped_column(String(16))
    actor_id: Mapped[str | None] = mapped_column(String(40))
    from_deployment_id: Mapped[str | None] = mapped_column(String(40))
    to_deployment_id: Mapped[str] = mapped_column(String(40))
    at: Mapped[int]


class Host(Base):
    """Every claimed host, whole (`blog.localhost`). It is the route table, too: released hosts stay."""

    __tablename__ = "hosts"
    __table_args__ = (_one_of("kind", HostKind), Index("hosts_by_version", "version"))
    host: Mapped[str] = mapped_column(String(253), primary_key=True)
    team_id: Mapped[str] = mapped_column(String(40))
    project_id: Mapped[str] = mapped_column(String(40), index=True)
    kind: Mapped[HostKind] = mapped_column(String(16))
    target: Mapped[str | None] = mapped_column(String(40), index=True)  # the deployment it serves; None: not yet
    version: Mapped[int]
    claimed_at: Mapped[int]
    released_at: Mapped[int | None]


class Edge(Base):
    """A revocable read-only token of an edge machine, and what that edge has acknowledged."""

    __tablename__ = "edges"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    acked_version: Mapped[int] = mapped_column(default=0)
    last_seen_at: Mapped[int | None]
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
