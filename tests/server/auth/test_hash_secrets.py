"""Secrets of hashes: what is stored cannot be guessed, repetitions are found across renewals, and old secrets are gone."""

from pathlib import Path

import pytest

from router.model.commands import EnqueueContact, GuardedCommand
from router.model.errors import SettingsInvalid
from router.server.auth.hash_secrets import PERIOD_MS, HashSecrets

DAY_MS = 24 * 3_600_000
COMMAND = EnqueueContact(contact_id="c", channel="voice", dedupe_key=b"k" * 16, fingerprint=b"f" * 16)


class Clock:
    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


def all_hashes(command: EnqueueContact | GuardedCommand) -> list[tuple[bytes | None, bytes | None]]:
    return [(command.dedupe_key, command.fingerprint), *command.earlier_hashes]


def test_hashes_depend_on_the_secret_and_stay_over_a_restart(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "secrets.json"
    first = HashSecrets(path, clock.now_ms).hashed(COMMAND)
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.dedupe_key != COMMAND.dedupe_key and first.fingerprint != COMMAND.fingerprint
    assert HashSecrets(path, clock.now_ms).hashed(COMMAND) == first
    assert HashSecrets(tmp_path / "other.json", clock.now_ms).hashed(COMMAND).dedupe_key != first.dedupe_key
    assert HashSecrets(None, clock.now_ms).hashed(COMMAND).dedupe_key != first.dedupe_key


async def test_a_repetition_is_found_for_one_period_after_a_renewal_and_then_the_secret_is_gone(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "secrets.json"
    secrets = HashSecrets(path, clock.now_ms)
    first = secrets.hashed(COMMAND)
    old = path.read_text()
    clock.ms += PERIOD_MS
    await secrets.renew()
    second = secrets.hashed(COMMAND)
    assert second.dedupe_key != first.dedupe_key
    assert (first.dedupe_key, first.fingerprint) in second.earlier_hashes
    assert HashSecrets(path, clock.now_ms).hashed(COMMAND) == second
    clock.ms += PERIOD_MS - 1
    await secrets.renew()
    assert (first.dedupe_key, first.fingerprint) in secrets.hashed(COMMAND).earlier_hashes, "stored just before the renewal"
    clock.ms += 1
    await secrets.renew()
    third = secrets.hashed(COMMAND)
    assert (second.dedupe_key, second.fingerprint) in third.earlier_hashes and len(third.earlier_hashes) == 1
    [secret] = [word for word in old.split('"') if len(word) == 64]
    assert secret not in path.read_text()


async def test_hashes_without_a_secret_are_compared_for_one_period(tmp_path: Path, clock: Clock) -> None:
    secrets = HashSecrets(tmp_path / "secrets.json", clock.now_ms)
    plain = (COMMAND.dedupe_key, COMMAND.fingerprint)
    assert secrets.hashed(COMMAND).earlier_hashes == (plain,)
    clock.ms += PERIOD_MS
    assert plain not in all_hashes(secrets.hashed(COMMAND))


async def test_a_secret_that_cannot_be_stored_is_not_used(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "deep" / "secrets.json"
    secrets = HashSecrets(path, clock.now_ms)
    before = secrets.hashed(COMMAND)
    (tmp_path / "deep" / "secrets.json.new").mkdir()
    clock.ms += PERIOD_MS
    with pytest.raises(SettingsInvalid, match=str(path)):
        await secrets.renew()
    assert secrets.hashed(COMMAND).dedupe_key == before.dedupe_key


@pytest.mark.parametrize(
    "content", ["", "{}", '{"secrets": [], "plain_until_ms": 0}', '{"secrets": [{"since_ms": 1, "secret": "x"}]}']
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, clock: Clock, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(SettingsInvalid, match="0600"):
        HashSecrets(path, clock.now_ms)
    path.chmod(0o600)
    with pytest.raises(SettingsInvalid, match=r"secrets\.json: is no file of secrets of hashes; restore it, or delete it"):
        HashSecrets(path, clock.now_ms)
