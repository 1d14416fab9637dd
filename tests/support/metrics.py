"""Values of the metrics page of a running router."""

import asyncio
import re
import urllib.request

from tests.support.router_process import RouterProcess


async def metric_value(router: RouterProcess, name: str, **labels: str) -> float | None:
    """Return the value of a metric with these labels; None where it is not on the page."""

    def read() -> str:
        with urllib.request.urlopen(router.metrics_url, timeout=10) as answer:
            return bytes(answer.read()).decode()

    page = await asyncio.to_thread(read)
    text = ",".join(f'{label}="{value}"' for label, value in labels.items())
    found = re.search(rf"^{name}{re.escape('{' + text + '}') if text else ''} (\S+)$", page, re.MULTILINE)
    return None if found is None else float(found.group(1))
