"""Where an output lies when the project's own configuration moves it."""

import json
import posixpath
import tomllib
from collections.abc import Callable

from scalemesh.frameworks.files import Files, Package

JS = ("js", "mjs", "cjs", "ts", "mts")
_STRING = r"""['"`]([^'"`$]+)['"`]"""


def configs(stem: str) -> tuple[str, ...]:
    return tuple(f"{stem}.{extension}" for extension in JS)


def setting(stem: str, key: str, default: str) -> Callable[[Files, Package], str]:
    """`key: 'value'` in `stem`.{js,ts,…}; anything computed is left alone."""

    def find(files: Files, _package: Package) -> str:
        return inside(files.find_in(configs(stem), rf"\b{key}\s*:\s*{_STRING}")) or default

    return find


def eleventy(files: Files, _package: Package) -> str:
    """`dir: { output }`."""
    names = (".eleventy.js", *configs("eleventy.config"))
    return inside(files.find_in(names, rf"\boutput\s*:\s*{_STRING}")) or "_site"


def vite(files: Files, _package: Package) -> str:
    """`build.outDir`, relative to `root` as Vite reads it."""
    out = files.find_in(configs("vite.config"), rf"\boutDir\s*:\s*{_STRING}")
    root = files.find_in(configs("vite.config"), rf"\broot\s*:\s*{_STRING}") or ""
    return inside(posixpath.join(root, out or "dist")) or "dist"


def next_export(files: Files, _package: Package) -> str:
    """`out`, unless `distDir` names another."""
    return inside(files.find_in(configs("next.config"), rf"\bdistDir\s*:\s*{_STRING}")) or "out"


def nuxt(_files: Files, package: Package) -> str:
    """Nuxt 2 writes `dist`, later ones `.output/public`."""
    version = package.dependencies.get("nuxt", "")
    return (
        "dist" if "nuxt-edge" in package.dependencies or version.lstrip("^~>=v ").startswith("2.") else ".output/public"
    )


def docs_tool(tool: str) -> Callable[[Files, Package], str]:
    """VitePress and VuePress: below the folder that their configuration lies in."""

    def find(files: Files, package: Package) -> str:
        command = " ".join(package.scripts.values())
        places = [p.partition(f".{tool}/")[0].rstrip("/") for p in files if f".{tool}/config." in f"/{p}"]
        named = [place for place in places if place and f"{tool} build {place}" in command]
        place = next(iter(named or sorted(places, key=len)), "docs" if tool == "vitepress" else "src")
        return posixpath.join(place, f".{tool}/dist")

    return find


def hugo(files: Files, _package: Package) -> str:
    """`publishDir` of hugo.* or config.*."""
    for name in ("hugo", "config"):
        for found in (_toml(files, f"{name}.toml", "publishDir"), _json(files, f"{name}.json", "publishDir")):
            if found:
                return inside(found) or "public"
        if found := files.find_in([f"{name}.yaml", f"{name}.yml"], r"""^publishDir:\s*["']?([^"'#\s]+)"""):
            return inside(found) or "public"
    return "public"


def mkdocs(files: Files, _package: Package) -> str:
    """`site_dir`."""
    return inside(files.find_in(("mkdocs.yml", "mkdocs.yaml"), r"""^site_dir:\s*["']?([^"'#\s]+)""")) or "site"


def pelican(files: Files, _package: Package) -> str:
    """`OUTPUT_PATH`."""
    return inside(files.find("pelicanconf.py", rf"^OUTPUT_PATH\s*=\s*{_STRING}")) or "output"


def angular(files: Files, _package: Package) -> str:
    """The default project's `outputPath`; the application builder puts the pages into `browser` below it."""
    try:
        workspace = json.loads(files.text("angular.json") or "{}")
        projects = workspace["projects"]
        name = workspace.get("defaultProject") or next(iter(projects))
        target = (projects[name].get("architect") or projects[name]["targets"])["build"]
        path = target.get("options", {}).get("outputPath") or f"dist/{name}"
        is_application = str(target.get("builder", "")).endswith(":application")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError, StopIteration):
        return "dist"  # not an Angular workspace as we know it: the default, as the peers do
    if isinstance(path, dict):
        return inside(posixpath.join(str(path.get("base", "dist")), str(path.get("browser", "browser")))) or "dist"
    return inside(posixpath.join(str(path), "browser" if is_application else "")) or "dist"


def inside(path: str | None) -> str | None:
    """Normalised, or None for what does not lie in the project."""
    if not path:
        return None
    normal = posixpath.normpath(path.replace("\\", "/"))
    return None if normal.startswith(("/", "..")) else normal


def _toml(files: Files, path: str, key: str) -> str | None:
    try:
        value = tomllib.loads(files.text(path) or "").get(key)
    except (ValueError, RecursionError):
        return None  # the tool itself will say so, with its own words
    return value if isinstance(value, str) else None


def _json(files: Files, path: str, key: str) -> str | None:
    try:
        raw = json.loads(files.text(path) or "{}")
    except (ValueError, RecursionError):
        return None  # the tool itself will say so, with its own words
    value = raw.get(key) if isinstance(raw, dict) else None
    return value if isinstance(value, str) else None
