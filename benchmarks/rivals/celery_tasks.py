"""Rival: routing as Celery tasks over Redis; the worker sends offers through Socket.IO's Redis manager.

    celery -A celery_tasks worker --pool solo …    with REDIS_URL in the environment; celery_server.py is the Socket.IO server

All routing runs in one worker, one task at a time: two could select the same agent. ``route`` offers a contact to the longest idle
agent with its skill, or queues it; ``agent_free`` offers an agent the oldest waiting contact with one of their skills. A periodic
task withdraws offers that were not accepted in time.

What it does not do: a task is acknowledged before it runs, so a worker that is killed loses the contact of the task; decisions are
on disk up to a second later (``appendfsync everysec``) and there is no record of them; a second worker for a second core would
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
    """Offer a new contact to the longest idle agent, or queue it."""
    found = redis.zpopmin(f"free:{skill}")
    if not found:
        redis.rpush(f"waiting:{skill}", f"{at:.6f} {contact_id}")
        return
    agent = found[0][0]
    redis.zrem(f"free:{_other(agent, skill)}", agent)
    _offer(contact_id, agent, skill)


@app.task
def agent_free(agent: str) -> None:
    """Offer a free agent the oldest contact with one of their skills, or mark the agent as idle."""
    skills = redis.smembers(f"skills:{agent}")
    with redis.pipeline(transaction=False) as pipe:
        for skill in skills:
            pipe.lindex(f"waiting:{skill}", 0)
        heads = [(head, skill) for head, skill in zip(pipe.execute(), skills, strict=True) if head is not None]
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
    """Return contacts with expired offers to the head of their queues."""
    for offer_id in redis.zrangebyscore("offers", 0, time.time()):
        if not redis.zrem("offers", offer_id):
            continue  # Accepted meanwhile.
        contact_id = offer_id.partition(".")[0]
        agent, skill, at = redis.hmget(f"contact:{contact_id}", "agent", "skill", "at")
        redis.lpush(f"waiting:{skill}", f"{float(at):.6f} {contact_id}")
        expired = {"offer_id": offer_id}
        screens.emit("not_ready", expired, room=agent)  # plain-words: API of Socket.IO


def _offer(contact_id: str, agent: str, skill: str) -> None:
    offer_id = f"{contact_id}.{time.time_ns()}"
    with redis.pipeline(transaction=True) as pipe:
        offered = {"state": "offered", "agent": agent, "offer_id": offer_id}
        pipe.hset(f"contact:{contact_id}", mapping=offered)
        pipe.zadd("offers", {offer_id: time.time() + OFFER_TIMEOUT_S})
        pipe.execute()
    offer = {"offer_id": offer_id, "contact_id": contact_id, "skill": skill}
    screens.emit("offer", offer, room=agent)  # plain-words: API of Socket.IO


def _other(agent: str, skill: str) -> str:
    """Return the other skill of the agent, who has two."""
    return next(other for other in redis.smembers(f"skills:{agent}") if other != skill)
