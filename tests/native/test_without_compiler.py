"""Without a compiler the package still builds, and its Python engine runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

REPO = Path(__file__).resolve().parents[2]
UV = shutil.which("uv") or str(REPO / ".tools/bin/uv")
SWAP = """
from simulator import records
from simulator.engine import default_engine, pool_from_snapshot
pool = pool_from_snapshot(records.load("wbtc-weth-03").opening)
print(default_engine(), *pool.swap(True, 10**6, None))
"""


@pytest.mark.parametrize(("compiler", "engine"), [("/bin/false", "python"), (None, "native")])
def test_a_wheel_has_the_native_engine_only_where_it_could_be_compiled(
    compiler: str | None, engine: str, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns(".*", "__pycache__", "build", "*.so", "*.egg-info", "tests", "docs")
    shutil.copytree(REPO, source, ignore=ignored)
    build = [UV, "build", "--wheel", "--quiet", "--out-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, env=os.environ | ({"CC": compiler} if compiler else {}))
    [wheel] = tmp_path.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        assert any("/_core." in name and name.endswith(".so") for name in archive.namelist()) == (engine == "native")
    said = subprocess.run(
        [sys.executable, "-c", SWAP], check=True, capture_output=True, text=True, cwd=tmp_path / "installed"
    )
    assert said.stdout.split()[0] == engine
    assert int(said.stdout.split()[1]) == 10**6 and int(said.stdout.split()[2]) < 0
