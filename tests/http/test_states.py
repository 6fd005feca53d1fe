"""The table as a whole."""

import pytest

from kiroproxy.http.states import READING, TRANSITIONS, State, Step

PAIRS = [(state, step) for state in State for step in Step]


@pytest.mark.parametrize(("state", "step"), PAIRS)
def test_every_pair_is_a_known_state_or_a_defect(state: State, step: Step) -> None:
    assert TRANSITIONS[state].get(step) in {None, *State}


def test_the_end_is_always_in_reach() -> None:
    for state in State:
        if state is not State.CLOSED:
            assert TRANSITIONS[state][Step.LOST] is State.CLOSED
    assert TRANSITIONS[State.CLOSED] == {}


def test_a_request_is_answered_before_the_next_is_read() -> None:
    leaving_active = set(TRANSITIONS[State.ACTIVE].values())
    assert leaving_active & READING == {State.IDLE}
    entering_active = {s for s in State if State.ACTIVE in TRANSITIONS[s].values()}
    assert entering_active == {State.HEAD, State.BODY}


def test_nothing_leads_back_from_the_end() -> None:
    reachable = {State.LINGER}
    for _ in State:
        reachable |= {target for state in reachable for target in TRANSITIONS[state].values()}
    assert reachable == {State.LINGER, State.CLOSING, State.CLOSED}
