"""AWS for tests: moto's server for the APIs and their validation, and a machine that runs what RunTask asked for.

What moto lacks of ECS is added here: `clientToken`, containers that really run, and how they ended. A container is a
PID namespace of its own with the task's volumes; for the rest it sees this machine's files, and moto's Python.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import psutil
from botocore.session import get_session
from moto.backends import get_backend
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ecs.exceptions import EcsClientException
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api import state_manager
from moto.server import ThreadedMotoServer

from scalemesh.dispatch.backends import processes
from scalemesh.dispatch.backends.ecs.requests import ATTEMPT, EcsSettings
from scalemesh.main.platform import environ_of_programs
from scalemesh.sandbox import bubblewrap

Json = dict[str, Any]
TEMPLATE = Path(__file__).parents[1] / "deploy" / "aws" / "scalemesh.yaml"
ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "scalemesh"
STOP_S = 3
# Other programs mount and unmount there while a container starts, which bubblewrap does not forgive.
_NOT_SHOWN = {"boot", "dev", "media", "mnt", "proc", "run", "srv", "sys", "tmp", "var"}
_KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": REGION}


@dataclass
class Running:
    """One task: its containers by name, each a bubblewrap whose only child is the container's process 1."""

    task: Any
    folder: Path
    containers: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def kill(self, name: str, number: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for inner in psutil.Process(self.containers[name].pid).children():
                inner.send_signal(number)

    def end(self, name: str) -> None:
        """As ECS ends a container: asked to, then made to."""
        deadline = time.monotonic() + STOP_S
        self.kill(name, signal.SIGTERM)
        while self.containers[name].poll() is None:
            time.sleep(0.05)
            if time.monotonic() > deadline:
                self.kill(name, signal.SIGKILL)

    def container(self, name: str) -> Any:
        return next(each for each in self.task.containers if each.name == name)


class EcsMachine:
    """`env`: what the platform needs to find it. `refusals`: answers of the next RunTasks in place of a task's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self.refusals: list[Json | ServiceException] = []
        self.calls: list[Json] = []
        self.outputs: dict[str, str] = {}
        self._tasks: dict[str, Running] = {}
        self._started: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []
        self._url = ""
        self._credentials = ""

    @contextmanager
    def open(self) -> Iterator["EcsMachine"]:
        with ExitStack() as stack:
            state_manager.set_transition("ecs::task", {"progression": "manual", "times": sys.maxsize})  # by us alone
            stack.callback(state_manager.unset_transition, "ecs::task")
            server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
            server.start()
            stack.callback(server.stop)
            host, port = server.get_host_and_port()
            self._url = f"http://{host}:{port}"
            urllib.request.urlopen(
                urllib.request.Request(f"{self._url}/moto-api/reset", method="POST"), timeout=20
            ).close()
            self._credentials = stack.enter_context(_credentials())
            self.env = {**_KEYS, "AWS_ENDPOINT_URL_ECS": self._url, "AWS_ENDPOINT_URL_SSM": self._url}
            self._make_stack()
            stack.enter_context(self._runs_tasks())
            stack.callback(self._end_all)
            yield self

    def settings(self) -> dict[str, str]:
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        return {
            "SCALEMESH_BUILDER": "ecs",
            "SCALEMESH_ECS_CLUSTER": self.outputs["Cluster"],
            "SCALEMESH_ECS_TASK_DEFINITION": self.outputs["TaskDefinition"],
            "SCALEMESH_ECS_SUBNETS": subnets[0]["SubnetId"],
        }

    def for_backend(self, api_url: str, **fields: Any) -> EcsSettings:
        own = self.settings()
        return EcsSettings(
            cluster=own["SCALEMESH_ECS_CLUSTER"],
            task_definition=own["SCALEMESH_ECS_TASK_DEFINITION"],
            subnets=(own["SCALEMESH_ECS_SUBNETS"],),
            api_url=api_url,
            instance="test",
            look_s=0.2,
            **fields,
        )

    def client(self, service: str) -> Any:
        return get_session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self._url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def running(self, attempt: str) -> Running:
        return next(each for each in self._tasks.values() if _attempt(each.task) == attempt)

    def attempts(self, deployment: str) -> list[str]:
        """Those that have had a task, in order."""
        return [_attempt(each.task) for each in self._tasks.values() if each.task.started_by == deployment]

    def crash(self, attempt: str) -> None:
        self.running(attempt).kill("agent", signal.SIGKILL)

    def out_of_memory(self, attempt: str) -> None:
        """As the kernel does it to the runner's process 1, and ECS then words it."""
        running = self.running(attempt)
        running.container("runner").reason = "OutOfMemoryError: Container killed due to memory usage"
        running.kill("runner", signal.SIGKILL)

    def remains(self, attempt: str) -> list[str]:
        """Processes, by the volumes that they see; parameters; tasks."""
        found = [f"process {pid}" for pid in self.processes(attempt)]
        names = [each["Name"] for each in self.client("ssm").describe_parameters()["Parameters"]]
        found += [name for name in names if attempt in name]
        return found + [
            each.task.task_arn
            for each in self._tasks.values()
            if _attempt(each.task) == attempt and each.task.last_status != "STOPPED"
        ]

    def processes(self, attempt: str) -> list[int]:
        found = set(processes.of_attempt(attempt))
        folders = [str(each.folder) for each in self._tasks.values() if _attempt(each.task) == attempt]
        for table in Path("/proc").glob("[0-9]*/mountinfo"):
            with contextlib.suppress(OSError):
                text = table.read_text()
                found |= {int(table.parent.name)} if any(folder in text for folder in folders) else set()
        return sorted(found)

    def _make_stack(self) -> None:
        formation = self.client("cloudformation")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # moto knows no AWS::S3::BucketPolicy, and says so
            body = TEMPLATE.read_text()
            formation.create_stack(StackName=STACK, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
            (made,) = formation.describe_stacks(StackName=STACK)["Stacks"]
        assert made["StackStatus"] == "CREATE_COMPLETE", made
        self.outputs = {each["OutputKey"]: each["OutputValue"] for each in made["Outputs"]}

    @contextmanager
    def _runs_tasks(self) -> Iterator[None]:
        machine, original = self, EC2ContainerServiceResponse.run_task

        def run_task(response: Any) -> Any:
            token = response._get_param("clientToken")
            machine.calls.append({"clientToken": token, "startedBy": response._get_param("startedBy")})
            if machine.refusals:
                refusal = machine.refusals.pop(0)
                if isinstance(refusal, ServiceException):
                    raise refusal
                return ActionResult({"tasks": [], "failures": [refusal]})
            if token not in machine._started:
                machine._started[token] = original(response)
                (task,) = backend.tasks[machine.outputs["Cluster"]].keys() - machine._tasks.keys()
                machine._start(backend.tasks[machine.outputs["Cluster"]][task])
            return machine._started[token]

        def stop_task(_cluster: str, arn: str, reason: str) -> Any:
            running = machine._tasks.get(arn)
            if running is None:
                raise EcsClientException("The referenced task was not found.")
            if running.task.last_status == "RUNNING":
                running.task.desired_status, running.task.last_status = "STOPPED", "STOPPING"
                running.task.stop_code, running.task.stopped_reason = "UserInitiated", reason
                machine._thread(running.end, "agent")
            return running.task

        backend = get_backend("ecs")[ACCOUNT][REGION]
        with (
            mock.patch.object(EC2ContainerServiceResponse, "run_task", run_task),
            mock.patch.object(backend, "stop_task", stop_task),
        ):
            yield

    def _start(self, task: Any) -> None:
        definition = get_backend("ecs")[ACCOUNT][REGION].describe_task_definition(task.task_definition_arn)
        running = Running(task, self.folder / task.id)
        overrides = {each["name"]: each for each in task.overrides["containerOverrides"]}
        task.containers = []
        for wanted in definition.container_definitions:
            name = str(wanted["name"])
            task.containers.append(SimpleNamespace(name=name, last_status="RUNNING"))
            running.containers[name] = self._container(running, wanted | overrides.get(name, {}))
        self._tasks[task.task_arn] = running
        self._thread(self._watch, running)

    def _container(self, running: Running, wanted: Json) -> "subprocess.Popen[bytes]":
        found = bubblewrap.find()
        assert found, "bubblewrap is missing"
        argv = [str(found.path), "--unshare-pid", "--as-pid-1", "--cap-drop", "ALL", *_machine_files()]
        for mount in wanted["mountPoints"]:
            source = running.folder / mount["sourceVolume"]
            source.mkdir(parents=True, exist_ok=True)
            if mount["containerPath"] != "/tmp":  # this one may hold Python and this repository
                argv += ["--ro-bind" if mount.get("readOnly") else "--bind", str(source), mount["containerPath"]]
        argv += ["--chdir", wanted["workingDirectory"], *wanted["command"]]
        env = {each["name"]: each["value"] for each in wanted["environment"]} | {
            **environ_of_programs(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL_SSM": self._url,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self._credentials}/{running.task.id}",
            processes.ATTEMPT: _attempt(running.task),
        }
        with (running.folder / f"{wanted['name']}.log").open("wb") as log:
            return subprocess.Popen(argv, env=env, stdout=log, stderr=log, start_new_session=True)

    def _watch(self, running: Running) -> None:
        """The agent is the essential one: the task ends with it."""
        codes = {"agent": running.containers["agent"].wait()}
        running.end("runner")
        codes["runner"] = running.containers["runner"].wait()
        for name, code in codes.items():
            shown = running.container(name)
            shown.exit_code, shown.last_status = code, "STOPPED"
        if running.task.desired_status != "STOPPED":
            running.task.stop_code = "EssentialContainerExited"
            running.task.stopped_reason = "Essential container in task exited"
        running.task.desired_status, running.task.last_status = "STOPPED", "STOPPED"

    def _thread(self, act: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=act, args=args))
        self._threads[-1].start()

    def _end_all(self) -> None:
        for running in self._tasks.values():
            for name in running.containers:
                running.kill(name, signal.SIGKILL)
        for thread in self._threads:
            thread.join(20)


@contextmanager
def _credentials() -> Iterator[str]:
    """The endpoint that gives a task its role's keys: whoever knows its address gets them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys = {"AccessKeyId": "role", "SecretAccessKey": "role-secret", "Token": "role-token"}
            body = json.dumps({**keys, "Expiration": "2099-01-01T00:00:00Z"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join(10)


def _machine_files() -> list[str]:
    """This machine's files under a root of the container's own, in which volumes can be mounted."""
    argv: list[str] = []
    for path in Path("/").iterdir():
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir() and path.name not in _NOT_SHOWN:
            argv += ["--bind", str(path), str(path)]
    names = Path("/etc/resolv.conf").resolve()
    argv += ["--tmpfs", "/tmp", "--ro-bind-try", str(names), str(names)]
    for own in (sys.base_prefix, sys.prefix, str(TEMPLATE.parents[2])):
        argv += ["--bind", own, own]
    return [*argv, "--proc", "/proc", "--dev", "/dev"]


def _attempt(task: Any) -> str:
    return next(str(tag["value"]) for tag in task.tags if tag["key"] == ATTEMPT)
