"""Twenty recorded pools, replayed with everything compared after every operation."""

from __future__ import annotations

from support.slipstream_trace import differences, load_pools


def test_every_recorded_operation() -> None:
    pools = load_pools()
    answers = [differences(record) for record in pools]
    assert [difference for _, difference in answers if difference] == []
    assert (len(pools), sum(checks for checks, _ in answers)) == (20, 3221)
