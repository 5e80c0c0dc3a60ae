"""The vault on a real node: what its calls cost there, and that a node tells a refusal's reason before it is sent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from support.vault_anvil import GUARDIAN, KEEPER, OWNER, anvil_vault, ladder, measure_vault_gas

from executor.vault import vault_code
from executor.vault_abi import rebalance_data
from executor.vault_facts import CODE_HASH, is_our_code
from simulator.chain.abi import call_data, keccak256, words
from simulator.chain.rpc import Refused
from simulator.market import MarketInfo, Token

GUIDE = Path(__file__).parents[2] / "docs" / "vault.md"
MOST_CODE, MOST_GAS = 24_576, 2**24  # of a contract, of a transaction


async def test_the_guide_says_what_it_costs() -> None:
    table = {
        name: int(gas.replace(",", "")) for name, gas in re.findall(r"^\| ([^|]+) \| ([\d,]+) \|$", _guide(), re.M)
    }
    measured = await measure_vault_gas()
    assert measured == table
    assert max(measured.values()) < MOST_GAS


def test_the_code_fits() -> None:
    code = vault_code().runtime_code
    assert len(code) < MOST_CODE and f"{len(code):,} bytes" in _guide()
    assert keccak256(code).hex() == CODE_HASH
    token0, token1 = Token("0x" + "01" * 20, "A", 18), Token("0x" + "02" * 20, "B", 18)
    info = MarketInfo(1, "0x" + "03" * 20, token0, token1, fee_pips=500, tick_spacing=10, block_time_s=12)
    whole = code + words(10, *(int(byte * 20, 16) for byte in ("03", "01", "02")))
    assert is_our_code(whole, info) and not is_our_code(whole[:-1] + b"\3", info)
    assert not is_our_code(whole[1:], info) and not is_our_code(code, info) and not is_our_code(b"", info)


async def test_refusals_are_told_before_and_cost_nothing_else() -> None:
    async with anvil_vault() as made:
        call = await made.plan(opens=ladder(1))
        await made.cost(GUARDIAN, call_data("pause()"))
        receipt = await made.send(KEEPER, made.vault, "0x" + rebalance_data(call).hex())
        assert receipt["status"] == "0x0" and receipt["logs"] == []
        await made.cost(OWNER, call_data("unpause()"))
        for sender, wrong, reason in (
            (OWNER, call, "not the keeper"),
            (KEEPER, replace(call, positions_hash=bytes(32)), "positions changed"),
            (KEEPER, replace(call, deadline_s=1), "too late"),
        ):
            question = {"from": sender, "to": made.vault, "data": "0x" + rebalance_data(wrong).hex()}
            try:
                await made.chain.ask("eth_call", question, "latest")
            except Refused as refusal:
                assert reason in str(refusal)
            else:
                raise AssertionError(reason)
        await made.rebalance(call)
        await made.cost(OWNER, call_data("withdraw_all()"))
        assert await made.positions() == []


def _guide() -> str:
    return GUIDE.read_text(encoding="utf-8")
