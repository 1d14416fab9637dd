"""An independent check of a history as clients read it: each contact once, one offer and one agent at a time, no gap."""

from typing import Any

_OFFER_ENDS = frozenset({"offer.accepted", "offer.declined", "offer.expired", "offer.rescinded"})
_CONTACT_ENDS = frozenset({"contact.ended", "contact.abandoned", "contact.cancelled", "contact.expired"})


def check_history(events: list[dict[str, Any]]) -> dict[str, str]:
    """Return the reference of each contact by id. Raises AssertionError where the history breaks a rule."""
    references: dict[str, str] = {}
    offers: dict[str, str] = {}
    owner: dict[str, str] = {}
    ended: set[str] = set()
    for number, event in enumerate(events, start=events[0]["seq"]):
        assert event["seq"] == number, f"event {number} is missing"
        kind, contact_id = event["type"], event.get("contact_id", "")
        if kind == "contact.queued":
            assert contact_id not in references, f"{contact_id} was queued twice"
            references[contact_id] = event.get("reference") or ""
        elif kind == "offer.made":
            assert contact_id not in offers.values() or contact_id in ended, f"{contact_id} was offered twice at {number}"
            assert contact_id not in owner, f"{contact_id} was offered though an agent has it, at {number}"
            offers[event["offer_id"]] = contact_id
        elif kind in _OFFER_ENDS:
            offers.pop(event["offer_id"], None)
        elif kind == "contact.assigned":
            assert contact_id not in owner, f"{contact_id} was assigned twice at {number}"
            owner[contact_id] = event["agent_id"]
        elif kind == "contact.requeued":
            owner.pop(contact_id, None)
        elif kind in _CONTACT_ENDS:
            assert contact_id not in ended, f"{contact_id} ended twice at {number}"
            ended.add(contact_id)
    return references
