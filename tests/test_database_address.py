"""Passwords in addresses of databases are used and never shown."""

from __future__ import annotations

import random
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml
from sqlalchemy.engine import make_url

from hwnas.config import RunConfig
from hwnas.config.database_address import (
    HIDDEN,
    parse_address,
    secrets_of,
    shown_address,
    without_secrets,
)
from hwnas.config.run_file import load_config, parse_config, save_config
from hwnas.errors import ConfigError, HwnasError
from hwnas.search.storage.database import DatabasePlace

SPECIAL = "/#?@:&=+%[]{}()<>\"'`\\^|;,!$*~ \t.-_äß"
# Every password is made of these words with special characters around and between; none may be seen anywhere.
WORDS = ("Zq7Wx9", "Kj4Vb8", "9831746205")


def random_password(rng: random.Random) -> str:
    parts = [rng.choice(WORDS) for _ in range(rng.randint(1, 3))]
    gaps = ["".join(rng.choices(SPECIAL, k=rng.randint(0, 3))) for _ in range(len(parts) + 1)]
    return gaps[0] + "".join(part + gap for part, gap in zip(parts, gaps[1:], strict=True))


def addresses_with(password: str, rng: random.Random) -> list[tuple[str, bool]]:
    """Return addresses that hold a password, and whether each states it without doubt."""
    scheme = rng.choice(["postgresql", "postgresql+psycopg"])
    place = rng.choice(["host", "host:5432", "[::1]:5432", "db.example.com", "127.0.0.1"])
    escaped = quote(password, safe="")
    key = rng.choice(["password", "pass%77ord", "%70assword", "sslpassword", "ssl%70assword", "passfile"])
    more = rng.choice(["", "&sslmode=require", "&connect_timeout=3"])
    return [
        (f"{scheme}://user:{escaped}@{place}/base", True),
        (f"{scheme}://:{escaped}@{place}/base?sslmode=require", True),
        (f"{scheme}://user@{place}/base?{key}={escaped}{more}", True),
        (f"{scheme}://user:{password}@{place}/base", False),
        (f"{scheme}://{place}/base?{key}={password}{more}", False),
    ]


def assert_nothing_is_seen(text: str, address: str) -> None:
    assert not any(word in text for word in WORDS), (address, text)


def refusal_of(address: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse_address(address)
    return "".join(traceback.format_exception(refused.value))


def test_ten_thousand_passwords_are_used_and_never_shown() -> None:
    rng = random.Random(0)
    accepted = 0
    for _ in range(10_000):
        password = random_password(rng)
        address, is_clear = rng.choice(addresses_with(password, rng))
        shown = without_secrets(address)
        assert_nothing_is_seen(shown, address)
        if shown == HIDDEN:
            assert not is_clear, address
            assert_nothing_is_seen(refusal_of(address), address)
            continue
        url = parse_address(address)
        if is_clear:
            assert secrets_of(url) == [password]
        accepted += 1
        # What was shown can be read again, and what is handed to Optuna is read as it was meant.
        assert parse_address(shown) == parse_address(shown_address(url))
        assert make_url(url.render_as_string(hide_password=False)) == url
    assert accepted > 6_000


def test_run_files_records_and_errors_hold_no_password(tmp_path: Path) -> None:
    rng = random.Random(1)
    kept = 0
    for number in range(6):
        for address, is_clear in addresses_with(random_password(rng), rng):
            path = tmp_path / "run.yaml"
            path.write_text(yaml.safe_dump({"storage": address, "study": "s"}), encoding="utf-8")
            try:
                config = load_config(path)
            except HwnasError as error:
                assert_nothing_is_seen("".join(traceback.format_exception(error)), address)
                refused = True
            else:
                refused = False
            assert not (refused and is_clear), address
            if refused:
                continue
            kept += 1
            assert config.storage == address
            saved = tmp_path / f"saved-{number}.yaml"
            save_config(config, saved)
            written = [saved.read_text("utf-8"), repr(config), str(config), str(config.to_json())]
            place = DatabasePlace(config.storage, "s")
            assert_nothing_is_seen("".join([*written, str(place)]), address)
            again = load_config(saved)
            assert parse_address(again.storage) == parse_address(without_secrets(address))
    assert kept > 18


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("postgresql://u:Zq7Wx9@x@host/base", "more than one `@`"),
        ("postgresql://u/x:Zq7Wx9@host/base", "user's name"),
        ("postgresql://host:5432/base?password=Zq7Wx9@x", "as settings do"),
        ("postgresql://host/base?password=x@Zq7Wx9", "user's name"),
        ("postgresql://host/base?password=x&Zq7Wx9", "no value"),
        ("postgresql://host/base?password=x&Zq7Wx9=y", "1 of its settings"),
        ("postgresql://host/base?password=x#Zq7Wx9", "stands in a setting"),
        ("postgresql://u@host/base?sslmode=require;password=Zq7Wx9", "a `;`, a space or another `=`"),
        ("postgresql://u@host/base?application_name=x password=Zq7Wx9", "a `;`, a space or another `=`"),
        ("postgresql://u@host/base?application_name=x=Zq7Wx9", "a `;`, a space or another `=`"),
        ("postgresql://u@host/base;password=Zq7Wx9", "host or the database"),
        ("postgresql://u@host;Zq7Wx9/base", "host or the database"),
        ("postgresql://u;Zq7Wx9@host/base", "user's name"),
        ("postgresql://u@host/base%3BZq7Wx9", "host or the database"),
        ("postgresql://host:Zq7Wx9/base", "cannot be read"),
        ("postgresql://host:12Zq7Wx9", "cannot be read"),
        ("postgresql://u%3AZq7Wx9@host/base", "a `:` stands in the user's name"),
        ("postgresql://host/base%3Fpassword=Zq7Wx9", "host or the database"),
        ("mysql://u:Zq7Wx9@host/base", "looks like"),
        ("Zq7Wx9", "looks like"),
    ],
)
def test_what_has_two_readings_is_refused_without_repeating_it(address: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        parse_address(address)
    assert_nothing_is_seen(str(refused.value), address)
    with pytest.raises(ConfigError) as refused:
        parse_config({"storage": address})
    assert_nothing_is_seen("".join(traceback.format_exception(refused.value)), address)
    assert without_secrets(address) == HIDDEN


def test_settings_that_are_no_secrets_stay() -> None:
    address = "postgresql+psycopg://u:x@h:1/base?application_name=a&password=y&sslmode=require&host=b"
    found = "postgresql+psycopg://u@h:1/base?application_name=a&host=b&sslmode=require"
    assert RunConfig(storage=address).to_json()["storage"] == found
    assert RunConfig().to_json()["storage"] == "journal"
