"""The whole way on a real cluster: Jobs that clone, build and publish, and every way in which they end otherwise."""

import json

from scalemesh.dispatch.backends.kubernetes.manifests import ATTEMPT
from scalemesh.testing.git_server import GitServer
from tests.acceptance.harness import Platform, eventually
from tests.kubernetes.kubernetes_cluster import items, kubectl

SITE = "import { mkdirSync, writeFileSync } from 'fs'; mkdirSync('dist', {recursive: true});"


def start(platform: Platform, git: GitServer, name: str, script: str) -> str:
    """A site whose build runs `script` in Node."""
    package = {"name": name, "private": True, "scripts": {"build": "node build.mjs"}}
    git.repository(name, {"package.json": json.dumps(package), "build.mjs": script})
    platform.project(name, git.url(name))
    started: str = platform.deploy(name)["id"]
    return started


def pods(deployment: str) -> list[str]:
    """Of all its attempts."""
    mine = deployment.replace("_", "-").lower()
    return [pod["metadata"]["name"] for pod in items("pods") if pod["metadata"]["name"].startswith(mine)]


def test_job_clones_builds_and_publishes_what_the_edge_serves(platform: Platform, git: GitServer) -> None:
    started = start(platform, git, "real", f"{SITE} writeFileSync('dist/index.html', 'built by ' + process.version)")
    ended = platform.ended(started)
    assert ended["state"] == "ready", (ended, platform.log_text(started))
    assert platform.get(ended["url"]).body.startswith(b"built by v")
    eventually(lambda: not pods(started), within_s=60, what="its Job, pod and Secret are removed")


def test_the_second_job_has_the_first_ones_cache(platform: Platform, git: GitServer) -> None:
    script = """
import fs from 'fs';
const note = 'node_modules/.cache/note', old = fs.existsSync(note) ? fs.readFileSync(note, 'utf8') : 'none';
fs.mkdirSync('node_modules/.cache', {recursive: true});
fs.writeFileSync(note, 'kept in the store');
fs.mkdirSync('dist', {recursive: true});
fs.writeFileSync('dist/index.html', old);"""
    first = platform.ended(start(platform, git, "cached", script))
    assert platform.get(first["url"]).body == b"none", platform.log_text(first["id"])
    second = platform.ended(platform.ok("POST", f"/deployments/{first['id']}/redeploy")["id"])
    assert platform.get(second["url"]).body == b"kept in the store", platform.log_text(second["id"])


def test_hundred_thousand_lines_arrive_in_order(platform: Platform, git: GitServer) -> None:
    script = f"{SITE} writeFileSync('dist/index.html', ''); for (let n = 0; n < 100000; n++) console.log('line ' + n);"
    started = start(platform, git, "lines", script)
    assert platform.ended(started)["state"] == "ready"
    printed = [line["text"] for line in platform.log_lines(started) if line["text"].startswith("line ")]
    assert printed == [f"line {n}" for n in range(100_000)]


def test_output_that_is_not_text_is_kept_readable(platform: Platform, git: GitServer) -> None:
    script = (
        f"{SITE} writeFileSync('dist/index.html', ''); process.stdout.write(Buffer.from([0x61, 0xff, 0x62, 0x0a]));"
    )
    started = start(platform, git, "bytes", script)
    assert platform.ended(started)["state"] == "ready"
    assert "a\ufffdb" in platform.log_text(started)


def test_step_reaches_no_token(platform: Platform, git: GitServer) -> None:
    script = f"""{SITE} writeFileSync('dist/index.html', '');
import {{ execSync }} from 'child_process';
console.log(execSync('cat /run/scalemesh-token/token /var/run/secrets/kubernetes.io/serviceaccount/token ' +
  '/proc/[0-9]*/environ 2>&1 | tr "\\\\0" "\\\\n"; grep -rs smb_ /build /tmp; echo looked; true').toString());"""
    started = start(platform, git, "token", script)
    assert platform.ended(started)["state"] == "ready", platform.log_text(started)
    said = platform.log_text(started)
    assert "looked" in said
    assert "smb_" not in said.replace("grep -rs smb_", "")


def test_out_of_memory_is_said_and_not_tried_again(platform: Platform, git: GitServer) -> None:
    script = "const all = []; for (;;) all.push(Buffer.alloc(1 << 25, 1));"
    ended = platform.ended(start(platform, git, "memory", script))
    assert (ended["state"], ended["error"]["code"], ended["attempt"]) == ("error", "out_of_memory", 1)


def test_cancel_before_the_pod_runs_leaves_nothing(platform: Platform, git: GitServer) -> None:
    started = start(platform, git, "early", "setInterval(() => {}, 1000)")
    platform.ok("POST", f"/deployments/{started}/cancel")
    assert platform.ended(started, within_s=60)["state"] == "canceled"
    eventually(lambda: not pods(started), within_s=60, what="nothing is left")


def test_cancel_of_a_running_build_leaves_nothing(platform: Platform, git: GitServer) -> None:
    started = start(platform, git, "running", "console.log('tick'); setInterval(() => {}, 1000)")
    eventually(lambda: "tick" in platform.log_text(started), within_s=120, what="the build runs")
    for _ in range(2):
        platform.api("POST", f"/deployments/{started}/cancel")
    assert platform.ended(started, within_s=90)["state"] == "canceled"
    eventually(lambda: not pods(started), within_s=60, what="nothing is left")


def test_job_deleted_by_hand_is_built_again(platform: Platform, git: GitServer) -> None:
    script = (
        f"{SITE} writeFileSync('dist/index.html', 'late'); console.log('tick');"
        " await new Promise(r => setTimeout(r, 9000));"
    )
    started = start(platform, git, "deleted", script)
    eventually(lambda: "tick" in platform.log_text(started), within_s=120, what="the build runs")
    kubectl("delete", "jobs", "-l", f"{ATTEMPT}={attempt_of(started)}", "--wait=false")
    ended = platform.ended(started)
    assert (ended["state"], ended["attempt"]) == ("ready", 2)


def test_platform_that_starts_again_takes_its_builds_up(platform: Platform, git: GitServer) -> None:
    script = (
        f"{SITE} writeFileSync('dist/index.html', 'went on'); console.log('tick');"
        " await new Promise(r => setTimeout(r, 20000));"
    )
    started = start(platform, git, "reattach", script)
    eventually(lambda: "tick" in platform.log_text(started), within_s=120, what="the build runs")
    platform.api_process().kill()  # the dispatcher is in it; the supervisor starts both again
    ended = platform.ended(started)
    assert (ended["state"], ended["attempt"]) == ("ready", 1)


def attempt_of(deployment: str) -> str:
    mine = deployment.replace("_", "-").lower()
    (job,) = [job for job in items("jobs") if job["metadata"]["name"].startswith(mine)]
    return str(job["metadata"]["labels"][ATTEMPT])
