"""A folder as the source of a deployment: what is sent, and only the blobs that the team does not have."""

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pathspec

from scalemesh.client.http import Client
from scalemesh.core.build import UploadFile
from scalemesh.core.documents import encode
from scalemesh.errors import InvalidInput, TooLarge, Unavailable

MAX_FILES = 50_000
_BUNDLE_BYTES = 8 * 1024**2  # small files travel together

# Vercel's list (packages/client), plus what other tools leave behind.
IGNORED = """
.hg .git .gitmodules .svn .cache .next .now .vercel .netlify .npmignore .dockerignore .gitignore .*.swp .DS_Store
.lock-wscript .env.local .env.*.local .venv .yarn/cache .pnp* npm-debug.log config.gypi node_modules __pycache__ venv
CVS
""".split()  # noqa: SIM905  a list of forty strings would be longer than the code around it


def files(folder: Path) -> list[UploadFile]:
    """What of `folder` is sent: regular files, less IGNORED and .vercelignore (else .gitignore).

    Raises InvalidInput for a folder that is missing or empty, TooLarge past MAX_FILES.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder.", hint="Give a folder or a Git URL.")
    found: list[UploadFile] = []
    for path in _walk(folder, _ignored(folder)):
        relative = unicodedata.normalize("NFC", path.relative_to(folder).as_posix())
        mode = path.lstat().st_mode
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
        found.append(UploadFile(path=relative, sha256=digest, size=size, executable=bool(mode & stat.S_IXUSR)))
        if len(found) > MAX_FILES:
            raise TooLarge(f"{folder} has more than {MAX_FILES:,} files.", hint="Leave some out with .vercelignore.")
    if not found:
        raise InvalidInput(f"{folder} has no files to deploy.", hint="Is everything ignored by .gitignore?")
    return found


def send(client: Client, project: str, folder: Path, listing: list[UploadFile]) -> int:
    """Sends the blobs that are missing, small ones together; answers how many bytes travelled."""
    by_hash = {file.sha256: file for file in listing}
    wanted = {"blobs": [{"sha256": f.sha256, "size": f.size} for f in by_hash.values()]}
    missing = client.call("POST", f"/projects/{project}/uploads/missing", json=wanted)["missing"]
    sent = 0
    for bundle in _bundles([by_hash[sha256] for sha256 in missing]):
        _put(client, project, folder, bundle)
        sent += sum(file.size for file in bundle)
    return sent


def _put(client: Client, project: str, folder: Path, bundle: list[UploadFile]) -> None:
    """Once more where the store was cleaned up at this very moment."""
    for tries_left in (2, 1, 0):
        try:
            client.call("POST", f"/projects/{project}/uploads/blobs", content=_frames(folder, bundle), timeout=600)
        except Unavailable as error:
            if error.code != "blob_collected" or not tries_left:
                raise
        else:
            return


def source(listing: list[UploadFile]) -> dict[str, object]:
    """The `source` of `POST …/deployments`."""
    import json

    return {"kind": "upload", "files": json.loads(encode(listing))}


def _ignored(folder: Path) -> pathspec.GitIgnoreSpec:
    own = next((path for name in (".vercelignore", ".gitignore") if (path := folder / name).is_file()), None)
    return pathspec.GitIgnoreSpec.from_lines([*IGNORED, *(own.read_text(errors="replace").splitlines() if own else ())])


def _walk(folder: Path, ignored: pathspec.GitIgnoreSpec) -> Iterator[Path]:
    for base, names, leaves in os.walk(folder):
        at = Path(base)
        names[:] = sorted(n for n in names if not ignored.match_file(f"{(at / n).relative_to(folder).as_posix()}/"))
        for leaf in sorted(leaves):
            path = at / leaf
            if not ignored.match_file(path.relative_to(folder).as_posix()) and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _bundles(listing: list[UploadFile]) -> Iterator[list[UploadFile]]:
    bundle: list[UploadFile] = []
    size = 0
    for file in listing:
        if bundle and size + file.size > _BUNDLE_BYTES:
            yield bundle
            bundle, size = [], 0
        bundle.append(file)
        size += file.size
    if bundle:
        yield bundle


def _frames(folder: Path, bundle: list[UploadFile]) -> Iterator[bytes]:
    """Per blob: 32 bytes SHA-256, 8 bytes big-endian size, the bytes."""
    for file in bundle:
        yield bytes.fromhex(file.sha256) + file.size.to_bytes(8, "big")
        with (folder / file.path).open("rb") as opened:
            while chunk := opened.read(256 * 1024):
                yield chunk
