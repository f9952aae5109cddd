"""What the operator allows builds; main fills it from the settings."""

from dataclasses import dataclass, field

from scalemesh.core.build import Limits


@dataclass(frozen=True)
class BuildPolicy:
    """`attempts`: tries at one deployment when the platform is at fault; a clean shutdown does not count."""

    limits: Limits = field(default_factory=Limits)
    lease_s: int = 30
    launch_s: int = 120
    attempts: int = 3
    git_allow_private: bool = False
    egress_allow: tuple[str, ...] = ()

    @property
    def promise_s(self) -> int:
        """How long a blob that was promised to an upload stays without a deployment: longer than any build."""
        return max(self.limits.build_timeout_s, 3600) + self.launch_s
