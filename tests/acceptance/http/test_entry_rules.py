"""Rules over HTTP: a contact without a queue finds its own, a bad expression is refused at its place, counts outlive a kill."""

from typing import Any

from tests.acceptance.conftest import MakeRouter
from tests.acceptance.http.test_metrics import scrape
from tests.support.http_api import Api

YAML = {"Content-Type": "application/yaml"}
POLICY = """\
channels: {voice: {}, chat: {}}
queues:
  support: {}
  gold: {agents_when: agent.desk > 2}
  overflow: {}
facts:
  tier: {type: enum, values: [gold, silver]}
  age: {type: int}
  desk: {type: int, applies_to: agent}
  customer: {type: ident}
entry:
  - name: gold
    when: contact.tier == "gold" && channel == "voice"
    queue: gold
    priority_s: 30
  - name: old
    when: contact.age > 60
    queue: gold
  - name: crowded
    when: queues.support.waiting >= 1
    queue: overflow
default_queue: support
"""


async def submit_contact(api: Api, **attributes: Any) -> Any:
    body = {"channel": "voice", "attributes": attributes}
    receipt = await api.ok("POST", "/v1/contacts", body)
    return await api.ok("GET", f"/v1/contacts/{receipt['contact_id']}")


async def test_entry_rules_choose_the_queue(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        gold = await submit_contact(admin, tier="gold")
        assert (gold["queue_id"], gold["rule"], gold["priority_s"]) == ("gold", "gold", 30)
        plain = await submit_contact(admin)
        assert plain["queue_id"] == "support" and "rule" not in plain
        assert plain["failed_rules"] == ["gold", "old"]
        crowded = await submit_contact(admin, tier="silver", age=30)
        assert (crowded["queue_id"], crowded["rule"]) == ("overflow", "crowded")
        why = await admin.ok("GET", f"/v1/contacts/{plain['contact_id']}/why")
        assert why["failed_rules"] == ["gold", "old"]
        first = next(one for one in await admin.events() if one["type"] == "contact.queued")
        assert first["rule"] == "gold"

        rules = await admin.ok("GET", "/v1/policy/rules")
        assert (rules["classified"], rules["default_queue_count"]) == (3, 1)
        assert rules["rules"] == [
            {"name": "gold", "matched": 1, "failed": 1},
            {"name": "old", "matched": 0, "failed": 1},
            {"name": "crowded", "matched": 1, "failed": 0},
        ]
    page = await scrape(router)
    label = 'workspace="default"'
    assert page[f'router_entry_rule_contacts_total{{outcome="failed",rule="old",{label}}}'] == 1
    router.kill()
    router.start()
    async with Api(router) as admin:
        again = await admin.ok("GET", "/v1/policy/rules")
        assert again == rules
    assert of_the_rules(await scrape(router)) == of_the_rules(page)


def of_the_rules(page: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in page.items() if "entry_rule" in name}


async def test_only_agents_that_match_the_rule_get_offers(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin, Api(router, "agent", "ada") as ada:
        await admin.ok("PUT", "/v1/agents/ada", {"attributes": {"desk": 1}})
        await ada.ok("POST", "/v1/agents/ada/state", {"state": "ready"})
        contact = (await submit_contact(admin, tier="gold"))["contact_id"]
        why = await admin.ok("GET", f"/v1/contacts/{contact}/why/ada")
        assert why["unmet_conditions"] == [{"code": "attributes"}]
        await admin.ok("PUT", "/v1/agents/ada", {"attributes": {"desk": 5}})
        view = await admin.ok("GET", f"/v1/contacts/{contact}")
        assert view["state"] == "offered"


async def test_an_invalid_expression_is_refused_with_its_path(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        document = POLICY.replace('contact.tier == "gold"', 'contact.tear == "gold"').encode()
        for method, path in (("PUT", "/v1/policy"), ("POST", "/v1/policy/check")):
            got = await admin.call(method, path, data=document, headers=YAML)
            assert (got.status, got.code) == (422, "invalid_policy")
            (error,) = got.json["errors"]
            assert (error["line"], error["column"]) == (13, 11)
            assert error["path"] == "entry[0].when"
            assert "there is contact.tier" in error["message"]
        assert (await admin.call("GET", "/v1/policy")).headers["ETag"] == '"1"'


async def test_a_telephone_number_is_refused_as_attribute(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        body = {"channel": "voice", "attributes": {"customer": "00491701234567"}}
        got = await admin.call("POST", "/v1/contacts", body)
        assert (got.status, got.code) == (422, "unknown_fact")
        assert got.json["field"] == "attributes.customer"
        assert "telephone" in got.json["detail"] and b"0049" not in got.body
        document = POLICY.replace("customer:", "phone_number:").encode()
        refused = await admin.call("PUT", "/v1/policy", data=document, headers=YAML | {"If-Match": "*"})
        assert refused.json["errors"][0]["path"] == "facts.phone_number"
        declared = document.replace(b"{type: ident}", b"{type: ident, non_personal: true}")
        assert (await admin.call("PUT", "/v1/policy", data=declared, headers=YAML | {"If-Match": "*"})).status == 200


async def test_a_sample_contact_can_be_tried_without_submitting_it(make_router: MakeRouter) -> None:
    router = make_router(policy=POLICY).start()
    async with Api(router) as admin:
        before = (await admin.ok("GET", "/v1/digest"))["digest"]
        sample = {"channel": "voice", "attributes": {"tier": "silver"}}
        tried = await admin.ok("POST", "/v1/policy/try", sample)
        assert (tried["queue_id"], tried["rule"], tried["failed"]) == ("support", None, ["old"])
        busy_sample = {**sample, "queues": {"support": {"waiting": 3}}}
        tried = await admin.ok("POST", "/v1/policy/try", busy_sample)
        assert (tried["queue_id"], tried["rule"]) == ("overflow", "crowded")
        assert tried["rules"][1] == {"name": "old", "outcome": "failed", "missing": ["contact.age"]}
        assert tried["rules"][2]["facts"] == {"queues.support.waiting": 3}
        assert (await admin.ok("GET", "/v1/digest"))["digest"] == before
        for wrong, code, field in (
            ({"channel": "smoke"}, "unknown_channel", "channel"),
            ({**sample, "attributes": {"tier": "jane"}}, "unknown_fact", "attributes.tier"),
            ({**sample, "queues": {"nowhere": {}}}, "invalid_value", "queues.nowhere"),
            ({**sample, "queues": {"support": {"waiting": True}}}, "invalid_value", "queues.support.waiting"),
            ({**sample, "queues": {"support": {"jane": 1}}}, "invalid_value", "queues.support"),
        ):  # fmt: skip
            got = await admin.call("POST", "/v1/policy/try", wrong)
            assert (got.code, got.json["field"]) == (code, field)
            assert b"jane" not in got.body


async def test_rules_that_are_too_expensive_together_are_refused_by_check_and_publication(make_router: MakeRouter) -> None:
    """Each of the 200 is valid, and together they took a second of the event loop for each submit."""
    process = make_router(policy=POLICY)
    process.start()
    values = "[" + ",".join(["1"] * 130) + "]"
    rules = "".join(
        f"  - {{name: r{n}, when: \"{values}.exists(x, contact.customer.matches('^a*b{n}$'))\", queue: gold}}\n" for n in range(190)
    )
    document = POLICY.replace("entry:\n", f"entry:\n{rules}").encode()
    async with Api(process) as admin:
        for method, path in (("POST", "/v1/policy/check"), ("PUT", "/v1/policy"), ("PUT", "/v1/shadow")):
            headers = YAML | ({"If-Match": '"1"'} if path == "/v1/policy" else {})
            refused = await admin.call(method, path, data=document, headers=headers)
            assert (refused.status, refused.code) == (422, "invalid_policy"), path
            (error,) = refused.json["errors"]
            assert error["path"] == "entry[2].when" and "r2" in error["message"] and "5,000" in error["message"]
        assert (await submit_contact(admin, tier="gold"))["rule"] == "gold"
