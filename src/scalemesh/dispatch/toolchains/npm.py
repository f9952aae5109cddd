"""Toolchains from the npm registry: one tarball each, its sha512 checked, unpacked without running a script of it."""

import base64
import hashlib
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import httpx

from scalemesh.artifacts.tarball import extract
from scalemesh.dispatch.toolchains.versions import NoSuchVersion, newest
from scalemesh.dispatch.toolchains.wheels import link
from scalemesh.errors import InfrastructureFault

TIMEOUT_S = 60.0
MAX_BYTES = 512 * 1024**2
_ABBREVIATED = {"Accept": "application/vnd.npm.install-v1+json"}


def fetch(name: str, programs: Mapping[str, str], version: str, scratch: Path) -> tuple[Path, str]:
    """The package with `bin/` linked to `programs`, and its version. Raises NoSuchVersion, InfrastructureFault."""
    registry = (os.environ.get("NPM_CONFIG_REGISTRY") or "https://registry.npmjs.org").rstrip("/")
    try:
        with httpx.Client(timeout=TIMEOUT_S, follow_redirects=True, headers=_ABBREVIATED) as http:
            answer = http.get(f"{registry}/{name}").raise_for_status()
            versions = answer.json()["versions"]
            if (fitting := newest(versions, version)) is None:
                raise NoSuchVersion(versions)
            found = versions[fitting]
            tarball = _download(http, found["dist"]["tarball"], scratch / "package.tgz")
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise InfrastructureFault(f"npm's {name} cannot be had: {error!r}", code="toolchain_unavailable") from error
    _check(tarball, found["dist"].get("integrity", ""), name)
    with tarfile.open(tarball) as archive:
        extract(archive, scratch / "tree")
    tarball.unlink()
    tree = next((scratch / "tree").iterdir())  # `package/`, by convention only
    link(tree, programs)
    return tree, found["version"]


def _download(http: httpx.Client, url: str, path: Path) -> Path:
    size = 0
    with http.stream("GET", url) as response, path.open("wb") as file:
        for chunk in response.raise_for_status().iter_bytes():
            size += file.write(chunk)
            if size > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
    return path


def _check(path: Path, integrity: str, name: str) -> None:
    with path.open("rb") as file:
        digest = "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if digest not in integrity.split():
        raise InfrastructureFault(f"npm's {name} is not what the registry says it is.", code="toolchain_unavailable")
