"""Isolation of everything that runs code from a repository. Imports egress, core and errors only.

    guard = Guard(spec.egress_allow)                                     # scalemesh.egress.guard
    async with Session(directory, limits=spec.limits, mode="bubblewrap", on_notice=log_line) as session:
        step = StepCommand(("sh", "-c", "npm ci"), cwd=session.view(session.workspace), timeout_s=600, egress=guard)
        result = await session.run(step, on_output)                      # result.reason, result.exit_code

`directory` belongs to the calling uid, never 0, and gets `workspace/`, `home/` and `tmp/`, which all steps share and
which outlive the session. A step sees /usr read-only, a generated /etc, its mounts, and nothing else of the host;
`session.view(p)` is a host path as steps see it. When `run` returns, every process of the step is dead. Whoever holds
the session may be killed at any time: nothing of it survives. `launcher.Launcher` starts such a holder as root.
This module imports nothing, so that the program inside the namespaces starts fast.
"""
