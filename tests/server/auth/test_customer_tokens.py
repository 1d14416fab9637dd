"""Which workspaces a router begins with for the token of a customer that it does not know."""

from types import SimpleNamespace
from typing import Any

import pytest

from router.server.auth.credentials import CUSTOMER_TOKEN_PREFIX, AuthFailed, TokenNotFollowed
from router.server.auth.customer_tokens import UNMARKED_MAX, UNMARKED_S, CustomerTokens, new_token

MADE_UP = CUSTOMER_TOKEN_PREFIX + "x" * 32


class WriterStub:
    """Has no token; counts how often it is asked."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000
        self.clock = SimpleNamespace(now_ms=lambda: self.now_ms)
        self.asked = 0

    def token_holder(self, digest: bytes) -> None:
        self.asked += 1


def begun(tokens: CustomerTokens, token: str) -> list[str]:
    with pytest.raises(TokenNotFollowed) as raised:
        tokens.verify(token)
    return list(raised.value.workspaces)


def test_tokens_without_a_mark_let_a_router_begin_with_few_workspaces_in_turn() -> None:
    names = [f"w{number:03}" for number in range(50)]
    writer: Any = WriterStub()
    tokens = CustomerTokens(writer, lambda: names)
    found = []
    for _ in range(4):
        found += begun(tokens, MADE_UP)
        assert begun(tokens, MADE_UP) == [], "no more in the same minute"
        writer.now_ms += UNMARKED_S * 1000
    assert found == (names + names)[: 4 * UNMARKED_MAX], "each is reached"
    writer.now_ms = 0
    assert len(begun(tokens, MADE_UP)) == UNMARKED_MAX, "after a step back of the clock, too"


def test_a_token_with_a_mark_lets_a_router_begin_with_its_workspace_only() -> None:
    names = [f"w{number:03}" for number in range(50)]
    writer: Any = WriterStub()
    tokens = CustomerTokens(writer, lambda: names)
    assert begun(tokens, new_token("w007")) == ["w007"]
    assert writer.asked == 1, "the workspaces are searched once"
    names.remove("w007")
    for token in (new_token("w007"), CUSTOMER_TOKEN_PREFIX + "short"):
        with pytest.raises(AuthFailed):
            tokens.verify(token)
