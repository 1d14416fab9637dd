"""Settings: where they come from, which wins, and that a slip names its place."""

from pathlib import Path

import msgspec
import pytest

from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, Settings, load_settings, settings_from

CONFIG = Path(__file__).parents[1] / "config" / "router.yaml"


def test_flags_win_over_the_environment_the_environment_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text("server: {port: 1, host: localhost}\njournal: {path: a}\n")
    environment = {"ROUTER__SERVER__PORT": "2", "ROUTER__JOURNAL__PATH": "b", "PATH": "x"}
    found = load_settings(
        file, environment=environment, flags={"server.port": 3, "server.host": None}
    )
    assert (found.server.port, found.server.host, found.journal.path) == (3, "localhost", "b")


def test_text_in_the_environment_stays_text_and_lists_are_read_as_yaml() -> None:
    environment = {
        "ROUTER__JOURNAL__PATH": "123",
        "ROUTER__JOURNAL__BACKEND": "memory",
        "ROUTER__WORKSPACES": "[a, b]",
        "ROUTER__SERVER__BEHIND_PROXY": "true",
        "ROUTER__POLICY__SEED_PATH": "null",
    }
    found = load_settings(environment=environment)
    assert found.journal.path == "123" and found.journal.backend is JournalBackend.MEMORY
    assert found.all_workspaces() == ("default", "a", "b")
    assert found.server.behind_proxy and found.policy.seed_path is None


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        ({"jurnal": {}}, "`$.jurnal`; did you mean `journal`?"),
        ({"journal": {"pth": "x"}}, "`$.journal.pth`; did you mean `path`?"),
        ({"auth": {"issuers": [{"issuer": "a", "famly": "rsa"}]}}, "$.auth.issuers[0].famly"),
        ({"server": {"port": 70_000}}, "$.server.port"),
        ({"server": {"port": "80"}}, "$.server.port"),
        ({"server": []}, "$.server"),
        ({"workspaces": ["UPPER"]}, "$.workspaces[0]"),
        ({"auth": {"lifetime_s_max": 10**9}}, "$.auth.lifetime_s_max"),
    ],
)
def test_a_slip_names_its_place(tree: dict[str, object], place: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_from(tree)
    assert place in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "edge: !!python/object:os.system {}", "\x00"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid, match=r"router\.yaml"):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"nothing\.yaml"):
        load_settings(tmp_path / "nothing.yaml")


def test_a_value_in_the_place_of_a_group_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="ROUTER__SERVER__PORT__X"):
        load_settings(environment={"ROUTER__SERVER__PORT": "1", "ROUTER__SERVER__PORT__X": "2"})


def test_the_example_file_names_every_setting_with_its_default() -> None:
    assert load_settings(CONFIG) == Settings()
    written = CONFIG.read_text()
    for room in msgspec.structs.fields(Settings):
        kind = room.type
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                assert f"{field.name}:" in written, f"{room.name}.{field.name}"
