"""Options of the differential fuzzers, what hypothesis draws, and the engine that every test runs on."""

from __future__ import annotations

import importlib.util
import secrets
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

DEFAULT_OPERATIONS = 24_000
DEFAULT_SEED = 20210505

# pyrevm is published for Python up to 3.12; without it nothing can be run on the bytecode.
collect_ignore_glob = [] if importlib.util.find_spec("pyrevm") else ["fuzz/*", "vault/*", "simulator/test_gas.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz")
    group.addoption("--fuzz-operations", type=int, default=DEFAULT_OPERATIONS, help="how many to run on the bytecode")
    engine = "what computes every pool of every test"
    group.addoption("--engine", choices=("python", "native"), default="python", help=engine)
    group.addoption("--write-scoring", action="store_true", help="write down what this version of the scoring says")
    group.addoption("--fuzz-seed", type=int, default=None, help="of the walks; a longer run than usual draws its own")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed: as given, else the usual one, else (a longer run than usual) a fresh one for all workers."""
    settle_hypothesis()
    hear_ctrl_c()
    if hasattr(config, "workerinput"):
        config.option.fuzz_seed = config.workerinput["fuzz_seed"]
    elif config.option.fuzz_seed is None:
        usual = config.option.fuzz_operations <= DEFAULT_OPERATIONS
        config.option.fuzz_seed = DEFAULT_SEED if usual else secrets.randbits(32)
    if config.option.engine == "native":
        use_native_pools()


def settle_hypothesis() -> None:
    """Let nobody's clock judge, and draw from a seed of each test's own: `--hypothesis-profile drawn` draws others.

    Runs still differ a little: hypothesis also draws constants of the modules that happen to be loaded.
    """
    drawn = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("drawn", drawn)
    settings.register_profile("steady", drawn, derandomize=True)
    settings.load_profile("steady")


def hear_ctrl_c() -> None:
    """Undo what a shell does that starts us in the background: whatever we started would never hear a Ctrl-C, too."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else signal.SIG_DFL)


def use_native_pools() -> None:
    """Put the native pool where every module, not yet imported, will look for the pool."""
    import simulator.pool
    from simulator.native.pool import NativePool

    simulator.pool.Pool = NativePool  # type: ignore[assignment, misc]  # the same face, by the tests themselves


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's hook: hand the seed to a worker."""
    node.workerinput["fuzz_seed"] = node.config.option.fuzz_seed


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out, on the native engine, the families that only the Python engine knows."""
    of_python = collection_path.name.startswith(("test_slipstream", "test_famil"))
    return True if of_python and config.option.engine == "native" else None


def pytest_report_header(config: pytest.Config) -> str:
    fuzz = f"fuzz: seed {config.option.fuzz_seed}, {config.option.fuzz_operations} operations"
    return f"{fuzz}; engine: {config.option.engine}"


@pytest.fixture
def fuzz_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.fuzz_seed)


@pytest.fixture
def fuzz_operations(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.fuzz_operations)


@pytest.fixture
def free_port() -> int:
    """A port that nobody uses now, for a node that must come back where it was."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
