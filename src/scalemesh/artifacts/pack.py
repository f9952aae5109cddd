"""A folder as a manifest and the blobs that it names: walk, hash, compress; in threads, in bounded memory.

The folder is the build's: it is read only beneath its descriptor, and no link is followed (beneath.py).
"""

import asyncio
import hashlib
import os
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from io import FileIO, RawIOBase
from itertools import chain
from pathlib import Path
from typing import Self

from scalemesh.artifacts.beneath import Walk, open_file, shown
from scalemesh.artifacts.compress import Variant, compress
from scalemesh.artifacts.receipt import path_fault
from scalemesh.artifacts.spool import Spool
from scalemesh.artifacts.types import content_type, shrinks
from scalemesh.core.build import BlobRef, Limits
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.errors import BuildFailed

MIN_COMPRESSED_BYTES = 512
CHUNK_BYTES = 256 * 1024
MAX_WARNINGS = 20
_RULE_FILES = frozenset({"_redirects", "_headers", "vercel.json", "netlify.toml"})  # at the top alone
_NEVER_SERVED = frozenset({".git", ".hg", ".svn", ".DS_Store", ".env", ".npmrc", ".netrc", ".vercel", ".netlify"})


@dataclass(frozen=True)
class PackedBlob:
    """Bytes to upload. `open` may be called as long as the Packed is open; the caller closes the file."""

    size: int
    open: Callable[[], RawIOBase]

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, read in threads."""
        file, chunk = await asyncio.to_thread(self._start)
        with file:
            while chunk:
                yield chunk
                short = len(chunk) < CHUNK_BYTES
                chunk = b"" if short else await asyncio.to_thread(file.read, CHUNK_BYTES) or b""

    def _start(self) -> tuple[RawIOBase, bytes]:
        file = self.open()
        return file, file.read(CHUNK_BYTES) or b""


@dataclass(frozen=True)
class Packed:
    """`blobs` by SHA-256: every one that the manifest names. `warnings` are for the build's log."""

    manifest: Manifest
    blobs: dict[str, PackedBlob]
    warnings: list[str]
    _resources: ExitStack = field(repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._resources.close()


def pack(
    root_fd: int,
    spool: Path,
    *,
    limits: Limits,
    rules: Rules = Rules(),  # noqa: B008  frozen
    immutable: Sequence[str] = (),
    threads: int | None = None,
) -> Packed:
    """Pack the folder behind `root_fd` (see beneath.open_folder; it stays the caller's). Blocks: run it in a thread.

    `spool` is a folder whose disk takes the compressed variants, in a file without a name. `immutable` are path
    prefixes (`assets/`).
    Raises BuildFailed: output_empty, output_too_many_files, output_too_large, path_too_long, path_invalid,
    path_collision, output_unreadable.
    """
    with ExitStack() as stack:
        root_fd = os.dup(root_fd)
        stack.callback(os.close, root_fd)
        variants = Spool(spool)
        stack.callback(variants.close)
        paths, warnings = _list(root_fd, limits)
        with ThreadPoolExecutor(threads or os.cpu_count() or 2, thread_name_prefix="pack") as pool:
            refs = dict(zip(paths, pool.map(partial(_ref, root_fd), paths.values()), strict=True))
            sources = {ref.sha256: (paths[path], ref.size) for path, ref in refs.items() if _worth(path, ref)}
            found = pool.map(partial(_compress, root_fd, variants), sources.values())
            compressed = dict(zip(sources, found, strict=True))
        blobs = {ref.sha256: PackedBlob(ref.size, partial(_open, root_fd, paths[path])) for path, ref in refs.items()}
        for ref, offset in chain.from_iterable(by_encoding.values() for by_encoding in compressed.values()):
            blobs[ref.sha256] = PackedBlob(ref.size, partial(variants.open, offset, ref.size))
        entries = {path: _entry(path, ref, compressed, immutable) for path, ref in refs.items()}
        return Packed(Manifest(files=entries, rules=rules), blobs, warnings, stack.pop_all())


def _list(root_fd: int, limits: Limits) -> tuple[dict[str, str], list[str]]:
    """Manifest path → path on disk, and what is left out or looks wrong."""
    paths: dict[str, str] = {}
    warnings: list[str] = []
    folded: dict[str, str] = {}
    total = 0
    for found in Walk(limits, never_served).beneath(root_fd):
        if found.kind != "file":
            warnings.append(f"{shown(found.path)} is left out: a {found.kind}, not a file")
            continue
        path = _served_path(found.path, limits)
        if path in paths:
            raise BuildFailed(f"Two files are named {path}, in different Unicode forms", code="path_collision")
        if (other := folded.setdefault(path.casefold(), path)) != path:
            warnings.append(f"{path} and {other} differ in case alone")
        paths[path] = found.path
        total += found.size
        if total > limits.output_bytes:
            raise BuildFailed(
                f"The output is larger than {limits.output_bytes} bytes",
                code="output_too_large",
                hint="Leave large files out, or raise SCALEMESH_BUILD_OUTPUT_BYTES.",
            )
    if not paths:
        raise BuildFailed(
            "The output directory is empty",
            code="output_empty",
            hint="Set the project's output directory to the folder that the build writes.",
        )
    if len(warnings) > MAX_WARNINGS:
        warnings[MAX_WARNINGS:] = [f"… and {len(warnings) - MAX_WARNINGS} more like these"]
    return paths, warnings


def _served_path(path: str, limits: Limits) -> str:
    served = "/" + unicodedata.normalize("NFC", path)
    if fault := path_fault(served, limits):
        code = "path_too_long" if fault == "is too long" else "path_invalid"
        raise BuildFailed(f"The output's file {shown(path)} {fault}", code=code, hint="Rename it.")
    return served


def _ref(root_fd: int, path: str) -> BlobRef:
    with _open(root_fd, path) as file:
        digest = hashlib.sha256()
        size = 0
        for chunk in _chunks(file):
            digest.update(chunk)
            size += len(chunk)
        return BlobRef(sha256=digest.hexdigest(), size=size)


def _worth(path: str, ref: BlobRef) -> bool:
    return ref.size >= MIN_COMPRESSED_BYTES and shrinks(path)


def _compress(root_fd: int, spool: Spool, source: tuple[str, int]) -> dict[str, Variant]:
    path, size = source
    with _open(root_fd, path) as file:
        return compress(_chunks(file), size, spool)


def _entry(path: str, ref: BlobRef, compressed: dict[str, dict[str, Variant]], immutable: Sequence[str]) -> Entry:
    found = compressed.get(ref.sha256, {}) if _worth(path, ref) else {}
    return Entry(
        identity=ref,
        type=content_type(path),
        immutable=any(path.startswith("/" + prefix.lstrip("/")) for prefix in immutable if prefix.strip("/")),
        **{encoding: variant.ref for encoding, variant in found.items()},
    )


def _open(root_fd: int, path: str) -> FileIO:
    return FileIO(open_file(root_fd, path), "rb")


def _chunks(file: FileIO) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def never_served(path: str) -> bool:
    """Version control, files that hold secrets by convention, the project's own dependencies, and rules."""
    name = path.rpartition("/")[2]
    if path in _RULE_FILES or path.startswith("wrangler.") or path == "node_modules":
        return True
    return name in _NEVER_SERVED or name.startswith(".env.")
