"""What a family's contract is known by, and how its logs are read."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from protocol.errors import ConfigError
from simulator.base_fork import Divergence
from simulator.chain.abi import (
    BURN,
    FLASH,
    MINT,
    PANCAKE_SET_FEE_PROTOCOL,
    PANCAKE_SWAP,
    SET_FEE_PROTOCOL,
    SWAP,
    call_data,
    read_log,
    topic,
    topics_of,
    words,
)
from simulator.chain.families import LAYOUTS, PoolKind, family_of, recognise
from simulator.chain.rpc import BadAnswer, Refused, ScriptedRpc, Unreachable
from simulator.events import FeeProtocolEvent, SwapEvent
from simulator.family import Family

POOL = "0x" + "0a" * 20
GAUGE, MANAGER = "0x" + "9a" * 20, "0x" + "1f" * 20


def test_only_three_sets_of_marks_are_a_family() -> None:
    found = {
        marks: family_of(marks[0], has_stakes=marks[1], has_lm_pool=marks[2])
        for marks in product(range(9), *[(False, True)] * 2)
    }
    assert {marks: family for marks, family in found.items() if family is not None} == {
        (7, False, False): Family.UNISWAP_V3,
        (7, False, True): Family.PANCAKE_V3,
        (6, True, False): Family.SLIPSTREAM,
    }


def contract(**answers: Any) -> ScriptedRpc:
    """A node with one contract: getters by name, words or an error."""
    by_data = {call_data(f"{name}()"): answer for name, answer in answers.items()}

    def answer(method: str, params: tuple[Any, ...]) -> Any:
        assert (method, params[0]["to"]) == ("eth_call", POOL)
        found = by_data.get(params[0]["data"], Refused("execution reverted", code=3))
        if isinstance(found, Exception):
            raise found
        return "0x" + words(*found).hex()

    return ScriptedRpc(answer)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"slot0": range(7), "factory": [1]}, PoolKind(Family.UNISWAP_V3)),
        ({"slot0": range(7), "factory": [1], "lmPool": [0]}, PoolKind(Family.PANCAKE_V3)),
        (
            {
                "slot0": range(6),
                "factory": [1],
                "stakedLiquidity": [0],
                "gauge": [int(GAUGE, 16)],
                "nft": [int(MANAGER, 16)],
            },
            PoolKind(Family.SLIPSTREAM, GAUGE, MANAGER),
        ),
        (
            {"slot0": range(6), "factory": [1], "stakedLiquidity": [0], "gauge": [0], "nft": [0]},
            PoolKind(Family.SLIPSTREAM),
        ),
    ],
)
async def test_pool_is_what_its_contract_answers(answers: dict[str, Any], kind: PoolKind) -> None:
    assert await recognise(contract(**answers), POOL, deadline_s=1) == kind


@pytest.mark.parametrize(
    "answers",
    [
        {},
        {"slot0": range(7)},
        {"factory": [1]},
        {"slot0": range(6), "factory": [1]},
        {"slot0": range(7), "factory": [1], "stakedLiquidity": [0]},
        {"globalState": range(6), "factory": [1]},
    ],
    ids=["nothing", "no factory", "no price", "stakes missing", "stakes too many", "Algebra"],
)
async def test_contract_with_other_marks_is_the_operators_error(answers: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="check the address"):
        await recognise(contract(**answers), POOL, deadline_s=1)


async def test_node_that_does_not_answer_decides_nothing() -> None:
    with pytest.raises(Unreachable):
        await recognise(contract(slot0=range(7), factory=[1], lmPool=Unreachable("cut off")), POOL, deadline_s=1)


def log(signature: str, indexed: tuple[int, ...], data: tuple[int, ...]) -> dict[str, Any]:
    topics = [topic(signature), *("0x" + words(value).hex() for value in indexed)]
    return {"topics": topics, "data": "0x" + words(*data).hex(), "logIndex": "0x3"}


def read(family: Family, raw: dict[str, Any]) -> Any:
    return read_log(raw, pair_address=POOL, block_number=7, family=family)


SIX_WORDS = log(SWAP, (1, 2), (-5, 6, 2**100, 9, -3))
EIGHT_WORDS = log(PANCAKE_SWAP, (1, 2), (-5, 6, 2**100, 9, -3, 1, 2))
SWAPPED = SwapEvent(3, -5, 6, 2**100, 9, -3)


@pytest.mark.parametrize(
    ("family", "raw", "event"),
    [
        (Family.UNISWAP_V3, SIX_WORDS, SWAPPED),
        (Family.SLIPSTREAM, SIX_WORDS, SWAPPED),
        (Family.PANCAKE_V3, EIGHT_WORDS, SWAPPED),
        (Family.PANCAKE_V3, log(PANCAKE_SET_FEE_PROTOCOL, (), (0, 0, 1000, 4000)), FeeProtocolEvent(3, 1000, 4000)),
        (Family.PANCAKE_V3, log("SetLmPoolEvent(address)", (), (1,)), None),
        (Family.SLIPSTREAM, log("CollectFees(address,uint128,uint128)", (1,), (2, 3)), None),
    ],
)
def test_logs_are_read_as_the_family_writes_them(family: Family, raw: dict[str, Any], event: Any) -> None:
    assert read(family, raw) == event


@pytest.mark.parametrize(
    ("family", "raw"),
    [
        (Family.UNISWAP_V3, EIGHT_WORDS),
        (Family.SLIPSTREAM, EIGHT_WORDS),
        (Family.PANCAKE_V3, SIX_WORDS),
        (Family.SLIPSTREAM, log(SET_FEE_PROTOCOL, (), (0, 0, 4, 4))),
        (Family.PANCAKE_V3, log(SET_FEE_PROTOCOL, (), (0, 0, 4, 4))),
    ],
)
def test_log_of_another_family_is_a_divergence(family: Family, raw: dict[str, Any]) -> None:
    with pytest.raises(Divergence):
        read(family, raw)


def test_pancakes_topic_is_that_of_its_published_contract_and_its_words_are_counted() -> None:
    assert topic(PANCAKE_SWAP).startswith("0x19b47279") and topic(PANCAKE_SWAP).endswith("dc83")
    with pytest.raises(BadAnswer):
        read(Family.PANCAKE_V3, log(PANCAKE_SWAP, (1, 2), (-5, 6, 2**100, 9, -3)))
    shared = {topic(signature) for signature in (MINT, BURN, FLASH)}
    assert all(shared < set(topics_of(family)) for family in Family) and set(LAYOUTS) == set(Family)
