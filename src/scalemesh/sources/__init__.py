"""Sources: what a repository's address and ref stand for, and what lies there, before anything is built.

`Sources.resolve` and `Sources.peek` have git run by a worker process of its own uid in a sandbox, under one deadline;
git never runs in the caller's process, and what it reads comes back as a document. Errors are InvalidInput with a code
that says whether the address, the ref, the credentials or the network is wrong. Pure parsing is core.git_url's.
"""

from scalemesh.sources.documents import Peek, Resolved
from scalemesh.sources.service import Sources, SourceSettings

__all__ = ["Peek", "Resolved", "SourceSettings", "Sources"]
