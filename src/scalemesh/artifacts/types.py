"""Content types by file name: whole header values, charset included. Not the host's mime.types, which varies."""

_TEXT = {
    "atom": "application/atom+xml",
    "css": "text/css",
    "csv": "text/csv",
    "htm": "text/html",
    "html": "text/html",
    "ics": "text/calendar",
    "js": "text/javascript",
    "json": "application/json",
    "json5": "application/json5",
    "jsonld": "application/ld+json",
    "geojson": "application/geo+json",
    "map": "application/json",
    "markdown": "text/markdown",
    "md": "text/markdown",
    "mjs": "text/javascript",
    "cjs": "text/javascript",
    "ndjson": "application/x-ndjson",
    "rss": "application/rss+xml",
    "rtf": "application/rtf",
    "svg": "image/svg+xml",
    "toml": "application/toml",
    "topojson": "application/json",
    "txt": "text/plain",
    "vcf": "text/vcard",
    "vtt": "text/vtt",
    "webmanifest": "application/manifest+json",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml",
    "xsl": "application/xslt+xml",
    "yaml": "application/yaml",
    "yml": "application/yaml",
}
_COMPRESSIBLE = {  # binary, and yet smaller when compressed
    "bmp": "image/bmp",
    "eot": "application/vnd.ms-fontobject",
    "glb": "model/gltf-binary",
    "gltf": "model/gltf+json",
    "ico": "image/x-icon",
    "otf": "font/otf",
    "ttf": "font/ttf",
    "wasm": "application/wasm",
}
_PACKED = {
    "7z": "application/x-7z-compressed",
    "aac": "audio/aac",
    "apk": "application/vnd.android.package-archive",
    "avif": "image/avif",
    "br": "application/octet-stream",
    "bz2": "application/x-bzip2",
    "epub": "application/epub+zip",
    "flac": "audio/flac",
    "gif": "image/gif",
    "gz": "application/gzip",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "jxl": "image/jxl",
    "m4a": "audio/mp4",
    "m4v": "video/mp4",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "oga": "audio/ogg",
    "ogg": "audio/ogg",
    "ogv": "video/ogg",
    "opus": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "tar": "application/x-tar",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "wav": "audio/wav",
    "weba": "audio/webm",
    "webm": "video/webm",
    "webp": "image/webp",
    "woff": "font/woff",
    "woff2": "font/woff2",
    "zip": "application/zip",
    "zst": "application/zstd",
}
_BY_NAME = {  # files whose type their name does not show
    "apple-app-site-association": "application/json; charset=utf-8",
}
UNKNOWN = "application/octet-stream"
_TYPES = {
    **{extension: f"{kind}; charset=utf-8" for extension, kind in _TEXT.items()},
    **_COMPRESSIBLE,
    **_PACKED,
}
_SHRINKS = frozenset({*_TEXT, *_COMPRESSIBLE})


def content_type(name: str) -> str:
    """The Content-Type for a file name or path; UNKNOWN where nothing is known."""
    return _BY_NAME.get(_leaf(name)) or _TYPES.get(_extension(name), UNKNOWN)


def shrinks(name: str) -> bool:
    """Whether files of this type are worth compressing."""
    return _leaf(name) in _BY_NAME or _extension(name) in _SHRINKS


def _leaf(name: str) -> str:
    return name.rpartition("/")[2]


def _extension(name: str) -> str:
    _, dot, extension = _leaf(name).rpartition(".")
    return extension.lower() if dot else ""
