"""Run every ``*.scenario`` file of this folder; its text is the failure message."""

from pathlib import Path

import pytest

from tests.scenarios.grammar import ScenarioError, parse
from tests.scenarios.runner import Runner, ScenarioDiffers

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.scenario"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    complaint = None
    try:
        Runner(parse(path)).play()
    except ScenarioDiffers as difference:
        complaint = str(difference)
    if complaint is not None:
        pytest.fail(complaint, pytrace=False)


def test_titles_are_unique_sentences() -> None:
    assert len(FILES) >= 25
    titles = [parse(path).title for path in FILES]
    assert len(set(titles)) == len(titles)
    assert all(title.endswith(".") for title in titles)


def a_scenario(tmp_path: Path, text: str) -> Runner:
    path = tmp_path / "some.scenario"
    path.write_text(text, encoding="utf-8")
    return Runner(parse(path))


GOOD = """# The offer is not answered.
00:00  queue support offer_timeout=15s cool_down=30s
00:00  agent ada ready
00:05  contact c1 enters support
       > offer c1 to ada until 00:20
00:20  > offer c1 to ada expired
       > agent ada not_ready (rona)
       > contact c1 queued, waiting 15s
"""


@pytest.mark.parametrize(
    ("said", "instead", "marked", "complaint"),
    [
        ("until 00:20", "until 00:21", "offer c1 to ada until 00:21", "instead: offer c1 to ada"),
        ("       > agent ada not_ready (rona)\n", "", "00:20  > offer c1", "also happened: agent ada"),
        ("00:20  >", "00:25  >", "00:25  > offer c1", "before it, at 00:20: offer c1 to ada expired"),
        ("enters support", "enters nowhere", "contact c1 enters", "instead: refused"),
        ("agent ada ready", "agent ada awake", "agent ada awake", "an agent is ready"),
        ("offer_timeout=15s", "offer_timeout=soon", "offer_timeout=soon", "is not a duration"),
        ("offer_timeout=15s", "time_out=15s", "time_out=15s", "time_out is unknown here"),
    ],
)
def test_a_difference_is_shown_in_the_scenarios_own_text(
    tmp_path: Path, said: str, instead: str, marked: str, complaint: str
) -> None:
    a_scenario(tmp_path, GOOD).play()
    with pytest.raises(ScenarioDiffers) as caught:
        a_scenario(tmp_path, GOOD.replace(said, instead)).play()
    lines = str(caught.value).splitlines()
    # A refused command is shown at the line that expects an event of it.
    place = next(number for number, line in enumerate(lines) if line.startswith(">>"))
    assert marked in lines[place] or marked in lines[place - 1]
    assert complaint in lines[place + 1]
    assert all(line in str(caught.value) for line in GOOD.replace(said, instead).splitlines())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("00:00  agent ada ready\n", ":1: a scenario starts with a comment"),
        ("# Title.\nagent ada ready\n", ":2: a line starts with a time"),
        ("# Title.\n00:05  agent ada ready\n00:04  agent ada ready\n", ":3: the time is before"),
        ("# Title.\n> offer c1 to ada\n", ":2: no command precedes"),
    ],
)
def test_an_invalid_scenario_is_rejected_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        a_scenario(tmp_path, text)
