"""The operator's limits on rewrites to other sites, for an edge's workers."""

import dataclasses

from scalemesh.edge.upstream.target import ProxyLimits
from scalemesh.egress.guard import Guard
from scalemesh.settings.model import EdgeProxySettings


def proxy_limits(settings: EdgeProxySettings) -> ProxyLimits:
    """Raises BadSettings where an entry of the allow-list is malformed."""
    Guard(settings.allow)
    return ProxyLimits(**dataclasses.asdict(settings))
