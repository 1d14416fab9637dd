"""The page about the master keys, command by command: copy, rotation, loss, and a new beginning."""

import asyncio
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from router.context.identities import Assurance, Identity, normalise
from router.context.keys import load_master_keys, new_master_keys
from router.context.sqlite.store import SqliteContextStore
from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.metrics import metric_value
from tests.support.router_process import RouterProcess

PAGE: Final = Path(__file__).parents[3] / "docs" / "how-to" / "customer-keys.md"
USER: Final = {"type": "app_user", "value": "user-7", "assurance": "verified"}
NOW: Final = 1_800_000_000_000


def commands() -> dict[str, str]:
    """Return the commands of the page by the heading above them."""
    sections = re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    return {text.split("\n")[0]: "".join(re.findall(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)) for text in sections}


async def follow(router: RouterProcess, heading: str) -> str:
    """Run the commands below a heading as a reader would, and return what they print."""
    escrow = router.directory / "escrow"
    escrow.mkdir(exist_ok=True)
    bin_path = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_path}:{os.environ['PATH']}",
        "DATA": str(router.directory / "var"),
        "ESCROW": str(escrow),
        "URL": router.url,
        "ROUTER_TOKEN": router.token("admin"),
    }
    done = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-ec", commands()[heading]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


async def customer_of(router: RouterProcess) -> str:
    async with Api(router, "gateway", "web") as web:
        return str((await web.ok("POST", "/v1/customers/resolve", {"identities": [USER]}))["customer_id"])


async def test_the_page_is_true_command_by_command(make_router: MakeRouter) -> None:
    router = make_router().start()
    keys = router.directory / "var" / "context-master.json"
    customer_id = await customer_of(router)
    await follow(router, "Keep a copy")
    first = keys.read_bytes()
    assert "master key 2 is in use; in the file: 2; remaining: 0" in await follow(router, "Rotate")
    assert load_master_keys(keys).versions == [2] and keys.read_bytes() != first
    router.kill()
    router.start()
    assert await customer_of(router) == customer_id

    router.stop()
    keys.unlink()
    router.start()
    async with Api(router, "gateway", "web") as web:
        answer = await web.call("POST", "/v1/customers/resolve", {"identities": [USER]})
        assert (answer.status, answer.code) == (503, "context_unavailable")
        await web.submit(customer={"identities": [USER]})
    assert await metric_value(router, "router_context_available") == 0
    router.stop()
    await follow(router, "After a loss")
    router.start()
    assert await customer_of(router) == customer_id

    router.stop()
    keys.unlink()
    await follow(router, "Begin again without the keys")
    router.start()
    assert await customer_of(router) not in ("", customer_id)


async def test_a_rotation_goes_on_past_a_key_that_cannot_be_opened_and_names_it(make_router: MakeRouter) -> None:
    router = make_router().start()
    keys, files = router.directory / "var" / "context-master.json", router.directory / "var" / "context"
    identities = [{"type": "app_user", "value": f"user-{number}", "assurance": "verified"} for number in range(3)]
    async with Api(router, "gateway", "web") as web:
        ids = [(await web.ok("POST", "/v1/customers/resolve", {"identities": [one]}))["customer_id"] for one in identities]
    router.stop()
    with closing(sqlite3.connect(files / "context-keys.db")) as connection, connection:
        connection.execute("UPDATE customer_key SET wrapped = zeroblob(60) WHERE row = 2")
    router.start()
    done = await follow(router, "Rotate")
    assert "in the file: 2; remaining: 0" in done and f"left as they are: 1 ({ids[1]})" in done
    assert load_master_keys(keys).versions == [2]
    router.kill()
    router.start()
    async with Api(router, "admin") as admin, Api(router, "gateway", "web") as web:
        status = await admin.ok("GET", "/v1/customer-keys")
        assert (status["remaining"], status["unreadable"], status["unreadable_customers"]) == (0, 1, [ids[1]])
        for one, identity in ((0, identities[0]), (2, identities[2])):
            assert (await web.ok("POST", "/v1/customers/resolve", {"identities": [identity]}))["customer_id"] == ids[one]
            assert len((await admin.ok("GET", f"/v1/customers/{ids[one]}"))["identities"]) == 1
        # It is tried again by the next rotation, and gone with its customer.
        assert f"left as they are: 1 ({ids[1]})" in await follow(router, "Rotate")
        assert (await admin.ok("DELETE", f"/v1/customers/{ids[1]}"))["state"] in ("erased", "pending")
        status = await admin.ok("GET", "/v1/customer-keys")
        assert (status["versions"], status["unreadable"], status["unreadable_customers"]) == ([3], 0, [])


async def test_older_data_start_only_as_the_page_says(make_router: MakeRouter) -> None:
    router = make_router().start()
    data = router.directory / "var" / "context" / "context.db"
    router.stop()
    older = data.read_bytes()
    router.start()
    customer_id = await customer_of(router)
    router.stop()
    newer = data.read_bytes()
    data.write_bytes(older)
    router.start()
    assert await metric_value(router, "router_context_available") == 0
    router.stop()
    data.write_bytes(newer)
    router.start()
    assert await customer_of(router) == customer_id, "the refused start has deleted no key"
    router.stop()
    data.write_bytes(older)
    await follow(router, "Start with an older copy of the data")
    router.start()
    assert await customer_of(router) not in ("", customer_id)
    assert not (data.parent / "accept-older-data").exists()


def test_a_rotation_goes_on_after_an_end_of_the_process(tmp_path: Path) -> None:
    directory, key_path = tmp_path / "context", tmp_path / "master.json"
    master = new_master_keys()
    master.save(key_path)
    store = SqliteContextStore(directory, master, now_ms=NOW, key_path=key_path)
    store.begin()
    ids = []
    for number in range(1_500):
        user = normalise(Identity(type="app_user", value=f"u-{number}", assurance=Assurance.VERIFIED), region="DE")
        ids.append(store.resolve("default", [user], at_ms=NOW, create=True, now_ms=NOW).customer_id)
    assert store.rotation.begin().remaining == 1_501  # The look-up key of the workspace too.
    store.commit()
    store.rotation.rewrap_slice()
    assert store.rotation.status().remaining == 500
    store._files.rollback()
    store.close()
    assert [one["version"] for one in msgspec.json.decode(key_path.read_bytes())["keys"]] == [1, 2]
    store = SqliteContextStore(directory, load_master_keys(key_path), now_ms=NOW, key_path=key_path)
    assert store.rotation.status().versions == (1, 2)
    store.rotation.rewrap_slice()
    assert store.rotation.status().versions == (2,) and load_master_keys(key_path).versions == [2]
    store.close()
    store = SqliteContextStore(directory, load_master_keys(key_path), now_ms=NOW, key_path=key_path)
    for customer_id in (ids[0], ids[-1]):
        assert customer_id is not None and len(store.customer("default", customer_id).identities) == 1
    store.close()
