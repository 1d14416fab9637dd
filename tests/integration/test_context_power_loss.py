"""Power failure at every cut between two changes of the files of the customer context.

As ``test_power_loss.py``, for ``context.db``, ``context-keys.db`` and the master keys: on every image the context opens, and has
every customer, step, note and reference that was acknowledged before the cut. A customer whose erasure was acknowledged stays
erased, and their wrapped key is in no byte of any file of the image, before anything is started on it. One whose erasure was only
asked for is there as a whole or is erased.
"""

import asyncio
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from router.context.customers import ErasedCustomer
from router.context.identities import Assurance, Identity, normalise
from router.context.opening import open_context
from router.context.port import ContextStore
from router.runtime.clock import SystemClock
from router.server.references import RETRY_S
from router.settings import settings_from
from tests.support.disk_images import DiskImages, Entry
from tests.support.http_api import Api
from tests.support.power_loss import IS_LONG, RecordedRouter, Trial

CONTEXT_FILES: Final = "context"
STEPS: Final = 4


def user(number: int) -> dict[str, Any]:
    return {"type": "app_user", "value": f"user-{number}", "assurance": "verified"}


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RecordedRouter]:
    made = RecordedRouter(tmp_path, workspaces="[]", context__submit_wait_ms_max="5000")
    yield made
    made.process.kill()


class Recording:
    """A recorded router whose customers are written to; everything that it acknowledges is noted in the recording."""

    def __init__(self, router: RecordedRouter) -> None:
        self.router = router
        self.customers: dict[int, str] = {}

    async def create(self, api: Api, number: int, *, is_repeat: bool = False) -> None:
        """Create a customer with steps, a contact and a note, until a request fails."""
        found = await api.ok("POST", "/v1/customers/resolve", {"identities": [user(number)]})
        self.customers[number] = customer_id = found["customer_id"]
        self.router.note(f"customer {customer_id} {number}")
        await self.append(api, number, 0)
        receipt = await api.submit(f"key-{number}", reference=f"call-{number}", customer={"customer_id": customer_id})
        contact_id = receipt["contact_id"]
        if (await api.ok("GET", f"/v1/contacts/{contact_id}")).get("customer_id") != customer_id:
            await api.ok("GET", f"/v1/customers/{customer_id}")
            if is_repeat:
                return  # Accepted while the context failed.
            pytest.fail("a contact without its customer, though the context is available")
        # A submit is answered also where the context fails meanwhile: its reference is in memory then.
        await api.ok("GET", f"/v1/customers/{customer_id}")
        self.router.note(f"reference {customer_id} {contact_id} call-{number}")
        await api.ok("POST", f"/v1/contacts/{contact_id}/notes", {"text": f"note-{number}"})
        self.router.note(f"text {customer_id} {contact_id} note-{number}")

    async def append(self, api: Api, number: int, batch: int) -> None:
        """Send the same batch of steps as any other call with these numbers."""
        customer_id = self.customers[number]
        ids = [f"s-{number}-{batch}-{position}" for position in range(STEPS)]
        steps = [{"id": one, "customer_id": customer_id, "type": "view"} for one in ids]
        answer = await api.ok("POST", "/v1/journey", {"steps": steps})
        assert answer["accepted"] + answer["repeated"] == STEPS, answer
        for one in ids:
            self.router.note(f"step {customer_id} {one}")

    async def erase(self, admin: Api, number: int) -> None:
        customer_id = self.customers[number]
        self.router.note(f"wrapped {customer_id} {self.wrapped_key(number)}")
        self.router.note(f"erasing {customer_id}")
        assert (await admin.ok("DELETE", f"/v1/customers/{customer_id}"))["state"] == "erased"
        self.router.note(f"erased {customer_id}")

    def wrapped_key(self, number: int) -> str:
        directory = self.router.root / "context"
        row = _value(
            directory / "context.db", "SELECT row FROM customer WHERE hex(customer_id) = ?", self.customers[number][2:].upper()
        )
        return bytes(_value(directory / "context-keys.db", "SELECT wrapped FROM customer_key WHERE row = ?", row)).hex()

    async def work(self, first: int, count: int, *, parallel: int = 3) -> bool:
        """Create customers and erase every fourth, until the context or the process fails; return whether neither has."""
        numbers = iter(range(first, first + count))

        async def send(api: Api, admin: Api) -> None:
            for number in numbers:
                await self.create(api, number)
                if number % 4 == 3:
                    await self.erase(admin, number)

        async with Api(self.router.process, "gateway", "web") as api, Api(self.router.process) as admin:
            ended = await asyncio.gather(*(send(api, admin) for _ in range(parallel)), return_exceptions=True)
        for error in ended:
            if error is not None and not isinstance(error, aiohttp.ClientError | OSError) and "unavailable" not in str(error):
                raise error
        return all(error is None for error in ended)

    @property
    def entries(self) -> list[Entry]:
        return [one for one in self.router.entries if one[0] == "ack" or one[1] == "." or str(one[1]).startswith(CONTEXT_FILES)]


def _value(path: Path, sql: str, argument: object) -> Any:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        [(value,)] = connection.execute(sql, (argument,)).fetchall()
        return value
    finally:
        connection.close()


async def missing(directory: Path, acknowledged: Sequence[str]) -> str:
    """Open the context on an image and say what it lacks, or what it still has. Raises what refuses the start."""
    told = [one.split(" ") for one in acknowledged]
    erased = {values[0] for kind, *values in told if kind == "erased"}
    content = await asyncio.to_thread(_all_bytes, directory)
    for kind, customer_id, *values in told:
        if kind == "wrapped" and customer_id in erased and bytes.fromhex(values[0]) in content:
            return f"the wrapped key of {customer_id}, who was erased, is in a file"
    settings = settings_from({"journal": {"path": str(directory / "var" / "journal.db")}})
    service = open_context(settings, SystemClock())
    assert service is not None
    await service.start()
    try:
        return await service.run(lambda store: _missing(store, told, erased))
    finally:
        await service.stop()


def _all_bytes(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def _missing(store: ContextStore, told: list[list[str]], erased: set[str]) -> str:
    doubtful = {values[0] for kind, *values in told if kind == "erasing"}
    for kind, customer_id, *values in told:
        if kind in ("erasing", "erased", "wrapped"):
            continue
        try:
            shown = _shown(store, kind, customer_id, values)
        except ErasedCustomer:
            if customer_id not in doubtful:
                return f"{customer_id} was erased"
        else:
            if customer_id in erased:
                return f"{customer_id} is not erased any more"
            if not shown:
                return f"{kind} {values} of {customer_id}"
    return ""


def _shown(store: ContextStore, kind: str, customer_id: str, values: list[str]) -> bool:
    """Return whether something that was acknowledged is there. Raises ErasedCustomer."""
    if kind == "customer":
        store.customer("default", customer_id)
        identity = normalise(Identity(type="app_user", value=f"user-{values[0]}", assurance=Assurance.VERIFIED), region="ZZ")
        return store.resolve("default", [identity], at_ms=0, create=False, now_ms=0).customer_id == customer_id
    if kind == "step":
        return values[0] in {step.id for step in store.steps("default", customer_id, limit=200)}
    if kind == "reference":
        store.customer("default", customer_id)
        found = store.references.read("default", [values[0]]).get(values[0])
        return found is not None and found.reference == values[1]
    assert kind == "text"
    store.customer("default", customer_id)
    content = store.contacts.content("default", values[0], customer_id=customer_id)
    return values[1] in [note.text for note in content.notes]


def trial(entries: Sequence[Entry]) -> Trial:
    return Trial(entries, missing)


async def test_first_start_load_erasures_rotation_and_stop(router: RecordedRouter) -> None:
    recording = Recording(router)
    await router.start()
    assert await recording.work(0, 16)
    began = len(recording.entries)
    async with Api(router.process) as admin:
        await admin.ok("POST", "/v1/customer-keys/rotate")
        for _ in range(500):
            if (await admin.ok("GET", "/v1/customer-keys"))["versions"] == [2]:
                break
            await asyncio.sleep(0.02)
        else:
            pytest.fail("the rotation does not end")
    assert await recording.work(16, 8)
    assert await asyncio.to_thread(router.process.stop) == 0
    disk = DiskImages()
    for entry in router.entries:
        disk.play(entry)
    disk.check_complete(router.root)
    entries = recording.entries
    first_ack = next(index for index, entry in enumerate(entries) if entry[0] == "ack")
    assert sum(entry[0] == "ack" and entry[1].startswith("erased") for entry in entries) == 6
    (await trial(entries[:first_ack]).run()).check("first start of the context")
    (await trial(entries[:began]).run(first_cut=first_ack)).check("customers and erasures")
    (await trial(entries).run(first_cut=began)).check("rotation, more customers, stop")


async def restarted_after(router: RecordedRouter, *, sabotage: Any = "", **fault: Any) -> tuple[list[Entry], int]:
    """Let a fault end the context, start again, send once more what got no answer; return the recording and where that began."""
    recording = Recording(router)
    try:
        await router.start(sabotage=sabotage, **fault)
    except AssertionError:
        assert any("KILL_AT" in name.upper() for name in fault), "only a kill ends the start"
    else:
        assert not await recording.work(0, 40, parallel=1), "the fault did not happen"
    await asyncio.to_thread(router.process.kill)
    began = len(recording.entries)
    await router.start(sabotage=sabotage)
    async with Api(router.process, "gateway", "web") as api:
        for number in sorted(recording.customers)[-1:]:
            if (await api.call("GET", f"/v1/customers/{recording.customers[number]}")).status == 200:
                await recording.create(api, number, is_repeat=True)
    assert await recording.work(100, 5)
    await asyncio.to_thread(router.process.kill)
    return recording.entries, began


WAL_OF_DATA: Final = "context/context.db-wal"
WAL_OF_KEYS: Final = "context/context-keys.db-wal"


async def test_a_kill_before_the_sync_of_a_commit_then_a_power_failure(router: RecordedRouter) -> None:
    entries, began = await restarted_after(router, fault_files=WAL_OF_DATA, kill_at_wal_sync=21)
    (await trial(entries).run(first_cut=began)).check("kill before a sync of the context")


async def test_a_failed_sync_then_a_power_failure(router: RecordedRouter) -> None:
    """What a failed sync covered is read by the next process, which acknowledges it when it is sent again."""
    entries, began = await restarted_after(router, fault_files=WAL_OF_DATA, fail_sync=21)
    assert sum(entry[0] == "sync" and not entry[2] for entry in entries) == 1
    (await trial(entries).run(first_cut=began)).check("failed sync of the context")


async def test_a_failed_sync_after_which_the_context_is_opened_again(router: RecordedRouter) -> None:
    """The process goes on with what it has read: it must have stored that again first."""
    recording = Recording(router)
    await router.start(fault_files=WAL_OF_DATA, fail_sync=21)
    assert not await recording.work(0, 40, parallel=1), "the fault did not happen"
    began = len(recording.entries)
    async with Api(router.process, "gateway", "web") as api:
        for _ in range(300):
            if (await api.ok("GET", "/readyz"))["customer_context"] == "available":
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * RETRY_S)  # What was in memory is stored.
        for number in sorted(recording.customers)[-1:]:
            if (await api.call("GET", f"/v1/customers/{recording.customers[number]}")).status == 200:
                await recording.create(api, number, is_repeat=True)
    assert await recording.work(100, 5)
    await asyncio.to_thread(router.process.kill)
    (await trial(recording.entries).run(first_cut=began)).check("failed sync, opened again")


async def test_a_kill_between_the_keys_and_the_data_of_an_erasure(router: RecordedRouter) -> None:
    """The key is gone, the data is not: the next start deletes it."""
    entries, began = await restarted_after(router, kill_in_erasure=12)
    (await trial(entries).run()).check("kill in an erasure")
    assert began


@pytest.mark.parametrize("entries", [2, 14, 40] if not IS_LONG else range(1, 60))
async def test_a_kill_at_a_change_of_the_disk_in_an_erasure_from_outside(router: RecordedRouter, entries: int) -> None:
    """What was answered holds at once; what was not is erased or there as a whole after the next start."""
    recording = Recording(router)
    await router.start(kill_in_erasure=entries)
    await recording.work(0, 40, parallel=1)
    [wrapped] = [one[1].split(" ")[2] for one in router.entries if one[0] == "ack" and one[1].startswith("wrapped")][:1]
    is_answered = any(one[0] == "ack" and one[1].startswith("erased") for one in router.entries)
    await asyncio.to_thread(router.process.kill)
    if is_answered:
        assert bytes.fromhex(wrapped) not in await asyncio.to_thread(_all_bytes, router.root)
    await router.start()
    async with Api(router.process) as admin:
        path = f"/v1/customers/{recording.customers[3]}"
        got = await admin.call("GET", path)
        if got.status == 200 and not is_answered:
            assert len((await admin.ok("GET", f"{path}/journey"))["steps"]) == STEPS
            return
        assert (got.status, got.code) == (410, "customer_erased")
    assert bytes.fromhex(wrapped) not in await asyncio.to_thread(_all_bytes, router.root)


FAULTS: Final = (
    [
        (files, fault, at)
        for files in (WAL_OF_DATA, WAL_OF_KEYS, "context/")
        for fault in ("kill_at_wal_sync", "fail_sync")
        for at in range(8, 40, 8)
    ]
    if IS_LONG
    else [
        (WAL_OF_DATA, "kill_at_wal_sync", 9),
        (WAL_OF_DATA, "fail_sync", 22),
        (WAL_OF_KEYS, "kill_at_wal_sync", 22),
        (WAL_OF_KEYS, "fail_sync", 9),
        ("context/", "kill_at_wal_sync", 22),
        ("context/", "fail_sync", 22),
    ]
)


@pytest.mark.slow
@pytest.mark.parametrize(("files", "fault", "at"), FAULTS)
async def test_a_fault_at_any_sync_then_a_power_failure(router: RecordedRouter, files: str, fault: str, at: int) -> None:
    entries, began = await restarted_after(router, fault_files=files, **{fault: at})
    (await trial(entries).run(first_cut=began)).check(f"{fault} {at} of {files}")


@pytest.mark.slow
@pytest.mark.parametrize("sabotage", ["erase_without_checkpoint", "erase_without_sync_of_the_log", "data_before_keys"])
async def test_a_wrong_context_is_convicted(router: RecordedRouter, sabotage: str) -> None:
    recording = Recording(router)
    await router.start(sabotage=sabotage)
    assert await recording.work(0, 12)
    await asyncio.to_thread(router.process.kill)
    tried = await trial(recording.entries).run(images_max=700)
    assert tried.lost or tried.refused


@pytest.mark.slow
async def test_a_context_that_does_not_store_its_logs_again_is_convicted(tmp_path: Path) -> None:
    """Only where the failed sync covers pages that the file has already: that depends on how the commits are gathered."""
    for at in range(15, 45, 3):
        router = RecordedRouter(tmp_path / str(at), workspaces="[]", context__submit_wait_ms_max="5000")
        try:
            sabotage = "context_not_stored_again"
            entries, began = await restarted_after(router, sabotage=sabotage, fault_files=WAL_OF_DATA, fail_sync=at)
        finally:
            router.process.kill()
        tried = await trial(entries).run(first_cut=began, images_max=10**9)
        if tried.lost or tried.refused:
            return
    pytest.fail("no image was refused")
