"""The script that packed the shipped records still packs them the same."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator import records

ROOT = Path(__file__).parent.parent.parent


def encode(source: Path, target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", str(ROOT / "scripts" / "encode_record.py"), str(source), str(target), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["usdc-weth-005", "wbtc-weth-03"])
def test_encoding_a_shipped_record_again_changes_nothing(name: str, tmp_path: Path) -> None:
    with records.locate(name) as shipped:
        target = tmp_path / "again.jsonl.gz"
        done = encode(shipped, target)
        assert (done.returncode, done.stderr) == (0, "")
        assert gzip.decompress(target.read_bytes()) == gzip.decompress(shipped.read_bytes())
    assert records.load(name).digest in done.stdout


def test_facts_become_header_fields(tmp_path: Path) -> None:
    target = tmp_path / "with-facts.jsonl.gz"
    with records.locate("wbtc-weth-03") as shipped:
        done = encode(shipped, target, "--facts", json.dumps({"chain_id": 5, "source": "elsewhere"}))
        refused = encode(shipped, target, "--facts", "{chain}")
    assert done.returncode == 0
    record = records.load_file(target)
    assert (record.info.chain_id, record.source) == (5, "elsewhere")
    assert refused.returncode == 2
    assert "is not JSON" in refused.stderr
