"""Index of monitors: which conversations each supervisor has joined, and which of them may have to be left. Derived.

Whatever changes a contact with monitors (its state, owner, channel or queue, the team of its agent, the policy) puts the contact
on the work list ``to_check``. At the end of the step, ``end_monitors`` looks at these contacts alone. So none of the many ways in
which a conversation ends has to know of monitors, and a contact without monitors costs nothing.
"""

from collections.abc import Iterable, Mapping

from router.engine.state.contact import Contact
from router.engine.state.contact_parts import MonitorState
from router.model.states import ContactId, SupervisorId


class MonitorIndex:
    """Contacts with monitors by supervisor, and those that have to be looked at."""

    def __init__(self) -> None:
        self.by_supervisor: dict[SupervisorId, dict[ContactId, None]] = {}
        """Contacts that each supervisor has joined, or asked to join; without the supervisors that have none."""
        self.to_check: dict[ContactId, Contact] = {}
        """Contacts with monitors that have changed in this step."""

    def count(self, supervisor_id: SupervisorId) -> int:
        """Return how many conversations a supervisor has joined, or asked to join."""
        return len(self.by_supervisor.get(supervisor_id, ()))

    def put(self, contact: Contact, monitor: MonitorState) -> None:
        """Add a monitor to a contact, or replace that of the same supervisor."""
        name = monitor.supervisor_id
        if any(one.supervisor_id == name for one in contact.monitors):
            contact.monitors = tuple(monitor if one.supervisor_id == name else one for one in contact.monitors)
        else:
            contact.monitors = (*contact.monitors, monitor)
            self.by_supervisor.setdefault(name, {})[contact.contact_id] = None

    def remove(self, contact_id: ContactId, contact: Contact | None, supervisor_id: SupervisorId) -> None:
        """Remove the monitor of a supervisor from a contact; None: it has ended and is not kept."""
        if contact is not None:
            contact.monitors = tuple(one for one in contact.monitors if one.supervisor_id != supervisor_id)
        contacts = self.by_supervisor[supervisor_id]
        del contacts[contact_id]
        if not contacts:
            del self.by_supervisor[supervisor_id]

    def load(self, contacts: Iterable[Contact]) -> None:
        """Build the index of these contacts, after a snapshot was read."""
        for contact in contacts:
            for monitor in contact.monitors:
                self.by_supervisor.setdefault(monitor.supervisor_id, {})[contact.contact_id] = None

    def clear(self, contacts: Mapping[ContactId, Contact]) -> None:
        """Forget all monitors: for a shadow, which takes no part in them."""
        for contact_id in self.monitored():
            contacts[contact_id].monitors = ()
        self.by_supervisor.clear()

    def monitored(self) -> set[ContactId]:
        """Return the contacts with monitors."""
        return {contact_id for contacts in self.by_supervisor.values() for contact_id in contacts}


def monitor_of(contact: Contact, supervisor_id: SupervisorId) -> MonitorState | None:
    """Return the monitor of a supervisor in a conversation; None: the supervisor has not joined it."""
    return next((one for one in contact.monitors if one.supervisor_id == supervisor_id), None)
