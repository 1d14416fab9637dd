"""Response writer: headers, dates, bodies and cached problem responses."""

import msgspec

from router.server.api.problems import ProblemError
from router.server.http.responses import CachedProblemResponse, HttpResponse, ResponseWriter, problem_response

ID = "0123456789abcdef"


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def parsed(data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return int(first.split()[1]), headers, body


def test_every_response_has_the_security_headers_once() -> None:
    status, headers, body = parsed(ResponseWriter(vary_by_origin=True).encode(HttpResponse(body=b"{}"), ID))
    names = [name for name, _ in headers]
    assert (status, body) == (200, b"{}")
    assert len(names) == len(set(names))
    assert dict(headers) | {"Date": ""} == {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Server": "contact-router",
        "Vary": "Origin",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
        "Date": "",
        "Content-Type": "application/json",
        "Content-Length": "2",
        "X-Request-ID": ID,
    }


def test_a_response_may_replace_the_default_headers() -> None:
    response = HttpResponse(headers={"Cache-Control": "private, max-age=1"})
    _, headers, _ = parsed(ResponseWriter(vary_by_origin=False).encode(response, ID))
    assert [value for name, value in headers if name == "Cache-Control"] == ["private, max-age=1"]
    assert "Content-Security-Policy" in dict(headers)


def test_a_response_to_head_has_no_body_and_204_no_length() -> None:
    writer = ResponseWriter(vary_by_origin=False)
    _, headers, body = parsed(writer.encode(HttpResponse(body=b"{}"), ID, is_head=True))
    assert body == b"" and dict(headers)["Content-Length"] == "2"
    _, headers, _ = parsed(writer.encode(HttpResponse(status=204), ID))
    assert "Content-Length" not in dict(headers)


def test_the_date_follows_the_clock() -> None:
    clock = Clock()
    writer = ResponseWriter(vary_by_origin=False, now_s=clock)
    assert b"Date: Thu, 01 Jan 1970 00:00:00 GMT" in writer.encode(HttpResponse(), ID)
    clock.now_s = 61.5
    assert b"Date: Thu, 01 Jan 1970 00:01:01 GMT" in writer.encode(HttpResponse(), ID)


def test_a_cached_problem_equals_a_fresh_one() -> None:
    clock = Clock()
    writer = ResponseWriter(vary_by_origin=False, now_s=clock)
    cached = CachedProblemResponse(writer, ProblemError("busy"), now_s=clock)
    for now_s in (0.0, 0.5, 2.0):
        clock.now_s = now_s
        fresh = writer.encode(problem_response(ProblemError("busy"), ID), ID)
        assert cached.encode(ID) == fresh
    document = msgspec.json.decode(parsed(cached.encode(ID))[2])
    assert document["request_id"] == ID
