"""The router serves the modules of the JavaScript client as they lie in the repository, and no other file."""

import http.client
import re
from collections.abc import Iterator

import pytest

from router.server.http.docs_pages import CLIENT_PATH
from tests.support.router_process import RouterProcess


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    running = RouterProcess(tmp_path_factory.mktemp("router"), server__allowed_origins="[https://desk.example]").start()
    yield running
    running.kill()


def get(router: RouterProcess, path: str, **headers: str) -> http.client.HTTPResponse:
    host, port = router.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    answer.contents = answer.read()  # type: ignore[attr-defined]
    connection.close()
    return answer


def contents(answer: http.client.HTTPResponse) -> bytes:
    found: bytes = answer.contents  # type: ignore[attr-defined]
    return found


def test_a_page_finds_every_module_that_it_imports(router: RouterProcess) -> None:
    waiting, seen = ["index.js"], set()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            answer = get(router, f"/client/{name}")
            assert (answer.status, answer.getheader("Content-Type")) == (200, "text/javascript; charset=utf-8")
            assert answer.getheader("X-Content-Type-Options") == "nosniff"
            assert "default-src 'none'" in (answer.getheader("Content-Security-Policy") or "")
            assert contents(answer) == (CLIENT_PATH / name).read_bytes()
            waiting += re.findall(r'^(?:import|export|}).* from "\./(.*)";$', contents(answer).decode(), re.MULTILINE)
    assert seen == {file.name for file in CLIENT_PATH.glob("*.js")}


def test_a_module_that_a_browser_has_is_not_sent_again(router: RouterProcess) -> None:
    tag = get(router, "/client/index.js").getheader("ETag") or ""
    assert re.fullmatch(r'"[0-9a-f]{16}"', tag)
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        answer = get(router, "/client/index.js", If_None_Match=known)
        assert (answer.status, contents(answer), answer.getheader("ETag")) == (304, b"", tag)
    assert get(router, "/client/index.js", If_None_Match='"other"').status == 200
    assert get(router, "/client/index.js").getheader("Cache-Control") == "no-cache"


@pytest.mark.parametrize(
    "name", ["", "package.json", "wire.d.ts", "README.md", "../sdk/index.js", "%2e%2e/__init__.py", "index.js/"]
)
def test_no_other_file_is_reachable(router: RouterProcess, name: str) -> None:
    assert get(router, f"/client/{name}").status in (400, 404)


def test_a_page_of_an_allowed_origin_may_import_it(router: RouterProcess) -> None:
    allowed = get(router, "/client/index.js", Origin="https://desk.example")
    assert allowed.getheader("Access-Control-Allow-Origin") == "https://desk.example"
    assert get(router, "/client/index.js", Origin="https://other.example").getheader("Access-Control-Allow-Origin") is None
