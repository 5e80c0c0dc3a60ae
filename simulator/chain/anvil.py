"""anvil, the EVM node of Foundry: found or fetched, run as a child process that cannot outlive us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from protocol.errors import ChainError, ConfigError
from simulator.chain import launcher
from simulator.chain.npm import NpmPackage, cache_directory, read

STATE_BLOCKS = 128

_VERSION = "1.7.1"
# Of each platform's package of @foundry-rs/anvil, which itself is only a script that chooses among them.
_CHECKSUMS = {
    "linux-amd64": "+XmShybEaxfCrr0OUUZwYEy2OnYZt5pHH9TzBtLv3+VrK0O/ANuNSVEahqNhKHlgX7GRJ59383ofNhxkRWIYTg==",
}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_VERSION_LINE = re.compile(r"anvil (?:Version: )?(\S+)")
_LISTENING = re.compile(r"Listening on (\S+):(\d+)")
_START_DEADLINE_S = 30
_STOP_DEADLINE_S = 5


def find_anvil() -> Path:
    """Return the anvil on PATH, else the pinned one, fetched by npm at first use. Raises ConfigError."""
    on_path = shutil.which("anvil")
    return Path(on_path).absolute() if on_path is not None else _installed()


def version_of(binary: Path) -> str:
    """Return the version that an anvil gives itself, such as "1.7.1". Raises ConfigError when it does not run."""
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(f"{binary} does not run: {error}") from error
    match = _VERSION_LINE.match(done.stdout)
    if match is None:
        raise ConfigError(f"{binary} does not say which anvil it is; install Foundry (getfoundry.sh)")
    return match[1]


class Anvil:
    """A running anvil. Make one with `start`; leaving it as a context manager stops it."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self._process = process
        self._drain = asyncio.create_task(_drain(process))
        self.url = url

    @classmethod
    async def start(
        cls, binary: Path, *, port: int = 0, state_blocks: int = STATE_BLOCKS, arguments: Sequence[str] = ()
    ) -> Anvil:
        """Start anvil on 127.0.0.1 and return it when it answers. Port 0 takes a free one.

        Calls are answered for the last `state_blocks` blocks, as by most public nodes: without an end to it anvil
        writes half a megabyte a block to the disk, and who kills it leaves that behind.
        Raises ConfigError when the port is taken or the arguments are refused.
        """
        command = [str(binary), "--host", "127.0.0.1", "--port", str(port)]
        command += ["--prune-history", str(state_blocks), *arguments]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid()), *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it in order
        )
        try:
            # Not `wait_for`: until Python 3.12 it forgets that it was cancelled when what it waits for ends just then.
            async with asyncio.timeout(_START_DEADLINE_S):
                url = await _listening(process)
        except BaseException as error:
            await _stop(process)
            if isinstance(error, TimeoutError):
                raise ChainError(f"anvil did not start within {_START_DEADLINE_S} s", retryable=True) from error
            if isinstance(error, _Ended):
                raise _refusal(error, port) from error
            raise
        return cls(process, url)

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Return the exit code once the process has ended."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process. Idempotent."""
        await _stop(self._process)
        await self._drain

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


class _Ended(Exception):
    """anvil ended before it listened; carries what it complained of."""


def _installed() -> Path:
    system = platform.system().lower()
    name = f"{system}-{_MACHINES.get(platform.machine().lower(), platform.machine().lower())}"
    checksum = _CHECKSUMS.get(name)
    if checksum is None:
        raise ConfigError(f"there is no anvil on PATH and none pinned for {name}; install Foundry (getfoundry.sh)")
    binary = cache_directory() / f"anvil-{_VERSION}-{name}"
    if not binary.is_file():
        content = read(NpmPackage(f"@foundry-rs/anvil-{name}", _VERSION, checksum), "bin/anvil")
        try:
            _write_executable(binary, content)
        except OSError as error:
            raise ConfigError(f"cannot install anvil as {binary}: {error}") from error
    return binary


def _write_executable(path: Path, content: bytes) -> None:
    """Write in one step, so that nobody runs half a file."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    Path(file.name).chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    Path(file.name).replace(path)


async def _listening(process: asyncio.subprocess.Process) -> str:
    """Return the address that anvil announces. Raises _Ended with what it complained of when it ends first."""
    assert process.stdout is not None
    said: list[str] = []
    while line := (await process.stdout.readline()).decode(errors="replace"):
        match = _LISTENING.search(line)
        if match is not None:
            return f"http://{match[1]}:{match[2]}"
        said.append(line.strip())
    complaints = [line for line in said if line.lower().startswith("error")] or [line for line in said if line][-1:]
    raise _Ended(" ".join(complaints) or "it said nothing")


def _refusal(error: _Ended, port: int) -> ConfigError:
    if "address already in use" in str(error).lower():
        return ConfigError(f"port {port} is in use; choose another, or 0 for any that is free")
    return ConfigError(f"anvil did not start: {error}")


async def _drain(process: asyncio.subprocess.Process) -> None:
    """Read on: a pipe that is full would stop anvil."""
    assert process.stdout is not None
    while await process.stdout.read(65536):
        pass


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the whole group: anvil leads its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
