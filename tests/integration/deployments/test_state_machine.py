"""Any sequence of acts on one deployment against a model: the table holds, the fence holds, the log has no gap."""

import asyncio
import re
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from scalemesh.core.state import TERMINAL, TRANSITIONS, Event, State
from scalemesh.deployments.ending import SHUTDOWN
from scalemesh.deployments.state import apply
from scalemesh.errors import Conflict
from scalemesh.testing.engines import Postgres, Sqlite
from scalemesh.testing.factories import Agent, Kit, open_kit

T = TypeVar("T")
SOURCES = Path(__file__).parents[3] / "src"


class Machine(RuleBasedStateMachine):
    """`model` is what the state must be. Agents of earlier attempts stay around and must be refused."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        self.kit: Kit = self.run(self.stack.enter_async_context(open_kit(self.url)))
        self.actor = self.run(self.kit.actor())
        self.project = self.run(self.kit.project(self.actor, f"p{id(self)}"))
        self.id = self.run(self.kit.queued(self.actor, self.project.id)).id
        self.model = State.QUEUED
        self.attempt = 0
        self.faults = 0
        self.cancel_asked = False
        self.agent: Agent | None = None
        self.claimed: Any = None
        self.ghosts: list[Agent] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if self.model not in TERMINAL:  # the database is shared: the next run's claim must not find this one
            self.run(self.kit.deployments.cancel(self.actor, self.id))
            if self.claimed:
                self.run(self.kit.deployments.queue.canceled(self.claimed.attempt))
        self.run(self.stack.aclose())
        self.loop.close()

    def ended(self, state: State) -> None:
        self.model = state
        if self.agent:
            self.ghosts.append(self.agent)
        self.agent = self.claimed = None

    @rule()
    def claim(self) -> None:
        self.kit.clock.advance(seconds=60)
        claimed = self.run(self.kit.claim())
        assert bool(claimed) == (self.model == State.QUEUED)
        if claimed:
            self.attempt += 1
            assert (claimed.deployment, claimed.number) == (self.id, self.attempt)
            self.claimed, self.model = claimed, State.INITIALIZING

    @precondition(lambda self: self.model == State.INITIALIZING)
    @rule()
    def start(self) -> None:
        self.agent = self.run(self.kit.launched(self.claimed))
        self.model = State.BUILDING

    @precondition(lambda self: self.agent)
    @rule(count=st.integers(1, 3))
    def log(self, count: int) -> None:
        assert self.agent
        self.run(self.agent.log(*(f"line {n}" for n in range(count))))

    @precondition(lambda self: self.agent)
    @rule(infrastructure=st.booleans())
    def agent_fails(self, infrastructure: bool) -> None:
        assert self.agent
        self.run(self.agent.fail(infrastructure=infrastructure))
        self.ended(self.after_fault() if infrastructure else State.ERROR)

    @precondition(lambda self: self.agent)
    @rule()
    def publish(self) -> None:
        assert self.agent
        self.run(self.agent.publish({"/index.html": b"x"}))
        self.ended(State.READY)

    @precondition(lambda self: self.claimed)
    @rule(shutdown=st.booleans())
    def requeue(self, shutdown: bool) -> None:
        code = SHUTDOWN if shutdown else "lease_lost"
        state = self.run(self.kit.deployments.queue.requeue(self.claimed.attempt, "Gone.", code=code))
        self.ended(self.after_fault(counts=not shutdown))
        assert state == self.model

    @precondition(lambda self: self.claimed and self.cancel_asked)
    @rule()
    def stopped(self) -> None:
        assert self.run(self.kit.deployments.queue.canceled(self.claimed.attempt)) == State.CANCELED
        self.ended(State.CANCELED)

    @rule()
    def cancel(self) -> None:
        if self.model in {State.READY, State.ERROR}:
            with pytest.raises(Conflict):
                self.run(self.kit.deployments.cancel(self.actor, self.id))
            return
        self.run(self.kit.deployments.cancel(self.actor, self.id))
        if self.model == State.QUEUED:
            self.ended(State.CANCELED)
        self.cancel_asked = True

    @precondition(lambda self: self.ghosts)
    @rule()
    def ghost_is_refused(self) -> None:
        ghost, builds = self.ghosts[-1], self.kit.deployments.builds
        for act in (ghost.log("boo"), builds.heartbeat(ghost.build), builds.claim(ghost.build, "nonce"), ghost.fail()):
            with pytest.raises(Conflict):
                self.run(act)
        assert self.run(self.kit.deployments.queue.requeue(ghost.build.attempt, "Boo.")) is None

    @rule(event=st.sampled_from(Event), off_by=st.sampled_from([-1, 1]))
    def wrong_attempt_is_fenced(self, event: Event, off_by: int) -> None:
        with pytest.raises(Conflict, match="over"):
            self.run(self.apply(event, self.attempt + off_by))

    @rule(event=st.sampled_from(Event))
    def what_the_table_lacks_is_refused(self, event: Event) -> None:
        if (self.model, event) not in TRANSITIONS:
            with pytest.raises(Conflict, match="does not apply"):
                self.run(self.apply(event, self.attempt))

    @invariant()
    def state_is_the_models(self) -> None:
        view = self.run(self.kit.deployments.get(self.actor, self.id))
        assert (view.state, view.attempt) == (self.model, self.attempt)
        assert (view.finished_at is not None) == (self.model in TERMINAL)
        assert (view.error is not None) == (self.model in {State.ERROR, State.CANCELED})

    @invariant()
    def log_has_no_gap(self) -> None:
        lines = self.run(self.kit.logs.read(self.id))
        assert [line.seq for line in lines] == list(range(len(lines)))
        assert [line.attempt for line in lines] == sorted(line.attempt for line in lines)

    async def apply(self, event: Event, attempt: int) -> None:
        async with self.kit.db.write() as session:
            await apply(session, self.id, event, attempt=attempt, now=self.kit.clock())

    def after_fault(self, *, counts: bool = True) -> State:
        self.faults += counts
        if self.cancel_asked:
            return State.CANCELED
        return State.ERROR if counts and self.faults >= 3 else State.QUEUED


def check(url: str, examples: int) -> None:
    Machine.url = url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_model_on_sqlite() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = asyncio.run(Sqlite(Path(folder)).fresh())
        check(url, examples=25)


@pytest.mark.matrix
@pytest.mark.timeout(600)
def test_model_on_postgres(postgres_server: Postgres) -> None:
    check(asyncio.run(postgres_server.fresh()), examples=60)


def test_apply_is_the_only_writer_of_state() -> None:
    writes = re.compile(r"\.state = |values\([^)]*\bstate=")
    found = [
        path.name
        for path in sorted((SOURCES / "scalemesh").rglob("*.py"))
        if {"deployments", "projects", "dispatch", "api"} & set(path.parts) and writes.search(path.read_text())
    ]
    assert found == ["state.py"]
