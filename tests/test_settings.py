"""Settings: sources and their precedence, and errors with the path of the key."""

from pathlib import Path

import msgspec
import pytest

from router.model.errors import SettingsInvalid
from router.settings import JournalBackend, Settings, load_settings, settings_from

CONFIG = Path(__file__).parents[1] / "config" / "router.yaml"


def test_flags_override_the_environment_and_the_environment_the_file(tmp_path: Path) -> None:
    file = tmp_path / "router.yaml"
    file.write_text("server: {port: 1, host: localhost}\njournal: {path: a}\n")
    environment = {"ROUTER__SERVER__PORT": "2", "ROUTER__JOURNAL__PATH": "b", "PATH": "x"}
    found = load_settings(file, environment=environment, flags={"server.port": 3, "server.host": None})
    assert (found.server.port, found.server.host, found.journal.path) == (3, "localhost", "b")


def test_environment_variables_are_text_or_yaml_by_the_type_of_the_setting() -> None:
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
    ("tree", "path"),
    [
        ({"jurnal": {}}, "jurnal: unknown field `jurnal`; known are: workspaces, journal, "),
        ({"journal": {"pth": "x"}}, "did you mean `path`?"),
        ({"auth": {"issuers": [{"issuer": "a", "famly": "rsa"}]}}, "auth.issuers[0].famly"),
        ({"server": {"port": 70_000}}, "server.port: must be an integer from 0 to 65,535"),
        ({"server": {"port": "80"}}, "server.port: must be an integer from 0 to 65,535"),
        ({"server": {"behind_proxy": "maybe"}}, "server.behind_proxy: must be true or false"),
        ({"server": {"allowed_origins": "https://a.example"}}, "server.allowed_origins: must be a list"),
        ({"server": []}, "server: must be an object"),
        ({"journal": {"backend": "redis"}}, "journal.backend: must be one of sqlite, memory"),
        ({"journal": {"retention_days": 1}}, "journal.retention_days: must be an integer from 2 to 36,500"),
        ({"workspaces": ["UPPER"]}, "workspaces[0]: must be a name: a lower-case letter, then at most 63 of a-z, 0-9, _ and -"),
        ({"auth": {"lifetime_s_max": 10**9}}, "auth.lifetime_s_max: must be an integer from 60 to 86,400"),
        (
            {"auth": {"issuers": [{"issuer": "a", "family": "rsa", "claims": {"roles": {"boss": "god"}}}]}},
            "auth.issuers[0].claims.roles.boss: must be one of agent, gateway, supervisor, admin",
        ),
        ({"journal": {"path": "a\0b"}}, "journal.path: must not contain a null byte"),
        ({"server": {"allowed_origins": ["https://a", "\0"]}}, "server.allowed_origins[1]: must not contain a null byte"),
        ({"server": {"port": -1}, "sockets": {"frames_burst": 0}}, "sockets.frames_burst: must be an integer from 1 to 1,000,000"),
    ],
)
def test_an_error_names_the_path(tree: dict[str, object], path: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        settings_from(tree)
    assert path in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "server: !!python/object:os.system {}", "\x00"])
def test_a_file_must_be_a_mapping(tmp_path: Path, text: str) -> None:
    file = tmp_path / "router.yaml"
    file.write_text(text)
    with pytest.raises(SettingsInvalid, match=r"router\.yaml"):
        load_settings(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"nothing\.yaml"):
        load_settings(tmp_path / "nothing.yaml")


def test_a_value_in_place_of_a_section_is_refused() -> None:
    with pytest.raises(SettingsInvalid, match="ROUTER__SERVER__PORT__X"):
        load_settings(environment={"ROUTER__SERVER__PORT": "1", "ROUTER__SERVER__PORT__X": "2"})


def test_the_example_file_has_every_setting_with_its_default() -> None:
    assert load_settings(CONFIG) == Settings()
    written = CONFIG.read_text()
    for section in msgspec.structs.fields(Settings):
        kind = section.type
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                assert f"{field.name}:" in written, f"{section.name}.{field.name}"


def test_a_number_without_a_fraction_is_an_integer() -> None:
    assert settings_from({"server": {"port": 8081.0}}).server.port == 8081
    assert load_settings(environment={"ROUTER__SERVER__PORT": "8100.0"}).server.port == 8100
    with pytest.raises(SettingsInvalid, match=r"server\.port"):
        settings_from({"server": {"port": 8081.5}})
