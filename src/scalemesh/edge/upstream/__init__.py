"""Rewrites to other sites: one request passed on to an upstream, and its answer passed back, in constant memory.

target     what was asked for: which upstream, for which team
incoming   the request's body, between two speeds
fields     header fields, both ways: hop-by-hop ones, Via, framing
pools      connections, kept per team, through the egress guard
exchange   one request and its answer, or a WebSocket
failures   what the client is told instead

Nothing from an upstream is remembered, and no byte of its framing is copied: both sides are framed anew. `exchange`,
`pools` and `failures` import httpcore, so a worker imports them when it first passes a request on.
"""
