"""Socket.IO server of the Celery rival: receives submits and agents' commands, and starts tasks for all routing.

    python celery_server.py       with REDIS_URL in the environment; prints its port as one line of JSON

Tasks are sent from the event loop: on one core a thread for it would only add cost.
"""

import asyncio
import json
import time
import uuid
from typing import Any

import socketio
import uvloop
from aiohttp import web
from celery_tasks import URL, agent_free, route
from redis.asyncio import BlockingConnectionPool, Redis

CONTACTS_KEPT_S = 86_400
CONNECTIONS_MAX = 50

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[], client_manager=socketio.AsyncRedisManager(URL))
sessions: dict[str, dict[str, Any]] = {}
redis: Redis


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    sessions[sid] = auth
    if "agent" in auth:
        await server.enter_room(sid, auth["agent"])  # plain-words: API of Socket.IO
        await redis.sadd(f"skills:{auth['agent']}", *auth["skills"])


@server.event
async def disconnect(sid: str, reason: str = "") -> None:
    auth = sessions.pop(sid, {})
    for skill in auth.get("skills", ()):
        await redis.zrem(f"free:{skill}", auth["agent"])


@server.event
async def submit(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    contact_id, at = uuid.uuid4().hex, time.time()
    contact = {"state": "queued", "skill": data["skill"], "at": at}
    await redis.hset(f"contact:{contact_id}", mapping=contact)
    route.delay(contact_id, data["skill"], at)
    return {"ok": True, "contact_id": contact_id}


@server.event
async def ready(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    agent_free.delay(sessions[sid]["agent"])
    return {"ok": True}


@server.event
async def accept(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    offer_id = data["offer_id"]
    if not await redis.zrem("offers", offer_id):
        return {"ok": False, "error": "expired"}
    await redis.hset(f"contact:{offer_id.partition('.')[0]}", "state", "active")
    return {"ok": True}


@server.event
async def end(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    key = f"contact:{data['contact_id']}"
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hset(key, "state", "ended")
        pipe.expire(key, CONTACTS_KEPT_S)
        await pipe.execute()
    agent_free.delay(sessions[sid]["agent"])
    return {"ok": True}


async def main() -> None:
    """Serve until the process is killed."""
    global redis
    # Handlers share a small pool of connections.
    pool = BlockingConnectionPool.from_url(URL, decode_responses=True, max_connections=CONNECTIONS_MAX, timeout=None)
    redis = Redis(connection_pool=pool)
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
