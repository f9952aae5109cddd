"""What the operator allows builds; main fills it from the settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from scalemesh.core.build import Limits


@dataclass(frozen=True)
class BuildPolicy:
    """`attempts`: tries at one deployment when the platform is at fault; a clean shutdown does not count.

    `team_weights`: shares of the queue by team slug, 1 where a team is not named. `queue_limit` (queued at once) and
    `hourly_limit` (made within an hour) are a team's, 0 is none. `cache_bytes`: of one project's production, and of
    its branches, in the artifact store. `has_room`: whether the disk takes one more build.
    """

    limits: Limits = field(default_factory=Limits)
    lease_s: int = 30
    launch_s: int = 120
    attempts: int = 3
    git_allow_private: bool = False
    egress_allow: tuple[str, ...] = ()
    team_weights: Mapping[str, int] = field(default_factory=dict)
    queue_limit: int = 0
    hourly_limit: int = 0
    cache_bytes: int = 4 * 1024**3
    has_room: Callable[[], bool] = lambda: True

    @property
    def promise_s(self) -> int:
        """How long a blob that was promised to an upload stays without a deployment: longer than any build."""
        return max(self.limits.build_timeout_s, 3600) + self.launch_s
