from scalemesh.buildserver import environment
from scalemesh.buildserver.steps.clone import Commit
from scalemesh.core.build import BuildSettings, BuildSpec, Claim, Credentials, GitSource, Limits, UploadSource
from scalemesh.frameworks import PRESETS
from scalemesh.frameworks.env_prefixes import ENV_PREFIXES

COMMIT = Commit("a" * 40, "b" * 40, "Ada", "First")


def claim(env: dict[str, str], source: GitSource | UploadSource | None = None, **fields: object) -> Claim:
    spec = BuildSpec(
        deployment="dpl_1",
        attempt="att_1",
        number=1,
        project="prj_1",
        project_name="site",
        team="team",
        target="preview",
        url="https://site-x.example.org",
        production_url="https://site.example.org",
        source=source or GitSource(url="https://github.com/ada/engine.git", commit=COMMIT.sha, ref="main"),
        settings=BuildSettings(),
        limits=Limits(),
        variables={"FROM_PLATFORM": "1"},
        **fields,  # type: ignore[arg-type]
    )
    return Claim(spec=spec, env=env, secret_names=[], credentials=Credentials(), first_seq=0, lease_s=30)


def test_system_variables_under_both_names() -> None:
    env = environment.of_build(claim({}, commit_message="Ship it"), COMMIT)
    wanted = {
        "CI": "1",
        "VERCEL": "1",
        "VERCEL_ENV": "preview",
        "VERCEL_URL": "site-x.example.org",
        "VERCEL_GIT_COMMIT_SHA": COMMIT.sha,
        "VERCEL_GIT_COMMIT_AUTHOR_NAME": "Ada",
        "VERCEL_PROJECT_PRODUCTION_URL": "site.example.org",
        "VERCEL_GIT_COMMIT_REF": "main",
        "VERCEL_GIT_COMMIT_MESSAGE": "Ship it",
        "VERCEL_GIT_REPO_OWNER": "ada",
        "SCALEMESH_GIT_REPO_SLUG": "engine",
        "SCALEMESH_URL": "site-x.example.org",
        "FROM_PLATFORM": "1",
    }
    assert {name: env.get(name) for name in wanted} == wanted


def test_a_page_may_know_what_its_frameworks_prefix_lets_through() -> None:
    env = environment.of_build(claim({}), COMMIT, framework="nextjs")
    assert (env["NEXT_PUBLIC_VERCEL_ENV"], env["NEXT_PUBLIC_VERCEL_GIT_COMMIT_REF"]) == ("preview", "main")


def test_only_the_frameworks_own_prefix_is_used() -> None:
    env = environment.of_build(claim({}), COMMIT, framework="vite")
    assert [name for name in env if name.startswith("NEXT_PUBLIC_")] == []


def test_every_prefix_belongs_to_a_preset() -> None:
    assert set(ENV_PREFIXES) <= {preset.slug for preset in PRESETS}


def test_owner_and_name_of_an_ssh_address() -> None:
    source = GitSource(url="git@github.com:ada/engine.git", commit=COMMIT.sha)
    assert environment.of_build(claim({}, source), COMMIT)["VERCEL_GIT_REPO_OWNER"] == "ada"


def test_upload_has_no_commit() -> None:
    assert not [n for n in environment.of_build(claim({}, UploadSource(tree="b" * 64)), None) if "GIT" in n]


def test_own_variables_win() -> None:
    assert environment.of_build(claim({"CI": "false"}), None)["CI"] == "false"


def test_programs_are_not_the_projects_to_choose() -> None:
    env = environment.of_build(claim({"PATH": "/evil", "LD_PRELOAD": "/evil.so", "HOME": "/x", "KEPT": "1"}), None)
    assert {"PATH", "LD_PRELOAD", "HOME"} & env.keys() == set()
    assert env["KEPT"] == "1"
