"""From values to what people read: template filters, pure."""

import re
from datetime import datetime

from scalemesh.core.clock import now_ms, rfc3339

_UNITS = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3600), ("minute", 60))
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|\x1b[@-Z\\^_=>NOc78]")
_HIDDEN = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def ms(time: str) -> int:
    """RFC 3339 → milliseconds UTC."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def ago(time: str, now: int | None = None) -> str:
    """`3 minutes ago`, `in 2 days`: what static/js/time.js goes on writing."""
    seconds = round(((now_ms() if now is None else now) - ms(time)) / 1000)
    size = abs(seconds)
    if size < 45:
        return "in a moment" if seconds < 0 else "just now"
    unit, length = next((each for each in _UNITS if size >= each[1]), ("second", 1))
    count = round(size / length) or 1
    words = f"{count} {unit}{'' if count == 1 else 's'}"
    return f"in {words}" if seconds < 0 else f"{words} ago"


def took(milliseconds: int) -> str:
    """`820ms`, `12s`, `3m 5s`, `1h 4m`."""
    if milliseconds < 1000:
        return f"{max(milliseconds, 0)}ms"
    minutes, seconds = divmod(milliseconds // 1000, 60)
    if not minutes:
        return f"{seconds}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours else f"{minutes}m {seconds}s"


def running(time: str) -> str:
    """How long ago something began that still goes on."""
    return took((now_ms() - ms(time)) // 1000 * 1000)


def size(count: int) -> str:
    """Bytes: `512 B`, `12.3 kB`, `4.0 MB`."""
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"


def host(url: str) -> str:
    """An address without its scheme and trailing slash."""
    return re.sub(r"^[a-z]+://", "", url).rstrip("/")


def repository(url: str) -> str:
    """`https://github.com/acme/shop.git` → `acme/shop`; other addresses stay whole but for scheme and `.git`."""
    short = re.sub(r"^[a-z+]+://(?:[^@/]+@)?|^[^@/]+@", "", url).removesuffix("/").removesuffix(".git")
    return re.sub(r"^github\.com[:/]", "", short)


def web_url(git_url: str) -> str | None:
    """The repository's web page: the clone address where that is https, else None."""
    return git_url.removesuffix(".git") if git_url.startswith("https://") else None


def ssh_url(git_url: str) -> str:
    """The ssh address of the same repository, as the big hosts have it; empty where none can be guessed."""
    if match := re.fullmatch(r"https://(?:[^@/]+@)?([^/:]+)/(.+?)(?:\.git)?/?", git_url):
        return f"git@{match[1]}:{match[2]}.git"
    return git_url if git_url.startswith("ssh://") or re.match(r"[^/:]+@[^/:]+:", git_url) else ""


def project_name(git_url: str) -> str:
    """A name to suggest for a repository: its own, as a host label."""
    last = re.split(r"[/:]", git_url.rstrip("/").removesuffix(".git"))[-1]
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:40].strip("-")


def first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else ""


def plain(text: str) -> str:
    """A build's text without its colours; characters that nobody would see are named, as static/js/ansi.js does it."""
    return _HIDDEN.sub(lambda match: f"U+{ord(match[0]):04X}", _ESCAPES.sub("", text))


FILTERS = {
    "ago": ago,
    "ms": ms,
    "took": took,
    "rfc3339": rfc3339,
    "size": size,
    "running": running,
    "host": host,
    "repository": repository,
    "web_url": web_url,
    "ssh_url": ssh_url,
    "first_line": first_line,
    "plain": plain,
}
