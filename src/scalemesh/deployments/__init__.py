"""Deployments: create, queue, build, publish, promote, roll back; the routes that edges follow.

`state.apply` is the only writer of a deployment's state, fenced by the attempt; the transition table is core.state's.
Every query of a person's is scoped to their team; a build is known by its attempt and token. A route version is
committed with the change that it numbers. Deployments is opened by the composition root and carries its parts: `queue`
(dispatcher), `builds` (agents), `routes` (edges), `uploads` (CLI), `hooks` (Git hosts), `log` and `contents` (people).
May import everything below the servers.
"""

from scalemesh.deployments.collect import Collected
from scalemesh.deployments.contents import RulesView
from scalemesh.deployments.hooks import HookAnswer
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.queue import Claimed, ClaimLimits, Due, Live, Queue
from scalemesh.deployments.service import Deployments
from scalemesh.deployments.views import AliasView, DeploymentView, FileView, NewDeployment, NewUpload

__all__ = [
    "AliasView",
    "BuildPolicy",
    "ClaimLimits",
    "Claimed",
    "Collected",
    "DeploymentView",
    "Deployments",
    "Due",
    "FileView",
    "HookAnswer",
    "Live",
    "NewDeployment",
    "NewUpload",
    "Queue",
    "RulesView",
]
