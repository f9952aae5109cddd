"""The typed client of the public API: `/v1` over HTTP, and the log stream over WebSocket.

Synchronous, because its user is a person at a terminal. It raises the same errors as the platform does (errors.py),
made from the problem documents that the API answers with.
"""

from scalemesh.client.http import Client
from scalemesh.client.shapes import Deployment, LogPage, Page, Project

__all__ = ["Client", "Deployment", "LogPage", "Page", "Project"]
