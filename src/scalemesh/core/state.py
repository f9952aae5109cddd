"""The states of a deployment and the one table of transitions between them.

queued → initializing → building → ready | error | canceled, back to queued for another attempt, and queued or
initializing straight to ready when an identical tree is reused. Terminal states never change.
"""

from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"  # waits for a dispatcher
    INITIALIZING = "initializing"  # claimed: a build server is being started
    BUILDING = "building"  # an agent has claimed the BuildSpec
    READY = "ready"  # its manifest is accepted and its routes are committed
    ERROR = "error"  # ended with error.code and error.message
    CANCELED = "canceled"  # a person's act, or superseded, skipped, ignored (error.code says which)


class Event(StrEnum):
    CLAIMED = "claimed"  # a dispatcher took it
    STARTED = "started"  # its agent asked for the spec
    PUBLISHED = "published"  # its manifest was accepted
    REUSED = "reused"  # an identical tree was found
    FAILED = "failed"
    CANCELED = "canceled"
    REQUEUED = "requeued"  # lost lease, infrastructure fault or clean shutdown: attempt + 1


TERMINAL = frozenset({State.READY, State.ERROR, State.CANCELED})
ACTIVE = frozenset({State.INITIALIZING, State.BUILDING})

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.CLAIMED): State.INITIALIZING,
    (State.QUEUED, Event.REUSED): State.READY,
    (State.QUEUED, Event.FAILED): State.ERROR,
    (State.QUEUED, Event.CANCELED): State.CANCELED,
    (State.INITIALIZING, Event.STARTED): State.BUILDING,
    (State.INITIALIZING, Event.REUSED): State.READY,
    (State.INITIALIZING, Event.REQUEUED): State.QUEUED,
    (State.INITIALIZING, Event.FAILED): State.ERROR,
    (State.INITIALIZING, Event.CANCELED): State.CANCELED,
    (State.BUILDING, Event.PUBLISHED): State.READY,
    (State.BUILDING, Event.REQUEUED): State.QUEUED,
    (State.BUILDING, Event.FAILED): State.ERROR,
    (State.BUILDING, Event.CANCELED): State.CANCELED,
}


def next_state(state: State, event: Event) -> State | None:
    """The state after `event`, or None where the table does not allow it."""
    return TRANSITIONS.get((state, event))
