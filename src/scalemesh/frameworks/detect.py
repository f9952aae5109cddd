"""From a listing and a few files to a Plan."""

import posixpath
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from scalemesh.core.build import BuildSettings, Plan
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import managers, monorepo, netlify, node, overrides, python
from scalemesh.frameworks.choose import BUILD_SCRIPTS, Choice, choose
from scalemesh.frameworks.files import Files, Package, Read, read_package
from scalemesh.frameworks.managers import Manager
from scalemesh.frameworks.outputs import configs, inside
from scalemesh.frameworks.overrides import Overrides
from scalemesh.frameworks.preset import Preset

GUESS = "guess"
# Several frameworks write here instead of their own place where the environment says VERCEL (Build Output API 3).
VERCEL_OUTPUT = ".vercel/output/static"
_OWNERS = frozenset({overrides.SETTINGS, "vercel.json", "netlify.toml"})
MAX_VALUE_BYTES = 64 * 1024  # Linux takes an argument of 128 KiB at most
_GIVEN = ("install_command", "build_command", "ignore_command", "output_directory", "root_directory")
GUESS_OR_TOP = "guess, else the root directory"
_OUTPUTS = ("dist", "build", "out", "_site", "public")
_PAGES = ("index.html", "index.htm")
_IGNORED = ("node_modules/", "test/", "tests/", "examples/")


@dataclass
class _Draft:
    """A plan in the making: `put` notes the value and where it came from."""

    values: dict[str, str | None] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: str | None, source: str) -> None:
        self.values[name], self.sources[name] = value, source


@dataclass(frozen=True)
class _Project:
    repository: Files
    root: str
    files: Files
    package: Package
    overrides: Overrides
    choice: Choice
    manager: Manager | None


def detect(
    listing: Collection[str], read: Read, settings: BuildSettings, contexts: Sequence[str] = netlify.PRODUCTION
) -> Plan:
    """What will be built: pure. `listing` are the repository's files, `read` gives one's content (None: not a file).

    `contexts`: of netlify.toml's, those that apply (netlify.contexts).

    Raises BuildFailed with a code: nothing_to_build, server_framework, toolchain_missing, root_directory_not_found,
    invalid_package_json (field = file:line), invalid_vercel_json, invalid_netlify_toml, unknown_framework,
    node_version_unsupported, python_version_unsupported, lockfile_unsupported, invalid_output_directory,
    invalid_build_command and so on.
    """
    draft = _Draft()
    project = _project(Files(listing, read), settings, contexts, draft)
    _put_build(project, draft)
    _put_install(project, draft)
    _put_output(project, draft)
    _put_ignore(project, draft)
    _require_something(project, draft)
    _put_node(project, draft)
    return _valid(_plan(project, draft))


def _project(repository: Files, settings: BuildSettings, contexts: Sequence[str], draft: _Draft) -> _Project:
    root = _root(repository, settings, contexts, draft)
    files = repository.at(root)
    package = read_package(files)
    decided = overrides.read(files, settings, contexts)
    choice = choose(files, package, decided)
    draft.put("framework", choice.preset.slug if choice.preset else None, choice.source)
    manager = managers.find(repository, root, package) if package.exists else None
    if manager:
        draft.put("package_manager", manager.name, manager.source)
    return _Project(repository, root, files, package, decided, choice, manager)


def _root(repository: Files, settings: BuildSettings, contexts: Sequence[str], draft: _Draft) -> str:
    is_set = settings.root_directory.strip("./ ")
    base = "" if is_set else netlify.read(repository, contexts).values.get("base", "").strip()
    source = "netlify.toml" if base else overrides.SETTINGS if settings.root_directory else "default"
    named = base or settings.root_directory
    root = posixpath.normpath(named.strip().strip("/") or ".")
    root = "" if root == "." else root
    if root.startswith("..") or (root and not repository.has_directory(root)):
        folders = sorted({p.rsplit("/", 1)[0] for p in repository if p.endswith("/package.json") and p.count("/") < 4})
        raise BuildFailed(
            f"The root directory {named!r} is not in the repository at this commit.",
            code="root_directory_not_found",
            hint=f"These have a package.json: {', '.join(folders[:5])}." if folders else "Leave it empty for the top.",
            field="root_directory",
        )
    draft.put("root_directory", root, source)
    return root


def _put_build(project: _Project, draft: _Draft) -> None:
    preset, static = project.choice.preset, project.choice.static
    if found := project.overrides.get("build_command"):
        draft.put("build_command", found[0].strip() or None, found[1])
    elif scripted := _script(project):
        draft.put("build_command", *scripted)
    elif preset:
        command = static.build if static and static.build else preset.build
        draft.put("build_command", command, f"{preset.name} preset")
    else:
        draft.put("build_command", None, "default")


def _script(project: _Project) -> tuple[str, str] | None:
    """vercel-build, now-build, build: the first that package.json has; a build by the workspace's runner, if any."""
    static, manager = project.choice.static, project.manager
    if manager is None:
        return None
    names = ([static.script] if static and static.script else []) + list(BUILD_SCRIPTS)
    script = next((name for name in names if project.package.scripts.get(name, "").strip()), None)
    if script in {"build", None}:
        runner = monorepo.build(project.repository, project.root, manager, has_script=script is not None)
        if runner:
            return runner
    return (manager.run(script), "package.json") if script else None


def _put_install(project: _Project, draft: _Draft) -> None:
    if found := project.overrides.get("install_command"):
        draft.put("install_command", found[0].strip() or None, found[1])
    elif project.choice.preset and project.choice.preset.python:
        _put_python(project, draft, project.choice.preset.python)
    elif project.manager and draft.values["build_command"]:
        draft.put("install_command", project.manager.install(project.root), project.manager.source)
    else:
        draft.put("install_command", None, "default")


def _put_python(project: _Project, draft: _Draft, generator: str) -> None:
    """uv's command; after the one of package.json where its script is what builds."""
    found = python.installation(project.files, generator)
    if project.manager and draft.sources["build_command"] == "package.json":
        command = f"{project.manager.install(project.root)} && {found.command}"
    else:
        command = found.command
        draft.put("package_manager", python.MANAGER, found.source)
    draft.put("install_command", command, found.source)


def _put_output(project: _Project, draft: _Draft) -> None:
    preset, static = project.choice.preset, project.choice.static
    if found := project.overrides.get("output_directory"):
        draft.put("output_directory", _checked(*found), found[1])
    elif preset:
        output = static.output if static else preset.output
        value = output if isinstance(output, str) else output(project.files, project.package)
        draft.put("output_directory", value or ".", f"{preset.name} preset")
    elif draft.values["build_command"] is None:
        is_public = project.files.has_directory("public") and not any(p in project.files for p in _PAGES)
        draft.put("output_directory", "public" if is_public else ".", "default")
    else:
        has_page = any(page in project.files for page in _PAGES)
        draft.put("output_directory", _guess(project), GUESS_OR_TOP if has_page else GUESS)


def _put_ignore(project: _Project, draft: _Draft) -> None:
    if found := project.overrides.get("ignore_command"):
        draft.put("ignore_command", found[0].strip() or None, found[1])


def _guess(project: _Project) -> str:
    """What the build script names, else what is usual. `output_choices` has the rest for after the build."""
    script = " ".join(project.package.scripts.get(name, "") for name in BUILD_SCRIPTS)
    words = script.replace("/", " ").replace("=", " ").split()
    return next((name for name in _OUTPUTS if name in words[1:]), "dist")


def output_choices(plan: Plan) -> list[str]:
    """Where to look for the output after the build, in order. One place where the owner has said so."""
    source = plan.sources.get("output_directory")
    if source not in {GUESS, GUESS_OR_TOP}:
        return [plan.output_directory] if source in _OWNERS else [plan.output_directory, VERCEL_OUTPUT]
    top = ["."] if source == GUESS_OR_TOP else []  # never the whole repository of somebody who has no page there
    return list(dict.fromkeys((plan.output_directory, *_OUTPUTS, VERCEL_OUTPUT, *top)))


def _checked(value: str, source: str) -> str:
    directory = inside(value.strip().strip("/") or ".")
    if directory is None:
        raise BuildFailed(
            f"The output directory {value!r} ({source}) does not lie in the project.",
            code="invalid_output_directory",
            hint="Give a folder below the root directory, for example `dist`.",
            field="output_directory",
        )
    return directory


def _require_something(project: _Project, draft: _Draft) -> None:
    """A build, or a page, or an owner's word."""
    if draft.values["build_command"] or project.overrides.get("output_directory"):
        return
    output = draft.values["output_directory"]
    if any(posixpath.normpath(f"{output}/{page}") in project.files for page in _PAGES):
        return
    place = f"{project.root!r}" if project.root else "the repository"
    raise BuildFailed(
        f"There is nothing to build in {place}: no build script in package.json, no framework that is known, and no "
        "index.html.",
        code="nothing_to_build",
        hint=_where(project) or 'Add an index.html, or a "build" script to package.json.',
    )


def _where(project: _Project) -> str | None:
    """Folders that would do as root directory."""
    names = ("package.json", *_PAGES)
    folders = [p.rpartition("/")[0] for p in project.files if p.rpartition("/")[2] in names and "/" in p]
    near = sorted({f for f in folders if f.count("/") < 3 and not any(i in f"{f}/" for i in _IGNORED)})
    return f"Set the root directory to one of {', '.join(near[:5])}." if near else None


def _put_node(project: _Project, draft: _Draft) -> None:
    """Only where Node is used: a package.json, or a command of the owner's."""
    commands = [draft.values.get(name) for name in ("build_command", "install_command", "ignore_command")]
    is_own = not {"build_command", "ignore_command"}.isdisjoint(project.overrides.values)
    if any(commands) and (project.package.exists or is_own):
        draft.put("node_version", *node.find(project.files, project.package, project.overrides.get("node_version")))


def _plan(project: _Project, draft: _Draft) -> Plan:
    preset, values = project.choice.preset, draft.values
    return Plan(
        framework=values["framework"],
        framework_name=preset.name if preset else "Other",
        package_manager=values.get("package_manager"),
        package_manager_version=project.manager.version if project.manager else None,
        node_version=values.get("node_version"),
        install_command=values["install_command"],
        build_command=values["build_command"],
        ignore_command=values.get("ignore_command"),
        output_directory=values["output_directory"] or ".",
        root_directory=project.root,
        immutable=_immutable(project),
        toolchains=_toolchains(preset),
        environment=project.overrides.environment,
        sources=draft.sources,
    )


def _valid(plan: Plan) -> Plan:
    """`plan`, unless it has what no program can be given."""
    for name in _GIVEN:
        value = getattr(plan, name) or ""
        if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
            fault = "holds a NUL or half a character"
        elif len(value.encode()) > MAX_VALUE_BYTES:
            fault = f"is longer than {MAX_VALUE_BYTES} bytes"
        else:
            continue
        raise BuildFailed(
            f"The {name.replace('_', ' ')} ({plan.sources.get(name, 'the settings')}) {fault}.",
            code=f"invalid_{name}",
            hint="Correct it and push.",
            field=name,
        )
    return plan


def _toolchains(preset: Preset | None) -> list[str]:
    if preset is None:
        return []
    return [*preset.toolchains, *([python.MANAGER] if preset.python else [])]


def _immutable(project: _Project) -> list[str]:
    """The preset's, unless files without a hash in their names may lie there too.

    They do where the project's own files are copied as they are, or where Vite is told to name its output otherwise.
    """
    files, preset = project.files, project.choice.preset
    if preset is None or files.find_in(configs("vite.config"), r"((?:entry|chunk|asset)FileNames)"):
        return []
    copied = ("public", "static")
    return [p for p in preset.immutable if not any(files.has_directory(f"{c}/{p.rstrip('/')}") for c in copied)]
