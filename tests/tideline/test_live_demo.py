"""The blocks of the live demonstration wait for its executor."""

from __future__ import annotations

import pytest
from support.rows import make_execution, make_start

from tideline.live_demo import is_waited_for


@pytest.mark.parametrize(
    ("status", "head", "expected"),
    [
        ("planned", 98, False),  # its block is not the next one
        ("planned", 99, True),
        ("signed", 99, True),
        ("sent", 99, False),  # only blocks bring it further
        ("mined", 107, False),
        (
            "mined",
            108,
            True,
        ),  # confirmed by then: the executor reads the vault where it was mined before that is pruned
        ("sent", 108, True),
        ("confirmed", 103, True),
        ("reconciled", 200, False),
        ("expired", 200, False),
    ],
)
def test_the_next_block_waits_for_what_the_executor_can_do_without_it(
    status: str, head: int, *, expected: bool
) -> None:
    assert (
        is_waited_for(make_execution(make_start(1), mode="chain", status=status, effective_block=100), head) is expected
    )
