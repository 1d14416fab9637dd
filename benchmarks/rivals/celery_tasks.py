"""Rival: routing as Celery tasks over Redis; the worker reaches the agents' screens through Socket.IO's Redis manager.

    celery -A celery_tasks worker --pool solo …    with REDIS_URL in the environment; celery_server.py is the Socket.IO server

All routing runs in one worker, one task at a time: two would take the same agent. ``route`` gives a contact to whoever with its
skill has been free longest, or lets it wait; ``agent_free`` gives an agent the oldest contact that waits for one of his skills. A
periodic task returns offers that nobody accepted.

What it does not do: a task is acknowledged before it runs, so that a worker that dies loses the contact it was at; decisions are
on disk up to a second later (``appendfsync everysec``) and are not written down as such; a second worker for a second core would
need locks; no priorities, levels, relaxation, plans, capacity, wrap-up, duplicate submits, authentication, resume of a lost
connection, audit or reports.
"""

import os
import time

import socketio
from celery import Celery
from redis import Redis

URL = os.environ["REDIS_URL"]
OFFER_TIMEOUT_S = 60

app = Celery("celery_tasks", broker=URL)
app.conf.update(
    task_ignore_result=True,
    task_serializer="json",
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
    beat_schedule={"expire": {"task": "celery_tasks.expire", "schedule": 1.0}},
)
redis = Redis.from_url(URL, decode_responses=True)
screens = socketio.RedisManager(URL, write_only=True)


@app.task
def route(contact_id: str, skill: str, at: float) -> None:
    """A new contact: to the longest idle, or into the line."""
    found = redis.zpopmin(f"free:{skill}")
    if not found:
        redis.rpush(f"waiting:{skill}", f"{at:.6f} {contact_id}")
        return
    agent = found[0][0]
    redis.zrem(f"free:{_other(agent, skill)}", agent)
    _offer(contact_id, agent, skill)


@app.task
def agent_free(agent: str) -> None:
    """Somebody is free: the oldest contact of his skills, or he is idle."""
    skills = redis.smembers(f"skills:{agent}")
    with redis.pipeline(transaction=False) as pipe:
        for skill in skills:
            pipe.lindex(f"waiting:{skill}", 0)
        heads = [
            (head, skill)
            for head, skill in zip(pipe.execute(), skills, strict=True)
            if head is not None
        ]
    if heads:
        head, skill = min(heads)
        redis.lpop(f"waiting:{skill}")
        _offer(head.partition(" ")[2], agent, skill)
        return
    with redis.pipeline(transaction=True) as pipe:
        for skill in skills:
            pipe.zadd(f"free:{skill}", {agent: time.time()})
        pipe.execute()


@app.task
def expire() -> None:
    """Offers that nobody accepted in time go back to the head of their line."""
    for offer_id in redis.zrangebyscore("offers", 0, time.time()):
        if not redis.zrem("offers", offer_id):
            continue  # Accepted at the last moment.
        contact_id = offer_id.partition(".")[0]
        agent, skill, at = redis.hmget(f"contact:{contact_id}", "agent", "skill", "at")
        redis.lpush(f"waiting:{skill}", f"{float(at):.6f} {contact_id}")
        screens.emit("not_ready", {"offer_id": offer_id}, room=agent)


def _offer(contact_id: str, agent: str, skill: str) -> None:
    offer_id = f"{contact_id}.{time.time_ns()}"
    with redis.pipeline(transaction=True) as pipe:
        offered = {"state": "offered", "agent": agent, "offer_id": offer_id}
        pipe.hset(f"contact:{contact_id}", mapping=offered)
        pipe.zadd("offers", {offer_id: time.time() + OFFER_TIMEOUT_S})
        pipe.execute()
    offer = {"offer_id": offer_id, "contact_id": contact_id, "skill": skill}
    screens.emit("offer", offer, room=agent)


def _other(agent: str, skill: str) -> str:
    """The skill of his that is not this one: agents here have two."""
    return next(one for one in redis.smembers(f"skills:{agent}") if one != skill)
