"""Dispatch: takes queued deployments and has them built somewhere.

`Dispatcher` claims (fairly, atomically: deployments.queue), launches on a backend and stores the handle at once;
`Reconciler` sees to cancels, deadlines, lost leases and leftovers. Invariants: an attempt's handle is in its row;
stopping is confirmed before a deployment is canceled; a dispatcher may be killed at any moment. May import services;
nothing of the API, the agent or the edge.
"""
