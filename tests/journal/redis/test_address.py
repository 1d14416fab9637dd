"""The forms of ``store.url``: what is understood, and that errors never repeat the value."""

import pytest

from router.journal.redis.address import StoreKind, parse_address
from router.model.errors import SettingsInvalid


def test_one_server() -> None:
    address = parse_address("redis://ada:p%40ss@cache.example:7000/3")
    assert (address.kind, address.nodes, address.database) == (StoreKind.SINGLE, (("cache.example", 7000),), 3)
    assert (address.username, address.password, address.is_tls) == ("ada", "p@ss", False)


def test_defaults() -> None:
    assert parse_address("redis://cache").nodes == (("cache", 6379),)
    assert parse_address("redis+sentinel://one,two:1/main").nodes == (("one", 26379), ("two", 1))
    assert parse_address("rediss://:secret@cache").username is None


def test_sentinels_and_a_cluster() -> None:
    address = parse_address("rediss+sentinel://one:26379,two:26379/main/2")
    assert (address.kind, address.service, address.database, address.is_tls) == (StoreKind.SENTINEL, "main", 2, True)
    assert parse_address("redis+cluster://[::1]:7000,b:7001").nodes == (("::1", 7000), ("b", 7001))


def test_the_label_has_no_password() -> None:
    assert parse_address("redis+sentinel://ada:secret@one/main/2").label == "redis+sentinel://one:26379/main/2"
    assert parse_address("redis+cluster://[::1]:7000").label == "redis+cluster://[::1]:7000"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://sesame", "must be redis://"),
        ("redis+unix://sesame", "must be redis://"),
        ("sesame", "must be redis://"),
        ("redis://", "each host"),
        ("redis://sesame:99999", "each host"),
        ("redis://sesame:0", "each host"),
        ("redis://a,sesame", "several hosts"),
        ("redis://a/sesame", "number of a database"),
        ("redis://a/1/sesame", "number of a database"),
        ("redis://a?sesame=1", "must not contain"),
        ("redis+sentinel://sesame", "needs the name of the service"),
        ("redis+cluster://sesame/1", "only database 0"),
    ],
)
def test_an_error_names_the_setting_and_not_the_value(url: str, text: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        parse_address(url)
    assert str(caught.value).startswith("store.url: ") and text in str(caught.value)
    assert "sesame" not in str(caught.value)
