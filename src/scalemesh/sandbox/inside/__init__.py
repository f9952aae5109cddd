"""The program inside a session's namespaces. Stdlib, `sandbox.channel` and `egress.{dns,forwarder,netlink}` only.

It is process 1 of its PID namespace: when it dies, for whatever reason, the kernel kills every process of the session.
It executes one step at a time, in bubblewrap, as the other end of its control socket asks; end of file means exit.
"""
