"""upload: the output packed, the missing blobs sent, the manifest last."""

import asyncio
import dataclasses
import os
import posixpath
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from scalemesh.artifacts import beneath
from scalemesh.buildserver.control.base import Blob, Blobs, Control
from scalemesh.buildserver.retry import retrying
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import BlobRef, BuildSpec, Flavour, Limits, Plan, SignedPut
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import output_choices
from scalemesh.rules.limits import MAX_FILE_BYTES
from scalemesh.rules.read import Read, read_rules

if TYPE_CHECKING:  # loaded late: see control.base
    from scalemesh.artifacts.pack import Packed

BUNDLE_BYTES = 4 * 1024**2
UPLOADS_AT_ONCE = 4
DIRECT_BYTES = 64 * 1024  # smaller ones travel faster together
MAX_SIGNED_BYTES = 5 * 1024**3  # as artifacts.presign signs
_SIGNED_AT_ONCE = 100
_ASK_AT_ONCE = 5000
_MAX_CANDIDATES = 5
_CANDIDATE_SKIP = frozenset({".git", "node_modules", "src", "public", "test", "tests"})


async def upload(
    control: Control, shipper: Shipper, workspace: Path, spool: Path, plan: Plan, spec: BuildSpec
) -> "Packed":
    """Everything but the manifest; the caller closes what it gets. Raises BuildFailed."""
    packed = await asyncio.to_thread(_pack, workspace, spool, plan, spec.limits, spec.settings.flavour)
    try:
        for warning in [*packed.warnings, *packed.manifest.complaints]:
            await shipper.line(warning, step="upload", level="warn")
        if "/index.html" not in packed.manifest.files:
            warning = f"{plan.output_directory!r} has no index.html: the site's front page will be a 404."
            await shipper.line(warning, step="upload", level="warn")
        sent = await send(control, packed.blobs)
        files, total = len(packed.manifest.files), sum(e.identity.size for e in packed.manifest.files.values())
        text = f"{files} files, {_size(total)}; {len(sent)} blobs uploaded, {_size(sum(sent))}"
        await shipper.line(text, step="upload")
    except BaseException:
        packed.__exit__()
        raise
    return packed


def _pack(workspace: Path, spool: Path, plan: Plan, limits: Limits, flavour: Flavour | None = None) -> "Packed":
    from scalemesh.artifacts.pack import pack

    spool.mkdir()
    root = _open(workspace, plan)
    try:
        packed = pack(root, spool, limits=limits, immutable=plan.immutable)
        site = partial(_read, root)
        with Tree(workspace, plan.root_directory) as tree, Tree(workspace) as repository:

            def project(name: str) -> bytes | None:
                return tree.read(name) or repository.read(name)

            return _with_rules(packed, project, site, flavour)
    finally:
        os.close(root)


def _read(root: int, name: str) -> bytes | None:
    try:
        with os.fdopen(beneath.open_file(root, name), "rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except BuildFailed:  # whoever looks for a file that cannot be read finds none
        return None


def _with_rules(packed: "Packed", project: Read, site: Read, flavour: Flavour | None) -> "Packed":
    """The same with the rules that the site's files give, and complaints about them."""
    parsed = read_rules(project, site, lambda path: path in packed.manifest.files, flavour)
    manifest = msgspec.structs.replace(packed.manifest, rules=parsed.rules, complaints=parsed.complaints)
    return dataclasses.replace(packed, manifest=manifest)


def _open(workspace: Path, plan: Plan) -> int:
    """The output folder; where detection could only guess, the first of its guesses that is there."""
    for choice in output_choices(plan):
        try:
            return beneath.open_folder(workspace, posixpath.normpath(posixpath.join(plan.root_directory, choice)))
        except BuildFailed as error:
            if error.code != "output_missing":
                raise
    raise _missing(workspace, plan)


def _missing(workspace: Path, plan: Plan) -> BuildFailed:
    candidates = list(islice(_candidates(workspace, plan), _MAX_CANDIDATES))
    found = f" These folders have an index.html: {', '.join(candidates)}." if candidates else ""
    return BuildFailed(
        f"The build left no output directory {plan.output_directory!r}.{found}",
        code="output_directory_not_found",
        hint="Set the project's output directory to the folder that the build writes.",
    )


def _candidates(workspace: Path, plan: Plan) -> Iterator[str]:
    """Folders that look like an output."""
    with Tree(workspace, plan.root_directory) as tree:
        for path in tree.listing(_CANDIDATE_SKIP):
            folder, _, name = path.rpartition("/")
            if name == "index.html" and folder and folder.count("/") < 3:
                yield folder


async def send(control: Control, blobs: Blobs) -> list[int]:
    """Sends what the team does not have; answers the sizes."""
    refs = [BlobRef(sha256=sha256, size=blob.size) for sha256, blob in blobs.items()]
    missing: set[str] = set()
    for at in range(0, len(refs), _ASK_AT_ONCE):
        missing |= await retrying(partial(control.missing, refs[at : at + _ASK_AT_ONCE]))
    gate = asyncio.Semaphore(UPLOADS_AT_ONCE)

    async def put(bundle: Blobs) -> None:
        async with gate:
            await retrying(partial(control.put_blobs, bundle))

    large = [ref for ref in refs if ref.sha256 in missing and DIRECT_BYTES <= ref.size <= MAX_SIGNED_BYTES]
    through = missing - await _send_directly(control, large, blobs, gate)
    # Not a TaskGroup: the first error is to come out as itself.
    await asyncio.gather(*map(put, _bundles({sha256: blobs[sha256] for sha256 in blobs if sha256 in through})))
    return [blobs[sha256].size for sha256 in missing]


async def _send_directly(control: Control, refs: Sequence[BlobRef], blobs: Blobs, gate: asyncio.Semaphore) -> set[str]:
    """Puts blobs into the store itself, where it signs addresses for that; answers which."""
    for at in range(0, len(refs), _SIGNED_AT_ONCE):
        some = refs[at : at + _SIGNED_AT_ONCE]
        puts = await retrying(partial(control.presign, some))
        if not puts:
            return set()

        async def put(signed: SignedPut) -> None:
            async with gate:
                await retrying(partial(control.put_signed, signed, blobs[signed.sha256]))

        await asyncio.gather(*map(put, puts))
        await retrying(partial(control.stored, some))
    return {ref.sha256 for ref in refs}


def _bundles(blobs: Blobs) -> Iterator[Blobs]:
    """Small blobs together: BUNDLE_BYTES at most, or a single larger one."""
    bundle: dict[str, Blob] = {}
    size = 0
    for sha256, blob in blobs.items():
        if bundle and size + blob.size > BUNDLE_BYTES:
            yield bundle
            bundle, size = {}, 0
        bundle[sha256] = blob
        size += blob.size
    if bundle:
        yield bundle


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
