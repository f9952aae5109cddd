"""deploy/aws as CloudFormation sees it, and what this platform's backend relies on in it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cfnlint.decode import decode

from scalemesh.dispatch.backends.ecs import requests
from scalemesh.sandbox.session import RUNNER_SOCKET
from tests.ecs_machine import TEMPLATE, EcsMachine

Json = dict[str, Any]


@pytest.fixture(scope="module")
def resources() -> dict[str, Json]:
    """The template's resources by name, as written."""
    template, _ = decode(str(TEMPLATE))
    return {name: each["Properties"] for name, each in template["Resources"].items()}


@pytest.fixture(scope="module")
def containers(machine: EcsMachine) -> dict[str, Json]:
    found = machine.client("ecs").describe_task_definition(taskDefinition=machine.outputs["TaskDefinition"])
    return {each["name"]: each for each in found["taskDefinition"]["containerDefinitions"]}


@pytest.fixture(scope="module")
def statements(machine: EcsMachine) -> dict[str, Json]:
    """The platform's policy by statement."""
    iam, arn = machine.client("iam"), machine.outputs["PlatformPolicy"]
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return {each["Sid"]: each for each in document["Statement"]}


def test_cfn_lint_finds_nothing() -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([lint, TEMPLATE], capture_output=True, text=True, timeout=110, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


@pytest.mark.matrix
def test_the_containers_are_those_that_run_task_overrides(containers: dict[str, Json]) -> None:
    assert set(containers) == {requests.AGENT, requests.RUNNER}
    assert containers["runner"]["command"][-1] == f"{requests.BUILD}/{RUNNER_SOCKET}"
    assert containers["agent"]["memory"] == requests.AGENT_MEMORY_MIB
    mounts = {name: {each["containerPath"]: each for each in one["mountPoints"]} for name, one in containers.items()}
    assert set(mounts["agent"]) == {requests.BUILD, requests.TOOLCHAINS, requests.BROKER, "/tmp"}
    assert set(mounts["runner"]) == {requests.BUILD, requests.TOOLCHAINS, "/tmp"}
    assert mounts["runner"][requests.TOOLCHAINS]["readOnly"]


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["agent", "runner"])
def test_containers_have_no_rights(containers: dict[str, Json], name: str) -> None:
    one = containers[name]
    assert (one["user"], one["privileged"], one["readonlyRootFilesystem"]) == ("10001:10001", False, True)
    assert one["linuxParameters"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.matrix
def test_the_runner_is_process_1_and_its_death_is_the_agents_to_tell(containers: dict[str, Json]) -> None:
    runner = containers["runner"]
    assert (runner["linuxParameters"]["initProcessEnabled"], runner["essential"]) == (False, False)


def test_a_task_may_read_tokens_and_nothing_else(resources: dict[str, Json]) -> None:
    (policy,) = resources["TaskRole"]["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert statement["Action"] == "ssm:GetParameter"
    assert statement["Resource"]["Fn::Sub"].endswith(":parameter${ParameterPath}/*")


@pytest.mark.matrix
def test_the_platform_has_no_wildcard_but_where_aws_knows_nothing_narrower(statements: dict[str, Json]) -> None:
    actions = [action for each in statements.values() for action in _list(each["Action"])]
    assert not [action for action in actions if "*" in action]
    wide = {sid for sid, each in statements.items() if each["Resource"] == "*"}
    assert wide == {"ListBuilds", "ListTokenNames"}


def test_artifacts_are_encrypted_and_closed_to_the_public(resources: dict[str, Json]) -> None:
    bucket = resources["Artifacts"]
    assert all(value is True for value in bucket["PublicAccessBlockConfiguration"].values())
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
