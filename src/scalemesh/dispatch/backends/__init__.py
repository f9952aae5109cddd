"""Where builds run: the port (`base`), in this process (`memory`), on this machine (`local`).

A backend starts and ends build servers and knows nothing of deployments: retries, limits and states are written once,
above it. A folder of adapters, chosen by SCALEMESH_BUILDER.
"""
