"""The Job and the Secret of one attempt, as golden documents that Kubernetes' schemas know."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from scalemesh.core.build import Limits
from scalemesh.dispatch.backends.base import Launch
from scalemesh.dispatch.backends.kubernetes import manifests

GOLDEN = Path(__file__).parents[2] / "golden" / "kubernetes"
LAUNCH = Launch("att_01hzzz", "dpl_01HYYY", 2, "smb_secret", Limits())
SETTINGS = manifests.KubernetesSettings(
    namespace="builds",
    image="registry.example.com/build-server:0.1.0",
    api_url="http://api.scalemesh.svc:8000",
    instance="0123456789abcdef",
    runtime_class="gvisor",
    service_account="scalemesh-build",
    node_selector={"pool": "builds"},
    tolerations=({"key": "builds", "operator": "Exists"},),
)
DOCUMENTS: dict[str, dict[str, Any]] = {
    "job": {"apiVersion": "batch/v1", "kind": "Job", **manifests.job(LAUNCH, SETTINGS)},
    "secret": {"apiVersion": "v1", "kind": "Secret", **manifests.secret(LAUNCH, SETTINGS)},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_is_asked_for_as_before(name: str) -> None:
    assert DOCUMENTS[name] == json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", DOCUMENTS)
def test_is_valid(name: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], "1.30", strict=True)


def test_token_reaches_the_agent_alone() -> None:
    agent, runner = DOCUMENTS["job"]["spec"]["template"]["spec"]["containers"]
    assert "token" in [mount["name"] for mount in agent["volumeMounts"]]
    assert "token" not in [mount["name"] for mount in runner["volumeMounts"]]
    assert "smb_secret" not in json.dumps(DOCUMENTS["job"])
