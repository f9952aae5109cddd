"""What became of one hostile build."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """`code` is None for a build that was published; `left` is what of it is still there after `stop`."""

    code: str | None
    message: str
    infrastructure: bool
    details: list[str]
    lines: list[str]
    longest: int
    seqs: bool
    files: dict[str, str]
    variants: dict[str, list[str]]
    types: dict[str, str]
    variant_hashes: dict[str, str]
    hashes: dict[str, str]
    took_s: float
    survivors: int
    agent_log: str
    stop_problem: str
    left: list[str]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def said(self, attack: str) -> str:
        """What one attack of a run of many printed."""
        _, _, rest = self.text.partition(f"@@@ {attack}\n")
        return rest.partition(f"@@= {attack}")[0]

    def succeeded(self, attack: str) -> bool:
        return any(line.startswith("canary") for line in self.said(attack).splitlines())

    def finished(self, attack: str) -> bool:
        return f"@@= {attack}" in self.text
