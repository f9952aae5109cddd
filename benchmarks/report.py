"""The one line of JSON that every benchmark ends with."""

import json
from collections.abc import Mapping


def report(
    bench: str, results: Mapping[str, object], ratios: Mapping[str, float], targets: Mapping[str, float]
) -> None:
    """Prints `{"bench", "results", "ratios", "targets", "met"}`; targets are upper bounds."""
    measured = {**results, **ratios}
    met = all(float(str(measured[name])) <= bound for name, bound in targets.items())
    line = {"bench": bench, "results": dict(results), "ratios": dict(ratios), "targets": dict(targets), "met": met}
    print(json.dumps(line), flush=True)
