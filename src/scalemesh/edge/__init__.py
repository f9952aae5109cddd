"""The reverse proxy: one keeper per machine, N workers; static files of deployments by host.

keeper   follows the route feed, fetches and verifies blobs, writes the on-disk index, starts workers
worker   HTTP/1.1: host → deployment → manifest entry → blob, from the index, a small memory cache and files

No database and no API on the request path: everything needed is on disk, so an edge starts and serves with the rest
down. No byte of a blob is served before its SHA-256 was checked. A worker imports no object store, and an HTTP client
only with its first request for another site (`upstream`); memory is bounded by `pages.HotPages` and by the kernel's
socket buffers. May import artifacts, egress, rules, core, errors.
"""
