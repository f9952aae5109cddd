"""The rule files of a site, once, at deploy: Rules, and what is wrong with the files."""

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import msgspec

from scalemesh.core.build import Flavour
from scalemesh.core.manifest import Rule, Rules
from scalemesh.rules import cloudflare, headers_file, netlify, vercel
from scalemesh.rules.complaints import Complaints
from scalemesh.rules.limits import MAX_FILE_BYTES, MAX_RULES

Read = Callable[[str], bytes | None]

FLAVOURS: tuple[Flavour, ...] = get_args(Flavour)
WRANGLER = ("wrangler.toml", "wrangler.json", "wrangler.jsonc")
SITE_FILES = ("_redirects", "_headers")  # in the output; the others lie in the project
RULE_FILES = frozenset({*SITE_FILES, *WRANGLER, "vercel.json", "netlify.toml"})  # at the top of a site: never served
_SLASHES = {"auto-trailing-slash": None, "drop-trailing-slash": False, "force-trailing-slash": True, "none": None}
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/', re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """`complaints` are lines like `_redirects:3: what is wrong`."""

    rules: Rules
    complaints: list[str]


def read_rules(project: Read, site: Read, exists: Callable[[str], bool], flavour: Flavour | None = None) -> Parsed:
    """`project` reads the project's own files, `site` those of the output; both give None for what is not there.

    `exists` says whether the site has a path (`/index.html`). `flavour`: None decides by the files that are present.
    """
    return _Reading(project, site, exists).read(flavour)


class _Reading:
    def __init__(self, project: Read, site: Read, exists: Callable[[str], bool]) -> None:
        self._project = project
        self._site = site
        self._exists = exists
        self._complaints: list[Complaints] = []

    def read(self, flavour: Flavour | None) -> Parsed:
        flavour = flavour or self._present()
        make = {"vercel": self._vercel, "netlify": self._netlify, "cloudflare": self._cloudflare}
        rules = make[flavour]() if flavour else Rules()
        lines = [line for complaints in self._complaints for line in complaints.lines]
        return Parsed(rules, lines + self._passed_over(flavour))

    def _present(self) -> Flavour | None:
        if self._project("netlify.toml") is not None:
            return "netlify"
        if any(self._project(name) is not None for name in WRANGLER):
            return "cloudflare"
        if self._project("vercel.json") is not None:
            return "vercel"
        return "netlify" if any(self._site(name) is not None for name in SITE_FILES) else None

    def _passed_over(self, flavour: Flavour | None) -> list[str]:
        unread = "not read: this site follows the rules of " + (flavour or "")
        if flavour == "vercel":
            return [f"{name}:1: {unread}" for name in SITE_FILES if self._site(name) is not None]
        data = self._project("vercel.json") or b""
        if flavour and any(f'"{key}"'.encode() in data for key in ("redirects", "rewrites", "headers", "routes")):
            return [f"vercel.json:1: {unread}"]
        return []

    def _text(self, read: Read, name: str) -> tuple[str, Complaints]:
        complaints = Complaints(name)
        self._complaints.append(complaints)
        data = read(name) or b""
        if len(data) > MAX_FILE_BYTES:
            complaints.add(1, f"larger than {MAX_FILE_BYTES} bytes: it is not read")
            return "", complaints
        try:
            return data.decode("utf-8-sig"), complaints
        except UnicodeDecodeError as error:
            complaints.add(data.count(b"\n", 0, error.start) + 1, "not valid UTF-8")
            return data.decode("utf-8-sig", errors="replace"), complaints

    def _vercel(self) -> Rules:
        text, complaints = self._text(self._project, "vercel.json")
        found = vercel.parse(text or "{}", complaints)
        return Rules(
            flavour="vercel",
            clean_urls=found.clean_urls,
            canonical=found.clean_urls,
            trailing_slash=found.trailing_slash,
            rules=found.rules,
            headers=found.headers,
        )

    def _netlify(self) -> Rules:
        rules = netlify.parse_redirects(*self._text(self._site, "_redirects"))
        headers = headers_file.parse_netlify(*self._text(self._site, "_headers"))
        more, more_headers = netlify.parse_toml(*self._text(self._project, "netlify.toml"))
        rules, headers = _last_of_each([*rules, *more]), [*headers, *more_headers]
        for found in (rules, headers):
            if len(found) > MAX_RULES:
                first = found[MAX_RULES]
                self._complaints.append(Complaints(first.source))
                self._complaints[-1].add(first.line, f"more than {MAX_RULES} rules: those from here on are left out")
        return Rules(flavour="netlify", rules=rules[:MAX_RULES], headers=headers[:MAX_RULES])

    def _cloudflare(self) -> Rules:
        assets = self._wrangler()
        handling = (assets or {}).get("html_handling", "auto-trailing-slash")
        text, complaints = self._text(self._site, "_redirects")
        rules = cloudflare.parse_redirects(text, complaints, index_at_root=handling != "none")
        headers = headers_file.parse_cloudflare(*self._text(self._site, "_headers"))
        single_page = not self._exists("/404.html")
        if assets is not None:
            single_page = assets.get("not_found_handling") == "single-page-application"
        return Rules(
            flavour="cloudflare",
            canonical=handling != "none",
            trailing_slash=_SLASHES[handling],
            canonical_status=308 if assets is None else 307,
            fallback="/index.html" if single_page and self._exists("/index.html") else None,
            rules=rules,
            headers=headers,
        )

    def _wrangler(self) -> dict[str, Any] | None:
        """Its `assets`, which a Worker has; None: the site is one of Cloudflare Pages."""
        name = next((name for name in WRANGLER if self._project(name) is not None), None)
        if name is None:
            return None
        text, complaints = self._text(self._project, name)
        try:
            document = tomllib.loads(text) if name.endswith(".toml") else msgspec.json.decode(_without_comments(text))
        except (ValueError, RecursionError) as error:
            complaints.add(1, f"cannot be read: {error}")
            return None
        assets = document.get("assets") if isinstance(document, dict) else None
        if not isinstance(assets, dict):
            return None
        if (handling := str(assets.get("html_handling", "none"))) not in _SLASHES:
            complaints.add(1, f"`html_handling` is one of {', '.join(_SLASHES)}, not {handling!r}: the first is used")
            del assets["html_handling"]
        return assets


def _last_of_each(rules: list[Rule]) -> list[Rule]:
    """Of rules that say the same the last one stays, as redirect-parser has it."""
    last: dict[bytes, Rule] = {}
    for rule in reversed(rules):
        last.setdefault(msgspec.json.encode(msgspec.structs.replace(rule, source="", line=0)), rule)
    return list(reversed(last.values()))


def _without_comments(text: str) -> str:
    return re.sub(r",(\s*[}\]])", r"\1", _COMMENT.sub(lambda match: match[1] or "", text))
