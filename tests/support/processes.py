"""Tideline's real processes: started, listened to, killed."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

TIDELINE = (sys.executable, "-P", "-m", "tideline")
PATIENCE_S = 120
LISTENING_S = 300
# What a developer has set must not decide a test.
_FOREIGN = re.compile(r"BT_.*|NETUID|TIDELINE_.*|PYTEST_.*")


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process without what would steer Tideline."""
    plain = {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)}
    return {**plain, "PYTHONUNBUFFERED": "1", **more}


def tideline(folder: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*TIDELINE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=environment(**(env or {})),
        stdin=subprocess.DEVNULL,
    )


@dataclass
class Background:
    """A command that goes on, with its standard error line by line."""

    process: subprocess.Popen[str]

    def __post_init__(self) -> None:
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def until(self, text: str) -> str:
        """Return the next line that contains a text. Fails when the process ends before, or goes on without it."""
        with self._ended_after(LISTENING_S):
            for line in self._listen():
                if text in line:
                    return line
        raise AssertionError(f"{text!r} was never said:\n{''.join(self.lines)}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Return the exit code; the rest of what it says is in `lines` afterwards. Fails when it does not end."""
        with self._ended_after(LISTENING_S) as is_ended:
            for _ in self._listen():
                pass
            code = self.process.wait()
        assert not is_ended.is_set(), f"it did not end in {LISTENING_S} s:\n{''.join(self.lines)}"
        return code

    def _listen(self) -> Iterator[str]:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            yield line

    @contextlib.contextmanager
    def _ended_after(self, seconds: float) -> Iterator[threading.Event]:
        """Kill the process should it still be waited for after some time: one that is silent is read for ever."""
        is_ended = threading.Event()

        def end() -> None:
            is_ended.set()
            self.process.kill()

        timer = threading.Timer(seconds, end)
        timer.start()
        try:
            yield is_ended
        finally:
            timer.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stderr, self.process.stdout):
            if stream is not None:
                stream.close()


def start(
    folder: Path, *arguments: str, env: Mapping[str, str] | None = None, stdout: int = subprocess.DEVNULL
) -> Background:
    """Start a command; use it as a context manager, which kills it in the end."""
    return Background(
        subprocess.Popen(
            [*TIDELINE, *arguments],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=stdout,
            stdin=subprocess.DEVNULL,
            text=True,
            env=environment(**(env or {})),
        )
    )


@contextlib.contextmanager
def miner(folder: Path, key: str, validator: str, *options: str) -> Iterator[tuple[Background, str]]:
    """Run a miner on a free port; yield it and where it listens."""
    command = ("miner", "--dev-key", key, "--allow-validator", validator, "--port", "0", *options)
    with start(folder, *command) as process:
        line = process.until("listening on ")
        yield process, line.split("listening on ")[1].split()[0]


def children_of(pid: int) -> list[int]:
    """Return the child processes of all threads of a process."""
    while True:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            return [int(child) for task in tasks for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            if not Path(f"/proc/{pid}").exists():
                raise
            # a thread ended meanwhile and left its children to another: look again


def ends_of_children(pid: int) -> list[int]:
    """Return a file descriptor for each child of a process; it becomes readable when the child has ended."""
    return [os.pidfd_open(child) for child in children_of(pid)]


def have_ended(watches: list[int]) -> bool:
    """Whether all of them end within a few seconds."""
    for watch in watches:
        if not select.select([watch], [], [], 10)[0]:
            return False
        os.close(watch)
    return True
