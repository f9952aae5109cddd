"""The Helm chart as Helm renders it: golden, valid by Kubernetes' own schemas, and understood by what it configures."""

from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml

from scalemesh.settings import load

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "kubernetes"
GOLDEN = ROOT / "tests" / "golden" / "kubernetes" / "chart.yaml"
VALUES: dict[str, Any] = {
    "image": "registry.example.com/scalemesh:0.1.0",
    "url": "https://deploy.example.com",
    "sitesUrl": "https://*.sites.example.com",
    "storageUrl": "s3://sites/prod",
    "ingress": {"className": "nginx", "tlsSecret": "wildcard"},
    "builds": {
        "image": "registry.example.com/build-server:0.1.0",
        "nodeSelector": {"pool": "builds"},
        "tolerations": [{"key": "builds", "operator": "Exists"}],
        "networkPolicy": {"allow": ["10.1.2.3/32"]},
    },
}


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(VALUES, name="scalemesh", namespace="scalemesh")
    texts = [text for path, text in sorted(files.items()) if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def one(rendered: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in rendered if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def test_chart_renders_as_before(rendered: list[dict[str, Any]]) -> None:
    assert rendered == list(yaml.safe_load_all(GOLDEN.read_text()))


def test_every_manifest_is_valid(rendered: list[dict[str, Any]]) -> None:
    for manifest in rendered:
        kubernetes_validate.validate(manifest, "1.30", strict=True)


def test_helm_finds_nothing_wrong() -> None:
    assert helm_python.lint(str(CHART))["errors"] == []


def test_platform_understands_its_settings(rendered: list[dict[str, Any]], tmp_path: Path) -> None:
    given = one(rendered, "ConfigMap", "scalemesh")["data"]
    settings = load({**given, "SCALEMESH_DATA_DIR": str(tmp_path)})
    assert settings.builder == "kubernetes"
    assert settings.internal_url == "http://scalemesh-api.scalemesh.svc:8000"
    assert settings.kubernetes.node_selector == ("pool=builds",)


def test_edge_gets_no_secret_of_the_platform(rendered: list[dict[str, Any]]) -> None:
    (container,) = one(rendered, "Deployment", "scalemesh-edge")["spec"]["template"]["spec"]["containers"]
    assert [each["secretRef"]["name"] for each in container["envFrom"] if "secretRef" in each] == ["scalemesh-edge"]


def test_only_the_dispatcher_speaks_to_the_cluster(rendered: list[dict[str, Any]]) -> None:
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["automountServiceAccountToken"]
        for each in rendered
        if each["kind"] in {"Deployment", "Job"}
    }
    assert [name for name, mounted in pods.items() if mounted] == ["scalemesh-dispatcher"]


@pytest.mark.parametrize("missing", ["image", "url", "sitesUrl", "storageUrl"])
def test_what_is_required_is_asked_for(missing: str) -> None:
    values = {name: value for name, value in VALUES.items() if name != missing}
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmError, match=missing):
        chart.render(values, name="scalemesh", namespace="scalemesh")
