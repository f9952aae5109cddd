"""What a repository's commands find in their environment."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from scalemesh.core.build import BuildSpec, Claim, GitSource

# Not the user's to set: they decide which programs run, and from where.
RESERVED = frozenset({"PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "SHELL", "TMPDIR"})
_QUIET = {
    "npm_config_update_notifier": "false",
    "npm_config_fund": "false",
    "npm_config_audit": "false",
    "npm_config_yes": "true",
    "COREPACK_ENABLE_DOWNLOAD_PROMPT": "0",
    "YARN_ENABLE_TELEMETRY": "0",
    "ASTRO_TELEMETRY_DISABLED": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
    "GATSBY_TELEMETRY_DISABLED": "1",
    "DO_NOT_TRACK": "1",
    "FORCE_COLOR": "1",
}


def of_build(claim: Claim, commit: str) -> dict[str, str]:
    """System variables under our names and Vercel's, then the project's own, which win over all but RESERVED."""
    own = {name: value for name, value in claim.env.items() if name not in RESERVED}
    return {"CI": "1", **_QUIET, **_system(claim.spec, commit), **claim.spec.variables, **own}


def _system(spec: BuildSpec, commit: str) -> dict[str, str]:
    facts = {
        "ENV": spec.target,
        "URL": urlsplit(spec.url).netloc,
        "DEPLOYMENT_ID": spec.deployment,
        "PROJECT_ID": spec.project,
        "PROJECT_NAME": spec.project_name,
        **(_git(spec.source, spec.commit_message, commit) if isinstance(spec.source, GitSource) else {}),
    }
    return {"SCALEMESH": "1", "VERCEL": "1", **_prefixed("SCALEMESH_", facts), **_prefixed("VERCEL_", facts)}


def _git(source: GitSource, message: str, commit: str) -> dict[str, str]:
    owner, _, slug = _repository_path(source.url).rpartition("/")
    return {
        "GIT_COMMIT_SHA": commit,
        "GIT_COMMIT_REF": source.ref or "",
        "GIT_COMMIT_MESSAGE": message[:2048],
        "GIT_REPO_SLUG": slug,
        "GIT_REPO_OWNER": owner,
    }


def _repository_path(url: str) -> str:
    """`owner/name` of `https://host/owner/name.git` and of `git@host:owner/name`."""
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    return path.strip("/").removesuffix(".git")


def _prefixed(prefix: str, facts: Mapping[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in facts.items()}
