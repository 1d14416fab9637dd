"""Tokens of rule expressions: the permitted subset and its limits."""

import pytest

from router.policy.expression_tokens import ExpressionError, tokenize


def kinds(text: str) -> list[tuple[str, str]]:
    return [(token.kind, token.text) for token in tokenize(text)]


def error_in(text: str) -> ExpressionError:
    with pytest.raises(ExpressionError) as caught:
        tokenize(text)
    return caught.value


def test_names_joined_by_dots_are_one_path() -> None:
    (token,) = tokenize("queues . support.waiting")
    assert (token.kind, token.text) == ("path", "queues.support.waiting")
    assert token.parts == ("queues", "support", "waiting")


def test_a_name_before_a_bracket_is_a_call() -> None:
    assert kinds('contact.tier.startsWith("g")') == [
        ("path", "contact.tier"),
        ("call", "startsWith"),
        ("sign", "("),
        ("text", '"g"'),
        ("sign", ")"),
    ]


def test_comments_and_layout_are_ignored() -> None:
    assert kinds("true // because\n && 1 < 2") == kinds("true&&1<2")


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("[1].exists(a, [2].all(b, true))", 18, "macros cannot be nested"),
        (".tier", 0, "a name cannot begin with a dot"),
        ("[1].tier", 3, "only a function call can follow"),
        ("{}", 0, "maps and messages are not allowed in rules"),
        ("now()", 0, "unknown function"),
        ("x.matches(y)", 2, "matches requires a literal pattern"),
    ],
)
def test_other_syntax_is_refused(text: str, offset: int, message: str) -> None:
    error = error_in(text)
    assert error.message.startswith(message)
    assert error.offset == offset


@pytest.mark.parametrize(
    ("allowed", "refused"),
    [
        ("true".ljust(1_000), "true".ljust(1_001)),
        ("!" * 299 + "true", "!" * 300 + "true"),
        ("(" * 16 + "true" + ")" * 16, "(" * 17 + "true" + ")" * 17),
        (f'matches("{"a" * 126}")', f'matches("{"a" * 127}")'),
        ('matches("a{100}")', 'matches("a{101}")'),
    ],
    ids=["length", "tokens", "depth", "pattern length", "pattern repetitions"],
)
def test_each_limit_is_inclusive(allowed: str, refused: str) -> None:
    assert tokenize(allowed)
    error_in(refused)
