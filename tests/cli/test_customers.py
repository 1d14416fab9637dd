"""``router customer`` and ``router journey`` against a running router."""

import csv
import os
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

import router.cli.customers as commands
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
    assert "line 5: phone: must be a telephone number" in done.stderr and "line 7: has 2 columns" in done.stderr
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
    source.write_text(
        '{"name": "Ann, \\"Export\\"", "identities": [{"type": "email", "value": "ann@example.org"}], '
        '"consents": {"advertising": {"granted": false, "at_ms": 1700000000000, "source": "letter"}}}\n'
    )
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
        (ann,) = (one for one in found(other, "ann") if "Export" in str(one["name"]))
        assert ann["name"] == 'Ann, "Export"'
        assert ann["consents"] == {"advertising": {"granted": False, "at_ms": 1700000000000, "source": "letter"}}
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
    merge_id = merged.stdout.partition(":")[0]
    undone = run(router, "customer", "unmerge", merge_id)
    assert (undone.exit_code, undone.stdout) == (0, f"{merge_id}: undone; the customers are {one} and {two} again\n")
    assert (
        "Merge Two" in run(router, "customer", "show", two).stdout
        and "merged into" not in run(router, "customer", "show", two).stdout
    )
    refused = run(router, "customer", "unmerge", one)
    assert (
        refused.exit_code == 2 and "a merge id is m_ and 32 hexadecimal digits; `router customer merge` prints it" in refused.stderr
    )
    assert run(router, "customer", "merge", one, two).exit_code == 0
    journey = run(router, "journey", "tail", one)
    assert journey.exit_code == 0 and journey.stdout == ""
    assert run(router, "customer", "erase", one, text="n\n").exit_code == 1
    erased = run(router, "customer", "erase", one, "--yes")
    assert erased.exit_code == 0 and erased.stdout == f"{one}: erased\n"
    gone = run(router, "customer", "show", two)
    assert gone.exit_code == 1 and "customer_erased" in gone.stderr


# --- files that are not as they should be ---------------------------------------------------------------


def test_one_bad_line_among_thousands_is_named_and_the_others_are_imported(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "crm.csv"
    lines = [f"Thousands {number},t-{number}" for number in range(2, 5_101)]
    lines[4_998] = "Canary,"
    file.write_text("name,external:crm\n" + "\n".join(lines) + "\n")
    done = run(router, "customer", "import", str(file))
    assert (done.exit_code, done.stdout) == (1, "5,098 customers stored, 5,098 of them new; 1 line not valid\n")
    said = done.stderr.splitlines()
    assert said[0] == "line 5000: identities: a customer needs at least one identity"
    assert said[1] == f"router: {file}: not everything was imported; correct the lines that are named, and import the file again"
    assert len(said) == 2


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_customer_with_many_identities_is_exported_and_imported(router: RouterProcess, tmp_path: Path, kind: str) -> None:
    source, file = tmp_path / "many.ndjson", tmp_path / f"all.{kind}"
    identities = [{"type": "app_user", "value": f"many-{kind}"}, *({"type": "device", "value": f"{kind}-{n}"} for n in range(30))]
    line = {"name": f"Many {kind}", "identities": identities, "email": f"many-{kind}@example.org"}
    source.write_bytes(msgspec.json.encode(line) + b"\n" + msgspec.json.encode({"name": "Too Many", "email": "no address"}))
    done = run(router, "customer", "import", str(source))
    assert done.stdout == "1 customer stored, 1 of them new; 1 line not valid\n", done.stderr
    assert "line 2: email: must be" in done.stderr
    assert run(router, "customer", "export", str(file)).exit_code == 0
    other = RouterProcess(tmp_path / "other").start()
    try:
        run(other, "customer", "import", str(file))
        (many,) = found(other, f"many {kind}")
        assert len(many["identities"]) == 32  # type: ignore[arg-type]
        again = run(other, "customer", "import", str(source))
        assert "1 customer stored, 0 of them new" in again.stdout
    finally:
        other.kill()


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_line_that_is_not_utf_8_is_not_imported(router: RouterProcess, tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"latin.{kind}"
    lines = {
        "csv": "name,external:crm\nJos\xe9 Latin,latin-1\nPlain Latin,latin-2\n",
        "ndjson": '\n{"name": "Jos\xe9 Latin", "external:crm": "latin-1"}\n{"name": "Plain Latin", "external:crm": "latin-2"}\n',
    }
    file.write_bytes(lines[kind].encode("latin-1"))
    done = run(router, "customer", "import", str(file))
    assert done.exit_code == 1
    assert "line 2: is not UTF-8 text: save the file as UTF-8\n" in done.stderr
    assert [one["name"] for one in found(router, "latin")] == ["Plain Latin"]


def test_the_text_of_a_spreadsheet_in_utf_16_is_refused_as_a_whole(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "wide.csv"
    file.write_bytes("name,external:crm\nAnn,w-1\n".encode("utf-16"))
    done = run(router, "customer", "import", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"router: {file}: line 1 is not UTF-8 text: save the file as UTF-8\n"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("name,phnoe,external:crm", "column 2 (phnoe) is none of name, tier"),
        ("name;external:crm", "column 1 is none of name, tier"),
        ("name;external:crm", "columns are separated by commas, not by ';'"),
        ("Canary Miller,+49151123456", "column 1 is none of name, tier"),
        ("name,phone,phone", "line 1 must name the columns, each once"),
        ("name,members_count,phone", "column 2 (members_count) is none of name, tier"),
        ("", "the first line must name the columns"),
    ],
)
def test_a_file_with_other_columns_is_refused_before_anything_is_sent(
    router: RouterProcess, tmp_path: Path, header: str, said: str
) -> None:
    file = tmp_path / "crm.csv"
    file.write_text(f"{header}\nAnn Header,h-1,h-2\n" if header else "")
    done = run(router, "customer", "import", str(file))
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr and "Canary" not in done.stderr and "+49" not in done.stderr
    assert not found(router, "header")


def test_an_unknown_name_in_ndjson_is_a_fault_of_its_line(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "crm.ndjson"
    file.write_text(
        '{"name": "Ann Unknown", "phnoe": "1", "app_user": "u-1"}\n{"name": "Canary", "+49 151 123456": "1"}\n'
        '{"name": 5, "app_user": "u-2"}\n{"identities": [{"type": "fax", "value": "1"}]}\n'
    )
    done = run(router, "customer", "import", str(file))
    assert done.exit_code == 1
    said = done.stderr.splitlines()
    types = "must be phone, email, app_user, device, cookie, social:<name> or external:<name>"
    assert said[:4] == [
        f"line 1: phnoe: is no field of a profile; an identity {types}",
        f"line 2: is no field of a profile; an identity {types}",
        "line 3: name: must be text of 0 to 128 characters",
        f"line 4: identities[0].type: {types}",
    ]


def test_an_open_quotation_mark_spoils_its_lines_only(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "crm.csv"
    file.write_text('name,app_user\nFirst Quote,q-1\n"Second "Quote",q-2\nThird Quote,q-3\n"Fourth Quote,q-4\nFifth Quote,q-5\n')
    done = run(router, "customer", "import", str(file))
    assert done.exit_code == 1 and done.stdout.startswith("2 customers stored, 2 of them new; 2 lines not valid")
    assert "line 3: is not CSV: quotes must be doubled and closed" in done.stderr
    assert "line 5: is not CSV up to line 6: " in done.stderr
    assert sorted(str(one["name"]) for one in found(router, "quote")) == ["First Quote", "Third Quote"]


def test_a_pipe_is_imported_but_cannot_be_resumed(router: RouterProcess) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as sender:
        sender.write(b"name,app_user\nAnn Piped,p-1\n")
    done = run(router, "customer", "import", f"/dev/fd/{reading}", "--format", "csv")
    assert (done.exit_code, done.stdout) == (0, "1 customer stored, 1 of them new; 0 lines not valid\n"), done.stderr
    refused = run(router, "customer", "import", f"/dev/fd/{reading}", "--format", "csv", "--resume")
    assert refused.exit_code == 1 and "is not a file that can be read again; start without --resume" in refused.stderr
    os.close(reading)


def test_an_import_from_a_place_that_cannot_be_written_says_that_it_cannot_be_resumed(
    router: RouterProcess, tmp_path: Path
) -> None:
    file = tmp_path / "crm.csv"
    file.write_text("name,app_user\nAnn Fixed,f-1\n")
    (tmp_path / "crm.csv.position").mkdir()
    done = run(router, "customer", "import", str(file))
    assert (done.exit_code, done.stdout) == (0, "1 customer stored, 1 of them new; 0 lines not valid\n"), done.stderr
    assert done.stderr == f"{file}.position: Is a directory; an interruption cannot be resumed\n"


def test_an_interrupted_import_says_where_it_goes_on(
    router: RouterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "crm.csv"
    file.write_text("name,app_user\n" + "".join(f"Stopped {number},s-{number}\n" for number in range(500)))
    put, count = commands._put, 0

    def interrupted(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > 2:
            raise KeyboardInterrupt
        return put(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(commands, "_put", interrupted)
    stopped = run(router, "customer", "import", str(file))
    assert stopped.exit_code == 1
    assert "stopped: everything up to line 401 is stored; --resume goes on there\n" in stopped.stderr
    monkeypatch.undo()
    done = run(router, "customer", "import", str(file), "--resume")
    assert (done.exit_code, done.stdout) == (0, "100 customers stored, 100 of them new; 0 lines not valid\n")


# --- exports to other places ------------------------------------------------------------------------------


def test_an_export_replaces_no_pipe_or_device_and_keeps_a_link(router: RouterProcess, tmp_path: Path) -> None:
    pipe, real, link = tmp_path / "pipe.csv", tmp_path / "real.csv", tmp_path / "link.csv"
    os.mkfifo(pipe)
    refused = run(router, "customer", "export", str(pipe))
    assert refused.exit_code != 0 and stat.S_ISFIFO(pipe.stat().st_mode)
    refused = run(router, "customer", "export", "/dev/null", "--format", "csv")
    assert refused.exit_code == 1 and refused.stderr == "router: /dev/null: is not a regular file; - writes to standard output\n"
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    real.write_text("old")
    link.symlink_to(real)
    assert run(router, "customer", "export", str(link)).exit_code == 0
    assert link.is_symlink() and real.read_text().startswith("customer_id,") and stat.S_IMODE(real.stat().st_mode) == 0o600


def test_an_export_to_standard_output_carries_customers_and_nothing_else(router: RouterProcess, tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("name,app_user\nAnn Stdout,o-1\n")
    run(router, "customer", "import", str(file))
    done = run(router, "customer", "export", "-", "--format", "ndjson")
    assert done.exit_code == 0
    assert "Ann Stdout" in [msgspec.json.decode(line)["name"] for line in done.stdout.splitlines()]
    assert done.stderr.endswith("written to standard output\n")
    assert run(router, "customer", "export", "-").exit_code == 2


@pytest.mark.parametrize("command", [("export", "-", "--format", "csv"), ("search", "ann", "--json")])
def test_output_that_cannot_be_written_is_one_line_and_no_traceback(router: RouterProcess, command: tuple[str, ...]) -> None:
    program = (sys.executable, "-m", "router", "customer", "--url", router.url, "--token", router.token("admin"), *command)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, "router: standard output: No space left on device\n")


# --- what is asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show", "erase", "merge", "tail"])
@pytest.mark.parametrize(
    "text", ["nonsense", "../agents/ada", "", "c_0123", "c_0123456789ABCDEF0123456789abcdef", "?unmasked=true"]
)
def test_what_is_no_customer_id_never_becomes_a_path(router: RouterProcess, command: str, text: str) -> None:
    other = ["c_0123456789abcdef0123456789abcdef"] if command == "merge" else []
    done = run(router, "journey" if command == "tail" else "customer", command, text, *other)
    assert done.exit_code == 2
    assert "a customer id is c_ and 32 hexadecimal digits; `router customer search` prints it" in done.stderr


def test_a_refusal_names_the_field_and_an_empty_result_says_so(router: RouterProcess, tmp_path: Path) -> None:
    short = run(router, "customer", "search", "a")
    assert short.exit_code == 1 and "invalid_value: name: must be text of 2 to 128 characters" in short.stderr
    kind = run(router, "customer", "search", "--identity", "fax", text="1\n")
    assert kind.exit_code == 1 and "identity.type: must be phone, email, app_user" in kind.stderr
    none = run(router, "customer", "search", "xyzzy")
    assert (none.exit_code, none.stdout, none.stderr) == (0, "", "no customer found\n")
    file = tmp_path / "one.csv"
    file.write_text("name,app_user\nAnn Quiet,quiet-1\n")
    run(router, "customer", "import", str(file))
    (quiet,) = found(router, "ann quiet")
    done = run(router, "journey", "tail", str(quiet["customer_id"]))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no steps\n")


def test_a_journey_is_followed_across_a_restart_of_the_router(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    site = RouterProcess(tmp_path / "site", server__port=port).start()
    file = tmp_path / "one.csv"
    file.write_text("name,app_user\nAnn Followed,f-7\n")
    assert run(site, "customer", "import", str(file)).exit_code == 0
    customer_id = str(found(site, "ann followed")[0]["customer_id"])

    def take(name: str) -> None:
        body = msgspec.json.encode({"steps": [{"customer_id": customer_id, "type": "page", "name": name}]})
        request = urllib.request.Request(f"{site.url}/v1/journey", data=body, headers={"Content-Type": "application/json"})
        request.add_header("Authorization", f"Bearer {site.token('gateway')}")
        urllib.request.urlopen(request, timeout=10).close()

    take("first")
    program = (
        sys.executable,
        "-m",
        "router",
        "journey",
        "--url",
        site.url,
        "--token",
        site.token("admin"),
        "tail",
        customer_id,
        "--follow",
    )
    follower = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None and follower.stderr is not None
        assert "page first" in follower.stdout.readline()
        site.kill()
        assert follower.stderr.readline().endswith("; trying again\n")
        site.start()
        take("second")
        assert "page second" in follower.stdout.readline()
    finally:
        follower.kill()
        follower.communicate()
        site.kill()
