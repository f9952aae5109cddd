"""What a newcomer reads when everything is up."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Banner:
    """`setup_link` None: there is an administrator already. `live_site` None: no demo was asked for."""

    url: str
    data_dir: str
    setup_link: str | None = None
    live_site: str | None = None

    def __str__(self) -> str:
        rows = [("Dashboard", self.url)]
        if self.setup_link:
            rows.append(("Start here", f"{self.setup_link}  (one-time link: makes the first administrator)"))
        if self.live_site:
            rows.append(("Live site", self.live_site))
        name = command(Path(sys.executable), Path.cwd())
        rows.append(("Your own", f"{name} login {self.url} && {name} deploy https://github.com/you/your-app"))
        listed = "\n".join(f"  {name:<12}{value}" for name, value in rows)
        return f"\nScale Mesh is running.\n\n{listed}\n\nCtrl-C stops it; {self.data_dir} keeps everything.\n\n"


def command(python: Path, folder: Path) -> str:
    """How `scalemesh` is called from `folder`: by name, or where it is not on PATH by where it lies beside `python`."""
    if shutil.which("scalemesh"):
        return "scalemesh"
    beside = python.parent / "scalemesh"
    return str(beside.relative_to(folder) if beside.is_relative_to(folder) else beside)
