from pathlib import Path

import pytest

from scalemesh.core.build import Limits
from scalemesh.errors import BuildFailed
from scalemesh.sandbox import bubblewrap, etc
from scalemesh.sandbox.contained import ContainedRunner
from scalemesh.sandbox.session import Session
from scalemesh.sandbox.step import Mount, StepCommand


def options(**changes: object) -> list[str]:
    values: dict[str, object] = {"mounts": (), "env": {}, "cwd": "/workspace", "network": False, **changes}
    return bubblewrap.options(**values)  # type: ignore[arg-type]


def test_only_a_step_with_network_shares_the_sessions() -> None:
    assert "--unshare-net" in options()
    assert "--unshare-net" not in options(network=True)


def test_everything_else_is_always_unshared() -> None:
    for network in (False, True):
        assert {"--unshare-user", "--unshare-pid", "--unshare-ipc", "--disable-userns"} <= set(options(network=network))


def test_mounts_are_read_only_unless_they_say_so_and_outer_ones_come_first() -> None:
    mounts = [Mount(Path("/a"), "/opt/node/deep"), Mount(Path("/b"), "/opt", writable=True)]
    words = options(mounts=mounts)
    assert words[words.index("/a") - 1] == "--ro-bind"
    assert words[words.index("/b") - 1] == "--bind"
    assert words.index("/b") < words.index("/a")


def test_the_environment_is_cleared_first() -> None:
    words = options(env={"A": "1"})
    assert words.index("--clearenv") < words.index("--setenv")
    assert words[words.index("--setenv") :][:3] == ["--setenv", "A", "1"]


@pytest.mark.parametrize("value", ["a\0--bind\0/\0/host", "\ud800"])
@pytest.mark.parametrize("where", ["env", "argv"])
def test_a_value_cannot_become_an_option(where: str, value: str, tmp_path: Path) -> None:
    runner = ContainedRunner(tmp_path, Limits(), lambda _: None)
    env = {"A": value} if where == "env" else {}
    argv = ("sh", value) if where == "argv" else ("sh",)
    with pytest.raises(BuildFailed, match="NUL"):
        runner._request(StepCommand(argv, cwd="/", timeout_s=1, env=env))


@pytest.mark.parametrize(("mode", "inside"), [("bubblewrap", True), ("none", False)])
def test_a_path_is_seen_through_the_mounts(mode: str, inside: bool, tmp_path: Path) -> None:
    session = Session(tmp_path, limits=Limits(), mode=mode, mounts=[Mount(Path("/store/node-22"), "/opt/node")])  # type: ignore[arg-type]
    assert session.view(session.workspace / "app") == ("/workspace/app" if inside else f"{tmp_path}/workspace/app")
    assert session.view(Path("/store/node-22/bin")) == ("/opt/node/bin" if inside else "/store/node-22/bin")
    with pytest.raises(ValueError, match="not visible"):
        session.view(Path("/etc/shadow"))


def test_the_generated_etc_has_the_operators_authorities(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("-----BEGIN CERTIFICATE-----")
    made = tmp_path / "etc"
    etc.write(made, {"SSL_CERT_FILE": str(bundle)})
    assert (made / "ssl/certs/ca-certificates.crt").read_text() == bundle.read_text()
    assert "build:x:1000:" in (made / "passwd").read_text()
    assert (made / "resolv.conf").read_text().startswith("nameserver 127.0.0.1\n")


def test_authorities_are_named_to_tools_only_where_the_operator_has_his_own() -> None:
    assert etc.ca_environment({}) == {}
    assert etc.ca_environment({"SSL_CERT_FILE": "/x"})["NODE_EXTRA_CA_CERTS"] == etc.CA_BUNDLE


def test_mirrors_are_passed_on_but_no_password() -> None:
    given = {"NPM_CONFIG_REGISTRY": "https://npm.example.org/", "PIP_INDEX_URL": "https://me:secret@pypi.example.org/"}
    assert etc.registries(given) == {
        "NPM_CONFIG_REGISTRY": "https://npm.example.org/",
        "YARN_NPM_REGISTRY_SERVER": "https://npm.example.org/",
    }
