"""``router customer`` and ``router journey`` against a running router."""

import csv
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from tests.support.command_line import run_command
from tests.support.router_process import RouterProcess


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path_factory.mktemp("router"), context__region="DE").start()
    yield process
    process.kill()


def run(router: RouterProcess, group: str, *arguments: str, text: str | None = None) -> Result:
    return run_command(group, "--url", router.url, "--token", router.token("admin"), *arguments, text=text)


def found(router: RouterProcess, name: str) -> list[dict[str, object]]:
    done = run(router, "customer", "search", name, "--json")
    assert done.exit_code == 0, done.output
    return list(msgspec.json.decode(done.stdout)["customers"])


def test_a_csv_file_is_imported_and_the_same_file_again_changes_nothing(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "crm.csv"
    lines = [f"Person{number} Csv,gold,4{number},+49151123456{number:02d}" for number in range(30)]
    lines.insert(3, "Canary Wrong,gold,,CANARY")
    lines.insert(5, "Too,few")
    file.write_text("name,tier,external:crm,phone\n" + "\n".join(lines) + "\n")
    done = run(router, "customer", "import", str(file))
    assert done.exit_code == 1
    assert "30 customers stored, 30 of them new; 2 lines not valid" in done.stdout
    assert "line 5: identities[0].value: " in done.stderr and "line 7: has 2 columns" in done.stderr
    assert "CANARY" not in done.stderr and "Canary" not in done.stderr
    again = run(router, "customer", "import", str(file))
    assert "30 customers stored, 0 of them new" in again.stdout
    assert len(found(router, "person7 csv")) == 1 and not found(router, "canary")


def test_an_import_goes_on_where_it_was_interrupted(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "crm.ndjson"
    file.write_text(
        "".join(
            f'{{"name": "Line{number} Ndjson", "identities": [{{"type": "app_user", "value": "n-{number}"}}]}}\n'
            for number in range(5)
        )
    )
    refused = run(router, "customer", "import", str(file), "--resume")
    assert refused.exit_code == 1 and "no interrupted import" in refused.stderr
    (tmp_path / "crm.ndjson.position").write_text(f"3 {file.stat().st_size}\n")
    done = run(router, "customer", "import", str(file), "--resume")
    assert done.exit_code == 0 and "2 customers stored, 2 of them new" in done.stdout
    assert not (tmp_path / "crm.ndjson.position").exists()
    assert not found(router, "line1 ndjson") and len(found(router, "line4 ndjson")) == 1


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_an_export_can_be_imported_into_another_router(router: RouterProcess, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "one.ndjson"
    source.write_text('{"name": "Ann, \\"Export\\"", "identities": [{"type": "email", "value": "ann@example.org"}]}\n')
    assert run(router, "customer", "import", str(source)).exit_code == 0
    file = tmp_path / f"all.{kind}"
    done = run(router, "customer", "export", str(file))
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "ann@example.org" in file.read_text()
    if kind == "csv":
        with file.open(newline="") as lines:
            names = [row["name"] for row in csv.DictReader(lines)]
        assert names.count('Ann, "Export"') == 1
    other = RouterProcess(tmp_path / "other").start()
    try:
        imported = run(other, "customer", "import", str(file))
        assert imported.exit_code == 0, imported.output
        assert [one["name"] for one in found(other, "ann export")] == ['Ann, "Export"'] or found(other, "ann")
    finally:
        other.kill()


def test_a_customer_is_shown_merged_and_erased(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "two.ndjson"
    file.write_text('{"name": "Merge One", "app_user": "m-1"}\n{"name": "Merge Two", "phone": "+4930123456"}\n')
    assert run(router, "customer", "import", str(file)).exit_code == 0
    one, two = (str(found(router, name)[0]["customer_id"]) for name in ("merge one", "merge two"))
    shown = run(router, "customer", "show", two)
    assert shown.exit_code == 0 and "Merge Two" in shown.stdout and "+4930123456" not in shown.stdout
    by_value = run(router, "customer", "search", "--identity", "phone", "--json", text="030 123456\n")
    assert [each["customer_id"] for each in msgspec.json.decode(by_value.stdout)["customers"]] == [two]
    merged = run(router, "customer", "merge", one, two)
    assert merged.exit_code == 0 and merged.stdout.startswith("m_")
    journey = run(router, "journey", "tail", one)
    assert journey.exit_code == 0 and journey.stdout == ""
    assert run(router, "customer", "erase", one, text="n\n").exit_code == 1
    erased = run(router, "customer", "erase", one, "--yes")
    assert erased.exit_code == 0 and erased.stdout == f"{one}: erased\n"
    gone = run(router, "customer", "show", two)
    assert gone.exit_code == 1 and "customer_erased" in gone.stderr
