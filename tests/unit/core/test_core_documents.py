"""Each document that crosses a process border has a golden file: a change of its JSON is a change of a contract."""

from pathlib import Path

import pytest

from scalemesh.core.access import AccessBatch, AccessRecord, AccessReport, AccessRows, AccessTotals
from scalemesh.core.build import (
    BlobRef,
    BuildErrored,
    BuildIgnored,
    BuildSettings,
    BuildSpec,
    GitSource,
    Limits,
    Plan,
    PlanMade,
    SourceResolved,
    StepFinished,
    StepStarted,
)
from scalemesh.core.documents import decode, encode
from scalemesh.core.logs import LogLine
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.core.routes import Route, RouteSnapshot
from scalemesh.errors import InvalidInput

GOLDEN = Path(__file__).parents[2] / "golden"
A, B = "a" * 64, "b" * 64

SPEC = BuildSpec(
    deployment="dpl_1",
    attempt="att_1",
    number=1,
    project="prj_1",
    project_name="blog",
    team="team_1",
    target="production",
    url="http://blog-x.localhost:8080",
    source=GitSource(url="https://example.org/blog.git", commit="c" * 40, ref="main"),
    settings=BuildSettings(root_directory="web"),
    limits=Limits(),
    env_names=["API_KEY"],
)
EVENTS = [
    StepStarted(n=0, step="clone", at=1),
    SourceResolved(n=1, commit="c" * 40, tree="d" * 40, message="Hello", author="Ada"),
    StepFinished(n=2, step="clone", at=2, exit_code=0),
    PlanMade(n=3, plan=Plan(framework="vite", build_command="vite build", sources={"framework": "package.json"})),
    BuildErrored(n=4, code="command_failed", message="exit code 1"),
    BuildIgnored(n=5, message="nothing changed"),
]
LINE = LogLine(deployment="dpl_1", attempt=1, seq=7, ts=1_700_000_000_000, step="build", text="done")
MANIFEST = Manifest(
    files={
        "/index.html": Entry(
            identity=BlobRef(sha256=A, size=9), type="text/html; charset=utf-8", br=BlobRef(sha256=B, size=5)
        )
    }
)
ROUTES = RouteSnapshot(
    version=9,
    routes=[
        Route(
            host="blog.localhost",
            version=9,
            team="team_1",
            deployment="dpl_1",
            manifest=BlobRef(sha256=A, size=9),
            production=True,
        ),
        Route(host="gone.localhost", version=8),
    ],
)
ACCESS = AccessReport(
    batches=[
        AccessBatch(
            spool="0123456789abcdef",
            number=7,
            rows=AccessRows(
                totals=[
                    AccessTotals(
                        at=1_700_000_000_000,
                        project="prj_1",
                        status=200,
                        cache="hit",
                        requests=4,
                        bytes=400,
                        took_us=90,
                        latency=[4, *[0] * 20],
                    )
                ],
                records=[
                    AccessRecord(
                        at=1_700_000_000_123,
                        project="prj_1",
                        host="blog.localhost",
                        method="GET",
                        path="/",
                        status=200,
                        cache="hit",
                        bytes=100,
                        took_us=21,
                        client="198.51.100.0/24",
                        rate=0.25,
                    )
                ],
            ),
        )
    ],
    dropped=3,
)
DOCUMENTS = {
    "build_spec": SPEC,
    "build_events": EVENTS,
    "log_line": LINE,
    "manifest": MANIFEST,
    "routes": ROUTES,
    "access_report": ACCESS,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_golden(name: str) -> None:
    assert encode(DOCUMENTS[name]).decode() + "\n" == (GOLDEN / f"{name}.json").read_text()


@pytest.mark.parametrize("name", ["build_spec", "log_line", "manifest", "routes", "access_report"])
def test_round_trip(name: str) -> None:
    assert decode(type(DOCUMENTS[name]), encode(DOCUMENTS[name])) == DOCUMENTS[name]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"files": {"/x": {"type": "text/plain"}}}', "identity"),
        ('{"files": {}, "surprise": 1}', "surprise"),
        ('{"files": []}', "$.files"),
        ("{", ""),
    ],
)
def test_a_wrong_document_says_where(text: str, place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode(Manifest, text)
    assert place in caught.value.message
