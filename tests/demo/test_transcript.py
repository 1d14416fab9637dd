"""How the transcript of the story lays documents out, and what it says about statements that do not hold."""

import io
import json

from rich.console import Console

from router.demo.transcript import COLUMNS, Transcript, document_lines


def transcript() -> tuple[Transcript, io.StringIO]:
    out = io.StringIO()
    return Transcript(Console(file=out, width=20)), out


def test_a_document_that_fits_stands_on_one_line() -> None:
    assert document_lines({"a": [1, True, None], "b": {"c": "d"}}, 0, 40) == ['{"a": [1, true, null], "b": {"c": "d"}}']


def test_a_longer_document_is_laid_out_within_the_columns_and_stays_the_same() -> None:
    value = {
        "options": [{"id": f"option {number}", "wait_s": {"p50": number, "p90": 2 * number}} for number in range(9)],
        "x": [],
        "y": {},
    }
    for columns in (60, 80, COLUMNS):
        lines = document_lines(value, 10, columns)
        assert max(map(len, lines)) + 10 <= columns
        assert json.loads("".join(lines)) == value


def test_long_ids_and_tokens_are_cut_and_other_words_are_not() -> None:
    value = {
        "id": "c_0123456789abcdef0123456789abcdef",
        "token": "rct_" + "A" * 32,
        "text": "a text of many words, longer than an id",
    }
    (line,) = document_lines(value, 0, 200)
    assert json.loads(line) == {"id": "c_0123456789…", "token": "rct_AAAAAAAA…", "text": value["text"]}


def test_a_statement_that_does_not_hold_is_printed_with_both_values() -> None:
    told, out = transcript()
    told.check("the offer goes to ada", "ada", "ben")
    told.check("the card is complete", "complete", "complete")
    assert not told.summary()
    assert told.differences == ["the offer goes to ada"] and told.checks == 2
    said = out.getvalue()
    assert '  NOT AS TOLD  the offer goes to ada\n      told: "ada"\n      here: "ben"\n  ok  the card is complete\n' in said
    assert "1 of 2 statements\n  the offer goes to ada\n" in said


def test_a_story_that_ends_early_is_not_as_told() -> None:
    told, out = transcript()
    told.check("the offer goes to ada", "ada", "ada")
    told.abort("no router answers")
    assert not told.summary()
    assert "THE STORY ENDS HERE  no router answers" in out.getvalue()
