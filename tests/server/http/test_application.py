"""HTTP application: routing by method and path, CORS preflights and unexpected errors."""

import pytest

from router.server.api.problems import ProblemError
from router.server.http.application import HandlerResult, HttpApplication, HttpRequest, HttpRouter
from router.server.http.responses import HttpResponse


class Connection:
    """Connection that records responses."""

    peer = "192.0.2.1"

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, bool]] = []

    def send_response(self, request: HttpRequest, data: bytes, *, closes: bool) -> None:
        self.sent.append((data, closes))


class Handler:
    """Handler with a name; ``fails`` raises an unexpected error."""

    def __init__(self, operation: str, *, fails: bool = False) -> None:
        self.operation = operation
        self._fails = fails

    def check(self, request: HttpRequest) -> bytes | None:
        return None

    def handle(self, request: HttpRequest) -> HandlerResult:
        if self._fails:
            raise RuntimeError("secret")
        return HttpResponse()


def a_request(method: str, target: str, **headers: str) -> HttpRequest:
    request = HttpRequest(Connection())
    request.method, request.target = method, target.encode()
    request.headers = {"host": "a"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return request


def a_router() -> HttpRouter:
    router = HttpRouter()
    for method, path in (
        ("GET", "/v1/contacts"),
        ("POST", "/v1/contacts"),
        ("GET", "/v1/contacts/{contact_id}"),
        ("GET", "/v1/contacts/{contact_id}/why/{agent_id}"),
        ("GET", "/v1/contacts/stats"),
    ):
        router.add(method, path, Handler(f"{method} {path}"))
    return router


@pytest.mark.parametrize(
    ("target", "route", "params", "query"),
    [
        ("/v1/contacts", "/v1/contacts", {}, ""),
        ("/v1/contacts?limit=1", "/v1/contacts", {}, "limit=1"),
        ("http://host/v1/contacts", "/v1/contacts", {}, ""),
        ("/v1/contacts/c1", "/v1/contacts/{contact_id}", {"contact_id": "c1"}, ""),
        ("/v1/contacts/a%2Fb", "/v1/contacts/{contact_id}", {"contact_id": "a/b"}, ""),
        ("/v1/contacts/stats", "/v1/contacts/stats", {}, ""),
        (
            "/v1/contacts/c1/why/ada?x=%20",
            "/v1/contacts/{contact_id}/why/{agent_id}",
            {"contact_id": "c1", "agent_id": "ada"},
            "x=%20",
        ),
    ],
)
def test_a_target_has_its_route(target: str, route: str, params: dict[str, str], query: str) -> None:
    request = a_request("GET", target)
    assert a_router().find(request).operation == f"GET {route}"
    assert (dict(request.path_params), request.query) == (params, query)


@pytest.mark.parametrize("target", ["/", "", "*", "/v1", "/v1/contacts/", "/v1/contacts/c1/why", "//v1/contacts", "x"])
def test_other_targets_are_not_found(target: str) -> None:
    with pytest.raises(ProblemError, match="not_found"):
        a_router().find(a_request("GET", target))


def test_another_method_gets_the_allowed_ones() -> None:
    with pytest.raises(ProblemError, match="method_not_allowed") as raised:
        a_router().find(a_request("DELETE", "/v1/contacts"))
    assert raised.value.headers["Allow"] == "GET,HEAD,POST"


@pytest.mark.parametrize(("origin", "status"), [("https://a.example", b"204"), ("null", b"403")])
def test_a_preflight_is_answered_for_allowed_origins(origin: str, status: bytes) -> None:
    application = HttpApplication(allowed_origins=("https://a.example",))
    request = a_request("OPTIONS", "/v1/contacts", origin=origin, access_control_request_method="POST")
    application.check(request)
    connection = request.connection
    assert isinstance(connection, Connection)
    [(data, _)] = connection.sent
    assert data.split()[1] == status
    assert (b"Access-Control-Allow-Origin" in data) is (status == b"204")


def test_an_unexpected_error_is_a_500_without_details() -> None:
    application = HttpApplication()
    application.router.add("GET", "/fails", Handler("fails", fails=True))
    request = a_request("GET", "/fails")
    application.check(request)
    application.handle(request)
    connection = request.connection
    assert isinstance(connection, Connection)
    [(data, _)] = connection.sent
    assert data.split()[1] == b"500" and b"secret" not in data
    assert request.is_answered
