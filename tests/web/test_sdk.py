"""The JavaScript client: its own tests in Node, its types, and the files generated from the structs of the protocol."""

import inspect
import json
import re
import runpy
from pathlib import Path
from typing import Final

import pytest

import router
from router.client import CustomerClient, DesktopClient, GatewayClient, SupervisorClient
from tests.support.node import REPOSITORY, TYPE_CHECKS, PackagesUnavailable, run_node, type_errors

TESTS: Final = Path(__file__).parent
SDK: Final = REPOSITORY / "src" / "router" / "web" / "sdk"
FILES: Final = sorted(TESTS.glob("*.test.js"))


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_in_node(file: Path) -> None:
    done = run_node("--test", "--test-timeout=20000", "--test-reporter=spec", str(file))
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    assert "pass 0\n" not in done.stdout


# What is another thing in JavaScript: listeners of `card` and `statistics`, and `drop`.
OTHERWISE: Final = {"card_updates", "statistics_updates", "drop_connection"}


@pytest.mark.parametrize(
    ("client", "files"),
    [
        (DesktopClient, ("client.js", "desktop.js")),
        (GatewayClient, ("client.js", "contact_commands.js", "gateway.js")),
        (SupervisorClient, ("client.js", "contact_commands.js", "supervisor.js")),
        (CustomerClient, ("client.js", "customer.js")),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else "",
)
def test_a_client_has_the_methods_of_the_python_client(client: type, files: tuple[str, ...]) -> None:
    defined = {name for file in files for name in re.findall(r"^  (?:async )?\*?(\w+)\(", (SDK / file).read_text(), re.MULTILINE)}
    methods = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")} - OTHERWISE
    assert len(methods) > 5
    assert [name for name in sorted(methods) if re.sub("_([a-z])", lambda one: one[1].upper(), name) not in defined] == []


def test_the_generated_files_are_up_to_date() -> None:
    generate = runpy.run_path(str(REPOSITORY / "docs" / "generate_wire_types.py"))
    assert generate["TYPES_FILE"].read_text() == generate["types_text"]()
    assert generate["TABLES_FILE"].read_text() == generate["tables_text"]()


def test_the_package_has_the_version_of_the_router_and_depends_on_nothing() -> None:
    package = json.loads((SDK / "package.json").read_text())
    assert package["version"] == router.__version__
    assert not {"dependencies", "devDependencies", "peerDependencies", "scripts"} & package.keys()


def test_every_import_is_a_file_of_the_client() -> None:
    for file in SDK.glob("*.js"):
        for line in file.read_text().splitlines():
            if " from " in line and line.startswith(("import", "export", "}")):
                name = line.rsplit('"', 2)[1]
                assert name.startswith("./"), (file.name, line)
                assert (SDK / name).is_file(), (file.name, line)


def test_a_file_has_at_most_600_lines_of_132_columns() -> None:
    for file in (*SDK.glob("*.js"), *TESTS.glob("*.js")):
        lines = file.read_text().splitlines()
        assert len(lines) <= 600, file.name
        assert [number for number, line in enumerate(lines, start=1) if len(line) > 132] == [], file.name


def type_check(project: Path) -> str:
    try:
        return type_errors(project)
    except PackagesUnavailable as unavailable:
        pytest.skip(str(unavailable))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("project", TYPE_CHECKS, ids=[one.name for one in TYPE_CHECKS])
def test_the_types_are_right(project: Path) -> None:
    assert type_check(project) == ""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_misspelt_field_or_command_of_an_application_is_found(tmp_path: Path) -> None:
    application = tmp_path / "desk.js"
    application.write_text(
        f'import {{ DesktopClient }} from "{SDK}/index.js";\n'
        'const desk = new DesktopClient({ baseUrl: "http://a.test", token: "t" });\n'
        'desk.on("offer.made", (offer) => console.log(offer.channel, offer.chanel));\n'
        "desk.acept(desk.state.agent_id);\n"
    )
    project = tmp_path / "tsconfig.json"
    project.write_text(json.dumps({"extends": str(TYPE_CHECKS[0]), "include": [str(application)]}))
    found = type_check(project)
    assert "'chanel' does not exist" in found
    assert "'acept' does not exist" in found
    assert found.count("error TS") == 2
