"""The `scalemesh` command: the public API through `client`, and local commands (up, serve, doctor, detect, preview).

Exit codes: 0 ok, 1 the deployment failed, 2 bad usage or input, 3 cannot reach or not allowed. An error is one line on
stderr. `--json` on everything that prints data. Nothing of the platform is imported before a command needs it.
"""

from scalemesh.cli.app import main

__all__ = ["main"]
