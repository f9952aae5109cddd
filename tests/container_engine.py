"""An engine's command line for tests where there is none: `docker` as far as the platform uses it, over bubblewrap.

A container is what `deploy/images/Dockerfile` says of its image (user, environment, folders, entry point) as a root
filesystem of its own: this machine's /usr, the environment that the wheel was installed into at /opt/venv, and what the
command line mounts. Namespaces, user, capabilities and the read-only root are real; memory and processors are not
limited, and images are not built. `install` makes the program; its folder keeps everything, and `remove_all` ends it.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

Json = dict[str, Any]
REPOSITORY = Path(__file__).parents[1]
_MACHINES = (
    "/usr",
    "/etc/ssl",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/alternatives",
    "/etc/pip.conf",
)
_LINKS = ("bin", "sbin", "lib", "lib64")


def install(folder: Path, venv: Path, bwrap: Path, env: dict[str, str]) -> Path:
    """The program, in `folder`, where containers and volumes will lie. `env`: what every container has besides."""
    config = {"venv": str(venv), "base": sys.base_prefix, "bwrap": str(bwrap), "env": env}
    for name in ("containers", "volumes"):
        (folder / name).mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    program = folder / "engine"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(REPOSITORY)!r})\n")
    with program.open("a") as file:
        file.write(f"from tests.container_engine import Engine\nEngine({str(folder)!r}).main(sys.argv[1:])\n")
    program.chmod(0o755)
    return program


class Engine:
    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._config = json.loads((self._folder / "config.json").read_text())

    def main(self, argv: list[str]) -> None:
        act, *rest = argv
        print("\n".join(getattr(self, f"_{act}")(rest)))

    def remove_all(self) -> None:
        self._rm([each.name for each in (self._folder / "containers").iterdir()])

    def logs(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")

    def _run(self, argv: list[str]) -> list[str]:
        wanted, command = _run_options(argv)
        record = self._record(wanted.name)
        record.mkdir()
        (record / "labels.json").write_text(json.dumps(dict(each.split("=", 1) for each in wanted.label)))
        image = Image(wanted.image)
        for volume in wanted.volume:
            self._give_volume(volume, image)
        supervisor = [sys.executable, __file__, str(record), *self._inside(wanted, image, command)]
        with self._log(wanted.name).open("wb") as log:
            subprocess.Popen(supervisor, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        _until(lambda: (record / "pid").exists(), f"{wanted.name} starts")
        return [wanted.name]

    def _inside(self, wanted: argparse.Namespace, image: "Image", command: list[str]) -> list[str]:
        config, env = self._config, {**self._config["env"], **image.env, **dict(e.split("=", 1) for e in wanted.env)}
        argv = [config["bwrap"], "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--as-pid-1", "--die-with-parent"]
        argv += ["--unshare-net"] if wanted.network == "none" else []
        argv += [part for path in _MACHINES for part in (*_parents(path), "--ro-bind-try", path, path)]
        argv += [part for name in _LINKS for part in ("--symlink", f"usr/{name}", f"/{name}")]
        if wanted.network != "none":
            names = str(Path("/etc/resolv.conf").resolve())
            argv += ["--ro-bind", names, "/etc/resolv.conf", "--ro-bind-try", "/etc/hosts", "/etc/hosts"]
        for each in wanted.tmpfs:
            argv += [*_parents(each.partition(":")[0]), "--perms", "1777", "--tmpfs", each.partition(":")[0]]
        for path in (config["base"], config["venv"]):  # after /tmp, where it may lie
            argv += [*_parents(path), "--ro-bind", path, path]
        argv += [*_parents("/opt/venv"), "--ro-bind", config["venv"], "/opt/venv", "--proc", "/proc", "--dev", "/dev"]
        for path in image.folders:
            argv += [*_parents(path), "--perms", "0755", "--dir", path]
        for each in wanted.volume:
            source, target, *mode = each.split(":")
            source = source if source.startswith("/") else str(self._folder / "volumes" / source)
            argv += [*_parents(target), "--ro-bind" if mode else "--bind", source, target]
        argv += ["--remount-ro", "/"] if wanted.read_only else []
        argv += ["--chdir", wanted.workdir or image.workdir, "--clearenv"]
        argv += [part for name, value in env.items() for part in ("--setenv", name, value)]
        return [*argv, *_user(wanted), *(image.entrypoint + (command or image.command))]

    def _give_volume(self, volume: str, image: "Image") -> None:
        """An empty one takes over the owner of the folder that the image has at its place."""
        source, target, *_ = volume.split(":")
        folder = self._folder / "volumes" / source
        if not source.startswith("/"):
            folder.mkdir(exist_ok=True)
            if target in image.folders and os.geteuid() == 0:
                os.chown(folder, image.uid, image.uid)

    def _ps(self, argv: list[str]) -> list[str]:
        filters = [value.partition("=")[2] for name, value in pairwise(argv) if name == "--filter"]
        found = []
        for each in (self._folder / "containers").iterdir():
            labels = json.loads((each / "labels.json").read_text()) if (each / "labels.json").exists() else {}
            if all(labels.get(key) == value for key, _, value in (one.partition("=") for one in filters)):
                found.append(each.name)
        return found

    def _inspect(self, argv: list[str]) -> list[str]:
        return [json.dumps([{"Name": f"/{name}", "State": self._state(name)} for name in argv[2:]])]

    def _state(self, name: str) -> Json:
        code = self._record(name) / "exit_code"
        state = {"Running": not code.exists(), "OOMKilled": False}
        return state | {"ExitCode": int(code.read_text()) if code.exists() else 0}

    def _kill(self, argv: list[str]) -> list[str]:
        for name in argv:
            _kill_inside(int((self._record(name) / "pid").read_text()))
        return argv

    def _rm(self, argv: list[str]) -> list[str]:
        names = [name for name in argv if not name.startswith("--")]
        for name in names:
            record = self._record(name)
            if (record / "pid").exists() and not (record / "exit_code").exists():
                self._kill([name])
                _until(lambda: (record / "exit_code").exists(), f"{name} ends")  # noqa: B023  asked at once
            shutil.rmtree(record, ignore_errors=True)
        return names

    def _volume(self, argv: list[str]) -> list[str]:
        act, *rest = argv
        volumes = self._folder / "volumes"
        if act == "create":
            (volumes / rest[-1]).mkdir(exist_ok=True)
        elif act == "rm":
            shutil.rmtree(volumes / rest[-1])
        return [each.name for each in volumes.iterdir()] if act == "ls" else rest[-1:]

    def _record(self, name: str) -> Path:
        return self._folder / "containers" / name

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"


class Image:
    """What the Dockerfile says of one of its targets, those that it builds upon included."""

    def __init__(self, target: str) -> None:
        self.env: dict[str, str] = {}
        self.folders: dict[str, int] = {}
        self.workdir, self.uid = "/", 0
        self.entrypoint: list[str] = []
        self.command: list[str] = []
        text = (REPOSITORY / "deploy/images/Dockerfile").read_text().replace("\\\n", " ")
        stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", text, re.DOTALL | re.MULTILINE))
        below = {name: parent for parent, name in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.MULTILINE)}
        chain = [target.rpartition("/")[2]]
        while below.get(chain[0]) in stages:
            chain.insert(0, below[chain[0]])
        for stage in chain:
            for line in stages[stage].splitlines():
                self._take(*line.partition(" ")[::2])

    def _take(self, word: str, rest: str) -> None:
        if word == "ENV":
            self.env |= dict(each.split("=", 1) for each in rest.split())
        elif word == "USER":
            self.uid = int(rest.partition(":")[0])
        elif word == "WORKDIR":
            self.workdir = rest
        elif word == "ENTRYPOINT":
            self.entrypoint = json.loads(rest)
        elif word == "CMD":
            self.command = json.loads(rest)
        elif word == "RUN" and (made := re.match(r"install -d .*-o (\d+) -g \d+ (.*)", rest)):
            self.folders |= dict.fromkeys(made[2].split(), int(made[1]))


def _run_options(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--detach", action="store_true")
    parser.add_argument("--read-only", action="store_true")
    for name in ("name", "user", "network", "workdir", "cap-drop", "security-opt", "sysctl"):
        parser.add_argument(f"--{name}", default="")
    for name in ("pids-limit", "cpus", "memory", "memory-swap", "ulimit", "restart", "stop-timeout"):
        parser.add_argument(f"--{name}")  # what bubblewrap cannot do
    for name in ("label", "env", "tmpfs", "volume"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("image")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    wanted = parser.parse_args(argv)
    return wanted, wanted.command


def _parents(path: str) -> list[str]:
    """Open to the container's user: bubblewrap's own are not."""
    return [part for each in reversed(Path(path).parents[:-1]) for part in ("--perms", "0755", "--dir", str(each))]


def _user(wanted: argparse.Namespace) -> list[str]:
    """The container's user, without a right but what the sysctl would give."""
    if wanted.cap_drop != "ALL" or wanted.security_opt != "no-new-privileges":
        sys.exit("a container that keeps rights")
    uid, _, gid = wanted.user.partition(":")
    binds = ["net_bind_service"] if "ip_unprivileged_port_start=0" in wanted.sysctl else []
    if os.geteuid() != 0:
        caps = [part for cap in binds for part in ("--cap-add", f"CAP_{cap.upper()}")]
        return ["--unshare-user", "--uid", uid, "--gid", gid, *caps, "--"]
    kept = ",".join(["-all", *(f"+{cap}" for cap in binds)])
    options = [f"--inh-caps={kept}", f"--ambient-caps={kept}", f"--bounding-set={kept}", "--no-new-privs"]
    return ["--", "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *options, "--"]


def _kill_inside(pid: int) -> None:
    """The container's process 1: with it goes the rest."""
    try:
        for inner in psutil.Process(pid).children():
            inner.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return


def _until(look: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not look():
        if time.monotonic() > deadline:
            sys.exit(f"not within 30 s: {what}")
        time.sleep(0.02)


def supervise(record: Path, argv: list[str]) -> None:
    process = subprocess.Popen(argv)
    (record / "pid.new").write_text(str(process.pid))
    (record / "pid.new").rename(record / "pid")
    code = process.wait()
    (record / "exit_code.new").write_text(str(code))
    (record / "exit_code.new").rename(record / "exit_code")


if __name__ == "__main__":
    supervise(Path(sys.argv[1]), sys.argv[2:])
