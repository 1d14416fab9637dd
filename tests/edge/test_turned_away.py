"""Where one request ends and the next begins, for those who would answer from the first bytes."""

import pytest

from router.edge.turned_away import Boundary

GET = b"GET /v1/queues HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST /v1/contacts HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


@pytest.mark.parametrize(
    ("chunks", "is_here"),
    [
        ([], True),
        ([GET], True),
        ([HEAD + b"body"], True),
        ([HEAD, b"body", GET], True),
        ([HEAD, b"bo", b"dy"], True),
        ([HEAD], False),
        ([HEAD, b"bo"], False),
        # From here on nothing is certain any more, whatever follows.
        ([GET[:9], GET[9:], GET], False),
        ([GET + GET[:9], GET[9:], GET], False),
        ([GET + GET, GET], False),
        ([HEAD + b"body" + GET[:9], GET], False),
        ([HEAD, b"body" + GET[:9], GET], False),
        ([HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n") + b"body", GET], False),
        ([HEAD.replace(b"Content-Length: 4", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"], False),
        ([HEAD.replace(b"Content-Length: 4", b"Content-Length: 4, 4") + b"body"], False),
    ],
)
def test_a_boundary_is_known_or_it_is_not_claimed(chunks: list[bytes], is_here: bool) -> None:
    boundary = Boundary()
    for chunk in chunks:
        boundary.pass_by(chunk)
    assert boundary.is_here is is_here
