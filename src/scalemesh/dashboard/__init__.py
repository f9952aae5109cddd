"""The dashboard: server-rendered pages over the same services as the API.

`router(services)` answers every page and asset. Pages work without JavaScript: forms post and redirect. Every write
needs our own Origin (access.py); every answer carries a content security policy without inline code (render.py).
Templates: layout → partials → macros in components.html; colours and sizes are tokens in static/css/tokens.css.
`page_for_error` gives other parts of the process the same error pages. Imports services and core, never the API.
"""

from scalemesh.dashboard.render import page_for_error
from scalemesh.dashboard.routes import router
from scalemesh.dashboard.services import Services

__all__ = ["Services", "page_for_error", "router"]
