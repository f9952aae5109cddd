"""Projects: a repository and how to build it, its variables and keys, and the hosts it has claimed.

Every query is scoped to the actor's team; another team's project is NotFound. Variables and keys are encrypted at rest,
bound to their place. May import accounts, db, core and errors; what a Git URL must look like is passed in.
"""

from scalemesh.projects.crypto import Cipher, load_or_create_key
from scalemesh.projects.hosts import Sites
from scalemesh.projects.service import Projects
from scalemesh.projects.views import EnvView, NewProject, ProjectChanges, ProjectView, QueueSettings

__all__ = [
    "Cipher",
    "EnvView",
    "NewProject",
    "ProjectChanges",
    "ProjectView",
    "Projects",
    "QueueSettings",
    "Sites",
    "load_or_create_key",
]
