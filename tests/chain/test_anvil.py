from __future__ import annotations

import asyncio
import os
import platform
import signal
import socket
import sys
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from simulator.chain import anvil as anvil_module
from simulator.chain.anvil import Anvil, find_anvil, version_of

KILLED_PARENT = """
import asyncio, sys
from pathlib import Path
from simulator.chain.anvil import Anvil

async def main():
    async with await Anvil.start(Path(sys.argv[1])) as anvil:
        print(anvil.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be counted."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_starts_on_a_free_port_and_stops_without_a_trace() -> None:
    async with await Anvil.start(find_anvil()) as anvil:
        host, _, port = anvil.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=5):
            assert (anvil.is_running, is_alive(anvil.pid)) == (True, True)
    await anvil.stop()
    assert (anvil.is_running, is_alive(anvil.pid)) == (False, False)


async def test_who_is_cancelled_just_as_it_begins_to_listen_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    listening = anvil_module._listening

    async def listening_and_cancelled(process: asyncio.subprocess.Process) -> str:
        url = await listening(process)
        starting.cancel()
        return url

    async def start() -> None:
        async with await Anvil.start(find_anvil()):
            await asyncio.sleep(0)

    monkeypatch.setattr(anvil_module, "_listening", listening_and_cancelled)
    starting = asyncio.create_task(start())
    await asyncio.wait({starting})
    assert starting.cancelled()


def test_tells_its_version() -> None:
    assert version_of(find_anvil())[0].isdigit()


@pytest.mark.parametrize("said", ["anvil 0.3.0 (5a8bd89 2024-12-19)", "anvil Version: 0.3.0-stable"])
def test_reads_the_version_of_older_ones_too(said: str, tmp_path: Path) -> None:
    binary = tmp_path / "anvil"
    binary.write_text(f"#!/bin/sh\necho '{said}'\n")
    binary.chmod(0o755)
    assert version_of(binary).startswith("0.3.0")


@pytest.mark.parametrize("script", ["#!/bin/sh\necho something else\n", "#!/bin/sh\nexit 3\n", "not a program"])
def test_what_is_no_anvil_is_said_in_one_line(script: str, tmp_path: Path) -> None:
    binary = tmp_path / "anvil"
    binary.write_text(script)
    binary.chmod(0o755)
    with pytest.raises(ConfigError, match=r"anvil does not (run|say which anvil it is)"):
        version_of(binary)


def test_the_one_on_the_path_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "anvil").write_text("#!/bin/sh\n")
    (tmp_path / "anvil").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_anvil() == tmp_path / "anvil"


def test_a_machine_without_a_pinned_anvil_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match=r"^there is no anvil on PATH and none pinned for linux-riscv64; install"):
        find_anvil()


async def test_a_taken_port_is_said_in_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^port {port} is in use; choose another, or 0 for any that is free$"):
            await Anvil.start(find_anvil(), port=port)


async def test_refused_arguments_are_said_in_one_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^anvil did not start: error: unexpected argument '--no-such-option' found$"
    ):
        await Anvil.start(find_anvil(), arguments=["--no-such-option"])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the kernel does not tell a child of its parent's death")
async def test_a_parent_killed_outright_leaves_no_anvil() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED_PARENT, str(find_anvil()), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    watch = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(watch, ended.set)
    try:
        assert is_alive(pid)
        parent.send_signal(signal.SIGKILL)
        await asyncio.wait_for(ended.wait(), 10)
    finally:
        loop.remove_reader(watch)
        os.close(watch)
        await parent.wait()
    assert not is_alive(pid)
