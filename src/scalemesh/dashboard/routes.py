"""Every address of the dashboard, in one list."""

from fastapi import APIRouter, Response
from starlette.convertors import Convertor, register_url_convertor

from scalemesh.dashboard import assets
from scalemesh.dashboard.guard import Endpoint, Guard
from scalemesh.dashboard.pages.access import AccessPages
from scalemesh.dashboard.pages.deployments import DeploymentPages
from scalemesh.dashboard.pages.gate import GatePages
from scalemesh.dashboard.pages.log_search import LogSearchPages
from scalemesh.dashboard.pages.new import NewPages
from scalemesh.dashboard.pages.projects import ProjectPages
from scalemesh.dashboard.pages.settings import SettingsPages
from scalemesh.dashboard.pages.tokens import TokenPages
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import Visit
from scalemesh.errors import NotFound


def router(services: Services) -> APIRouter:
    """All pages and assets. Include it after the API's own routes."""
    made = APIRouter(include_in_schema=False)
    guard = Guard(services)
    for method, path, endpoint in _pages(services, guard):
        made.add_api_route(path, endpoint, methods=[method], response_model=None)
    made.add_api_route("/assets/{version}/{name:path}", assets.serve, methods=["GET"], response_model=None)
    register_url_convertor("elsewhere", _Elsewhere())
    made.add_api_route("/{path:elsewhere}", guard.open(_nowhere), methods=["GET"], response_model=None)
    return made


class _Elsewhere(Convertor[str]):
    """Any path but the API's, whose wrong addresses get problem documents."""

    regex = r"(?!v1(?:/|$)).*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


async def _nowhere(visit: Visit) -> Response:
    raise NotFound(f"There is no page at {visit.request.url.path}.")


def _pages(services: Services, guard: Guard) -> list[tuple[str, str, Endpoint]]:
    gate = GatePages(services)
    projects = ProjectPages(services)
    new = NewPages(services)
    settings = SettingsPages(services)
    deployments = DeploymentPages(services)
    access = AccessPages(services)
    log_search = LogSearchPages(services)
    tokens = TokenPages(services)
    return [
        ("GET", "/setup", guard.open(gate.setup_form)),
        ("POST", "/setup", guard.open(gate.setup)),
        ("GET", "/login", guard.open(gate.login_form)),
        ("POST", "/login", guard.open(gate.login)),
        ("POST", "/logout", guard.open(gate.logout)),
        ("POST", "/team", guard.member(gate.choose_team)),
        ("GET", "/", guard.member(projects.all)),
        ("GET", "/new", guard.member(new.start)),
        ("POST", "/new", guard.member(new.create)),
        ("POST", "/new/peek", guard.member(new.peek)),
        ("POST", "/new/with-key", guard.member(new.create_with_key)),
        ("GET", "/projects/{project}", guard.member(projects.one)),
        ("POST", "/projects/{project}/deploy", guard.member(projects.deploy)),
        ("POST", "/projects/{project}/rollback", guard.member(projects.rollback)),
        ("GET", "/projects/{project}/logs", guard.member(log_search.search)),
        ("GET", "/projects/{project}/access", guard.member(access.latest)),
        ("GET", "/projects/{project}/settings", guard.member(settings.form)),
        ("POST", "/projects/{project}/settings", guard.member(settings.save)),
        ("POST", "/projects/{project}/queue", guard.member(settings.save_queue)),
        ("POST", "/projects/{project}/deploy-key", guard.member(settings.make_key)),
        ("POST", "/projects/{project}/hook", guard.member(settings.make_hook)),
        ("POST", "/projects/{project}/hook/remove", guard.member(settings.remove_hook)),
        ("GET", "/projects/{project}/env", guard.member(settings.env)),
        ("POST", "/projects/{project}/env", guard.member(settings.set_env)),
        ("POST", "/projects/{project}/env/remove", guard.member(settings.remove_env)),
        ("GET", "/projects/{project}/delete", guard.member(settings.confirm_delete)),
        ("POST", "/projects/{project}/delete", guard.member(settings.delete)),
        ("GET", "/deployments/{deployment}", guard.member(deployments.one)),
        ("GET", "/deployments/{deployment}/log.txt", guard.member(deployments.log_text)),
        ("POST", "/deployments/{deployment}/cancel", guard.member(deployments.cancel)),
        ("POST", "/deployments/{deployment}/promote", guard.member(deployments.promote)),
        ("POST", "/deployments/{deployment}/redeploy", guard.member(deployments.redeploy)),
        ("GET", "/tokens", guard.member(tokens.all)),
        ("POST", "/tokens", guard.member(tokens.create)),
        ("POST", "/tokens/{token}/revoke", guard.member(tokens.revoke)),
    ]
