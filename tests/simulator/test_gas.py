"""The gas table is what the bytecode says."""

from __future__ import annotations

from support.gas_measurement import measure_gas

from simulator import gas
from simulator.gas import DEFAULT_GAS_TABLE, GasTable


def test_the_table_is_what_the_bytecode_says() -> None:
    measured = measure_gas()
    assert {name: getattr(gas, name) for name in measured} == measured
    assert (
        GasTable(
            base=21_000,
            open=measured["MINT_FRESH_TICKS"],
            close=measured["BURN_ALL"] + measured["COLLECT"],
            collect=measured["BURN_NOTHING"] + measured["COLLECT"],
            swap=measured["SWAP_WITHIN_TICK"],
        )
        == DEFAULT_GAS_TABLE
    )


def test_what_must_cost_more_does() -> None:
    assert gas.MINT_FRESH_TICKS > gas.MINT_EXISTING_TICKS > gas.SWAP_WITHIN_TICK > gas.COLLECT > 25_000
