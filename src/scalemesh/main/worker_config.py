"""The operator's settings, for an edge's workers."""

import dataclasses
from pathlib import Path

from scalemesh.edge.fleet import KeepAlive, WorkerConfig
from scalemesh.edge.peers import Peers
from scalemesh.edge.upstream.target import ProxyLimits
from scalemesh.egress.guard import Guard
from scalemesh.settings.model import EdgeSettings


def worker_config(folder: Path, settings: EdgeSettings) -> WorkerConfig:
    """Raises BadSettings where an address is malformed: said here once, not by each worker."""
    Guard(settings.proxy.allow)
    Peers(settings.trusted)
    return WorkerConfig(
        folder=str(folder),
        proxy=ProxyLimits(**dataclasses.asdict(settings.proxy)),
        keep_alive=KeepAlive(
            requests=settings.keepalive_requests, life_s=settings.keepalive_time_s, idle_s=settings.keepalive_idle_s
        ),
        access_records=settings.access_records,
        trusted=settings.trusted,
        drain_s=settings.drain_s,
    )
