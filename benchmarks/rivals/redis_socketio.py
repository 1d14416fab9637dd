"""Rival: a Redis list for each skill, a dispatcher in Python, agents on Socket.IO; a common first design.

    python redis_socketio.py REDIS_URL       prints its port as one line of JSON

A contact is pushed to the list of its skill. A dispatcher for each skill takes the oldest contact (``BRPOP``) and the longest idle
agent with that skill (``BZPOPMIN``), and emits the offer. The set ``free`` decides when the dispatchers of two skills take the same
agent. The contact of an offer that is not accepted in time returns to the head of its list, and the agent becomes not ready.

What it does not do: a contact between ``BRPOP`` and the offer is lost if the process ends; decisions are on disk up to a second
later (``appendfsync everysec``) and there is no record of them; agents' states are lost with the process; contacts of two skills
are not served in the order of their arrival; no priorities, levels, relaxation, plans, capacity, wrap-up, duplicate
submits, authentication, resume of a lost connection, audit or reports.
"""

import asyncio
import json
import sys
import time
import uuid
from typing import Any

import socketio
import uvloop
from aiohttp import web
from redis.asyncio import BlockingConnectionPool, Redis

OFFER_TIMEOUT_S = 60
CONTACTS_KEPT_S = 86_400
CONNECTIONS_MAX = 50
SKILLS = 10

server = socketio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=[])
sessions: dict[str, dict[str, Any]] = {}
"""By Socket.IO id: the fields sent by the agent when connecting."""
screens: dict[str, str] = {}
"""The Socket.IO id of each agent."""
redis: Redis


@server.event
async def connect(sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
    sessions[sid] = auth
    if "agent" in auth:
        screens[auth["agent"]] = sid


@server.event
async def disconnect(sid: str, reason: str = "") -> None:
    auth = sessions.pop(sid, {})
    if "agent" in auth:
        screens.pop(auth["agent"], None)
        await not_free(auth["agent"], auth["skills"])


@server.event
async def submit(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    contact_id, skill = uuid.uuid4().hex, data["skill"]
    async with redis.pipeline(transaction=True) as pipe:
        pipe.hset(f"contact:{contact_id}", mapping={"state": "queued", "skill": skill, "at": time.time()})
        pipe.lpush(f"waiting:{skill}", contact_id)
        await pipe.execute()
    return {"ok": True, "contact_id": contact_id}


@server.event
async def ready(sid: str, data: dict[str, Any]) -> dict[str, Any]:
    await free(sessions[sid])
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
    await free(sessions[sid])
    return {"ok": True}


async def free(auth: dict[str, Any]) -> None:
    """Mark an agent as free for offers."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.sadd("free", auth["agent"])
        for skill in auth["skills"]:
            pipe.zadd(f"free:{skill}", {auth["agent"]: time.time()})
        await pipe.execute()


async def not_free(agent: str, skills: list[str]) -> bool:
    """Mark an agent as not free; return whether the agent was free."""
    async with redis.pipeline(transaction=True) as pipe:
        pipe.srem("free", agent)
        for skill in skills:
            pipe.zrem(f"free:{skill}", agent)
        removed = await pipe.execute()
    return bool(removed[0])


async def dispatch(blocking: Redis, skill: str) -> None:
    """Offer the contacts of one skill, one after the other."""
    while True:
        _, contact_id = await blocking.brpop(f"waiting:{skill}")
        while True:
            _, agent, _ = await blocking.bzpopmin(f"free:{skill}")
            sid = screens.get(agent)
            if sid is not None and await not_free(agent, sessions[sid]["skills"]):
                break
        offer_id = f"{contact_id}.{time.time_ns()}"
        offered = {"state": "offered", "agent": agent, "offer_id": offer_id}
        async with redis.pipeline(transaction=True) as pipe:
            pipe.hset(f"contact:{contact_id}", mapping=offered)
            pipe.zadd("offers", {offer_id: time.time() + OFFER_TIMEOUT_S})
            await pipe.execute()
        offer = {"offer_id": offer_id, "contact_id": contact_id, "skill": skill}
        await server.emit("offer", offer, to=sid)


async def expire() -> None:
    """Withdraw offers that were not accepted in time."""
    while True:
        await asyncio.sleep(1)
        for offer_id in await redis.zrangebyscore("offers", 0, time.time()):
            if not await redis.zrem("offers", offer_id):
                continue  # Accepted meanwhile.
            contact_id = offer_id.partition(".")[0]
            agent, skill = await redis.hmget(f"contact:{contact_id}", "agent", "skill")
            await redis.hset(f"contact:{contact_id}", "state", "queued")
            await redis.rpush(f"waiting:{skill}", contact_id)
            if agent in screens:
                await server.emit("not_ready", {"offer_id": offer_id}, to=screens[agent])


def pool(connections: int) -> BlockingConnectionPool:
    """Return a pool whose clients wait while all connections are in use."""
    return BlockingConnectionPool.from_url(
        sys.argv[1], decode_responses=True, max_connections=connections, timeout=None, socket_timeout=None
    )


async def main() -> None:
    """Serve until the process is killed."""
    global redis
    # Handlers share a small pool; the dispatchers block their connections and have a pool of their own.
    redis = Redis(connection_pool=pool(CONNECTIONS_MAX))
    blocking = Redis(connection_pool=pool(2 * SKILLS))
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(expire())
        for number in range(SKILLS):
            group.create_task(dispatch(blocking, f"s{number}"))


if __name__ == "__main__":
    uvloop.run(main())
