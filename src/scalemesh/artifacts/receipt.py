"""What a manifest must satisfy before it is served, whoever sent it."""

import re
import unicodedata
from collections.abc import Iterator, Mapping

from scalemesh.core.build import BlobRef, Limits
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.errors import InvalidInput

MAX_TYPE_CHARS = 200
MAX_COMPLAINTS = 1000
MAX_COMPLAINT_CHARS = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# RFC 9110 §8.3.1: type/subtype and parameters; a value is a token or a quoted string.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf'{_WORD}/{_WORD}(?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|"[\t !#-\[\]-~]*"))*')


def validate(manifest: Manifest, sizes: Mapping[str, int], limits: Limits) -> None:
    """Raises InvalidInput that names the place, unless all holds. `sizes`: this team's blobs, SHA-256 → bytes."""
    if not manifest.files:
        raise _refused("it has no files", "files")
    if len(manifest.files) > limits.output_files:
        raise _refused(f"it has more than {limits.output_files} files", "files", "output_too_many_files")
    for path, entry in manifest.files.items():
        if fault := path_fault(path, limits):
            raise _refused(f"{path!r} {fault}", "files", "invalid_path")
        _check_entry(path, entry, sizes)
    if sum(entry.identity.size for entry in manifest.files.values()) > limits.output_bytes:
        raise _refused(f"it is larger than {limits.output_bytes} bytes", "files", "output_too_large")
    _check_rules(manifest.rules, manifest.files)
    if len(manifest.complaints) > MAX_COMPLAINTS or any(len(c) > MAX_COMPLAINT_CHARS for c in manifest.complaints):
        raise _refused("too many complaints, or too long ones", "complaints")


def blobs(manifest: Manifest) -> Iterator[BlobRef]:
    """Every blob that a manifest names, variants too; repeats included."""
    for entry in manifest.files.values():
        yield entry.identity
        yield from _variants(entry).values()


def path_fault(path: str, limits: Limits) -> str | None:
    """What is wrong with a manifest path, as the end of a sentence; None: it is absolute, NFC and normalised."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if size > limits.path_bytes:
        return "is too long"
    if not path.startswith("/"):
        return "is not absolute"
    if any(segment in {"", ".", ".."} for segment in path[1:].split("/")):
        return "is not normalised"
    if "\\" in path or _CONTROL.search(path):
        return "has a backslash or a control character"
    return None if unicodedata.is_normalized("NFC", path) else "is not in Unicode's NFC"


def _check_entry(path: str, entry: Entry, sizes: Mapping[str, int]) -> None:
    if len(entry.type) > MAX_TYPE_CHARS or not _TYPE.fullmatch(entry.type):
        raise _refused("not a content type", f"files[{path!r}].type")
    _check_blob(entry.identity, f"files[{path!r}].identity", sizes)
    for encoding, ref in _variants(entry).items():
        _check_blob(ref, f"files[{path!r}].{encoding}", sizes)
        if ref.size >= entry.identity.size:
            raise _refused("a variant must be smaller than the file", f"files[{path!r}].{encoding}")


def _check_blob(ref: BlobRef, field: str, sizes: Mapping[str, int]) -> None:
    if not _SHA256.fullmatch(ref.sha256):
        raise _refused("not a SHA-256 in lower-case hexadecimal", field)
    if ref.sha256 not in sizes:
        raise _refused(f"blob {ref.sha256} is not stored", field, "blob_missing")
    if sizes[ref.sha256] != ref.size:
        raise _refused(f"blob {ref.sha256} is {sizes[ref.sha256]} bytes, not {ref.size}", field, "size_mismatch")


def _check_rules(rules: Rules, files: Mapping[str, Entry]) -> None:
    if rules.fallback is not None and rules.fallback not in files:
        raise _refused(f"{rules.fallback!r} is not among the files", "rules.fallback")


def _variants(entry: Entry) -> dict[str, BlobRef]:
    found = {"br": entry.br, "zstd": entry.zstd, "gzip": entry.gzip}
    return {encoding: ref for encoding, ref in found.items() if ref}


def _refused(why: str, field: str, code: str = "invalid_manifest") -> InvalidInput:
    return InvalidInput(f"The manifest is refused: {field}: {why}", code=code, field=field)
