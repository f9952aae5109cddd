"""The four modes of Cloudflare's html_handling: which page a path ends at, and under which address."""

import pytest

from tests.rules_cases import site

SITES = {
    "root": ("/index.html",),
    "both": ("/both.html", "/both/index.html"),
    "file": ("/file.html",),
    "folder": ("/folder/index.html",),
    "encoded": ("/bin%2F", "/bin/index.html"),
    "named": ("/named", "/named.html"),
}
# site, path → in each mode the address at which it ends, or `-` where nothing is found
ENDS = """
site     path                 auto-trailing-slash  drop-trailing-slash  force-trailing-slash  none
root     /                    /                    /                    /                     -
root     /index               /                    /                    /                     -
root     /index.html          /                    /                    /                     /index.html
both     /both                /both                /both                /both/                -
both     /both.html           /both                /both                /both.html            /both.html
both     /both/               /both/               /both                /both/                -
both     /both/index          /both/               /both                /both/                -
both     /both/index.html     /both/               /both/index.html     /both/                /both/index.html
file     /file                /file                /file                /file/                -
file     /file.html           /file                /file                /file/                /file.html
file     /file/               /file                /file                /file/                -
file     /file/index          /file                /file                /file/                -
file     /file/index.html     /file                /file                /file/                -
folder   /folder              /folder/             /folder              /folder/              -
folder   /folder.html         /folder/             /folder              /folder/              -
folder   /folder/             /folder/             /folder              /folder/              -
folder   /folder/index        /folder/             /folder              /folder/              -
folder   /folder/index.html   /folder/             /folder              /folder/              /folder/index.html
encoded  /bin                 /bin/                /bin                 /bin/                 -
encoded  /bin.html            /bin/                /bin                 /bin/                 -
encoded  /bin%252F            /bin%252F            /bin%252F            /bin%252F             /bin%252F
named    /named               /named               /named               /named                /named
named    /named.html          /named.html          /named.html          /named/               /named.html
named    /named/              -                    -                    /named/               -
named    /named/index         -                    -                    /named/               -
named    /named/index.html    -                    -                    /named/               -
"""
_HEAD, *_ROWS = [line.split() for line in ENDS.strip().splitlines()]
CASES = [(mode, name, path, end) for name, path, *ends in _ROWS for mode, end in zip(_HEAD[2:], ends, strict=True)]


@pytest.mark.parametrize(("mode", "name", "path", "end"), CASES)
def test_path_ends_at_the_pages_one_address(mode: str, name: str, path: str, end: str) -> None:
    served = site({"wrangler.json": f'{{"assets": {{"html_handling": "{mode}"}}}}'}, *SITES[name])
    first = served.answer(path)
    last = served.answer(first.location) if first.location else first
    if end == "-":
        assert (first.status, first.location) == (404, None)
    else:
        assert (first.status, last.status, first.location or path) == (200 if end == path else 307, 200, end)


@pytest.mark.parametrize("mode", ['"slash-please"', "[]", "3"])
def test_unknown_mode_is_a_complaint_that_names_the_modes(mode: str) -> None:
    served = site({"wrangler.json": f'{{"assets": {{"html_handling": {mode}}}}}'}, "/file.html")
    assert served.answer("/file.html").location == "/file"
    (complaint,) = served.parsed.complaints
    assert complaint.startswith("wrangler.json:1: ")
    assert "drop-trailing-slash" in complaint
