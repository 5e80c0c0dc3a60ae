from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from eth_utils import address as eth_utils_address
from hypothesis import given
from hypothesis import strategies as st
from support.rows import OPENING, PAIR, RECORDED, SETTINGS, VAULT

from db.job import SETTINGS as NAMES
from db.job import Job, Opening, OpeningPosition, opening_to_mapping, parse_opening, validate_job
from protocol.errors import ConfigError
from protocol.units import MAX_TICK, MAX_UINT256, MIN_TICK


def settings_of(job: Job) -> dict[str, Any]:
    return {name: value for name, value in job.to_mapping().items() if name in NAMES}


def test_defaults_are_the_designs() -> None:
    assert validate_job(SETTINGS) == Job(
        job_id="weth-usdc",
        sn_liquidity_manager_address=VAULT,
        pair_address=PAIR,
        target="max_value",
        quote_token="token1",
        chain_id=8453,
        round_duration_seconds=900,
        is_active=True,
        checkpoint_interval_blocks=150,
        miner_deadline_seconds=60,
        weight=Decimal(1),
        max_pool_share=10_000,
        feed="chain",
        record=None,
        opening=None,
        gas_price_wei=0,
        native_token=None,
        native_rate_num=None,
        native_rate_den=None,
        live_mode="paper",
        live_confidence_ppm=0,
    )


def test_a_job_on_a_chain_may_have_a_vault_that_exists_on_paper_only() -> None:
    virtual = {**SETTINGS, "sn_liquidity_manager_address": "0x" + "0" * 40}
    assert validate_job({**virtual, "opening": OPENING}).feed == "chain"
    with pytest.raises(ConfigError, match="is the zero address"):
        validate_job(virtual)


def test_a_recorded_job_has_its_opening() -> None:
    expected = Opening(10**18, 5, (OpeningPosition(-200, 200, 7, 0),))
    assert validate_job(RECORDED).opening == expected
    assert validate_job({**RECORDED, "opening": json.dumps(OPENING)}).opening == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"job_id": None}, "a job needs job_id"),
        ({"job_id": "a b"}, "job_id must be"),
        ({"job_id": "x" * 65}, "job_id must be"),
        ({"job_id": ""}, "job_id must be"),
        ({"job_id": "-x"}, "job_id must be"),
        ({"job_id": "x\n"}, "job_id must be"),
        ({"job_id": 7}, "job_id must be"),
        ({"target": "PoL"}, "target must be pol or max_value"),
        ({"target": None}, "a job needs target"),
        ({"target": ["pol"]}, "target must be"),
        ({"quote_token": "usdc"}, "quote_token must be token0 or token1"),
        ({"feed": "simulated"}, "feed must be chain or recorded"),
        ({"checkpoint_interval_blocks": 0}, "checkpoint_interval_blocks must be 1 to"),
        ({"checkpoint_interval_blocks": -1}, "checkpoint_interval_blocks must be 1 to"),
        ({"checkpoint_interval_blocks": 1.5}, "checkpoint_interval_blocks must be a whole number"),
        ({"checkpoint_interval_blocks": True}, "checkpoint_interval_blocks must be a whole number"),
        ({"miner_deadline_seconds": 61}, "miner_deadline_seconds must be 1 to 60"),
        ({"miner_deadline_seconds": 0}, "miner_deadline_seconds must be 1 to 60"),
        ({"round_duration_seconds": 0}, "round_duration_seconds must be 1 to"),
        ({"chain_id": 0}, "chain_id must be 1 to"),
        ({"chain_id": 2**53}, "chain_id must be 1 to"),
        ({"max_pool_share": 0}, "max_pool_share must be 1 to 1000000"),
        ({"live_mode": "real"}, "live_mode must be paper or chain"),
        ({"live_mode": "chain", "opening": OPENING}, "live_mode chain needs a real vault"),
        ({"live_confidence_ppm": 1_000_000}, "live_confidence_ppm must be 0 to 999999"),
        ({"max_pool_share": 1_000_001}, "max_pool_share must be 1 to 1000000"),
        ({"weight": "-1"}, "weight must be"),
        ({"weight": "nan"}, "weight must be"),
        ({"weight": "1e3"}, "weight must be"),
        ({"weight": "0.0000001"}, "weight must be"),
        ({"weight": 0.1}, "weight must be"),
        ({"weight": True}, "weight must be"),
        ({"is_active": "yes"}, "is_active must be true or false"),
        ({"gas_price_wei": 2**256}, r"gas_price_wei must be 0 to 2\*\*256 - 1"),
        ({"gas_price_wei": 1}, "a gas price needs native_token"),
        ({"native_rate_num": 1}, "go together"),
        ({"native_token": "token0", "native_rate_num": 1, "native_rate_den": 1}, "not both"),
        ({"native_rate_num": 1, "native_rate_den": 0}, "native_rate_den must be 1 to"),
        ({"colour": "red"}, "unknown job setting 'colour'"),
        ({"revision": 3}, "unknown job setting 'revision'"),
        ({"record": "x"}, "belongs to a recorded feed"),
        ({"feed": "recorded", "opening": OPENING}, "needs record"),
        ({"feed": "recorded", "record": "x"}, "needs opening"),
        ({"feed": "recorded", "record": "../x", "opening": OPENING}, "record must be the name"),
        ({"pair_address": PAIR[:-1]}, "pair_address must be 0x and 40 hex digits"),
        ({"pair_address": "0x" + "g" * 40}, "pair_address must be 0x and 40 hex digits"),
        (
            {"pair_address": PAIR.swapcase().replace("X", "x", 1)},
            f"wrong checksum; if its digits are right it is {PAIR}",
        ),
        ({"pair_address": "0x" + "0" * 40}, "pair_address is the zero address"),
        ({"sn_liquidity_manager_address": "0x" + "0" * 40}, "is the zero address"),
        ({"sn_liquidity_manager_address": 5}, "must be 0x and 40 hex digits"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        validate_job({**SETTINGS, **changes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("opening", "message"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ([], "must be an object"),
        ({"amount2": 1}, "must be an object with"),
        ({}, "opening is empty"),
        ({"amount0": "-1"}, "opening amount0 must be 0 to"),
        ({"amount0": "1.5"}, "opening amount0 must be a whole number"),
        ({"amount0": 1.0}, "opening amount0 must be a whole number"),
        ({"amount0": "٣"}, "opening amount0 must be a whole number"),
        ({"amount0": str(2**256)}, "opening amount0 must be 0 to"),
        ({"positions": {}}, "must be a list"),
        ({"positions": None}, "must be a list"),
        ({"positions": [{}] * 51}, "at most 50"),
        ({"positions": [[]]}, "position must be an object"),
        ({"positions": [{"tick_lower": 1, "amount0": 1}]}, "position needs tick_upper"),
        ({"positions": [{"tick_lower": 2, "tick_upper": 2, "amount0": 1}]}, "tick_lower < tick_upper"),
        ({"positions": [{"tick_lower": MIN_TICK - 1, "tick_upper": 2, "amount0": 1}]}, "tick_lower must be"),
        ({"positions": [{"tick_lower": 1, "tick_upper": MAX_TICK + 1, "amount0": 1}]}, "tick_upper must be"),
        ({"positions": [{"tick_lower": 1, "tick_upper": 2}]}, "needs an amount"),
        ({"positions": [{"tick_lower": 1, "tick_upper": 2, "amount0": 1}] * 2}, "the same ticks"),
    ],
)
def test_an_impossible_opening_is_refused(opening: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_opening(opening)


def test_a_recorded_job_may_have_no_vault_at_all() -> None:
    job = validate_job({**RECORDED, "sn_liquidity_manager_address": "0x" + "0" * 40})
    assert job.sn_liquidity_manager_address == "0x" + "0" * 40


@given(st.binary(min_size=20, max_size=20), st.data())
def test_addresses_agree_with_eth_utils(raw: bytes, data: st.DataObject) -> None:
    right = eth_utils_address.to_checksum_address(raw)
    cased = "0x" + "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in right[2:])
    mapping = {**SETTINGS, "pair_address": cased}
    if raw == bytes(20) or (cased != right and cased != right.lower()):
        with pytest.raises(ConfigError):
            validate_job(mapping)
    else:
        assert validate_job(mapping).pair_address == right


@given(st.decimals(min_value=0, max_value=999_999_999, places=6))
def test_weights_are_exact_and_normal(weight: Decimal) -> None:
    job = validate_job({**SETTINGS, "weight": f"{weight:f}"})
    assert job.weight == weight
    assert validate_job({**SETTINGS, "weight": str(job.weight)}) == job
    assert "E" not in str(job.weight)


amounts = st.integers(0, MAX_UINT256)
positions = st.builds(
    lambda lower, width, amount0, amount1: OpeningPosition(lower, min(lower + width, MAX_TICK), amount0, amount1),
    st.integers(MIN_TICK, MAX_TICK - 1),
    st.integers(1, 1000),
    amounts.filter(bool),
    amounts,
)
openings = st.builds(
    Opening,
    amounts.filter(bool),
    amounts,
    st.lists(positions, max_size=50, unique_by=lambda p: (p.tick_lower, p.tick_upper)).map(tuple),
)


@given(openings)
def test_an_opening_comes_back_from_json(opening: Opening) -> None:
    assert parse_opening(json.dumps(opening_to_mapping(opening))) == opening


@given(openings, amounts.filter(bool), st.booleans())
def test_a_job_comes_back_from_its_mapping(opening: Opening, gas_price_wei: int, is_active: bool) -> None:  # noqa: FBT001  # drawn
    job = validate_job(
        {
            **RECORDED,
            "opening": opening_to_mapping(opening),
            "gas_price_wei": gas_price_wei,
            "native_rate_num": str(gas_price_wei),
            "native_rate_den": 10**18,
            "is_active": is_active,
        }
    )
    assert validate_job(json.loads(json.dumps(settings_of(job)))) == job


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    )
)
def test_any_settings_give_a_job_or_a_config_error(changes: dict[str, Any]) -> None:
    try:
        job = validate_job({**RECORDED, **changes})
    except ConfigError as error:
        assert "\n" not in str(error)
    else:
        assert validate_job(settings_of(job)) == job
