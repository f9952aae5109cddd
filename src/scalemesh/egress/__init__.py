"""The only way out of a sandbox: by name, through one guard.

Outside: `guard` decides (resolve, check, pin) and `proxy` relays. Inside the network namespace: `forwarder` answers
DNS with synthetic 127.192.0.0/10 addresses, accepts what is sent to them, and hands each accepted connection (the
descriptor itself) to the proxy with the *name* it was meant for. Imports core and errors only; `channel`, `dns`,
`names`, `netlink` and `forwarder` are stdlib only: the program inside must start fast. This module imports nothing.
"""
