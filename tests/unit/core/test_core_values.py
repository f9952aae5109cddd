from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core import ids
from scalemesh.core.clock import rfc3339
from scalemesh.core.state import ACTIVE, TERMINAL, TRANSITIONS, Event, State, next_state


def test_terminal_states_never_change() -> None:
    assert [next_state(state, event) for state in TERMINAL for event in Event] == [None] * 3 * len(Event)


def test_every_other_state_can_end_by_failure_and_cancel() -> None:
    for state in set(State) - TERMINAL:
        assert next_state(state, Event.FAILED) is State.ERROR
        assert next_state(state, Event.CANCELED) is State.CANCELED


def test_only_running_deployments_are_requeued() -> None:
    assert {state for (state, event) in TRANSITIONS if event is Event.REQUEUED} == ACTIVE


@given(st.lists(st.integers(min_value=0, max_value=2**45), min_size=2, unique=True))
def test_ids_sort_by_time(times: list[int]) -> None:
    made = {ids.new_id("dpl", now): now for now in times}
    assert [made[identifier] for identifier in sorted(made)] == sorted(times)


def test_host_ids_are_labels_of_sixty_random_bits() -> None:
    made = {ids.new_host_id() for _ in range(1000)}
    assert len(made) == 1000
    assert {len(label) for label in made} == {12}
    assert set("".join(made)) <= set(ids.ALPHABET)


def test_times_have_milliseconds() -> None:
    assert rfc3339(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
