"""Schemas with descriptions, from docstrings and from the common texts."""

import inspect
import subprocess
import sys
from enum import StrEnum
from typing import Annotated, Any

import pytest
from msgspec import Meta, Struct

from router.protocol import schemas
from router.protocol.schemas import FIELD_TEXTS, example_of, field_docs, portable_patterns, schemas_of


class Size(StrEnum):
    """Size of a parcel."""

    SMALL = "small"
    """Fits through a ``letter box``."""
    LARGE = "large"


class Parcel(Struct):
    """A parcel
    of a customer."""

    agent_id: str
    size: Size
    """How large
    it is."""
    note: str | None = None


class HeavyParcel(Parcel):
    """A parcel of more than 20 kg."""

    code: Annotated[str, Meta(pattern=r"^[a-z]+(?!\n)$")] = "x"
    """Code of the crane."""


def described(kind: Any) -> dict[str, Any]:
    (_,), components = schemas_of([kind], "#/components/schemas/{name}")
    return components


def test_fields_have_their_docstrings_those_of_bases_or_the_common_text() -> None:
    properties = described(HeavyParcel)["HeavyParcel"]["properties"]
    assert properties["code"]["description"] == "Code of the crane."
    assert properties["size"]["description"] == "How large it is."
    assert properties["agent_id"]["description"] == FIELD_TEXTS["agent_id"]
    assert "description" not in properties["note"]


def test_a_reference_with_a_description_is_wrapped() -> None:
    size = described(Parcel)["Parcel"]["properties"]["size"]
    assert size["allOf"] == [{"$ref": "#/components/schemas/Size"}] and "$ref" not in size


def test_classes_and_values_of_enums_are_described_in_markdown() -> None:
    components = described(Parcel)
    assert components["Parcel"]["description"] == "A parcel of a customer."
    assert components["Size"]["description"] == ("Size of a parcel.\n\n* `small`: Fits through a `letter box`.\n* `large`")


def test_patterns_lose_the_lookahead_that_only_python_needs() -> None:
    pattern = described(HeavyParcel)["HeavyParcel"]["properties"]["code"]["pattern"]
    assert pattern == "^[a-z]+$"
    assert portable_patterns({"text": "(?!\\n)$"}) == {"text": "(?!\\n)$"}


def test_without_sources_there_are_no_field_docs(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_source(module: Any) -> str:
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", no_source)
    schemas._docs_of_module.cache_clear()
    try:
        assert field_docs(Parcel) == {}
    finally:
        schemas._docs_of_module.cache_clear()


def test_importing_the_route_table_reads_no_sources() -> None:
    code = (
        "import router.server.http.docs_pages, router.protocol.asyncapi, router.protocol.schemas as s;"
        "print(s._docs_of_module.cache_info().currsize)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout.strip() == "0"


class Inventory(Struct, kw_only=True):
    parcel: Parcel
    maybe: Parcel | None
    size: Size
    count: Annotated[int, Meta(ge=3)]
    balance: int
    is_open: bool
    share: float
    sentence: str
    by_name: dict[str, int]
    nothing: None
    parcels: list[Parcel]
    numbers: tuple[int, ...]
    anything: Any
    left_out: int = 7


def test_an_example_has_the_shortest_value_of_each_required_field() -> None:
    parcel = example_of(Parcel)
    assert set(parcel) == {"agent_id", "size"}
    assert parcel["size"] == "small"
    assert example_of(Inventory) == {
        "parcel": parcel,
        "maybe": parcel,
        "size": "small",
        "count": 3,
        "balance": 0,
        "is_open": False,
        "share": 0.0,
        "sentence": "text",
        "by_name": {},
        "nothing": None,
        "parcels": [parcel],
        "numbers": [],
        "anything": {},
    }
