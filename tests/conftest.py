"""Options of the differential fuzzer (tests/fuzz)."""

from __future__ import annotations

import importlib.util
import secrets
from typing import Any

import pytest

DEFAULT_OPERATIONS = 24_000
DEFAULT_SEED = 20210505

# pyrevm is published for Python up to 3.12; without it nothing can be run on the bytecode.
collect_ignore_glob = [] if importlib.util.find_spec("pyrevm") else ["fuzz/*", "simulator/test_gas.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("fuzz")
    group.addoption("--fuzz-operations", type=int, default=DEFAULT_OPERATIONS, help="how many to run on the bytecode")
    group.addoption("--fuzz-seed", type=int, default=None, help="of the walks; a longer run than usual draws its own")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed: as given, else the usual one, else (a longer run than usual) a fresh one for all workers."""
    if hasattr(config, "workerinput"):
        config.option.fuzz_seed = config.workerinput["fuzz_seed"]
    elif config.option.fuzz_seed is None:
        usual = config.option.fuzz_operations <= DEFAULT_OPERATIONS
        config.option.fuzz_seed = DEFAULT_SEED if usual else secrets.randbits(32)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist's hook: hand the seed to a worker."""
    node.workerinput["fuzz_seed"] = node.config.option.fuzz_seed


def pytest_report_header(config: pytest.Config) -> str:
    return f"fuzz: seed {config.option.fuzz_seed}, {config.option.fuzz_operations} operations"


@pytest.fixture
def fuzz_seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.fuzz_seed)


@pytest.fixture
def fuzz_operations(request: pytest.FixtureRequest) -> int:
    return int(request.config.option.fuzz_operations)
