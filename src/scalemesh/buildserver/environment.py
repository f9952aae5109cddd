"""What a repository's commands find in their environment."""

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from scalemesh.buildserver.steps.clone import Commit
from scalemesh.core.build import BuildSpec, Claim, GitSource
from scalemesh.frameworks.env_prefixes import ENV_PREFIXES

# Not the user's to set: they decide which programs run, and from where.
RESERVED = frozenset({"PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH", "SHELL", "TMPDIR"})
_PROVIDERS = {"github.com": "github", "gitlab.com": "gitlab", "bitbucket.org": "bitbucket"}
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


def of_build(
    claim: Claim,
    commit: Commit | None,
    repository: Mapping[str, str] = MappingProxyType({}),
    framework: str | None = None,
) -> dict[str, str]:
    """System variables under our names and Vercel's, then those that the repository sets, then the project's own.

    The later ones win, but over RESERVED. What a page may know has the framework's prefix too (VITE_VERCEL_ENV).
    """
    own = {name: value for name, value in {**repository, **claim.env}.items() if name not in RESERVED}
    system = _system(claim.spec, commit, ENV_PREFIXES.get(framework or ""))
    return {"CI": "1", **_QUIET, **system, **claim.spec.variables, **own}


def _system(spec: BuildSpec, commit: Commit | None, page_prefix: str | None) -> dict[str, str]:
    public = {
        "ENV": spec.target,
        "TARGET_ENV": spec.target,
        "URL": urlsplit(spec.url).netloc,
        "PROJECT_PRODUCTION_URL": urlsplit(spec.production_url).netloc,
        **(_git(spec, spec.source, commit) if isinstance(spec.source, GitSource) and commit else {}),
    }
    facts = {
        **public,
        "DEPLOYMENT_ID": spec.deployment,
        "PROJECT_ID": spec.project,
        "PROJECT_NAME": spec.project_name,
    }
    of_page = _prefixed(f"{page_prefix}VERCEL_", public) if page_prefix else {}
    return {"SCALEMESH": "1", "VERCEL": "1", **_prefixed("SCALEMESH_", facts), **_prefixed("VERCEL_", facts), **of_page}


def _git(spec: BuildSpec, source: GitSource, commit: Commit) -> dict[str, str]:
    owner, _, slug = _repository_path(source.url).rpartition("/")
    return {
        "GIT_COMMIT_SHA": commit.sha,
        "GIT_COMMIT_REF": source.ref or "",
        "GIT_COMMIT_MESSAGE": (spec.commit_message or commit.message)[:2048],
        "GIT_COMMIT_AUTHOR_NAME": commit.author,
        "GIT_PREVIOUS_SHA": spec.previous_commit,
        "GIT_PROVIDER": next((name for host, name in _PROVIDERS.items() if host in source.url), ""),
        "GIT_REPO_SLUG": slug,
        "GIT_REPO_OWNER": owner,
    }


def _repository_path(url: str) -> str:
    """`owner/name` of `https://host/owner/name.git` and of `git@host:owner/name`."""
    path = urlsplit(url).path if "://" in url else url.partition(":")[2]
    return path.strip("/").removesuffix(".git")


def _prefixed(prefix: str, facts: Mapping[str, str]) -> dict[str, str]:
    return {prefix + name: value for name, value in facts.items()}
