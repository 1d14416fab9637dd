"""Words of customers stand in no file, log, metric or error text in clear, before and after an erasure and a kill."""

import asyncio
import urllib.request

from tests.acceptance.conftest import MakeRouter
from tests.support.http_api import Api

WORDS = ("canaryname", "canarymail", "15155598765", "canarydevice", "canarystep", "canarydata", "canarybad")


async def test_words_of_customers_are_in_no_file_log_metric_or_error(make_router: MakeRouter) -> None:
    router = make_router().start()
    identities = [
        {"type": "app_user", "value": "canaryname-user", "assurance": "verified"},
        {"type": "email", "value": "canarymail@example.org"},
        {"type": "phone", "value": "+4915155598765"},
        {"type": "device", "value": "canarydevice"},
    ]
    async with Api(router) as admin:
        submitted = await admin.submit(customer={"identities": identities})
        contact = await admin.ok("GET", f"/v1/contacts/{submitted['contact_id']}")
        path = f"/v1/customers/{contact['customer_id']}"
        await admin.ok("PATCH", path, {"name": "canaryname Miller"})
        step = {"identity": identities[0], "type": "canarystep", "data": {"text": "canarydata"}}
        await admin.ok("POST", "/v1/journey", {"steps": [step] * 40})
        errors = [
            await admin.call("POST", "/v1/customers/resolve", {"identities": [{"type": "email", "value": "canarybad"}]}),
            await admin.call("POST", f"{path}/identities", {"type": "phone", "value": "canarybad"}),
            await admin.call("PATCH", path, {"tier": "canarybad no tier"}),
            await admin.call("POST", "/v1/customers/search", {"name": "canarybad", "limit": 0}),
            await admin.call("POST", "/v1/journey", {"steps": [{"identity": identities[0], "type": "canarybad type"}]}),
        ]
        with_values = b"".join(one.body for one in errors)
        await admin.ok("DELETE", path)

        def read() -> bytes:
            with urllib.request.urlopen(router.metrics_url, timeout=10) as answer:
                return bytes(answer.read())

        metrics = await asyncio.to_thread(read)
    router.kill()
    router.start()
    router.kill()
    files = b"".join(one.read_bytes() for one in router.directory.rglob("*") if one.is_file())
    for word in WORDS:
        for place, content in (
            ("errors", with_values),
            ("metrics", metrics),
            ("log", "".join(router.log).encode()),
            ("files", files),
        ):
            assert word.encode() not in content, (word, place)
