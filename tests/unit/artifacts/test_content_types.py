import pytest

from scalemesh.artifacts.receipt import validate
from scalemesh.artifacts.types import UNKNOWN, content_type, shrinks
from scalemesh.core.build import BlobRef, Limits
from scalemesh.core.manifest import Entry, Manifest


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("/index.html", "text/html; charset=utf-8"),
        ("/A/APP.JS", "text/javascript; charset=utf-8"),
        ("/app.mjs", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/logo.svg", "image/svg+xml; charset=utf-8"),
        ("/photo.jpeg", "image/jpeg"),
        ("/font.woff2", "font/woff2"),
        ("/main.wasm", "application/wasm"),
        ("/site.webmanifest", "application/manifest+json; charset=utf-8"),
        ("/.well-known/apple-app-site-association", "application/json; charset=utf-8"),
        ("/archive.tar.gz", "application/gzip"),
        ("/README", UNKNOWN),
        ("/a.html/b", UNKNOWN),
        ("/html", UNKNOWN),
        ("/.html", "text/html; charset=utf-8"),
    ],
)
def test_content_type(name: str, kind: str) -> None:
    assert content_type(name) == kind


@pytest.mark.parametrize(("name", "worth"), [("/a.js", True), ("/a.wasm", True), ("/a.png", False), ("/a", False)])
def test_what_shrinks(name: str, worth: bool) -> None:
    assert shrinks(name) == worth


@pytest.mark.parametrize("name", ["a.html", "a.json", "a.bin", "a.ico", "a.xml"])
def test_every_type_passes_receipt(name: str) -> None:
    ref = BlobRef(sha256="aa" * 32, size=1)
    validate(Manifest(files={f"/{name}": Entry(identity=ref, type=content_type(name))}), {ref.sha256: 1}, Limits())
