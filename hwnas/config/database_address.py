"""Addresses of PostgreSQL databases: what is in them, and how they are shown without what is secret.

They are read as SQLAlchemy reads them, which is what connects. There a password may hold `/`, `#` and `?` as
they are. What could be read in two ways is refused: a part of a password would then be taken for a host, a
port or a setting, and be shown.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from hwnas.errors import ConfigError

HIDDEN = "a database address that is not shown, because it cannot be read"
_SCHEMES = ("postgresql", "postgresql+psycopg")
# Settings of libpq (its manual, "Parameter Key Words") that are no secrets.
_SHOWN = frozenset(
    """
    host hostaddr port dbname user require_auth channel_binding connect_timeout client_encoding options
    application_name fallback_application_name keepalives keepalives_idle keepalives_interval
    keepalives_count tcp_user_timeout replication gssencmode sslmode requiressl sslnegotiation
    sslcompression sslcert sslkey sslcertmode sslrootcert sslcrl sslcrldir sslsni requirepeer
    ssl_min_protocol_version ssl_max_protocol_version min_protocol_version max_protocol_version krbsrvname
    gsslib gssdelegation service target_session_attrs load_balance_hosts oauth_issuer oauth_client_id
    oauth_scope
    """.split()  # noqa: SIM905
)
_SECRET = frozenset(
    "password sslpassword passfile scram_client_key scram_server_key oauth_client_secret sslkeylogfile".split()  # noqa: SIM905, E501
)
_ADVICE = (
    "In names, passwords and values write `@ : / ? # & ; = + %` and spaces as %40 %3A %2F %3F %23 %26 %3B "
    "%3D %2B %25 %20; or leave the password out and set PGPASSWORD, or put it into ~/.pgpass"
)


def parse_address(address: str) -> URL:
    """Return the parts of `postgresql+psycopg://user:password@host:port/database?setting=value`.

    Raises:
        ConfigError: if it is not an address, or can be read in two ways; no part of it is in the message.
    """
    scheme, mark, rest = address.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise ConfigError("a storage looks like `postgresql+psycopg://user@host:5432/database`")
    problem = _ambiguity(rest)
    try:
        url = make_url(address)
    except (ArgumentError, ValueError) as _:
        # Not chained: what SQLAlchemy says may repeat a part of the address.
        raise ConfigError(f"the address of the database cannot be read. {_ADVICE}") from None
    problem = problem or _unknown_part(url)
    if problem:
        raise ConfigError(f"the address of the database can be read in two ways: {problem}. {_ADVICE}")
    return url.set(drivername="postgresql+psycopg")


def without_secrets(address: str) -> str:
    """Return an address without passwords and other secrets; never a part of one that cannot be read."""
    try:
        return shown_address(parse_address(address).set(drivername=address.partition("://")[0]))
    except ConfigError:
        return HIDDEN


def shown_address(url: URL) -> str:
    """Return an address without passwords and other secrets."""
    secret = [key for key in url.query if key not in _SHOWN]
    # `_replace`, since `set` takes None for "as it is".
    return url._replace(password=None).difference_update_query(secret).render_as_string(hide_password=False)


def secrets_of(url: URL) -> list[str]:
    """Return the secrets in an address, as they are meant."""
    found = [str(url.password)] if url.password else []
    for key, value in url.query.items():
        if key not in _SHOWN:
            found += [value] if isinstance(value, str) else list(value)
    return [secret for secret in found if secret]


def _ambiguity(rest: str) -> str:
    """Say what of an address after `://` has two readings; empty if nothing has."""
    credentials, at, place = rest.rpartition("@")
    user, _, password = credentials.partition(":")
    before, _, query = place.partition("?")
    host = re.sub(r"^\[[^\]]*\]", "", rest)  # after an IPv6 address
    readings = {
        "there is more than one `@`": "@" in credentials,
        "a `:` stands in the user's name": ":" in unquote(user),
        "one of `/ ? # & ; =` or a space stands in the user's name, or an `@` after the database": re.search(
            r"[/?#&;=\s\[\]]", user
        ),
        "the password holds `?` and `=`, as settings do": re.search(r"\?.*=", password, re.DOTALL),
        "what follows the host is no port": not at and re.match(r"[^/?]*:(?!\d*([/?]|$))", host),
        "one of `# : ;` or a space stands in the host or the database": re.search(r"[#;]", before)
        or re.search(r"[:\s]", before.partition("/")[2]),
        "a setting has no value": query and any("=" not in part for part in query.split("&")),
        "a `#` stands in a setting": "#" in query,
        "a `;`, a space or another `=` stands in a setting": re.search(r"[;\s]|=[^&]*=", query),
    }
    return next((words for words, is_so in readings.items() if is_so), "")


def _unknown_part(url: URL) -> str:
    unknown = [key for key in url.query if key not in _SHOWN | _SECRET]
    if unknown:
        return f"{len(unknown)} of its settings are none of PostgreSQL's"
    if re.search(r"[@:?&;=#]", url.database or "") or "@" in (url.host or ""):
        return "one of `@ : ? & ; = #` stands in the host or the database"
    return ""
