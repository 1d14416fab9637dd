"""Charts of comparisons: well-formed, complete, and the same bytes for the same comparison."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import structs

from router.simulator.results.chart import comparison_chart
from router.simulator.results.comparison import Comparison
from router.simulator.run import SimulationSpec
from router.simulator.what_if import POLICIES_MAX, what_if

SHIPPED = Path(__file__).parents[3] / "benchmarks" / "scenarios" / "what_if"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Return the comparison of the shipped day and its two policies."""
    policies = [str(SHIPPED / f"{name}.yaml") for name in ("longest_idle", "spare_the_few")]
    return what_if(SimulationSpec(workload=str(SHIPPED / "day.yaml"), audit=False), policies)


def drawn(comparison: Comparison) -> ElementTree.Element:
    """Parse the chart with the XML parser of the standard library."""
    return ElementTree.fromstring(comparison_chart(comparison))


def words(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def renamed(comparison: Comparison, *names: str) -> Comparison:
    """Return a comparison with one policy per name, all with the values of the first policy."""
    first = comparison.policies[0]
    return structs.replace(comparison, policies=tuple(structs.replace(first, name=name) for name in names))


def test_every_policy_is_in_the_legend_and_has_a_curve_in_every_panel(comparison: Comparison) -> None:
    names = [f"policy-{n}" for n in range(POLICIES_MAX)]
    root = drawn(renamed(comparison, *names))
    assert set(names) <= set(words(root))
    curves = list(root.iter(f"{SVG}path"))
    assert len(curves) == 3 * len(names)
    looks = {(c.get("stroke"), c.get("stroke-dasharray")) for c in curves}
    assert len(looks) == len(names)


def test_panels_and_axes_have_titles_and_units(comparison: Comparison) -> None:
    said = " ".join(words(drawn(comparison)))
    for word in ("Waits", "seconds", "Service level", "30 minutes", "Occupancy", "hours", "100 %"):
        assert word in said
    assert "threshold 20 s" in said
    assert "two-languages" in said


def test_the_same_comparison_gives_the_same_bytes(comparison: Comparison) -> None:
    assert comparison_chart(comparison) == comparison_chart(structs.replace(comparison))
    assert comparison_chart(comparison) != comparison_chart(renamed(comparison, "longest_idle", "spare_the_few"))


def test_names_cannot_break_the_document(comparison: Comparison) -> None:
    nasty = ["</text><script>", 'a & "b"', "nul\x00esc\x1b", "x" * 200]
    root = drawn(renamed(comparison, *nasty))
    assert list(root.iter(f"{SVG}script")) == []
    said = words(root)
    assert nasty[0] in said
    assert nasty[1] in said
    assert "nul?esc?" in said
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert nasty[3] in titles
    assert nasty[3] not in said


def test_a_day_without_answered_contacts_can_be_drawn(comparison: Comparison) -> None:
    first = comparison.policies[0]
    course = structs.replace(
        first.profile,
        wait_quantiles_s=(),
        service_level=(None,) * len(first.profile.contacts),
        occupancy=(None, 0.5) * (len(first.profile.contacts) // 2),
    )
    silent = structs.replace(first, name="silent", profile=course)
    root = drawn(structs.replace(comparison, policies=(silent, silent)))
    paths = [path.get("d") or "" for path in root.iter(f"{SVG}path")]
    assert len(paths) == 2  # Only the occupancy curves.
    assert all("L" not in path for path in paths)  # Interrupted at every missing value.


def test_every_coordinate_is_within_the_document(comparison: Comparison) -> None:
    root = drawn(comparison)
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    for mark in root.iter(f"{SVG}text"):
        assert 0 <= float(mark.get("x") or -1) <= width
        assert 0 <= float(mark.get("y") or -1) <= height


@pytest.mark.parametrize("hours", [0.5, 10, 24, 48, 400])
def test_no_axis_has_too_many_ticks(comparison: Comparison, hours: float) -> None:
    policies = tuple(
        structs.replace(
            one,
            profile=structs.replace(
                one.profile,
                interval_s=hours * 3600 / len(one.profile.contacts),
                wait_quantiles_s=tuple(w * hours * 10 for w in one.profile.wait_quantiles_s),
            ),
        )
        for one in comparison.policies
    )
    said = words(drawn(structs.replace(comparison, policies=policies)))
    assert 2 <= len([word for word in said if ":" in word and word[0].isdigit()]) <= 2 * 13
    plain = [word for word in said if word.replace(".", "").isdigit()]
    assert 2 <= len(plain) <= 13
