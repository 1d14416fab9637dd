"""States of contacts."""

from router.model.states import TERMINAL_CONTACT_STATES, ContactState


def test_four_states_of_a_contact_are_terminal() -> None:
    terminal = {state for state in ContactState if state.is_terminal}
    assert terminal == set(TERMINAL_CONTACT_STATES)
    assert terminal == {ContactState.ENDED, ContactState.ABANDONED, ContactState.CANCELLED, ContactState.EXPIRED}
