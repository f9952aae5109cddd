"""deploy/compose as Compose reads it, and as the platform understands what it is given."""

import copy
import dataclasses
import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from scalemesh.main import dispatcher, edge, migrate, pump
from scalemesh.settings import Settings, load

FOLDER = Path(__file__).parents[3] / "deploy" / "compose"
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")
PROCESSES = {"api", "dispatcher", "pump", "edge"}
S3 = {
    "SCALEMESH_STORAGE_URL": "s3://sites/prod",
    "AWS_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "EDGE_AWS_ACCESS_KEY_ID": "c",
    "EDGE_AWS_SECRET_ACCESS_KEY": "d",
}


def dot_env() -> dict[str, str]:
    """What the README writes into `.env`, with values for its commands."""
    (block,) = re.findall(r"cat > \.env <<EOF\n(.*?)EOF", (FOLDER / "README.md").read_text(), re.DOTALL)
    values = {"base64 32": "A" * 43 + "=", "%g": "998"}
    lines = [line.partition("=") for line in block.splitlines()]
    return {name: next((value for key, value in values.items() if key in how), "f" * 32) for name, _, how in lines}


def filled(value: Any, env: dict[str, str]) -> Any:
    """As Compose interpolates: `${X}`, `${X:-default}`, `${X:?message}`."""
    if isinstance(value, dict):
        return {name: filled(each, env) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, env) for each in value]
    return _VARIABLE.sub(lambda found: _value(found, env), value) if isinstance(value, str) else value


def _value(found: "re.Match[str]", env: dict[str, str]) -> str:
    name, how, rest = found.groups()
    if name in env:
        return env[name]
    assert how == ":-", f"{name} has neither a value in .env nor a default"
    return str(rest)


def compose(*names: str, **env: str) -> dict[str, Any]:
    """The files laid over each other, filled."""
    merged: dict[str, Any] = {}
    for name in names:
        merged = _over(merged, yaml.safe_load((FOLDER / name).read_text()))
    made: dict[str, Any] = filled(merged, dot_env() | env)
    return made


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(below)
    for name, value in above.items():
        merged[name] = _over(merged[name], value) if isinstance(value, dict) and name in merged else value
    return merged


def environment(file: dict[str, Any], service: str, data: Path) -> dict[str, str]:
    """With what the image sets."""
    given: dict[str, str] = file["services"][service]["environment"]
    return {"SCALEMESH_HOST": "0.0.0.0"} | given | {"SCALEMESH_DATA_DIR": str(data)}


def known_settings(kind: type[Any] = Settings) -> Iterator[str]:
    yield from (f"SCALEMESH_{field.metadata['env']}" for field in dataclasses.fields(kind) if "env" in field.metadata)
    for nested in typing.get_type_hints(kind).values():
        if isinstance(nested, type) and dataclasses.is_dataclass(nested):
            yield from known_settings(nested)


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "s3.yaml")], ids=["disk", "s3"])
def test_compose_takes_it(files: tuple[str, ...]) -> None:
    PyCompose.from_yaml(json.dumps(compose(*files, **S3))).validate()


def test_every_setting_exists() -> None:
    text = "".join((FOLDER / name).read_text() for name in ("compose.yaml", "s3.yaml"))
    assert set(re.findall(r"SCALEMESH_\w+", text)) - set(known_settings()) == {"SCALEMESH_BIND"}


def test_every_secret_is_asked_for_and_has_no_default() -> None:
    text = "".join((FOLDER / name).read_text() for name in ("compose.yaml", "s3.yaml"))
    secret = re.compile(r"KEY|PASSWORD|TOKEN")
    found = {(name, how) for name, how, _ in _VARIABLE.findall(text) if secret.search(name)}
    assert {how for _, how in found} == {":?"}
    assert {name for name, _ in found} >= {"SCALEMESH_SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}


@pytest.mark.parametrize("service", sorted(PROCESSES))
def test_each_process_understands_its_settings(service: str, tmp_path: Path) -> None:
    settings = load(environment(compose("compose.yaml"), service, tmp_path))
    assert settings.internal_url == "http://api:8000"
    if service != "edge":
        assert (settings.builder, settings.build.image) == ("docker", "scalemesh/build-server")
        assert settings.database_url.startswith("postgresql+asyncpg://scalemesh:ffff")


def test_s3_reaches_api_and_edge_with_keys_of_their_own(tmp_path: Path) -> None:
    file = compose("compose.yaml", "s3.yaml", **S3)
    for service, key in (("api", "a"), ("edge", "c")):
        given = environment(file, service, tmp_path)
        assert (load(given).storage_url, given["AWS_ACCESS_KEY_ID"]) == ("s3://sites/prod", key)


def test_every_process_runs_once_by_a_command_that_there_is() -> None:
    services = compose("compose.yaml")["services"]
    commands = {name: service.get("command") for name, service in services.items()}
    assert {name: commands[name] for name in PROCESSES} == {name: ["serve", name] for name in PROCESSES}
    assert commands["migration"] == ["python", "-I", "-m", migrate.__name__]
    assert all(callable(main) for main in (dispatcher.serve, pump.serve, edge.run))


def test_the_edge_has_no_secret_but_its_own() -> None:
    given = compose("compose.yaml")["services"]["edge"]["environment"]
    assert {name for name in given if re.search("KEY|PASSWORD|TOKEN|DATABASE|LOG", name)} == {"SCALEMESH_EDGE_TOKEN"}


def test_only_the_dispatcher_has_the_engine_and_only_the_api_and_the_edge_listen() -> None:
    services = compose("compose.yaml")["services"]
    assert [name for name, each in services.items() if "docker.sock" in str(each)] == ["dispatcher"]
    assert {name: each["ports"] for name, each in services.items() if "ports" in each} == {
        "api": ["127.0.0.1:8000:8000"],
        "edge": ["127.0.0.1:8080:8080"],
    }


def test_a_build_reaches_the_api_and_no_state() -> None:
    file = compose("compose.yaml")
    network = file["services"]["dispatcher"]["environment"]["SCALEMESH_DOCKER_NETWORK"]
    (name,) = [name for name, each in file["networks"].items() if each.get("name") == network]
    assert [service for service, each in file["services"].items() if name in each.get("networks", ())] == ["api"]
    assert file["networks"]["state"] == {"internal": True}


def test_processes_have_no_rights_and_what_keeps_data_keeps_it_in_a_volume() -> None:
    file = compose("compose.yaml")
    for name in PROCESSES:
        service = file["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
    mounted = {
        str(volume).partition(":")[0] for each in file["services"].values() for volume in each.get("volumes", ())
    }
    assert file["volumes"].keys() <= mounted


def test_everything_is_waited_for_by_its_health() -> None:
    services = compose("compose.yaml")["services"]
    waited = {name for each in services.values() for name in each.get("depends_on", ())}
    assert [name for name in waited - {"migration"} if "healthcheck" not in services[name]] == []


def test_images_are_those_of_the_dockerfile() -> None:
    services = compose("compose.yaml")["services"]
    built = [each["build"] for each in services.values() if "build" in each]
    dockerfile = (FOLDER / "../images/Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\S+)", dockerfile, re.MULTILINE))
    assert {each["target"] for each in built} <= targets
    assert all((FOLDER / each["context"] / each["dockerfile"]).is_file() for each in built)
    assert services["build-server"]["image"] == services["api"]["environment"]["SCALEMESH_BUILD_IMAGE"]
    pulled = [each["image"] for each in services.values() if "build" not in each]
    assert [image for image in pulled if not re.search(r":\d+\.\d+", image)] == []
