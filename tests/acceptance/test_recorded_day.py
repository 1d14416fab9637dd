"""The day that a running router recorded, exported and simulated by the commands while it goes on."""

import asyncio
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api
from tests.support.router_process import RouterProcess


async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run, [sys.executable, "-m", "router", *arguments], capture_output=True, text=True, timeout=100
    )


async def serve_a_few(router: RouterProcess) -> tuple[str, str]:
    """Let an agent serve one contact while another customer leaves; their ids."""
    async with Api(router) as admin, Api(router, "gateway", "web") as gateway, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 4}})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        served = (await gateway.submit(attributes={"tier": "gold"}, reference="case-7"))["contact_id"]
        left = (await gateway.submit())["contact_id"]
        await ada.ok("POST", f"/v1/offers/{served}.1/accept")
        await gateway.ok("POST", f"/v1/contacts/{left}/abandon")
        await ada.ok("POST", f"/v1/contacts/{served}/end")
    return served, left


async def test_a_running_router_is_exported_and_simulated(make_router: MakeRouter, tmp_path: Path) -> None:
    router = make_router().start()
    served, left = await serve_a_few(router)
    journal = f"{router.directory}/var/journal.db#default"
    shown = await command("export", journal, "--contacts", "-")
    assert shown.returncode == 0, shown.stderr
    rows = {row["contact_id"]: row for row in csv.DictReader(io.StringIO(shown.stdout))}
    assert [rows[one]["outcome"] for one in (served, left)] == ["answered", "abandoned"]
    assert rows[served]["agent_id"] == "ada"
    assert rows[served]["attributes"] == "tier:gold"
    assert "case-7" not in shown.stdout, "references stay in the customer context"
    simulated = await command("simulate", "--log", f"journal:{journal}", "--json", "-")
    assert simulated.returncode == 0, simulated.stderr
    report = json.loads(simulated.stdout)
    assert report["contacts"] == report["answered"] + report["abandoned"] == 2
    assert report["audit"]["violations"] == []
    async with Api(router, "gateway", "web") as gateway:
        await gateway.submit()
    router.stop()
    # Stopped, the same files are read; they are as the router has left them.
    files = [str(tmp_path / name) for name in ("c.jsonl", "a.jsonl", "p.yaml")]
    written = await command("export", journal, "--contacts", files[0], "--agents", files[1], "--policy", files[2], "--json")
    assert json.loads(written.stdout)["contacts"] == 3, written.stderr
    again = await command("simulate", "--log", f"contacts:{files[0]}", "--log", f"agents:{files[1]}", "--policy", files[2])
    assert again.returncode == 0, again.stderr
    router.start()
