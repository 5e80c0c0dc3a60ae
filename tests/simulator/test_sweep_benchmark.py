"""The sweep's benchmark compares what is comparable: it runs, and finds the sweep close and far faster."""

from __future__ import annotations

import re
from dataclasses import replace

from benchmarks.sweep import measure
from simulator import records


def test_the_benchmark_finds_the_sweep_close_to_exact_forks_and_far_faster() -> None:
    flow = records.load("wbtc-weth-03").flow()
    lines = list(measure(replace(flow, blocks=flow.blocks[:2000]), 4, 50_000))
    slower = re.search(r"([0-9,]+) times slower", lines[1])
    assert slower is not None
    assert int(slower[1].replace(",", "")) > 500
    smallest, *_ = lines[3:]
    assert smallest.split()[0] == "0.01%"
    assert max(float(error.rstrip("%")) for error in smallest.split()[1:5]) < 1.0
