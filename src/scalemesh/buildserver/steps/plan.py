"""Detection: from what the repository holds to a Plan."""

import asyncio
from pathlib import Path

from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import BuildSpec, GitSource, Plan
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import contexts, detect

_SKIPPED = frozenset({".git", "node_modules"})


async def make(workspace: Path, spec: BuildSpec) -> Plan:
    """Raises BuildFailed where nothing can be built."""
    return await asyncio.to_thread(_make, workspace, spec)


def _make(workspace: Path, spec: BuildSpec) -> Plan:
    branch = spec.source.ref if isinstance(spec.source, GitSource) else None
    with Tree(workspace) as tree:
        listing = tree.listing(_SKIPPED)
        if not listing:
            raise BuildFailed("There are no files at this commit.", code="repository_empty")
        return detect(listing, tree.read, spec.settings, contexts(spec.target, branch))


def describe(plan: Plan) -> str:
    """One line for the log."""
    facts = [plan.framework_name]
    facts += [f"{plan.package_manager} {plan.package_manager_version or ''}".strip()] if plan.package_manager else []
    facts += [f"`{plan.build_command}`"] if plan.build_command else ["no build command"]
    return f"Detected {', '.join(facts)}; output in {plan.output_directory!r}"
