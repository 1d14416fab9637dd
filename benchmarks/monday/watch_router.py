"""Let the supervisor of ``supervisor.py`` look at a running router once a minute.

It needs two tokens in the environment: SUPERVISOR_TOKEN to look and to lend agents, ADMIN_TOKEN to publish and restore policies.

    SUPERVISOR_TOKEN=$(router token --role supervisor --subject eve) ADMIN_TOKEN=$(router token --role admin --subject ann) \
        python benchmarks/monday/watch_router.py --url http://localhost:8080 --fallback-skill first_level
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.monday.supervisor import Supervisor


class RouterApi:
    """The API of a router with one credential."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self._session = session
        self._url = url
        self._token = token

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Make a request; return the decoded answer. Raises SystemExit with the router's explanation if it is refused."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()} | {"Authorization": f"Bearer {self._token}"}
        try:
            async with self._session.request(method, self._url + path, json=body, headers=sent) as response:
                if response.status >= 400:
                    raise SystemExit(f"{method} {path}: {response.status} {await response.text()}")
                return await response.json()
        except aiohttp.ClientError as error:
            raise SystemExit(f"{self._url}: {error}") from None


async def watch(url: str, tokens: tuple[str, str], *, fallback_skill: str, interval_s: float, looks: int) -> None:
    """Look at the router so many times; 0: until the process ends."""
    async with aiohttp.ClientSession() as session:
        api, administrator = (RouterApi(session, url, token) for token in tokens)
        supervisor = Supervisor(
            api, administrator, lambda line: print(time.strftime("%H:%M"), line, flush=True), fallback_skill=fallback_skill
        )
        made = 0
        while True:
            await supervisor.look()
            made += 1
            if made == looks:
                return
            await asyncio.sleep(interval_s)


def main() -> None:
    """Watch until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8080")
    parser.add_argument("--fallback-skill", required=True, help="skill of those who take the calls of a queue that fails")
    parser.add_argument("--interval-s", type=float, default=60.0)
    parser.add_argument("--looks", type=int, default=0, help="end after so many looks; 0: never")
    options = parser.parse_args()
    try:
        tokens = (os.environ["SUPERVISOR_TOKEN"], os.environ["ADMIN_TOKEN"])
    except KeyError as missing:
        raise SystemExit(f"{missing.args[0]} is not set") from None
    watching = watch(options.url, tokens, fallback_skill=options.fallback_skill, interval_s=options.interval_s, looks=options.looks)
    asyncio.run(watching)


if __name__ == "__main__":
    main()
