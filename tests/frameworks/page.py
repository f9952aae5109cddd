"""docs/frameworks.md: read, one row per framework replaced by what a run has seen, and written again."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.frameworks.scaffolds import NOT_BUILT

PATH = Path(__file__).parents[2] / "docs" / "frameworks.md"
HEAD = """# Frameworks

Each of these was scaffolded by its own tool (or, where that asks questions or needs more than the package registries,
written as its guide begins), pushed to a Git repository, deployed by its URL through the whole platform, with the
sandbox on and without a setting, and its page opened in Chromium. `make test-frameworks` does all of it again and
writes this page; `make test-frameworks FRAMEWORK=Astro` does one.

| framework | version asked for | preset | package manager | install and build, s | page rendered | seen |
|---|---|---|---|---|---|---|
"""
TRIED = """
Tried, and stopped by what the run's registry or network did not give, so that nothing is claimed of them:

"""


@dataclass
class Page:
    rows: dict[str, str]

    @classmethod
    def read(cls) -> Self:
        lines = PATH.read_text().splitlines() if PATH.exists() else []
        rows = [line for line in lines if line.startswith("| ") and not line.startswith("| framework")]
        return cls({line.split("|")[1].strip(): line for line in rows})

    def put(self, name: str, *cells: str) -> None:
        seen = dt.datetime.now(dt.UTC).date().isoformat()
        self.rows[name] = "| " + " | ".join((name, *cells, seen)) + " |"

    def write(self) -> None:
        rows = [f"{row}\n" for _, row in sorted(self.rows.items(), key=lambda item: item[0].lower())]
        missing = [f"- {name}: {why}.\n" for name, why in NOT_BUILT.items()]
        PATH.write_text("".join([HEAD, *rows, TRIED, *missing]))
