"""Customers of a router on a real server, from outside: kill -9, another machine, an outage, an erasure."""

import shutil
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.http.test_store import StoreRouter
from tests.support.redis_server import RedisServer

SHARED = ("token.secret", "context-master.json")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.stop()


@pytest.fixture
def routers(tmp_path: Path, server: RedisServer) -> Iterator[Any]:
    started: list[StoreRouter] = []

    def start(name: str, *options: str, **environment: str) -> StoreRouter:
        directory = tmp_path / name
        router = StoreRouter(
            directory,
            "--store",
            server.url,
            "--durability",
            "fsync",
            *options,
            environment={"ROUTER__STORE__LEASE_S": "5", **environment},
        )
        started.append(router.start())
        return router

    yield start
    for router in started:
        if router.process.poll() is None:
            router.process.kill()
        router.process.wait()
        router.close_log()


def user(value: str) -> dict[str, str]:
    return {"type": "app_user", "value": value, "assurance": "verified"}


def resolve(router: StoreRouter, value: str) -> Any:
    body = {"identities": [user(value)], "create": True}
    return router.request("POST", "/v1/customers/resolve", body)


def send_step(router: StoreRouter, value: str) -> Any:
    step = {"id": "s-1", "identity": user(value), "type": "payment", "name": "invoice", "at_ms": int(time.time() * 1000)}
    return router.request("POST", "/v1/journey", {"steps": [step]})


def refused(call: Callable[[], Any]) -> int:
    """Return the status with which a request is refused."""
    with pytest.raises(urllib.error.HTTPError) as found:
        call()
    found.value.close()
    return found.value.code


def kill(router: StoreRouter) -> None:
    router.process.kill()
    router.process.wait()


def card_of(router: StoreRouter, contact_id: str) -> Any:
    """The card of a contact, once the store has what the journal says of it."""
    until_s = time.monotonic() + 30
    while (card := router.request("GET", f"/v1/contacts/{contact_id}/card"))["status"] in {"late", "unavailable"}:
        assert time.monotonic() < until_s, card
        time.sleep(0.05)
    return card


def give_keys(one: StoreRouter, other: Path) -> None:
    """Copy what all nodes of a store have in common."""
    other.mkdir(parents=True)
    for name in SHARED:
        shutil.copy(one.directory / "var" / name, other / name)


def test_a_customer_is_known_on_another_machine_after_kill_9(routers: Any, tmp_path: Path) -> None:
    one = routers("one")
    customer_id = resolve(one, "u-1")["customer_id"]
    assert send_step(one, "u-1")["accepted"] == 1
    contact = one.request(
        "POST",
        "/v1/contacts",
        {"channel": "voice", "queue_id": "support", "customer": {"identities": [user("u-1")]}, "reference": "call-1"},
    )
    one.request("POST", f"/v1/contacts/{contact['contact_id']}/notes", {"text": "wants a refund"})
    kill(one)
    assert not (one.directory / "var" / "context").exists(), "the context is in the store, not in files"
    give_keys(one, tmp_path / "other" / "var")
    other = routers("other")
    found = resolve(other, "u-1")
    assert (found["customer_id"], found["created"]) == (customer_id, False)
    steps = other.request("GET", f"/v1/customers/{customer_id}/journey", role="admin")["steps"]
    assert [step["name"] for step in steps] == ["invoice"]
    assert send_step(other, "u-1")["repeated"] == 1
    card = card_of(other, contact["contact_id"])
    assert card["customer"]["customer_id"] == customer_id and card["notes"][0]["text"] == "wants a refund"
    shown = other.request("GET", f"/v1/contacts/{contact['contact_id']}")
    assert shown["reference"] == "call-1"


def test_a_machine_without_the_master_keys_routes_without_customers(routers: Any, tmp_path: Path) -> None:
    one = routers("one")
    resolve(one, "u-1")
    kill(one)
    give_keys(one, tmp_path / "other" / "var")
    (tmp_path / "other" / "var" / "context-master.json").unlink()
    other = routers("other")
    assert any("context-master.json" in line and "context_failed" in line for line in other.lines)
    assert refused(lambda: resolve(other, "u-1")) == 503
    assert other.submit()["contact_id"]
    assert not (tmp_path / "other" / "var" / "context-master.json").exists(), "it would not fit the store"


def test_an_erasure_is_complete_when_it_is_answered(routers: Any, server: RedisServer) -> None:
    router = routers("one")
    customer_id = resolve(router, "u-1")["customer_id"]
    send_step(router, "u-1")
    with server.client() as client:
        [key] = client.keys("rt:{context}:c:*")
        row = client.hget(key, "customer_key")
    files = [path for path in server.directory.rglob("*.aof") if path.is_file()]
    assert any(row in path.read_bytes() for path in files)
    router.request("DELETE", f"/v1/customers/{customer_id}", role="admin")
    files = [path for path in server.directory.rglob("*.aof") if path.is_file()]
    assert not any(row in path.read_bytes() for path in files)
    assert refused(lambda: router.request("GET", f"/v1/customers/{customer_id}", role="admin")) == 410


def test_the_context_can_stay_in_files(routers: Any, server: RedisServer) -> None:
    router = routers("one", ROUTER__CONTEXT__STORAGE="files")
    resolve(router, "u-1")
    assert (router.directory / "var" / "context" / "context.db").exists()
    assert any('"context_not_shared"' in line for line in router.lines)
    with server.client() as client:
        assert client.keys("rt:{context}:*") == []
    kill(router)
    again = routers("one")  # The files are there: they are used, and nothing is lost.
    assert resolve(again, "u-1")["created"] is False


def test_customers_are_back_after_an_outage_of_the_store(routers: Any, server: RedisServer) -> None:
    router = routers("one")
    customer_id = resolve(router, "u-1")["customer_id"]
    server.stop()
    assert refused(lambda: resolve(router, "u-1")) == 503
    server.start()
    until_s = time.monotonic() + 30
    while True:
        try:
            assert resolve(router, "u-1")["customer_id"] == customer_id
            break
        except urllib.error.HTTPError as error:
            error.close()
            assert time.monotonic() < until_s
            time.sleep(0.2)
    assert router.submit(timeout_s=60)["contact_id"]


def test_two_routers_at_once_know_the_same_customers(routers: Any, tmp_path: Path) -> None:
    one = routers("one", ROUTER__STORE__SHARED="true")
    give_keys(one, tmp_path / "other" / "var")
    other = routers("other", ROUTER__STORE__SHARED="true")
    customer_id = resolve(one, "u-1")["customer_id"]
    assert resolve(other, "u-1")["customer_id"] == customer_id
    assert send_step(other, "u-1")["accepted"] == 1
    steps = one.request("GET", f"/v1/customers/{customer_id}/journey", role="admin")["steps"]
    assert [step["name"] for step in steps] == ["invoice"]
    body = {"channel": "voice", "queue_id": "support", "customer": {"identities": [user("u-1")]}, "reference": "call-1"}
    contact = other.request("POST", "/v1/contacts", body)["contact_id"]
    shown = card_of(one, contact)
    assert shown["customer"]["customer_id"] == customer_id and [step["name"] for step in shown["steps"]] == ["invoice"]
