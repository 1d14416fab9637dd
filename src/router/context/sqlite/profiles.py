"""Profiles of customers in the SQLite backend: changes of fields and consents, and the search index of names."""

import re
import sqlite3
import unicodedata
from typing import Final

from msgspec import UNSET

from router.context.customers import (
    CONSENT_CHANGES_MAX,
    CONSENTS_MAX,
    PROFILE_FIELDS,
    ConsentChange,
    Profile,
    ProfileChange,
    TooManyIdentities,
)
from router.context.sqlite.customers import CustomerTable
from router.context.sqlite.data_keys import KeyStore

_TOKEN_LENGTH_MAX: Final = 12
_TOKEN_LENGTH_MIN: Final = 2
_NAME_WORDS_MAX: Final = 8
_NAME_PARTS_MAX: Final = 16


class ProfileTable:
    """Changes of profiles over all workspaces. Confined to the thread of its connection."""

    def __init__(self, connection: sqlite3.Connection, keys: KeyStore) -> None:
        self._connection = connection
        self._keys = keys

    def change(
        self, table: CustomerTable, root: int, change: ProfileChange, *, actor: str, now_ms: int, is_new: bool = False
    ) -> None:
        """Change the profile of a root; ``is_new``: it has none yet. Raises TooManyIdentities for too many consents."""
        profile = Profile() if is_new else table.profile(root)
        changed = _change_fields(profile, change, actor=actor, now_ms=now_ms) | _change_consents(profile, change, actor=actor)
        if not changed:
            return
        table.save_profile(root, profile)
        if "name" in changed:
            self._index_name(table, root, profile.name)
        table.bump(root, is_root=True)

    def _index_name(self, table: CustomerTable, row: int, name: str | None) -> None:
        """Store the hashes of the beginnings of a name's words, so that it can be searched for."""
        self._connection.execute("DELETE FROM name_token WHERE row = ?", (row,))
        lookup = self._keys.lookup_key(table.number)
        tokens = [(table.number, lookup.hash("name", token), row) for token in _prefixes(name or "")]
        self._connection.executemany("INSERT OR IGNORE INTO name_token VALUES (?, ?, ?)", tokens)


def searched_words(name: str) -> list[str]:
    """Return what is looked for where someone searches for a name: the beginnings of its words, as long as they are stored."""
    return [word[:_TOKEN_LENGTH_MAX] for word in _words(name) if len(word) >= _TOKEN_LENGTH_MIN]


def _change_fields(profile: Profile, change: ProfileChange, *, actor: str, now_ms: int) -> set[str]:
    """Set the fields that a change names and return those that differ; who changed a field stays, not what it was."""
    changed = set()
    for name in PROFILE_FIELDS:
        value = getattr(change, name)
        if value is not UNSET and value != getattr(profile, name):
            setattr(profile, name, value)
            profile.changed[name] = (now_ms, actor)
            changed.add(name)
    return changed


def _change_consents(profile: Profile, change: ProfileChange, *, actor: str) -> set[str]:
    """Set the consents that a change names, with their history. Raises TooManyIdentities at the limit."""
    if change.consents is UNSET:
        return set()
    changed = set()
    for purpose, consent in change.consents.items():
        if consent == profile.consents.get(purpose):
            continue
        changed.add("consents")
        if consent is None:
            removed = profile.consents.pop(purpose)
            profile.consent_changes.append(ConsentChange(purpose, None, removed.at_ms, removed.source, actor))
        else:
            profile.consents[purpose] = consent
            profile.consent_changes.append(ConsentChange(purpose, consent.granted, consent.at_ms, consent.source, actor))
    if len(profile.consents) > CONSENTS_MAX:
        raise TooManyIdentities(f"a customer has at most {CONSENTS_MAX} consents")
    del profile.consent_changes[:-CONSENT_CHANGES_MAX]
    return changed


def _words(name: str) -> list[str]:
    """Return the words of a name for search: without accents and case."""
    plain = unicodedata.normalize("NFKD", name).casefold()
    return ["".join(c for c in word if not unicodedata.combining(c)) for word in plain.split()][:_NAME_WORDS_MAX]


def _prefixes(name: str) -> set[str]:
    """Return the beginnings of the words of a name, and of their parts: ``jean-luc`` is found by ``jean-luc`` and by ``luc``."""
    words = _words(name)
    parts = [part for word in words for part in re.findall(r"\w+", word)][:_NAME_PARTS_MAX]
    return {
        word[:length]
        for word in dict.fromkeys([*words, *parts])
        for length in range(_TOKEN_LENGTH_MIN, min(len(word), _TOKEN_LENGTH_MAX) + 1)
    }
