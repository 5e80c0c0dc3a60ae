"""Other people's exact pools, each in an environment of its own below .cache, fetched when a run wants them.

A peer is a program that reads a question (a pool and what happens on it, as JSON) and writes its answers. None of them
is a dependency of Tideline, not even of its tests.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.events import LiquidityEvent
from simulator.recovery import RecoveredCall

ROOT = Path(__file__).parent.parent.parent
HOME = ROOT / ".cache" / "peers"
HERE = Path(__file__).parent
Happening = tuple[int, RecoveredCall | LiquidityEvent]


@dataclass(frozen=True, slots=True)
class Peer:
    """One library at one version, from npm or PyPI, and the program here that asks it."""

    name: str
    title: str
    package: str
    version: str
    program: str
    least_python: tuple[int, int] | None = None  # None: from npm
    is_small: bool = True  # a quick run may fetch it

    @property
    def home(self) -> Path:
        """Where it is installed."""
        return HOME / f"{self.name}-{self.version}"

    @property
    def is_installed(self) -> bool:
        """Return whether an installation was finished."""
        return (self.home / "installed").exists()

    def install(self, seconds: float | None) -> None:
        """Fetch it. Raises OSError without the tools, subprocess.SubprocessError when it fails or takes too long."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        for command in self._commands():
            _run(command, seconds)
        (self.home / "installed").touch()

    def _commands(self) -> list[list[str]]:
        home, wanted = str(self.home), f"{self.package}@{self.version}"
        if self.least_python is None:
            # Neither SDK's swaps need anything that is compiled at installation, or optional.
            options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--omit=peer"]
            return [["npm", "install", *options, "--prefix", home, wanted]]
        interpreter, wanted = _interpreter(self.least_python), f"{self.package}=={self.version}"
        python, uv = f"{home}/bin/python", shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
        if Path(uv).exists():
            venv = [uv, "venv", "--quiet", "--allow-existing", "--python", interpreter, home]
            return [venv, [uv, "pip", "install", "--quiet", "--python", python, wanted]]
        return [[interpreter, "-m", "venv", home], [python, "-m", "pip", "install", "--quiet", wanted]]

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Run it. Raises OSError or subprocess.SubprocessError."""
        program = str(HERE / self.program)
        if self.least_python is None:
            command = ["node", program, str(self.home / "node_modules"), self.package]
        else:
            command = [str(self.home / "bin" / "python"), program]
        answered: dict[str, Any] = json.loads(_run(command, None, json.dumps(question)))
        return answered


PEERS = (
    Peer("v3_sdk", "Uniswap's SDK (TypeScript, JSBI)", "@uniswap/v3-sdk", "3.31.5", "sdk.js"),
    Peer(
        "pancake_sdk",
        "PancakeSwap's SDK (TypeScript, BigInt)",
        "@pancakeswap/v3-sdk",
        "3.10.2",
        "sdk.js",
        is_small=False,
    ),
    Peer(
        "degenbot_python", "degenbot 0.3 (Python)", "degenbot", "0.3.0", "degenbot_python.py", (3, 10), is_small=False
    ),
    Peer("degenbot", "degenbot 0.6 (Rust)", "degenbot", "0.6.0a15", "degenbot_rust.py", (3, 12)),
)


def question_of(pool: Any, happened: Sequence[Happening], *, repeats: int) -> dict[str, Any]:
    """Return what a peer is asked: the pool as it stands, and what happens on it."""
    events: list[tuple[object, ...]] = []
    for _, event in happened:
        if isinstance(event, LiquidityEvent):
            events.append(("liquidity", event.tick_lower, event.tick_upper, str(event.liquidity_delta)))
        else:
            limit = event.sqrt_price_limit_x96
            events.append(
                ("swap", event.zero_for_one, str(event.amount_specified), None if limit is None else str(limit))
            )
    return {
        "fee": pool.fee_pips,
        "spacing": pool.tick_spacing,
        "sqrtPrice": str(pool.sqrt_price_x96),
        "liquidity": str(pool.liquidity),
        "tick": pool.tick,
        "ticks": [[t, str(info.liquidity_gross), str(info.liquidity_net)] for t, info in sorted(pool.ticks.items())],
        "events": events,
        "repeats": repeats,
    }


def _interpreter(least: tuple[int, int]) -> str:
    """Return a Python of at least a version: this one, one on the path, or one that pyenv keeps."""
    if sys.version_info[:2] >= least:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(least[1], least[1] + 4)]
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for found in (*map(shutil.which, names), *(str(p) for name in names for p in kept.glob(f"*/bin/{name}"))):
        # pyenv's names on the path are there even where they lead nowhere
        if found and subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    raise FileNotFoundError(f"there is no Python {least[0]}.{least[1]} or later on this machine")


def _run(command: list[str], seconds: float | None, text: str | None = None) -> str:
    """Run a program in a group of its own, so that what it started ends with it."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            out, err = process.communicate(text, timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        last = (err.strip().splitlines() or ["no message"])[-1]
        raise subprocess.SubprocessError(f"{Path(command[0]).name} ended with {process.returncode}: {last[:200]}")
    return out
