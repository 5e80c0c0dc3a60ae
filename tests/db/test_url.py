from __future__ import annotations

import pytest

from db.url import DEFAULT_DATABASE_URL, DatabaseUrl, parse_database_url
from protocol.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (DEFAULT_DATABASE_URL, DatabaseUrl(dialect="sqlite", path=".tideline/jobs.sqlite3")),
        ("sqlite:////var/lib/jobs.sqlite3", DatabaseUrl(dialect="sqlite", path="/var/lib/jobs.sqlite3")),
        ("sqlite://jobs.sqlite3", DatabaseUrl(dialect="sqlite", path="jobs.sqlite3")),
        (
            "postgres://u%40x:p%2Fw%3A@db.example:6432/jobs?pool_size=9",
            DatabaseUrl(
                dialect="postgres",
                host="db.example",
                port=6432,
                user="u@x",
                password="p/w:",
                database="jobs",
                pool_size=9,
            ),
        ),
        (
            "postgresql://h/jobs?sslmode=require",
            DatabaseUrl(dialect="postgres", host="h", database="jobs", sslmode="require"),
        ),
        ("postgres://u@/jobs?host=/run/pg", DatabaseUrl(dialect="postgres", host="/run/pg", user="u", database="jobs")),
        ("postgres://[::1]:5433/jobs", DatabaseUrl(dialect="postgres", host="::1", port=5433, database="jobs")),
    ],
)
def test_addresses(url: str, expected: DatabaseUrl) -> None:
    assert parse_database_url(url) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("jobs.sqlite3", "no scheme"),
        ("", "no scheme"),
        ("mysql://h/jobs", "unknown database scheme 'mysql'"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///x?mode=ro", "takes no"),
        ("sqlite:///a\x00b", "NUL"),
        ("postgres://h", "names no database"),
        ("postgres://h:port/jobs", "bad host or port"),
        ("postgres://h:99999/jobs", "bad host or port"),
        ("postgres://[h/jobs", "bad host or port"),
        ("postgres://h/jobs?sslmode=off", "sslmode"),
        ("postgres://h/jobs?sslrootcert=x", "unknown option 'sslrootcert'"),
        ("postgres://h/jobs?pool_size=0", "pool_size"),
        ("postgres://h/jobs?pool_size=x", "pool_size"),
    ],
)
def test_mistakes_are_said_in_one_line(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_database_url(url)
    assert "\n" not in str(caught.value)


def test_the_password_is_never_shown() -> None:
    parsed = parse_database_url("postgres://user:hunter2@h/jobs")
    assert "hunter2" not in repr(parsed) + parsed.shown
