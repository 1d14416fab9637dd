"""A journal that is moved from files into a store and back, from outside: through the commands, with ``kill -9`` in the middle."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.redis_server import RedisServer
from tests.support.router_process import RouterProcess

# Places at which the importing process kills itself, as a patch of the named method: before its call with this number.
KILLS = {
    "between the heads": ("make_head", 2),
    "among the records": ("_append", 4),
    "before it is finished": ("finish", 1),
    "before the note is removed": ("of", 1),
}
_KILLING = """
import os, runpy, signal, sys
import router.journal.redis.importing as importing
from router.journal.redis.recovery import StoreOpening
importing._BATCH_RECORDS = 3
name, left = sys.argv.pop(1), int(sys.argv.pop(1))
owner = {"make_head": StoreOpening, "of": importing.WaitRule}.get(name, importing.StoreImport)
original = getattr(owner, name)
def counted(*arguments, **options):
    global left
    # The rule of the appender is made at the beginning.
    if name != "of" or sys._getframe(1).f_code.co_name == "finish":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
setattr(owner, name, counted)
runpy.run_module("router", run_name="__main__")
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.kill()


def router(*arguments: str, program: tuple[str, ...] = ("-m", "router")) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER")}
    command = [sys.executable, *program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)


def transfer(*arguments: str) -> Any:
    done = router("journal", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_store(server: RedisServer) -> dict[str, Any]:
    return {"store__url": server.url, "store__durability": "fsync", "store__lease_s": 5}


async def submitted(process: RouterProcess, count: int) -> list[str]:
    """Submit contacts and return their ids."""
    made = []
    async with aiohttp.ClientSession(process.url, headers={"Authorization": f"Bearer {process.token('gateway')}"}) as http:
        for _ in range(count):
            async with http.post("/v1/contacts", json={"channel": "voice", "queue_id": "support"}) as answer:
                made.append((await answer.json())["contact_id"])
    return made


async def waiting(process: RouterProcess) -> list[str]:
    headers = {"Authorization": f"Bearer {process.token('admin')}"}
    async with aiohttp.ClientSession(process.url, headers=headers) as http, http.get("/v1/events?limit=1000") as answer:
        events = (await answer.json())["events"]
    return [event["contact_id"] for event in events if event["type"] == "contact.queued"]


async def a_stopped_router(directory: Path, contacts: int = 12) -> tuple[Path, list[str]]:
    """Return a journal in files with contacts, two epochs and a snapshot, and the ids of the contacts."""
    process = RouterProcess(directory)
    process.start()
    made = await submitted(process, contacts)
    process.stop()
    process.start()
    made += await submitted(process, 2)
    process.stop()
    return directory / "var" / "journal.db", made


async def test_a_journal_moves_into_a_store_and_back(server: RedisServer, tmp_path: Path, moved: tuple[Path, list[str]]) -> None:
    journal, made = moved[0], [*moved[1]]
    before = journal.read_bytes()
    options = ("--store", server.url, "--durability", "fsync")
    report = transfer("import", str(journal), "--data", str(tmp_path / "node" / "var"), *options)
    assert journal.read_bytes() == before
    verified = json.loads(router("verify", str(journal), "--json").stdout)
    ends = {one["workspace"]: (one["history_id"], one["last_seq"], one["digest"]) for one in verified["workspaces"]}
    assert [one["snapshot_seq"] > 0 for one in verified["workspaces"]] == [True, True]
    metas = [server.client().hgetall(name) for name in server.client().keys("rt:*:meta")]
    assert {int(meta[b"snap"]) for meta in metas} == {one["snapshot_seq"] for one in verified["workspaces"]}
    assert report["verified"] and ends == {
        one["workspace"]: tuple(one[key] for key in ("history_id", "last_seq", "digest")) for one in report["workspaces"]
    }
    assert set(ends) == {"default", "other"}

    # The router goes on in the store, under the same history and with higher epochs.
    process = RouterProcess(tmp_path / "node", **in_store(server)).start()
    assert await waiting(process) == made
    made += await submitted(process, 3)
    refused = router("journal", "export", *options, "--data", str(tmp_path / "node" / "var"), "--to", str(tmp_path / "early"))
    assert refused.returncode == 3 and "--running" in refused.stderr and not (tmp_path / "early").exists()
    live = transfer("export", *options, "--data", str(tmp_path / "node" / "var"), "--to", str(tmp_path / "live"), "--running")
    made += await submitted(process, 1)
    process.stop()

    back = transfer("export", *options, "--data", str(tmp_path / "node" / "var"), "--to", str(tmp_path / "back" / "var"))
    assert back["verified"] and {one["workspace"]: one["history_id"] for one in back["workspaces"]} == {
        name: end[0] for name, end in ends.items()
    }
    [default, earlier] = [next(one for one in which["workspaces"] if one["workspace"] == "default") for which in (back, live)]
    assert default["last_seq"] > earlier["last_seq"] and default["digest"] != earlier["digest"]
    verified = json.loads(router("verify", back["target"], "--json").stdout)
    assert verified["ok"] and {one["workspace"]: one["digest"] for one in verified["workspaces"]} == {
        one["workspace"]: one["digest"] for one in back["workspaces"]
    }
    process = RouterProcess(tmp_path / "back").start()
    assert await waiting(process) == made
    assert await submitted(process, 1)
    process.stop()


async def submitted_once(process: RouterProcess) -> str:
    """Submit a contact, always with the same idempotency key, and return its id."""
    headers = {"Authorization": f"Bearer {process.token('gateway')}", "Idempotency-Key": "k-1"}
    body = {"channel": "voice", "queue_id": "support"}
    async with aiohttp.ClientSession(process.url, headers=headers) as http, http.post("/v1/contacts", json=body) as answer:
        return str((await answer.json())["contact_id"])


async def test_idempotency_keys_match_where_the_files_that_are_named_were_copied(server: RedisServer, tmp_path: Path) -> None:
    files, node, back = (tmp_path / name / "var" for name in ("files", "node", "back"))
    process = RouterProcess(files.parent).start()
    made = await submitted_once(process)
    process.stop()

    def move(command: str, *arguments: str, source: Path, target: Path) -> list[str]:
        """Carry out the command and copy what it says; return the names."""
        done = router("journal", command, *arguments, "--store", server.url, "--durability", "fsync")
        assert done.returncode == 0, done.stderr
        said = re.search(r"next: copy (.+) from (\S+) to (\S+) before", " ".join(done.stdout.split()))
        assert said is not None and (Path(said[2]), Path(said[3])) == (source, target), done.stdout
        for name in (names := said[1].split(" and ")):
            shutil.copy(source / name, target / name)
        return names

    moved_in = move("import", str(files / "journal.db"), "--data", str(node), source=files, target=node)
    assert moved_in == ["token.secret", "hash-secrets.json"]
    process = RouterProcess(node.parent, **in_store(server)).start()
    assert await submitted_once(process) == made
    process.stop()
    assert move("export", "--data", str(node), "--to", str(back), source=node, target=back) == ["hash-secrets.json"]
    process = RouterProcess(back.parent).start()
    assert await submitted_once(process) == made
    process.stop()


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return asyncio.run(a_stopped_router(tmp_path_factory.mktemp("files")))


@pytest.mark.parametrize("place", KILLS)
async def test_a_killed_import_is_not_served_and_goes_on(
    server: RedisServer, tmp_path: Path, place: str, moved: tuple[Path, list[str]]
) -> None:
    journal, made = moved
    name, number = KILLS[place]
    options = ("--data", str(tmp_path / "node" / "var"), "--store", server.url, "--durability", "fsync")
    killed = router("journal", "import", str(journal), *options, program=("-c", _KILLING, name, str(number)))
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    serving = router("serve", *options, "--port", "0", "--admin-port", "0")
    assert serving.returncode == 3 and "import that is not finished" in serving.stderr + serving.stdout
    accepting = router("serve", *options, "--port", "0", "--admin-port", "0", "--accept-history-loss")
    assert accepting.returncode == 3 and "import that is not finished" in accepting.stderr + accepting.stdout
    exported = router("journal", "export", *options, "--to", str(tmp_path / "out"))
    assert exported.returncode == 3 and not (tmp_path / "out").exists()

    report = transfer("import", str(journal), *options)
    assert report["verified"]
    process = RouterProcess(tmp_path / "node", **in_store(server)).start()
    assert await waiting(process) == made
    process.stop()


async def test_another_journal_does_not_complete_an_unfinished_import(
    server: RedisServer, tmp_path: Path, moved: tuple[Path, list[str]]
) -> None:
    journal, _ = moved
    other, made = await a_stopped_router(tmp_path / "other", contacts=5)
    options = ("--data", str(tmp_path / "node" / "var"), "--store", server.url, "--durability", "fsync")
    router("journal", "import", str(journal), *options, program=("-c", _KILLING, "_append", "4"))
    refused = router("journal", "import", str(other), *options)
    assert refused.returncode == 3 and "unfinished import of another journal" in refused.stderr

    assert transfer("discard-import", *options) == {"removed": ["default", "other"]}
    assert list(server.client().keys("rt:*")) == [b"rt:store"]
    nothing = router("journal", "discard-import", *options)
    assert nothing.returncode == 3 and "no unfinished import" in nothing.stderr
    transfer("import", str(other), *options)
    process = RouterProcess(tmp_path / "node", **in_store(server)).start()
    assert await waiting(process) == made
    process.stop()


def a_damaged_copy(journal: Path, copy: Path) -> Path:
    data = bytearray(journal.read_bytes())
    place = data.rindex(b"contact.queued")
    data[place : place + 7] = b"CONTACT"
    copy.write_bytes(bytes(data))
    copy.with_name(f"{copy.name}.hwm").write_bytes(journal.with_name(f"{journal.name}.hwm").read_bytes())
    return copy


async def test_what_cannot_be_moved_is_refused(server: RedisServer, tmp_path: Path, moved: tuple[Path, list[str]]) -> None:
    journal, _ = moved
    data = ("--data", str(tmp_path / "node" / "var"))
    options = (*data, "--store", server.url, "--durability", "fsync")

    def refused(code: int, text: str, *arguments: str) -> None:
        done = router("journal", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        assert text in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr

    refused(2, "store.url", "import", str(journal), *data)
    refused(2, "store.url", "export", *data, "--to", str(tmp_path / "out"))
    refused(3, "no journal under store.prefix", "export", *options, "--to", str(tmp_path / "out"))
    (tmp_path / "text").write_text("text")
    refused(3, "neither an SQLite database", "import", str(tmp_path / "text"), *options)
    refused(3, "replica", "import", str(journal), *data, "--store", server.url)
    refused(3, "cannot be used", "import", str(journal), *data, "--store", "redis://127.0.0.1:1")

    running = RouterProcess(journal.parent.parent).start()
    refused(3, "stop it first", "import", str(journal), *options)
    running.stop()
    damaged = a_damaged_copy(journal, tmp_path / "damaged.db")
    refused(3, "seq", "import", str(damaged), *options)
    assert server.client().keys("rt:*") == []

    transfer("import", str(journal), *options)
    refused(3, "has a journal already", "import", str(journal), *options)
    (tmp_path / "full").mkdir()
    refused(3, "already exists", "export", *options, "--to", str(tmp_path / "full"))
    # A store that was emptied is not a place for another import of the same node.
    server.client().flushall()
    refused(3, "the store is empty", "import", str(journal), *options)
    refused(3, "the store is empty", "export", *options, "--to", str(tmp_path / "out"))
