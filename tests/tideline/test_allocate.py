import json
from pathlib import Path

import pytest
from support.processes import tideline

TOML = """
capital = 1000000
pools = [
  {name = "weth-usdc-001", apr = 0.30, tvl = 8e5, scores = [9000, 6400, 7200]},
  {name = "weth-usdc-005", apr = 0.28, tvl = 4e6, scores = [6000]},
  {name = "weth-usdc-03", apr = 0.27, tvl = 15000000},
]
"""
TABLE = """\
pool              share            amount   net rate      cap  score
weth-usdc-001     8.07%         80,674.13     27.25%  100.00%   7457
weth-usdc-005    25.41%        254,060.19     26.33%  100.00%   6000
weth-usdc-03     66.53%        665,265.68     25.85%  100.00%      -
cash              0.00%              0.00
all             100.00%      1,000,000.00     26.09%
"""


def test_a_table_and_json(tmp_path: Path) -> None:
    (tmp_path / "pools.toml").write_text(TOML)
    shown = tideline(tmp_path, "allocate", "pools.toml")
    assert (shown.returncode, shown.stdout) == (0, TABLE)
    found = json.loads(tideline(tmp_path, "allocate", "pools.toml", "--method", "waterfill", "--json").stdout)
    assert (found["method"], [round(row["share"], 6) for row in found["rows"]]) == (
        "waterfill",
        [0.122736, 0.3061, 0.571165],
    )


def test_json_in_and_capital_from_the_command_line(tmp_path: Path) -> None:
    family = {"capital": 5, "cash_rate": 0.1, "max_share_bp": 4000, "pools": [{"name": "a", "apr": 0.3, "tvl": 100}]}
    (tmp_path / "pools.json").write_text(json.dumps(family))
    found = json.loads(tideline(tmp_path, "allocate", "pools.json", "--capital", "10", "--json").stdout)
    assert (found["rows"][0]["amount"], found["cash"]) == (4.0, 0.6)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("capital = 1", "pools: Field required"),
        ("capital = 0\npools = [{name = 'a', apr = 1, tvl = 1}]", "capital: Input should be greater than 0"),
        ("capital = 1\npools = []", "pools: List should have at least 1 item"),
        ("capital = 1\npools = [{name = 'a', apr = -1, tvl = 1}]", "pools.0.apr: Input should be greater than or"),
        ("capital = 1\npools = [{name = 'a', apr = nan, tvl = 1}]", "pools.0.apr: Input should be"),
        ("capital = 1\npools = [{name = 'a', apr = 1, tvl = 1, cap = 2}]", "pools.0.cap: Input should be less than"),
        ("capital = 1\nspeed = 2\npools = [{name = 'a', apr = 1, tvl = 1}]", "speed: Extra inputs are not permitted"),
        ("capital = 1\npools = [{name='a',apr=1,tvl=1},{name='a',apr=1,tvl=1}]", "two pools have one name"),
        ("capital = 1\nmethod = 'cscore'\npools = [{name='a',apr=1,tvl=1}]", "method cscore needs scores"),
        ("capital = ", "is neither TOML nor JSON"),
    ],
)
def test_a_mistake_costs_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "pools.toml").write_text(text)
    done = tideline(tmp_path, "allocate", "pools.toml")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "pools.toml" in done.stderr and says in done.stderr


def test_a_file_that_is_not_there_or_no_table(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for name, says in (
        ("none.toml", "cannot be read"),
        ("list.json", "not a table of settings"),
        ("deep.json", "neither TOML nor JSON"),
        ("bytes.toml", "neither TOML nor JSON"),
    ):
        done = tideline(tmp_path, "allocate", name)
        assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1
