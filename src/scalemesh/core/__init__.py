"""Values only: ids, states, and the documents that processes exchange.

Nothing here reads a clock, a file or a socket. The documents (BuildSpec, BuildEvent, LogLine, Manifest, RouteSnapshot)
are msgspec structs: decoding validates, and unknown fields are refused. Each has a golden file in tests/golden.
"""
