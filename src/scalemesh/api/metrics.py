"""Counts and durations of requests, in Prometheus' text format (version 0.0.4)."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class Metrics:
    """Of one process. Labels are route templates, never paths: their number is bounded."""

    def __init__(self) -> None:
        self.access_dropped: dict[str, int] = {}  # by edge: the latest number that it told
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_S) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests[method, route, status] += 1
        self._buckets[route][bisect_left(BUCKETS_S, seconds)] += 1
        self._seconds[route] += seconds

    def render(self, gauges: Mapping[str, Mapping[str, float]]) -> str:
        """The page. `gauges`: name → labels (`state="queued"`, or nothing) → value.

        A `…_total` is a counter, `…_sum` with `…_count` after it are a summary.
        """
        return "\n".join([*self._counters(), *self._histogram(), *_gauges(gauges)]) + "\n"

    def _counters(self) -> Iterator[str]:
        yield "# TYPE scalemesh_http_requests_total counter"
        for (method, route, status), count in sorted(self._requests.items()):
            labels = f'method="{method}",route="{route}",status="{status}"'
            yield f"scalemesh_http_requests_total{{{labels}}} {count}"

    def _histogram(self) -> Iterator[str]:
        name = "scalemesh_http_request_seconds"
        yield f"# TYPE {name} histogram"
        for route, counts in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counts, strict=True):
                total += count
                yield f'{name}_bucket{{route="{route}",le="{bound}"}} {total}'
            yield f'{name}_sum{{route="{route}"}} {self._seconds[route]:.6f}'
            yield f'{name}_count{{route="{route}"}} {total}'


def _gauges(gauges: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for name, values in gauges.items():
        if not name.endswith("_count"):  # it has come with its `_sum`
            yield _type(name)
        for labels, value in sorted(values.items()):
            yield f"{name}{{{labels}}} {value:.15g}" if labels else f"{name} {value:.15g}"


def _type(name: str) -> str:
    if name.endswith("_sum"):
        return f"# TYPE {name.removesuffix('_sum')} summary"
    return f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
