"""A supervisor as a program: it knows the centre by the HTTP API only, and looks at it once a minute.

What it does about a queue that fails:

1. It reads the counts of the last minutes, who waits and for how long, and how many agents of the queue are away.
2. It borrows agents: those free now, of the teams that are least busy. They get the skill of the queue and a label.
3. If the queue still fails after some minutes, an administrator publishes a policy in which other agents may take its calls too.
4. When the agents of the queue are back and it has kept its service level for a while, the administrator restores the policy as it
   was, and the borrowed agents lose skill and label again.

Nothing in it is made for one failure or for one centre; the numbers it works with are the constants below.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

from msgspec import Struct

# A queue fails when so many contacts have waited too long and the last five minutes were below the target.
LATE_MIN: Final = 3
# Agents borrowed for a queue: so many a minute, from teams that are less busy than this, and in all.
BORROWED_A_MINUTE: Final = 10
OCCUPANCY_MAX: Final = 0.88
BORROWED_MAX: Final = 30
# Minutes of failure after which the policy is changed, and of success after which everything is put back.
MINUTES_TO_POLICY: Final = 2
MINUTES_TO_RETURN: Final = 10
# Level of the skills that borrowed agents get, and that the changed policy requires.
LEVEL: Final = 5
# Time that a call waits for agents of the queue before the plan lets others take it.
STEP_S: Final = 5
PLAN: Final = "help_by_others"


class JsonApi(Protocol):
    """The API with one credential: the decoded answer of a request that succeeds."""

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Make a request. ``If_Match="*"`` sends the header ``If-Match``."""


class Care(Struct):
    """What is known and done about a queue that failed."""

    team: str
    skills: dict[str, int]
    """Skills that it requires."""
    away: frozenset[str]
    """Agents of the queue who were away when it was seen to fail."""
    minutes_failing: int = 0
    minutes_good: int = 0
    borrowed: int = 0
    is_in_plan: bool = False
    """Whether the policy was changed for it."""


class Supervisor:
    """One look after the other; ``say`` gets a line for everything that is seen or done."""

    def __init__(self, api: JsonApi, administrator: JsonApi, say: Callable[[str], None], *, fallback_skill: str) -> None:
        """``fallback_skill``: what agents must have to take the calls of a queue that cannot be helped otherwise."""
        self._api = api
        self._administrator = administrator
        self._say = say
        self._fallback_skill = fallback_skill
        self._care: dict[str, Care] = {}
        self._normal_version: int | None = None
        """Version of the policy that is restored at the end; none: it is the active one."""

    async def look(self) -> None:
        """Look at all queues, and do what is to be done now."""
        rows = (await self._api.json("GET", "/v1/statistics?by=queue&period=last_5m"))["rows"]
        levels = {row["queue_id"]: row["service_level"] for row in rows}
        policy = await self._api.json("GET", "/v1/policy")
        queues = (await self._api.json("GET", "/v1/queues"))["queues"]
        for status in sorted(queues, key=lambda status: -status["queue"]["waiting"]):
            queue_id = status["queue"]["queue_id"]
            terms = policy["queues"][queue_id]
            if await self._is_failing(status, terms, levels.get(queue_id)):
                await self._help(status["queue"], terms, levels[queue_id])
            elif queue_id in self._care:
                self._care[queue_id].minutes_good += 1
        if self._care and all([await self._is_over(care) for care in self._care.values()]):
            await self._put_back()

    # --- seeing ------------------------------------------------------------------------------------
    async def _is_failing(self, status: dict[str, Any], terms: dict[str, Any], level: float | None) -> bool:
        promised = terms.get("service_level", {})
        threshold_ms = 1_000 * promised.get("threshold_s", 20)
        queue_id = status["queue"]["queue_id"]
        if status["queue"]["waiting"] < LATE_MIN or (status.get("longest_wait_ms") or 0) <= threshold_ms:
            return False
        if level is None or level >= promised.get("target", 0.8):
            return False
        waiting = await self._api.json("GET", f"/v1/queues/{queue_id}/waiting?limit={LATE_MIN}")
        return all(contact["waited_ms"] > threshold_ms for contact in waiting["contacts"])

    # --- acting ------------------------------------------------------------------------------------
    async def _help(self, queue: dict[str, Any], terms: dict[str, Any], level: float) -> None:
        queue_id = queue["queue_id"]
        care = self._care.get(queue_id)
        if care is None:
            care = self._care[queue_id] = await self._begin(queue, terms, level)
        care.minutes_good = 0
        care.minutes_failing += 1
        if care.borrowed < BORROWED_MAX:
            await self._borrow(queue_id, care, min(queue["waiting"], BORROWED_A_MINUTE, BORROWED_MAX - care.borrowed))
        if not care.is_in_plan and care.minutes_failing >= MINUTES_TO_POLICY:
            await self._change_policy(queue_id, care)

    async def _begin(self, queue: dict[str, Any], terms: dict[str, Any], level: float) -> Care:
        queue_id = queue["queue_id"]
        own = await self._api.json("GET", f"/v1/agents?queue={queue_id}&sort=-load&limit=1")
        away = await self._preview({"queue": queue_id, "state": "offline"})
        self._say(
            f"{queue_id} fails: {level:.0%} in time in the last five minutes, "
            f"{queue['waiting']} wait, {queue.get('agents_ready', 0)} agents ready, {away['count']} away"
        )
        team = own["agents"][0].get("team", "") if own["agents"] else ""
        return Care(team=team, skills=terms.get("requires", {}), away=frozenset(away["ids"]))

    async def _is_over(self, care: Care) -> bool:
        """Return whether a queue has been well for a while, and those who were away are back."""
        if care.minutes_good < MINUTES_TO_RETURN:
            return False
        away = await self._preview({"team": care.team, "state": "offline"})
        return len(care.away.intersection(away["ids"])) <= len(care.away) // 10

    async def _borrow(self, queue_id: str, care: Care, wanted: int) -> None:
        """Give the skills of the queue to free agents of the teams that have most of them."""
        rows = (await self._api.json("GET", "/v1/statistics?by=team&period=last_15m"))["rows"]
        in_need = {other.team for other in self._care.values()}
        donors = [row["team"] for row in rows if row["team"] not in in_need and (row["occupancy"] or 0.0) < OCCUPANCY_MAX]
        # Who helps another queue already, or has a skill of this one at some level: that is what will be taken away again.
        unsuitable = [*({"label": _label(other)} for other in self._care), *({"skill": skill} for skill in care.skills)]
        excluded = {one for condition in unsuitable for one in (await self._preview(condition))["ids"]}
        conditions = [{"team": team, "available": True, "channel": "voice"} for team in donors]
        free = [(condition, await self._preview(condition)) for condition in conditions]
        for condition, found in sorted(free, key=lambda pair: -pair[1]["count"]):
            found["ids"] = [one for one in found["ids"] if one not in excluded][: min(wanted, found["count"] // 2)]
            if found["ids"]:
                changes = {"skills": dict.fromkeys(care.skills, LEVEL), "add_labels": [_label(queue_id)]}
                applied = await self._change_agents("borrow", queue_id, changes, found, condition)
                care.borrowed += applied
                wanted -= applied
                self._say(f"{queue_id}: {applied} agents of {condition['team']} help")

    async def _change_policy(self, queue_id: str, care: Care) -> None:
        """Let other agents take the calls of the queue that have waited a moment."""
        active = (await self._api.json("GET", "/v1/policy/versions?limit=1"))["versions"][0]["version"]
        policy = await self._api.json("GET", f"/v1/policy/versions/{active}")
        steps = [{"duration_s": STEP_S}, {"skills": {self._fallback_skill: LEVEL}}]
        policy["plans"] = policy.get("plans", {}) | {PLAN: steps}
        policy["queues"][queue_id]["plan"] = PLAN
        await self._api.json("POST", "/v1/policy/check", policy)
        done = await self._administrator.json("PUT", f"/v1/policy?note={queue_id}+fails", policy, If_Match=f'"{active}"')
        care.is_in_plan = True
        if self._normal_version is None:
            self._normal_version = active
        self._say(
            f"{queue_id}: policy {done['version']}: after {STEP_S} s all agents with {self._fallback_skill} may take its calls"
        )

    async def _put_back(self) -> None:
        """Restore the policy and give the agents back."""
        if self._normal_version is not None:
            preview = await self._api.json("GET", f"/v1/policy/versions/{self._normal_version}/preview")
            assert preview["refused"] is None, preview
            body = {"version": self._normal_version, "note": "the queues are well again"}
            tag = f'"{preview["active_version"]}"'
            done = await self._administrator.json("POST", "/v1/policy/rollback", body, If_Match=tag)
            self._say(f"policy {done['version']} is policy {self._normal_version} again")
            self._normal_version = None
        for queue_id, care in self._care.items():
            borrowed = await self._preview({"label": _label(queue_id)})
            if borrowed["ids"]:
                changes = {"skills": dict.fromkeys(care.skills), "remove_labels": [_label(queue_id)]}
                await self._change_agents("return", queue_id, changes, borrowed, {"label": _label(queue_id)})
                self._say(f"{queue_id}: {borrowed['count']} agents go back to their teams")
        self._care.clear()

    async def _change_agents(
        self, name: str, queue_id: str, changes: dict[str, Any], found: dict[str, Any], condition: dict[str, Any]
    ) -> int:
        """Change the agents of a preview who still meet its condition; return how many were changed."""
        body = {"act": {"type": "change_agent", "changes": changes}, "ids": found["ids"], "agents": condition}
        key = f"{name}-{queue_id}-{found['as_of_seq']}"
        return int((await self._api.json("POST", "/v1/bulk", body, Idempotency_Key=key))["applied"])

    async def _preview(self, agents: dict[str, Any]) -> Any:
        return await self._api.json("POST", "/v1/bulk/preview", {"agents": agents})


def _label(queue_id: str) -> str:
    return f"helps_{queue_id}"
