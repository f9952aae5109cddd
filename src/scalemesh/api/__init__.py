"""The HTTP API: JSON under `/v1`, the log stream over WebSocket, health, metrics, OpenAPI.

A route takes a request apart, calls one service, and returns what it answers; there is no SQL and no logic here.
Bodies are msgspec documents, read strictly; every error is a problem document (RFC 9457). One ASGI middleware guards
the whole process, the dashboard included: Host, Origin, security headers, request ids, access log. May import services
and what lies below them; never the dashboard.
"""

from scalemesh.api.app import create_app
from scalemesh.api.services import Services
from scalemesh.api.websockets import GatheringWebSockets

__all__ = ["GatheringWebSockets", "Services", "create_app"]
