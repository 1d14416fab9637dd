"""``router report``: one page with pictures and tables, without anything from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.support.command_line import error_line, run_command

VOID = {"meta"}
CONTACTS = """\
arrival,queue,handle_s,patience_s,wait_s,agent_id
2026-03-10T08:00:00Z,calls,60,,10,ada
2026-03-10T08:01:00Z,calls,150,,30,bob|smith
2026-03-10T08:02:00Z,calls,,25,,
2026-03-10T10:05:00Z,chats,80,,0,ada
"""
AGENTS = "agent_id,shifts\nada,2026-03-10T08:00:00Z/2026-03-10T10:30:00Z\nbob|smith,2026-03-10T08:00:00Z/2026-03-10T10:30:00Z\n"


class _Page(HTMLParser):
    """Elements of a page, with a check that each one is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def count(self, tag: str) -> int:
        return sum(1 for name, _ in self.elements if name == tag)


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    (tmp_path / "c.csv").write_text(CONTACTS)
    (tmp_path / "a.csv").write_text(AGENTS)
    return ["--log", f"contacts:{tmp_path}/c.csv", "--log", f"agents:{tmp_path}/a.csv"]


def page(tmp_path: Path, *arguments: str) -> str:
    result = run_command("report", *arguments, "-o", str(tmp_path / "day.html"))
    assert result.exit_code == 0, result.stderr
    return (tmp_path / "day.html").read_text()


def test_the_page_is_one_file_that_loads_and_runs_nothing(tmp_path: Path, sources: list[str]) -> None:
    text = page(tmp_path, *sources)
    found = _Page(text)
    assert found.open == []
    assert not {"script", "link", "img", "iframe", "object"} & {name for name, _ in found.elements}
    assert not any({"src", "href", "srcset", "onclick"} & attributes.keys() for _, attributes in found.elements)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert "prefers-color-scheme: dark" in text
    assert text == page(tmp_path, *sources), "the same day gives the same bytes"


def test_every_picture_has_a_name_a_description_and_a_table(tmp_path: Path, sources: list[str]) -> None:
    text = page(tmp_path, *sources)
    found = _Page(text)
    assert found.count("svg") == found.count("figure") == found.count("details") == 4
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    for name, attributes in found.elements:
        if name == "svg":
            assert attributes["role"] == "img"
            assert set(str(attributes["aria-labelledby"]).split()) <= ids
    assert all(attributes.get("scope") in ("col", "row") for name, attributes in found.elements if name == "th")
    assert found.count("caption") == found.count("table") == 4 + 3  # Queues, channels, agents.
    assert "Contacts by interval: submitted between 0 at 08:30 and 3 at 08:00" in text


def test_figures_are_in_the_tiles_and_tables(tmp_path: Path, sources: list[str]) -> None:
    text = page(tmp_path, *sources)
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    assert tiles["contacts"] == "4"
    assert tiles["abandoned"] == "1 (25.0%)"
    assert tiles["service level"] == "50.0%"
    assert '<th scope="row">bob|smith</th><td>1</td><td>1</td><td>2:30</td>' in text
    assert '<th scope="row">chats</th><td>1</td><td>1</td><td>0</td>' in text
    assert "computed from the waits and handle times of the log" in text


def test_a_report_needs_a_log_it_can_count(tmp_path: Path, sources: list[str]) -> None:
    assert run_command("report", "-o", str(tmp_path / "x.html")).exit_code == 2
    refused = run_command("report", "--log", f"journal:{tmp_path}/none.db", "-o", str(tmp_path / "x.html"))
    assert "does not exist" in error_line(refused)
    mixed = run_command("report", *sources, "--log", "journal:x.db", "-o", str(tmp_path / "x.html"))
    assert "a report of a journal has one --log" in error_line(mixed)
