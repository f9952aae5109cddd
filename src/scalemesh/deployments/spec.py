"""The BuildSpec of one attempt: everything that an agent is told, but the secrets."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import BuildSettings, BuildSpec, GitSource, Source
from scalemesh.core.documents import decode
from scalemesh.core.state import State
from scalemesh.db.tables import Attempt, Deployment, Project, Target
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.projects import Sites

AGAIN = "redeploy"  # somebody asks for a build: nothing is reused, and nothing ignored


def build_spec(
    row: Deployment,
    attempt: Attempt,
    project: Project,
    env_names: Sequence[str],
    policy: BuildPolicy,
    sites: Sites,
    previous: str = "",
    production: str | None = None,
) -> BuildSpec:
    """`previous`: the commit to compare with; `production`: the project's host."""
    url = sites.url(sites.host(row.host_label))
    return BuildSpec(
        deployment=row.id,
        attempt=attempt.id,
        number=attempt.number,
        project=project.id,
        project_name=project.name,
        team=row.team_id,
        target="production" if row.target == Target.PRODUCTION else "preview",
        url=url,
        source=msgspec.json.decode(row.source, type=Source),
        settings=decode(BuildSettings, row.settings),
        limits=policy.limits,
        env_names=sorted(env_names),
        variables=_variables(row, project, url),
        commit_message=row.commit_message,
        git_allow_private=policy.git_allow_private,
        egress_allow=list(policy.egress_allow),
        cache=not row.force,
        ignorable=not row.force and row.trigger != AGAIN,
        previous_commit=previous,
        production_url=sites.url(production) if production else "",
    )


async def previous_commit(session: AsyncSession, row: Deployment) -> str:
    """Of the last deployment of this branch that became ready, '' for its first: what a build may compare with."""
    same = (Deployment.project_id == row.project_id, Deployment.ref == row.ref, Deployment.state == State.READY)
    query = select(Deployment.commit_sha).where(*same, Deployment.id < row.id, Deployment.commit_sha.is_not(None))
    return await session.scalar(query.order_by(Deployment.id.desc()).limit(1)) or ""


def branch_of(row: Deployment) -> str | None:
    source = msgspec.json.decode(row.source, type=Source)
    return source.ref if isinstance(source, GitSource) else None


def _variables(row: Deployment, project: Project, url: str) -> dict[str, str]:
    """What every build may know about itself. Not `VERCEL`: frameworks that see it write Vercel's own output."""
    facts = {
        "CI": "1",
        "SCALEMESH": "1",
        "SCALEMESH_ENV": str(row.target),
        "SCALEMESH_DEPLOYMENT_ID": row.id,
        "SCALEMESH_DEPLOYMENT_URL": url,
        "SCALEMESH_PROJECT_NAME": project.name,
        "SCALEMESH_GIT_COMMIT_SHA": row.commit_sha,
        "SCALEMESH_GIT_COMMIT_REF": row.ref,
    }
    return {name: value for name, value in facts.items() if value}
