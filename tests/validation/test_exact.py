"""Exact results and a published table, reproduced by the production engine in virtual time.

Every case runs once with a fixed seed. Of 95 % intervals, one in twenty does not contain the true value. A value may therefore lie
up to one and a half half-widths away (99.7 % of a correct simulation do), and one value of a case outside its interval.
"""

import pytest

from tests.validation.cases import CASES, Case, findings
from tests.validation.markov_chain import solve
from tests.validation.print_tables import EXPLANATION, row

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # A case is up to 45 s of computation.

DEVIATION_MAX = 1.5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.workload)
def test_the_expected_values_lie_within_the_confidence_intervals(case: Case) -> None:
    report = case.run()
    assert report.unfinished == 0
    for finding in findings(case, report):
        assert finding.deviation <= DEVIATION_MAX, finding
    page = (EXPLANATION / "validation.md").read_text()
    assert [row(finding) for finding in findings(case, report) if row(finding) not in page] == [], "print the table again"
    inside = [finding.deviation <= 1 for finding in findings(case, report)]
    assert sum(inside) >= len(inside) - 1


@pytest.mark.parametrize("rule", ["longest_idle", "least_flexible", "weighted_random"])
def test_the_expected_values_of_the_n_system_follow_from_its_markov_chain(rule: str) -> None:
    case = next(case for case in CASES if case.workload == f"n_system_{rule}")
    chain = solve(rule)
    minutes = [60 * wait for wait in chain.wait]
    solved = [*minutes, *chain.lost, *chain.busy]
    assert solved == pytest.approx([value.expected for value in case.expected_values], rel=1e-5)
