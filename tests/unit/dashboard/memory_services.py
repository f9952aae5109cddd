"""Services without a database: as much as the pages ask for, to render them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from scalemesh.accounts import Actor
from scalemesh.accounts.views import TeamView, TokenView, UserView
from scalemesh.core.build import Plan
from scalemesh.core.clock import now_ms, rfc3339
from scalemesh.core.logs import LogLine
from scalemesh.core.page import Page
from scalemesh.dashboard import Services
from scalemesh.db.tables import Role
from scalemesh.deployments import DeploymentView, RulesView
from scalemesh.deployments.views import CommitView, ErrorView, OutputView, StepView
from scalemesh.errors import InvalidInput, NotFound, Unauthenticated
from scalemesh.logs.access.memory import MemoryAccess
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.hits import Found, find
from scalemesh.logs.search import Search
from scalemesh.projects import EnvView, ProjectView
from scalemesh.projects.views import LatestDeployment

URL = "http://localhost:8000"
ADA = UserView(id="usr_1", email="ada@example.org")
ACME = TeamView(id="team_1", slug="acme", name="Acme", role="owner")


def at(seconds_ago: float) -> str:
    return rfc3339(now_ms() - int(seconds_ago * 1000))


def project(name: str = "shop", **changes: Any) -> ProjectView:
    values: dict[str, Any] = {
        "id": f"prj_{name}",
        "name": name,
        "team": "acme",
        "git_url": f"https://github.com/acme/{name}.git",
        "production_branch": "main",
        "framework": None,
        "root_directory": "",
        "install_command": None,
        "build_command": None,
        "output_directory": None,
        "ignore_command": None,
        "flavour": None,
        "node_version": None,
        "reuse": True,
        "concurrency": None,
        "cancel_running": False,
        "skip_unaffected": True,
        "production_url": f"http://{name}.localhost:8080",
        "production_deployment": None,
        "pinned": False,
        "deploy_key": None,
        "latest": None,
        "created_at": at(90_000),
        "updated_at": at(90_000),
    }
    return ProjectView(**(values | changes))


def step(name: str, started: float, seconds: float | None, exit_code: int | None = 0) -> StepView:
    return StepView(
        step=name,
        started_at=at(started),
        finished_at=None if seconds is None else at(started - seconds),
        duration_ms=None if seconds is None else int(seconds * 1000),
        exit_code=None if seconds is None else exit_code,
        detail="",
    )


def deployment(identifier: str, state: str = "ready", age: float = 3600, **changes: Any) -> DeploymentView:
    over = state in {"ready", "error", "canceled"}
    values: dict[str, Any] = {
        "id": identifier,
        "project": "shop",
        "project_id": "prj_shop",
        "team": "acme",
        "state": state,
        "target": "production",
        "trigger": "manual",
        "url": f"http://shop-{identifier[-4:]}x7k2m9qw.localhost:8080",
        "aliases": [],
        "source": "git",
        "commit": CommitView(sha="3f9c2ab41d" * 4, ref="main", message="Show prices with tax", author="Ada Lovelace"),
        "attempt": 1,
        "error": None,
        "plan": Plan(framework="vite", framework_name="Vite", build_command="npm run build", output_directory="dist"),
        "steps": [],
        "output": OutputView(files=42, bytes=1_234_567) if state == "ready" else None,
        "cancel_requested": False,
        "reused_from": None,
        "created_at": at(age),
        "started_at": None if state == "queued" else at(age - 1),
        "ready_at": at(age - 38) if state == "ready" else None,
        "finished_at": at(age - 38) if over else None,
    }
    return DeploymentView(**(values | changes))


class MemoryAccounts:
    def __init__(self) -> None:
        self.actor = Actor("usr_1", "team_1", "acme", Role.OWNER)
        self.teams = [ACME]
        self.tokens: list[TokenView] = []
        self.revoked: list[str] = []
        self.fresh = False

    async def needs_setup(self) -> bool:
        return self.fresh

    async def setup(self, token: str, email: str, password: str, team: str) -> tuple[UserView, TeamView, str]:
        if "@" not in email:
            raise InvalidInput(f"{email!r} is not an email address.", field="email")
        self.fresh = False
        return ADA, ACME, "smp_x"

    async def login(self, email: str, password: str, peer: str = "") -> str:
        if password != "correct horse":
            raise Unauthenticated("Wrong email or password.", code="wrong_credentials")
        return "secret"

    async def logout(self, secret: str) -> None:
        self.revoked.append(secret)

    async def actor_for_session(self, secret: str, team_slug: str | None = None) -> Actor:
        if secret != "secret":
            raise Unauthenticated("Your session has ended.")
        if team_slug not in {None, *(team.slug for team in self.teams)}:
            raise NotFound("You are in no such team.")
        return self.actor

    async def user(self, user_id: str) -> UserView:
        return ADA

    async def teams_of(self, user_id: str) -> list[TeamView]:
        return self.teams

    async def create_token(
        self, actor: Actor, name: str, scope: str = "full", expires_in_days: int | None = None
    ) -> tuple[TokenView, str]:
        if not name:
            raise InvalidInput("A token's name has 1 to 100 characters.", field="name")
        token = TokenView(
            id="tok_9", name=name, hint="9xYz", scope=scope, created_at=at(0), expires_at=None, last_used_at=None
        )
        self.tokens.insert(0, token)
        return token, "smp_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

    async def list_tokens(self, actor: Actor) -> list[TokenView]:
        return self.tokens

    async def revoke_token(self, actor: Actor, token_id: str) -> None:
        self.revoked.append(token_id)


class MemoryProjects:
    def __init__(self) -> None:
        self.all: list[ProjectView] = []
        self.variables: list[EnvView] = []
        self.hook_secret: str | None = None
        self.calls: list[tuple[Any, ...]] = []

    async def list(self, actor: Actor, cursor: str | None = None, limit: int = 20) -> Page[ProjectView]:
        return Page(self.all)

    async def get(self, actor: Actor, ref: str) -> ProjectView:
        for each in self.all:
            if ref in {each.id, each.name}:
                return each
        raise NotFound(f"No project {ref!r}.")

    async def create(self, actor: Actor, new: Any) -> ProjectView:
        if not new.name.islower():
            raise InvalidInput(f"{new.name!r} cannot be a project's name.", field="name")
        self.calls.append(("create", new))
        self.all.insert(0, project(new.name, git_url=new.git_url))
        return self.all[0]

    async def update(self, actor: Actor, ref: str, changes: Any) -> ProjectView:
        self.calls.append(("update", ref, changes))
        return await self.get(actor, ref)

    async def delete(self, actor: Actor, ref: str) -> Sequence[str]:
        self.calls.append(("delete", ref))
        self.all = [each for each in self.all if ref not in {each.id, each.name}]
        return []

    async def list_env(self, actor: Actor, ref: str) -> Sequence[EnvView]:
        return self.variables

    async def set_env(self, actor: Actor, ref: str, key: str, value: str, **options: Any) -> None:
        self.calls.append(("set_env", key, value, options))

    async def remove_env(self, actor: Actor, ref: str, key: str, target: str, branch: str) -> None:
        self.calls.append(("remove_env", key, target, branch))

    async def deploy_key(self, actor: Actor, ref: str) -> str:
        self.calls.append(("deploy_key", ref))
        return "ssh-ed25519 AAAA"

    async def hook(self, actor: Actor, ref: str) -> str | None:
        return self.hook_secret

    async def make_hook(self, actor: Actor, ref: str) -> str:
        self.hook_secret = "smh_secret-of-the-hook"
        return self.hook_secret

    async def remove_hook(self, actor: Actor, ref: str) -> None:
        self.hook_secret = None


class MemoryContents:
    complaints: tuple[str, ...] = ()

    async def rules(self, actor: Actor, deployment_id: str) -> RulesView:
        return RulesView(flavour=None, rules=1, headers=0, complaints=[*self.complaints])


class MemoryLogSearch:
    """The real search, over the lines of one archive that takes as long as nothing."""

    def __init__(self) -> None:
        self.archive = MemoryArchive()
        self.deployments: list[str] = []

    async def search_project(
        self, actor: Actor, project_ref: str, search: Search, cursor: str | None, limit: int, context: int
    ) -> Found:
        return await find(self.archive, self.deployments, search, cursor, limit=limit, context=context)


class MemoryDeployments:
    def __init__(self) -> None:
        self.contents = MemoryContents()
        self.log = MemoryLogSearch()
        self.all: list[DeploymentView] = []
        self.calls: list[tuple[Any, ...]] = []
        self.refuse: Exception | None = None
        self.earlier = True

    async def list(
        self, actor: Actor, project_ref: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> Page[DeploymentView]:
        return Page(self.all[:limit])

    async def get(self, actor: Actor, deployment_id: str) -> DeploymentView:
        for each in self.all:
            if each.id == deployment_id:
                return each
        raise NotFound(f"No deployment {deployment_id!r}.")

    async def _do(self, *call: Any) -> DeploymentView:
        self.calls.append(call)
        if self.refuse:
            raise self.refuse
        return deployment("dpl_new", "queued", 0)

    async def create(self, actor: Actor, ref: str, new: Any) -> DeploymentView:
        return await self._do("create", ref, new)

    async def cancel(self, actor: Actor, deployment_id: str) -> DeploymentView:
        return await self._do("cancel", deployment_id)

    async def promote(self, actor: Actor, deployment_id: str) -> DeploymentView:
        return await self._do("promote", deployment_id)

    async def redeploy(self, actor: Actor, deployment_id: str) -> DeploymentView:
        return await self._do("redeploy", deployment_id)

    async def can_roll_back(self, actor: Actor, project_ref: str) -> bool:
        return self.earlier

    async def rollback(self, actor: Actor, ref: str) -> DeploymentView:
        return await self._do("rollback", ref)

    async def delete_project(self, actor: Actor, ref: str) -> None:
        await self._do("delete_project", ref)


class MemorySources:
    def __init__(self) -> None:
        self.refuse: Exception | None = None

    async def peek(self, url: str, ref: str | None, settings: Any) -> "MemoryPeek":
        if self.refuse:
            raise self.refuse
        return MemoryPeek()


class MemoryPeek:
    ref = "main"
    problem = None
    commit = "3f9c2ab41d" * 4
    message = "Show prices with tax\n\nAnd a long story."
    plan = Plan(
        framework="vite",
        framework_name="Vite",
        package_manager="npm",
        install_command="npm ci",
        build_command="npm run build",
        output_directory="dist",
    )


class MemoryLogs:
    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.access = MemoryAccess()

    async def read(self, deployment_id: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        return [line for line in self.lines if line.seq > after][:limit]


class MemoryServices:
    """Everything the dashboard asks of its services."""

    session_cookie = "scalemesh"
    url = URL
    sites_url = "http://*.localhost:8080"

    def __init__(self) -> None:
        self.accounts: Any = MemoryAccounts()
        self.projects: Any = MemoryProjects()
        self.deployments: Any = MemoryDeployments()
        self.sources: Any = MemorySources()
        self.logs: Any = MemoryLogs()
        self.stopping = asyncio.Event()

    def is_own_origin(self, origin: str, host: str) -> bool:
        return origin in {URL, f"http://{host}"}

    def fill(self) -> None:
        """A team at work: every state is there."""
        latest = {"id": "dpl_01jdy7q8v3k5w7x9z2b4c6d8f0", "target": "production", "created_at": at(40)}
        self.projects.all = [
            project(
                "shop",
                production_deployment="dpl_01jdy5q8v3k5w7x9z2b4c6d8f0",
                latest=LatestDeployment(state="building", **latest),
                deploy_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKq1fakefakefakefakefakefake scalemesh-shop",
            ),
            project("docs", production_deployment="x", latest=LatestDeployment(state="ready", **latest)),
            project("landing-page-of-the-spring-campaign", latest=LatestDeployment(state="error", **latest)),
            project("playground", git_url="ssh://git@git.example.org:2222/team/playground.git"),
        ]
        ok = {"steps": [step(n, 3000, s) for n, s in zip(STEP_NAMES, (0.8, 0.05, 14, 9, 1.2), strict=True)]}
        message = "Let the build fail on type errors, and a subject that goes on for far longer than it should have"
        self.deployments.all = [
            deployment(
                "dpl_01jdy7q8v3k5w7x9z2b4c6d8f0",
                "building",
                40,
                steps=[
                    step("clone", 39, 0.8),
                    step("detect", 38, 0.05),
                    step("install", 38, 14.2),
                    step("build", 23, None),
                ],
            ),
            deployment(
                "dpl_01jdy8q8v3k5w7x9z2b4c6d8f0",
                "queued",
                12,
                commit=CommitView(
                    sha="b" * 40,
                    ref="feature/prices-with-tax-and-shipping",
                    message="Try shipping costs",
                    author="Grace",
                ),
                target="preview",
            ),
            deployment(
                "dpl_01jdy6q8v3k5w7x9z2b4c6d8f0",
                "error",
                900,
                error=ErrorView(code="build_failed", message="`npm run build` ended with exit code 2."),
                commit=CommitView(sha="a" * 40, ref="main", message=message, author="Grace"),
                steps=[
                    step("clone", 890, 0.8),
                    step("detect", 889, 0.1),
                    step("install", 889, 12),
                    step("build", 870, 3, 2),
                ],
            ),
            deployment("dpl_01jdy5q8v3k5w7x9z2b4c6d8f0", "ready", 4000, aliases=["http://shop.localhost:8080"], **ok),
            deployment(
                "dpl_01jdy4q8v3k5w7x9z2b4c6d8f0", "ready", 90_000, target="preview", source="upload", commit=None, **ok
            ),
            deployment(
                "dpl_01jdy3q8v3k5w7x9z2b4c6d8f0",
                "canceled",
                200_000,
                error=ErrorView(code="canceled", message="Canceled."),
            ),
        ]
        self.projects.variables = [
            EnvView(
                key="API_TOKEN",
                value=None,
                secret=True,
                target="all",
                branch=None,
                created_at=at(9e4),
                updated_at=at(9e4),
            ),
            EnvView(
                key="VITE_API_URL",
                value="https://api.example.org/v2/with/a/rather/long/path",
                secret=False,
                target="production",
                branch=None,
                created_at=at(9e4),
                updated_at=at(5e3),
            ),
            EnvView(
                key="VITE_API_URL",
                value="https://staging.example.org",
                secret=False,
                target="preview",
                branch="develop",
                created_at=at(9e4),
                updated_at=at(9e4),
            ),
        ]
        self.accounts.tokens = [
            TokenView(
                id="tok_1",
                name="laptop",
                hint="k3Fa",
                scope="full",
                created_at=at(9e5),
                expires_at=at(-8e6),
                last_used_at=at(600),
            ),
            TokenView(
                id="tok_2",
                name="set-up",
                hint="Zq0_",
                scope="read",
                created_at=at(9e5),
                expires_at=None,
                last_used_at=None,
            ),
        ]


STEP_NAMES = ("clone", "detect", "install", "build", "upload")


def typed(services: MemoryServices) -> Services:
    return services
