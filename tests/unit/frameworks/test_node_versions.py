import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.errors import BuildFailed
from scalemesh.frameworks.node import LINES, resolve


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("22", "22"),
        ("v20.11.1", "20.11.1"),
        ("20.x", "20"),
        ("20.11.x", "20.11"),
        (">=18", "24"),
        (">=18.0.0 <21", "20"),
        ("^18 || ^20", "20"),
        ("^20.19.0 || >=22.12.0", "24"),
        (">=23", "24"),
        ("~22.4.1", "22.4.1"),
        ("18 - 20", "20"),
        ("> 22", "24"),
        ("<=20", "20"),
        ("<22.0.0", "20"),
        ("lts/*", "24"),
        ("lts/Iron", "20"),
        ("*", "24"),
        ("", "24"),
        (">= 20.0.0", "24"),
        ("=18.19.0", "18.19.0"),
    ],
)
def test_resolves(wanted: str, expected: str) -> None:
    assert resolve(wanted, "package.json") == expected


@pytest.mark.parametrize("wanted", ["<16", "banana", ">=20 <18", "^", ">=99999"])
def test_refuses(wanted: str) -> None:
    with pytest.raises(BuildFailed) as raised:
        resolve(wanted, ".nvmrc")
    assert (raised.value.code, raised.value.field) == ("node_version_unsupported", ".nvmrc")


@given(st.text(alphabet="0123456789.x*^~<>=|- v", max_size=20))
def test_anything_gives_a_version_or_a_refusal(wanted: str) -> None:
    try:
        version = resolve(wanted, "package.json")
    except BuildFailed:
        return
    assert all(part.isdigit() for part in version.split("."))


@given(st.sampled_from(sorted(LINES)))
def test_a_caret_of_a_line_is_that_line(major: str) -> None:
    assert resolve(f"^{major}.1.0", "package.json") == major
