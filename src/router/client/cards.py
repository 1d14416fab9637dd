"""Cards of contacts, as the clients of desktops and supervisors keep them.

A card comes with an offer, or in a ``card`` frame of its own; ``card_changed`` frames replace parts of it. A card is kept until the
contact has left the agent: after a declined or withdrawn offer, and when the assignment is completed. A supervisor has the cards
that they watch until the contact is over.
"""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgspec

from router.context.cards import Card
from router.model import events as e
from router.protocol import frames as f

_LEAVES_AGENT: Final = (e.OfferDeclined, e.OfferExpired, e.OfferRescinded, e.AssignmentCompleted)
_IS_OVER: Final = (e.ContactEnded, e.ContactAbandoned, e.ContactCancelled, e.ContactExpired)


class CachedCards:
    """The cards of one agent, or those that a supervisor watches, by contact id."""

    def __init__(self, *, watched: bool = False) -> None:
        """``watched``: they are the cards of contacts that a supervisor watches."""
        self._leaving: Final = _IS_OVER if watched else _LEAVES_AGENT
        self._is_watched = watched
        self._cards: dict[str, Card] = {}
        self.by_contact: Mapping[str, Card] = MappingProxyType(self._cards)
        """Cards by contact id, as of the last frame."""
        self._updated: dict[str, None] = {}
        self._has_updates = asyncio.Event()

    async def next_update(self) -> tuple[str, Card]:
        """Return the next contact whose card has come or changed apart from an offer, with its card."""
        while True:
            while self._updated:
                contact_id = next(iter(self._updated))
                del self._updated[contact_id]
                if contact_id in self._cards:
                    return contact_id, self._cards[contact_id]
            self._has_updates.clear()
            await self._has_updates.wait()

    def forget(self, contact_id: str) -> None:
        """Drop a card that is not wanted any more."""
        self._cards.pop(contact_id, None)

    def _set(self, contact_id: str, card: Card) -> None:
        self._cards[contact_id] = card
        self._updated[contact_id] = None
        self._has_updates.set()

    def apply(self, frame: object) -> None:
        """Follow a frame of the router."""
        match frame:
            case f.WelcomeFrame(agent=agent):
                has: set[str] = set()
                if agent is not None:
                    has |= {offer.contact_id for offer in agent.offers} | {work.contact_id for work in agent.assignments}
                for contact_id in self._cards.keys() - has:
                    del self._cards[contact_id]
            case f.EventFrame(event=e.OfferMade() as offer, card=Card() as card):
                self._cards[offer.contact_id] = card
            case f.EventFrame(event=event):
                if isinstance(event, self._leaving):
                    self._cards.pop(event.contact_id, None)
            case f.ResumedFrame() if self._is_watched:
                self._cards.clear()
            case f.CardFrame(contact_id=contact_id, card=card):
                self._set(contact_id, card)
            case f.CardChangedFrame(contact_id=contact_id):
                before = self._cards.get(contact_id)
                if before is not None:
                    parts: dict[str, Any] = {name: getattr(frame, name) for name in frame.parts}
                    changed = msgspec.structs.replace(before, version=frame.version, status=frame.status, **parts)
                    self._set(contact_id, changed)
