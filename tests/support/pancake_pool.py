"""The published PancakeV3Pool bytecode, run in revm, behind the same verbs as `simulator.pool.Pool`."""

from __future__ import annotations

from collections.abc import Collection

from pyrevm import EVM, AccountInfo
from support.bytecode_pool import (
    FACTORY_OWNER,
    GAS,
    PAYER_ADDRESS,
    TOKEN0,
    TOKEN1,
    BytecodePool,
    address,
    keccak256,
    owner_address,
    signed,
    words,
)
from support.evm_assembly import MINT, PANCAKE_DEPLOYER, PANCAKE_PAYER, TOKEN, assemble

from simulator.chain.artifacts import PANCAKE_POOL
from simulator.math.oracle import Observation
from simulator.math.position import PositionInfo
from simulator.math.tick import TickInfo

DEPLOYER = 0xDE << 152


class PancakeBytecodePool(BytecodePool):
    """One pool, alone in a fresh EVM; its state is read through the contract's own getters."""

    def __init__(self, fee_pips: int, tick_spacing: int) -> None:
        self._evm = EVM(gas_limit=2**62)
        self.timestamp = self.gas_used = 0
        self.factory = int(FACTORY_OWNER, 16)  # an account, so that it can call
        constants = {"FACTORY": self.factory, "TOKEN0": TOKEN0, "TOKEN1": TOKEN1}
        deployer = assemble(PANCAKE_DEPLOYER, **constants, FEE=fee_pips, SPACING=tick_spacing)
        for token in (TOKEN0, TOKEN1):
            self._evm.insert_account_info(address(token), AccountInfo(code=assemble(TOKEN)))
        self._evm.insert_account_info(address(DEPLOYER), AccountInfo(code=deployer))
        code = PANCAKE_POOL.creation_code
        made = self._evm.message_call(FACTORY_OWNER, address(DEPLOYER), calldata=code, gas=GAS)
        self.address = int.from_bytes(made, "big")
        self._pool = address(self.address)
        payer = assemble(PANCAKE_PAYER, POOL=self.address, TOKEN0=TOKEN0, TOKEN1=TOKEN1, PAY=MINT)
        self._evm.insert_account_info(address(PAYER_ADDRESS), AccountInfo(code=payer))

    def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        self._by_factory_owner("setFeeProtocol(uint32,uint32)", fee_protocol0, fee_protocol1)

    def scalars(self) -> dict[str, int]:
        slot0, fees = self.getter("slot0()"), self.getter("protocolFees()")
        return {
            "sqrt_price_x96": slot0[0],
            "tick": signed(slot0[1], 24),
            "observation_index": slot0[2],
            "observation_cardinality": slot0[3],
            "observation_cardinality_next": slot0[4],
            "fee_protocol": slot0[5],
            "unlocked": slot0[6],
            "fee_growth_global_0_x128": self.getter("feeGrowthGlobal0X128()")[0],
            "fee_growth_global_1_x128": self.getter("feeGrowthGlobal1X128()")[0],
            "protocol_fees_0": fees[0],
            "protocol_fees_1": fees[1],
            "liquidity": self.getter("liquidity()")[0],
            "balance0": int(self._evm.storage(address(TOKEN0), self.address)),
            "balance1": int(self._evm.storage(address(TOKEN1), self.address)),
        }

    def tick_infos(self, ticks: Collection[int]) -> dict[int, TickInfo]:
        return {tick: self._tick(self.getter("ticks(int24)", tick)) for tick in ticks if -(2**23) <= tick < 2**23}

    @staticmethod
    def _tick(answer: list[int]) -> TickInfo:
        gross, net, growth0, growth1, tick_cumulative, *rest, initialized = answer
        cumulative = signed(tick_cumulative, 56)
        return TickInfo(gross, signed(net, 128), growth0, growth1, cumulative, *rest, bool(initialized))

    def bitmap_words(self, positions: Collection[int]) -> dict[int, int]:
        return {position: self.getter("tickBitmap(int16)", position)[0] for position in positions}

    def position_infos(self, keys: Collection[tuple[int, int, int]]) -> dict[tuple[int, int, int], PositionInfo]:
        return {key: PositionInfo(*self.getter("positions(bytes32)", self._position_key(*key))) for key in keys}

    @staticmethod
    def _position_key(owner: int, tick_lower: int, tick_upper: int) -> int:
        packed = owner_address(owner).to_bytes(20, "big") + words(tick_lower)[29:] + words(tick_upper)[29:]
        return int.from_bytes(keccak256(packed), "big")

    def observations(self, count: int) -> list[Observation]:
        return [self._observed(self.getter("observations(uint256)", index)) for index in range(count)]

    @staticmethod
    def _observed(answer: list[int]) -> Observation:
        timestamp, tick_cumulative, seconds_per_liquidity, initialized = answer
        return Observation(timestamp, signed(tick_cumulative, 56), seconds_per_liquidity, bool(initialized))
