"""The Chromium that acceptance tests drive: `path()` finds it; run as a program, it installs Debian's where it can."""

import os
import shutil
import subprocess
import sys


def path() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def install() -> int:
    if path():
        return 0
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        print("tests need Chromium: install your system's `chromium` package and run again", file=sys.stderr)
        return 2
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"], check=True, env=environment
    )
    return 0


if __name__ == "__main__":
    sys.exit(install())
