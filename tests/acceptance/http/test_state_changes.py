"""The rate at which objects may be changed counts each credential by itself."""

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api


async def test_an_agent_who_toggles_does_not_keep_a_supervisor_from_changing_them(make_router: MakeRouter) -> None:
    router = make_router(server__state_changes_burst=3).start()
    async with Api(router) as admin, Api(router, "supervisor", "eve") as eve, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {"english": 5}})
        path = "/v1/agents/ada/state"
        answers = [await ada.call("POST", path, {"state": state}) for state in ("ready", "not_ready") * 4]
        refused = [answer for answer in answers if answer.status != 200]
        assert len(answers) - len(refused) in (3, 4)
        for answer in refused:
            assert (answer.status, answer.code) == (429, "rate_limited") and answer.headers["Retry-After"] == "1"
            assert (
                "changes of one agent by you" in answer.json["detail"] and "`server.state_changes_per_s`" in answer.json["detail"]
            )
        assert (await eve.call("POST", path, {"state": "not_ready", "reason": "coaching"})).status == 200
        assert (await admin.ok("GET", "/v1/agents/ada"))["reason"] == "coaching"
        # All supervisors together are bounded as well.
        statuses = [(await client.call("POST", path, {"state": "ready"})).status for client in (eve, admin) * 12]
        assert 429 in statuses
