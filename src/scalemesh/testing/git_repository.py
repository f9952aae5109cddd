"""Bare Git repositories made from a dict of files, by the real git."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

AUTHOR = "Ada Lovelace <ada@example.org>"
ENV = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ.get("PATH", os.defpath)}


class BareRepository:
    """A bare repository at `path`. `url` is where a GitServer serves it; a local one has its path."""

    def __init__(self, path: Path, url: str = "") -> None:
        self.path = path
        self.url = url or str(path)

    def create(self, branch: str = "main") -> None:
        """An empty repository whose HEAD names `branch`, in place of an earlier one (a test that is run again)."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self.git("init", "--quiet", "--bare", f"--initial-branch={branch}")
        self.git("config", "uploadpack.allowFilter", "true")
        self.git("config", "http.receivepack", "false")

    def commit(
        self,
        files: Mapping[str, str | bytes],
        *,
        message: str = "Change",
        branch: str = "main",
        author: str = AUTHOR,
        executable: frozenset[str] = frozenset(),
        submodules: Mapping[str, str] = MappingProxyType({}),
        links: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """A commit on `branch` whose tree is exactly `files`, `submodules` (path → commit) and `links`; its hash."""
        ref = f"refs/heads/{branch}"
        parent = self.git("for-each-ref", "--format=%(objectname)", ref).strip()
        stream = [f"commit {ref}\ncommitter {author} now\n".encode(), _data(message.encode())]
        stream.append(f"from {parent}\n".encode() if parent else b"")
        stream.append(b"deleteall\n")
        for path, content in files.items():
            mode = "100755" if path in executable else "100644"
            stream.append(f"M {mode} inline {path}\n".encode())
            stream.append(_data(content.encode() if isinstance(content, str) else content))
        for path, target in links.items():
            stream.append(f"M 120000 inline {path}\n".encode() + _data(target.encode()))
        stream += [f"M 160000 {commit} {path}\n".encode() for path, commit in submodules.items()]
        self.git("fast-import", "--quiet", "--date-format=now", stdin=b"".join(stream))
        return self.git("rev-parse", ref).strip()

    def tag(self, name: str, commit: str, *, message: str | None = None) -> None:
        """A lightweight tag, or an annotated one if it has a message."""
        annotated = ["-a", "-m", message] if message else []
        self.git("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "tag", *annotated, name, commit)

    def git(self, *argv: str, stdin: bytes = b"") -> str:
        result = subprocess.run(["git", *argv], cwd=self.path, input=stdin, capture_output=True, check=False, env=ENV)
        if result.returncode:
            raise RuntimeError(f"git {argv[0]}: {result.stderr.decode(errors='replace')}")
        return result.stdout.decode()


def _data(content: bytes) -> bytes:
    return b"data %d\n%s\n" % (len(content), content)
