"""Cutting of received bytes at the ends of messages, and the grammar of request lines."""

import random

import pytest

from router.server.http.framing import RequestFraming

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /v1/contacts HTTP/1.1\r\nContent-Length: 9\r\n\r\n"


def pieces(framing: RequestFraming, data: bytes) -> list[bytes]:
    found = []
    while data:
        cut = framing.cut(data)
        assert cut is not None
        piece, data = cut
        found.append(piece)
    return found


@pytest.mark.parametrize("seed", range(30))
def test_a_piece_never_has_the_end_of_one_message_and_the_beginning_of_the_next(seed: int) -> None:
    draw = random.Random(seed)
    framing = RequestFraming()
    stream = b"".join(draw.choice((GET, POST + b"\r\n\r\n12345")) for _ in range(6))
    wanted, position = [], 0
    while position < len(stream):
        end = stream.index(b"\r\n\r\n", position) + 4
        wanted.append(end)
        if stream.startswith(b"POST", position):
            end += 9
            wanted.append(end)
        position = end
    ends, done, data = [], 0, stream
    while data:
        size = draw.randrange(1, 60)
        part, data = data[:size], data[size:]
        while part:
            cut = framing.cut(part)
            assert cut is not None
            piece, part = cut
            assert piece
            done += len(piece)
            if done in wanted:
                ends.append(done)
                is_head_of_post = stream[:done].endswith(b"9\r\n\r\n")
                framing.begin_body(9) if is_head_of_post else framing.end_message()
    assert ends == wanted


@pytest.mark.parametrize(
    "line",
    [b"GET  /", b"GET /  HTTP/1.1\r\n", b"\nGET / HTTP/1.1\r\n", b"GET / HTTP/1.1\n", b" GET / HTTP/1.1\r\n", b"\r\n\r\n\r\n"],
)
def test_an_invalid_line_is_refused(line: bytes) -> None:
    framing = RequestFraming()
    data = line + b" HTTP/1.1\r\n\r\n"
    while data:
        cut = framing.cut(data)
        if cut is None:
            return
        _, data = cut
    pytest.fail("accepted")


def test_only_a_message_that_begins_with_its_piece_is_checked() -> None:
    framing = RequestFraming()
    assert pieces(framing, GET) == [GET]
    assert framing.begin_message()
    framing.end_message()
    assert not framing.begin_message(), "a second message in the same piece"


def test_a_chunked_body_costs_a_bounded_number_of_cuts() -> None:
    framing = RequestFraming()
    pieces(framing, POST)
    framing.begin_body(None)
    assert len(pieces(framing, b"\r\n\r\n" * 10_000)) <= 65


def test_a_line_without_end_is_bounded() -> None:
    framing = RequestFraming()
    for _ in range(16):
        assert framing.cut(b"a" * 16_384) is not None
    assert framing.cut(b"a" * 16_384) is None
