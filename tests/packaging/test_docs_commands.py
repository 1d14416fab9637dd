"""Every command of the documentation: run as printed, or listed with the reason why not; every `router` line is parsed."""

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest

from router.cli import cli
from router.cli.customers import PrefixedIdType
from router.cli.options import DirectoryPath, FilePath
from tests.simulator.formats.test_vanad import VANAD
from tests.support.terminal_session import REPOSITORY, TerminalSession

PAGES: Final = sorted(
    [
        *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md")),
        *REPOSITORY.glob("docs/**/*.md"),
        *(REPOSITORY / folder / "README.md" for folder in ("benchmarks", "deploy", "requirements")),
    ]
)
PROGRAMS: Final = ("api", "cat", "cd", "curl", "docker", "export", "make", "mv", "promtool", "python", "router", "sudo", ".")
_BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

# Pages whose blocks a test elsewhere types word for word.
TYPED_ELSEWHERE: Final = {
    "README.md": "tests/packaging/test_readme.py",
    "docs/tutorial/first-centre.md": "tests/packaging/test_tutorial.py",
    "docs/tutorial/first-customer.md": "tests/packaging/test_customer_tutorial.py",
    "docs/how-to/analyse.md": "tests/packaging/test_analysis_page.py",
    "docs/how-to/recovery.md": "tests/acceptance/test_backup.py",
    "docs/how-to/clock.md": "tests/acceptance/test_backup.py",
    "docs/how-to/supervise.md": "tests/acceptance/http/test_bulk.py",
    "docs/how-to/supervisor-program.md": "tests/acceptance/stories/test_monday.py",
    "docs/how-to/tokens.md": "tests/packaging/test_tokens_page.py",
    "docs/how-to/workspaces.md": "tests/acceptance/http/test_workspaces.py",
    "docs/how-to/policy-versions.md": "tests/acceptance/http/test_policy_versions.py",
    "docs/how-to/customer-keys.md": "tests/acceptance/http/test_customer_keys.py",
    "docs/how-to/cluster.md": "tests/acceptance/cluster/test_rolling_restart.py",
}
# First lines of blocks that no test types, with the reason.
NOT_TYPED: Final = {
    'delimiter: ";"                     # default ,': "tests/simulator/formats/test_mapped_csv.py reads the block",
    "make            # list the targets": "the tests are part of these targets",
    "make run                 # or: router demo": "runs for minutes; tests/demo runs the command",
    "make bench                                                # all, in their short form: about twelve minutes": "runs for long; "
    "tests/benchmarks runs the scripts",
    "docker build -t contact-router:0.1.0 .": "needs a container engine; tests/packaging/test_dockerfile.py carries the steps out",
    "docker run --rm -v router-data:/var/lib/router contact-router:0.1.0 verify /var/lib/router/journal.db": "the same",
    "export ROUTER_HOST=desk.example.com GRAFANA_PASSWORD=change-me": "needs a container engine",
    "sudo useradd --system --home-dir /var/lib/contact-router --shell /usr/sbin/nologin router": "changes the machine",
    "sudo /opt/router/bin/router init /tmp/centre": "changes the machine; tests/cli/test_serve.py tests the command",
    "sudo cp deploy/systemd/contact-router.service /etc/systemd/system/": "needs systemd; test_deploy.py checks the unit",
    "promtool check config deploy/prometheus/prometheus.yml": "test_deploy.py runs both, where promtool is installed",
    "python -m tests.validation.print_tables": "runs for an hour; tests/validation computes the same tables",
    "router serve --accept-history-loss": "tests/acceptance/test_history_loss.py runs it on a damaged journal",
    "router serve --data /var/lib/router --config /etc/router/router.yaml": "tests/packaging/test_wheel.py starts a router like it",
}


def blocks(page: Path) -> Iterator[str]:
    """Yield the shell blocks of a page: marked as such, or beginning with a program."""
    for language, text in _BLOCK.findall(page.read_text()):
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        if language in ("sh", "bash") or (not language and lines and lines[0].split(" ")[0] in PROGRAMS):
            yield text


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def block(page: str, first: str) -> str:
    """Return the block of a page that begins with a text, without the comments at the ends of lines."""
    (found,) = [text for text in blocks(REPOSITORY / page) if text.startswith(first)]
    return found


# Blocks that the tests below type, by page and beginning.
TYPED: Final = (
    ("docs/reference/http-api.md", "router serve --data var &"),
    ("docs/reference/http-api.md", "api $ADMIN -X PATCH"),
    ("docs/how-to/transfers.md", "api $ADA -X POST localhost:8080/v1/contacts/$C/consult "),
    ("docs/how-to/transfers.md", "api $ADA   -X POST localhost:8080/v1/contacts/$C/conference"),
    ("docs/how-to/callbacks.md", "api $GW localhost:8080/v1/contacts "),
    ("docs/how-to/callbacks.md", "api $GW -X POST localhost:8080/v1/contacts/$C/callback/claim "),
    ("docs/how-to/app-to-agent.md", "ASKED="),
    ("docs/reference/cli.md", "cat > crm.csv"),
    ("docs/how-to/shadow.md", "router shadow put tomorrow.yaml"),
    ("docs/how-to/shadow.md", "router shadow --journal"),
    ("docs/how-to/simulator.md", "router simulate --workload"),
    ("docs/how-to/what-if.md", "cd benchmarks/scenarios/what_if"),
    ("docs/how-to/loadtest.md", "router loadtest --log vanad:monday.csv"),
)


def test_every_block_is_typed_by_a_test_or_listed_with_a_reason() -> None:
    unknown = []
    for page in PAGES:
        if name_of(page) in TYPED_ELSEWHERE:
            test = REPOSITORY / TYPED_ELSEWHERE[name_of(page)]
            assert page.name in test.read_text() or name_of(page) in test.read_text()
            continue
        for text in blocks(page):
            is_typed = any(name_of(page) == one and text.startswith(first) for one, first in TYPED)
            if not is_typed and text.split("\n")[0] not in NOT_TYPED:
                unknown.append(f"{name_of(page)}: {text.splitlines()[0]}")
    assert not unknown


# --- every `router` line is one that the command accepts -----------------------------------------------


def command_lines() -> Iterator[tuple[str, str, bool]]:
    """Yield (page, line, whether it is complete) for each ``router`` command; those within a sentence may be a name only."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        indented = re.findall(r"^ {4}(router [a-z][^\n]*)$", text, re.MULTILINE)
        fenced = [line for one in blocks(page) for line in one.replace("\\\n", " ").splitlines() if line.startswith("router ")]
        for line in (*indented, *fenced):
            yield name_of(page), line, True
        for line in re.findall(r"\$\((router [^)]*)\)", text):
            yield name_of(page), line, True
        for line in re.findall(r"`(router [a-z][^`\n]*)`", text):
            yield name_of(page), line, False


def words_of(line: str) -> list[str]:
    """Return the arguments of a line as a shell would split it, without comment, pipe and redirection."""
    try:
        words = shlex.split(line, comments=True)[1:]
    except ValueError:
        raise AssertionError(f"not a shell line: {line}") from None
    for i, word in enumerate(words):
        if word in ("&", "|", "&&", "||", ">", "…"):
            return words[:i]
    return words


def parse(words: list[str]) -> None:
    """Parse a command line without running it; paths need not exist. Raises click.ClickException."""
    command: click.Command = cli
    context = command.make_context("router", list(words))
    while isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        name, found, rest = command.resolve_command(context, rest)
        assert name is not None and found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def test_every_router_command_is_one_that_the_command_line_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(self: Any, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value)

    # A path need not exist, and an id may be a variable of the shell.
    for kind in (click.Path, FilePath, DirectoryPath, PrefixedIdType):
        monkeypatch.setattr(kind, "convert", convert)
    refused, count = [], 0
    for page, line, is_complete in command_lines():
        if "COMMAND" in line or "--help" in line:
            continue
        try:
            parse(words_of(line))
        except (click.MissingParameter, click.BadOptionUsage) as error:
            if is_complete:
                refused.append(f"{page}: {line}: {error.format_message()}")
        except click.UsageError as error:
            refused.append(f"{page}: {line}: {error.format_message()}")
        count += 1
    assert not refused
    assert count > 60


# --- blocks that are typed -----------------------------------------------------------------------------


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TerminalSession]:
    session = TerminalSession(tmp_path)
    session.environment["PATH"] = f"{Path(sys.executable).parent}:{session.environment['PATH']}"
    yield session
    session.stop()


def start_router(reader: TerminalSession) -> None:
    reader.start("router serve --data var", "router.log")
    reader.wait_for('"action":"started"', "router.log")


def type_api(reader: TerminalSession, script: str) -> list[str]:
    """Type commands with the shell function ``api``; each answer must be a success. Return the answers, one for each line."""
    lines = block("docs/reference/http-api.md", "router serve").splitlines()
    function = next(line for line in lines if line.startswith("api()")).replace("curl -sS", "curl -sS -w '\\n'")
    (reader.directory / "id_of.py").write_text(ID_OF)
    printed = reader.type(f"{function}\n{script}")
    assert "/docs/errors#" not in printed, printed
    return printed.splitlines()


AGENTS: Final = """\
export ADMIN=$(router token --data var --role admin --subject me) CHIEF=$(router token --data var --role supervisor --subject chief)
export GW=$(router token --data var --role gateway --subject pbx)
export ADA=$(router token --data var --role agent --subject ada) BOB=$(router token --data var --role agent --subject bob)
export EVE=$(router token --data var --role agent --subject eve)
for name in ada bob eve; do api $ADMIN -X PUT localhost:8080/v1/agents/$name -d '{"skills": {"english": 8}}'; done
"""
ID_OF: Final = """\
import json, sys
answer = json.load(sys.stdin)
print(answer["offers"][0]["offer_id"] if "offers" in answer else answer["contact_id"])
"""
READY: Final = """api $%s -X POST localhost:8080/v1/agents/%s/state -d '{"state": "ready"}'\n"""
ANSWER: Final = """OFFER=$(api $%s localhost:8080/v1/agents/%s | python id_of.py)
api $%s -X POST localhost:8080/v1/offers/$OFFER/accept
"""
NEW_CONTACT: Final = """$(api $GW localhost:8080/v1/contacts -d '{"channel": "voice", "queue_id": "general"}' | python id_of.py)"""
CONTACT: Final = f"export C={NEW_CONTACT}\n"


@pytest.mark.slow
def test_the_example_of_the_http_api_works(reader: TerminalSession) -> None:
    start_router(reader)
    _, _, commands = block("docs/reference/http-api.md", "router serve").partition("\n")
    answers = type_api(reader, commands)
    assert '"offers"' in answers[-1]
    change = block("docs/reference/http-api.md", "api $ADMIN -X PATCH")
    # The example names facts of a policy of its own.
    change = change.replace('"verified": true, "tier": null', '"existing_customer": true, "tier": null')
    (answer,) = type_api(reader, AGENTS.split("\n", 1)[0] + "\nGW=$ADMIN\n" + CONTACT + change.replace("$CONTACT", "$C"))[-1:]
    assert '"contact_id"' in answer


@pytest.mark.slow
def test_the_consult_and_the_conference_work(reader: TerminalSession) -> None:
    start_router(reader)
    prepare = AGENTS + READY % ("ADA", "ada") + CONTACT + ANSWER % ("ADA", "ada", "ADA")
    consult = block("docs/how-to/transfers.md", "api $ADA -X POST localhost:8080/v1/contacts/$C/consult ")
    type_api(reader, prepare + READY % ("BOB", "bob") + consult)
    # Again, up to the moment at which the second block begins.
    begin, _, _ = consult.rpartition("api $ADA")
    again = CONTACT + ANSWER % ("ADA", "ada", "ADA") + READY % ("BOB", "bob") + READY % ("EVE", "eve") + begin
    finish = (
        "for a in $(api $ADA localhost:8080/v1/agents/ada | grep -o '[0-9a-f]*\\.1' | sort -u); do "
        "api $ADA -X POST localhost:8080/v1/assignments/$a/complete; done\n"
        'for a in $(api $BOB localhost:8080/v1/agents/bob | grep -o \'"assignment_id":"[^"]*\' | cut -d\'"\' -f4 | sort -u); do '
        "api $BOB -X POST localhost:8080/v1/assignments/$a/complete; done\n"
    )
    type_api(reader, finish + again + block("docs/how-to/transfers.md", "api $ADA   -X POST"))


@pytest.mark.slow
def test_the_callback_works(reader: TerminalSession) -> None:
    start_router(reader)
    script = block("docs/how-to/callbacks.md", "api $GW localhost:8080/v1/contacts ").replace('"support"', '"general"')
    claim = block("docs/how-to/callbacks.md", "api $GW -X POST localhost:8080/v1/contacts/$C/callback/claim ")
    submit, given, rest = script.partition("\nC=77e916e014576b869452a30f66ad4a44")
    assert given
    # The second call is accepted by an agent after a pause, which is not waited for.
    rest, _, _ = rest.partition("# Five minutes later")
    ready = READY % ("ADA", "ada") + ANSWER % ("ADA", "ada", "ADA")
    rest = rest.replace("# Ada accepts", f"{ready}{claim}api $GW localhost:8080/v1/contacts/$C\n# Ada accepts")
    answers = type_api(reader, f"{AGENTS}C=$({submit} | python id_of.py){rest}")
    assert any('"phase":"waiting"' in answer for answer in answers)
    assert any('"claimed_by":"pod-1"' in answer for answer in answers)
    assert '"phase":"retry"' in answers[-1]


@pytest.mark.slow
def test_the_request_of_a_customer_works(reader: TerminalSession) -> None:
    start_router(reader)
    answers = type_api(reader, AGENTS + READY % ("ADA", "ada") + block("docs/how-to/app-to-agent.md", "ASKED="))
    assert '"state":"choosing"' in answers[-3] and '"id":"now"' in answers[-3]
    assert '"state":"waiting"' in answers[-2]
    assert '"outcome":"left"' in answers[-1]


@pytest.mark.slow
def test_the_customer_commands_print_what_the_page_shows(reader: TerminalSession) -> None:
    start_router(reader)
    script = block("docs/reference/cli.md", "cat > crm.csv")
    printed = reader.type("exec 2>&1\n" + script)
    page = (REPOSITORY / "docs/reference/cli.md").read_text()
    (example,) = [text for _, text in _BLOCK.findall(page) if text.startswith("line 3: phone")]
    assert re.sub("c_[0-9a-f]{32}", "ID", printed) == re.sub("c_[0-9a-f]{32}", "ID", example)


@pytest.mark.slow
def test_the_shadow_commands_work(reader: TerminalSession) -> None:
    start_router(reader)
    reader.type("cp config/policy.yaml tomorrow.yaml")
    live = block("docs/how-to/shadow.md", "router shadow put")
    printed = reader.type(live.replace("/var/lib/router", "var"))
    assert "is active as the shadow policy" in printed and "is stopped" in printed
    reader.stop()
    reader.type("cp -a var backup")
    assert "default" in reader.type(block("docs/how-to/shadow.md", "router shadow --journal"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_simulations_work(reader: TerminalSession) -> None:
    page = (REPOSITORY / "docs/reference/workloads.md").read_text()
    contacts, agents = [text for _, text in _BLOCK.findall(page) if text.startswith(("arrival,queue", "agent_id,skills"))]
    for name, text in (("2014-03-10.csv", VANAD), ("day.csv", contacts), ("team.csv", agents)):
        (reader.directory / name).write_text(text)
    (reader.directory / "policy.yaml").write_text(DAY_POLICY)
    # The first line is a validation of two minutes, of which tests/validation runs a short form.
    _, _, logs = block("docs/how-to/simulator.md", "router simulate").partition("\n")
    assert "answered" in reader.type(logs.replace("config/policy.yaml", "policy.yaml"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_comparison_works_and_its_example_is_what_it_prints(reader: TerminalSession) -> None:
    scenarios = "benchmarks/scenarios/what_if"
    shutil.copytree(REPOSITORY / scenarios, reader.directory / scenarios)
    # A short log instead of a recorded day, which is not part of the repository, and a second policy for it.
    (reader.directory / scenarios / "2014-03-10.csv").write_text(VANAD)
    for name, selection in (("today", "longest_idle"), ("tomorrow", "round_robin")):
        text = f"channels: {{voice: {{}}}}\nskills: [s7, s8]\nqueues: {{q7: {{selection: {selection}}}, q8: {{}}}}\n"
        (reader.directory / scenarios / f"{name}.yaml").write_text(text)
    printed = reader.type(block("docs/how-to/what-if.md", "cd benchmarks/scenarios/what_if"))
    assert (reader.directory / scenarios / "day.svg").read_text().startswith("<svg")
    assert (reader.directory / scenarios / "compared.json").exists()
    page = (REPOSITORY / "docs/how-to/what-if.md").read_text()
    (example,) = [text for _, text in _BLOCK.findall(page) if text.startswith("two-languages")]
    rows = [" ".join(line.split()) for line in printed.splitlines()]
    wanted = [" ".join(line.split()) for line in example.splitlines() if line.startswith("│") and "statistic" not in line]
    assert len(wanted) > 6 and [line for line in wanted if line not in rows] == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_load_tests_work(reader: TerminalSession) -> None:
    """In a short form: a few minutes of a day at the speed that is printed."""
    start_router(reader)
    (reader.directory / "monday.csv").write_text("".join(VANAD.splitlines(keepends=True)[:5]))
    (reader.directory / "centre.yaml").write_text(SHORT_DAY)
    (reader.directory / "day.csv").write_text(
        "arrival,queue,handle_s,patience_s,skills\n0.0,support,30,,english:3\n12.5,sales,20,45.0,\n"
    )
    (reader.directory / "staff.csv").write_text("agent_id,skills,shifts\nada,english:6,0-600\nbob,english:5,0-600\n")
    reader.type(block("docs/how-to/loadtest.md", "router loadtest --log vanad:monday.csv"))
    assert '"violations":[]' in "".join((reader.directory / "report.json").read_text().split())


SHORT_DAY: Final = """\
name: short
duration_s: 60
streams:
  calls: {arrivals: {every_s: 10}, handle: {dist: constant, value_s: 15}}
agent_groups:
  desk: {count: 3}
"""

DAY_POLICY: Final = """\
channels: {voice: {}}
skills: [english, german]
queues: {support: {}, sales: {}}
"""
