"""The published UniswapV3Pool bytecode, run in revm, behind the same verbs as `simulator.pool.Pool`."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache

from Crypto.Hash import keccak
from pyrevm import EVM, AccountInfo, BlockEnv
from support.evm_assembly import MINT, PAYER, TOKEN, TRANSFER, assemble

from simulator.chain.artifacts import FACTORY, POSITION_MANAGER
from simulator.math.oracle import Observation
from simulator.math.position import PositionInfo
from simulator.math.revert import PoolRevert
from simulator.math.tick import TickInfo

FACTORY_OWNER = "0x" + "11" * 20
TOKEN0, TOKEN1, PAYER_ADDRESS = 0xA0 << 152, 0xA1 << 152, 0xBA << 152
# Far beyond any honest call, yet soon spent by a search that never ends.
GAS = 300_000_000
REVERT = re.compile(r"^Revert \{ gas_used: \d+, output: 0x([0-9a-f]*) \}$")

# Storage slots of UniswapV3Pool, in the order of its declarations.
SLOT0, GROWTH0, GROWTH1, PROTOCOL_FEES, LIQUIDITY, TICKS, TICK_BITMAP, POSITIONS, OBSERVATIONS = range(9)


@cache
def keccak256(data: bytes) -> bytes:
    """Return the Ethereum hash of some bytes."""
    return keccak.new(digest_bits=256, data=data).digest()


def words(*values: int) -> bytes:
    """Return integers as 32-byte words, two's complement."""
    return b"".join((value % 2**256).to_bytes(32, "big") for value in values)


def mapping_slot(key: int, slot: int) -> int:
    """Return where a mapping keeps an integer key's value."""
    return int.from_bytes(keccak256(words(key, slot)), "big")


def position_slot(owner: int, tick_lower: int, tick_upper: int) -> int:
    """Return where the pool keeps an owner's position."""
    packed = owner_address(owner).to_bytes(20, "big") + words(tick_lower)[29:] + words(tick_upper)[29:]
    return mapping_slot(int.from_bytes(keccak256(packed), "big"), POSITIONS)


def address(number: int) -> str:
    """Return an address as revm takes it."""
    return f"0x{number:040x}"


def owner_address(owner: int) -> int:
    """Return the address of the owner that tests call `owner`."""
    return 0xC0 << 152 | owner


def signed(value: int, bits: int) -> int:
    """Return the low bits of a word as a two's complement number."""
    value %= 2**bits
    return value - 2**bits if value >> (bits - 1) else value


def reason_of(error: RuntimeError) -> str:
    """Return the reason of what revm reports: Error(string), or "" for a bare revert and for an exceptional halt."""
    text = str(error)
    if text.startswith("Halt"):
        return ""
    match = REVERT.match(text)
    if match is None:
        raise error
    output = bytes.fromhex(match[1])
    if not output:
        return ""
    if output[:4] != bytes.fromhex("08c379a0"):
        raise error
    return output[68 : 68 + int.from_bytes(output[36:68], "big")].decode()


class BytecodePool:
    """One pool of the real factory, alone in a fresh EVM. Owners are small integers; whoever pays can always pay."""

    def __init__(self, fee_pips: int, tick_spacing: int) -> None:
        self._evm = EVM(gas_limit=2**62)
        self.timestamp = 0
        for token in (TOKEN0, TOKEN1):
            self._evm.insert_account_info(address(token), AccountInfo(code=assemble(TOKEN)))
        factory = self._evm.deploy(FACTORY_OWNER, FACTORY.creation_code)
        if fee_pips == 100:
            self._message(FACTORY_OWNER, factory, "enableFeeAmount(uint24,int24)", words(fee_pips, tick_spacing))
        self.factory = int(factory, 16)
        made = self._message(
            FACTORY_OWNER, factory, "createPool(address,address,uint24)", words(TOKEN0, TOKEN1, fee_pips)
        )
        self.address = int.from_bytes(made, "big")
        payer = assemble(PAYER, POOL=self.address, TOKEN0=TOKEN0, TOKEN1=TOKEN1, PAY=MINT)
        self._evm.insert_account_info(address(PAYER_ADDRESS), AccountInfo(code=payer))
        self._pool = address(self.address)
        self.gas_used = 0

    def _message(self, caller: str, to: str, signature: str, arguments: bytes) -> bytes:
        try:
            answer = self._evm.message_call(caller, to, calldata=keccak256(signature.encode())[:4] + arguments, gas=GAS)
        except RuntimeError as error:
            raise PoolRevert(reason_of(error)) from error
        result = self._evm.result
        self.gas_used = result.gas_used if result else 0
        return bytes(answer)

    def _call(self, caller: str, to: int, signature: str, *arguments: int, tail: bytes = b"") -> list[int]:
        """Call at the present time; returns the answer's words."""
        self._evm.set_block_env(BlockEnv(number=1, timestamp=self.timestamp))
        answer = self._message(caller, address(to), signature, words(*arguments) + tail)
        return [int.from_bytes(answer[i : i + 32], "big") for i in range(0, len(answer), 32)]

    def _by_owner(self, owner: int, signature: str, *arguments: int) -> list[int]:
        return self._call(address(owner_address(owner)), self.address, signature, *arguments)

    def _by_factory_owner(self, signature: str, *arguments: int, tail: bytes = b"") -> list[int]:
        return self._call(FACTORY_OWNER, self.address, signature, *arguments, tail=tail)

    def _through_payer(self, signature: str, *arguments: int, data: bytes = b"") -> list[int]:
        """`data` is the call's last, dynamic argument."""
        offset = 32 * (len(arguments) + 1)
        return self._call(FACTORY_OWNER, PAYER_ADDRESS, signature, *arguments, offset, len(data), tail=data)

    # --- The verbs of simulator.pool.Pool ---------------------------------------------------------------------------

    def initialize(self, sqrt_price_x96: int) -> None:
        self._by_factory_owner("initialize(uint160)", sqrt_price_x96)

    def mint(self, owner: int, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        signature = "mint(address,int24,int24,uint128,bytes)"
        amount0, amount1 = self._through_payer(signature, owner_address(owner), tick_lower, tick_upper, amount)
        return amount0, amount1

    def burn(self, owner: int, tick_lower: int, tick_upper: int, amount: int) -> tuple[int, int]:
        amount0, amount1 = self._by_owner(owner, "burn(int24,int24,uint128)", tick_lower, tick_upper, amount)
        return amount0, amount1

    def collect(
        self, owner: int, tick_lower: int, tick_upper: int, amount0_requested: int, amount1_requested: int
    ) -> tuple[int, int]:
        signature = "collect(address,int24,int24,uint128,uint128)"
        recipient, requested = owner_address(owner), (amount0_requested, amount1_requested)
        amount0, amount1 = self._by_owner(owner, signature, recipient, tick_lower, tick_upper, *requested)
        return amount0, amount1

    def swap(
        self,
        zero_for_one: bool,  # noqa: FBT001 the order of Pool.swap
        amount_specified: int,
        sqrt_price_limit_x96: int,
    ) -> tuple[int, int]:
        signature = "swap(address,bool,int256,uint160,bytes)"
        arguments = (PAYER_ADDRESS, int(zero_for_one), amount_specified, sqrt_price_limit_x96)
        amount0, amount1 = self._through_payer(signature, *arguments)
        return signed(amount0, 256), signed(amount1, 256)

    def flash(self, amount0: int, amount1: int, pay0: int, pay1: int) -> None:
        signature = "flash(address,uint256,uint256,bytes)"
        self._through_payer(signature, PAYER_ADDRESS, amount0, amount1, data=words(pay0, pay1))

    def set_fee_protocol(self, fee_protocol0: int, fee_protocol1: int) -> None:
        self._by_factory_owner("setFeeProtocol(uint8,uint8)", fee_protocol0, fee_protocol1)

    def collect_protocol(self, amount0_requested: int, amount1_requested: int) -> tuple[int, int]:
        signature = "collectProtocol(address,uint128,uint128)"
        amount0, amount1 = self._by_factory_owner(signature, PAYER_ADDRESS, amount0_requested, amount1_requested)
        return amount0, amount1

    def increase_observation_cardinality_next(self, n: int) -> None:
        self._by_factory_owner("increaseObservationCardinalityNext(uint16)", n)

    def observe(self, seconds_agos: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        count = len(seconds_agos)
        answer = self._by_factory_owner("observe(uint32[])", 32, count, tail=words(*seconds_agos))
        ticks, seconds_per_liquidity = answer[3 : 3 + count], answer[4 + count :]
        return tuple(signed(value, 56) for value in ticks), tuple(seconds_per_liquidity)

    def snapshot_cumulatives_inside(self, tick_lower: int, tick_upper: int) -> tuple[int, int, int]:
        signature = "snapshotCumulativesInside(int24,int24)"
        tick_cumulative, seconds_per_liquidity, seconds = self._by_factory_owner(signature, tick_lower, tick_upper)
        return signed(tick_cumulative, 56), seconds_per_liquidity, seconds

    # --- Storage, read without calling -----------------------------------------------------------------------------

    def _slot(self, slot: int) -> int:
        return int(self._evm.storage(self._pool, slot % 2**256))

    def scalars(self) -> dict[str, int]:
        """Return every field that is not a mapping, named as in `simulator.pool.Pool`, and whether it is unlocked."""
        slot0, protocol_fees = self._slot(SLOT0), self._slot(PROTOCOL_FEES)
        return {
            "sqrt_price_x96": slot0 % 2**160,
            "tick": signed(slot0 >> 160, 24),
            "observation_index": (slot0 >> 184) % 2**16,
            "observation_cardinality": (slot0 >> 200) % 2**16,
            "observation_cardinality_next": (slot0 >> 216) % 2**16,
            "fee_protocol": (slot0 >> 232) % 2**8,
            "unlocked": slot0 >> 240,
            "fee_growth_global_0_x128": self._slot(GROWTH0),
            "fee_growth_global_1_x128": self._slot(GROWTH1),
            "protocol_fees_0": protocol_fees % 2**128,
            "protocol_fees_1": protocol_fees >> 128,
            "liquidity": self._slot(LIQUIDITY),
            "balance0": int(self._evm.storage(address(TOKEN0), self.address)),
            "balance1": int(self._evm.storage(address(TOKEN1), self.address)),
        }

    def tick_infos(self, ticks: Collection[int]) -> dict[int, TickInfo]:
        """Return the named ticks."""
        return {tick: self._tick_info(mapping_slot(tick, TICKS)) for tick in ticks}

    def _tick_info(self, slot: int) -> TickInfo:
        liquidity, growth0, growth1, rest = (self._slot(slot + i) for i in range(4))
        return TickInfo(
            liquidity % 2**128,
            signed(liquidity >> 128, 128),
            growth0,
            growth1,
            signed(rest, 56),
            (rest >> 56) % 2**160,
            (rest >> 216) % 2**32,
            bool(rest >> 248),
        )

    def bitmap_words(self, positions: Collection[int]) -> dict[int, int]:
        """Return the named words of the tick bitmap."""
        return {position: self._slot(mapping_slot(position, TICK_BITMAP)) for position in positions}

    def position_infos(self, keys: Collection[tuple[int, int, int]]) -> dict[tuple[int, int, int], PositionInfo]:
        """Return the named positions."""
        return {key: self._position_info(*key) for key in keys}

    def _position_info(self, owner: int, tick_lower: int, tick_upper: int) -> PositionInfo:
        slot = position_slot(owner, tick_lower, tick_upper)
        liquidity, growth0, growth1, owed = (self._slot(slot + i) for i in range(4))
        return PositionInfo(liquidity, growth0, growth1, owed % 2**128, owed >> 128)

    def observations(self, count: int) -> list[Observation]:
        """Return the first slots of the oracle's ring."""
        return [self._observation(self._slot(OBSERVATIONS + index)) for index in range(count)]

    @staticmethod
    def _observation(word: int) -> Observation:
        return Observation(word % 2**32, signed(word >> 32, 56), (word >> 88) % 2**160, bool(word >> 248))

    def settled(self, ticks: Collection[int], positions: Collection[tuple[int, int, int]]) -> BytecodePool:
        """Return the same pool in a fresh EVM where nothing has been touched and everyone pays from what they hold.

        revm keeps slots warm from call to call: only the first call after this costs what a transaction costs.
        """
        fresh = BytecodePool.__new__(BytecodePool)
        fresh._evm, fresh._pool, fresh.address = EVM(gas_limit=2**62), self._pool, self.address
        fresh.timestamp, fresh.gas_used = self.timestamp, 0
        payer = assemble(PAYER, POOL=self.address, TOKEN0=TOKEN0, TOKEN1=TOKEN1, PAY=TRANSFER)
        codes = {PAYER_ADDRESS: payer, TOKEN0: assemble(TOKEN), TOKEN1: assemble(TOKEN)}
        codes[self.address] = bytes(self._evm.get_code(self._pool) or b"")
        for number, code in codes.items():
            fresh._evm.insert_account_info(address(number), AccountInfo(code=code))
        for token, name in ((TOKEN0, "balance0"), (TOKEN1, "balance1")):
            fresh._settle(address(token), self.address, self.scalars()[name])
            for holder in (PAYER_ADDRESS, *(owner_address(owner) for owner, _, _ in positions)):
                fresh._settle(address(token), holder, 2**127)
        for slot in self._slots(ticks, positions):
            fresh._settle(self._pool, slot, self._slot(slot))
        return fresh

    def _settle(self, account: str, slot: int, value: int) -> None:
        """Write below the journal: once the account is in it, revm takes a slot for one that this transaction wrote."""
        checkpoint = self._evm.snapshot()
        self._evm.insert_account_storage(account, slot, value)
        self._evm.revert(checkpoint)

    def _slots(self, ticks: Collection[int], positions: Collection[tuple[int, int, int]]) -> list[int]:
        spacing = self.getter("tickSpacing()")[0]
        slots = [*range(OBSERVATIONS + self.scalars()["observation_cardinality_next"])]
        slots += [mapping_slot(tick, TICKS) + i for tick in ticks for i in range(4)]
        slots += [mapping_slot(tick // spacing >> 8, TICK_BITMAP) for tick in ticks]
        return slots + [position_slot(*key) + i for key in positions for i in range(4)]

    def getter(self, signature: str, *arguments: int) -> list[int]:
        """Return the words that one of the contract's own getters answers."""
        return self._by_factory_owner(signature, *arguments)


class PositionManager:
    """The published NonfungiblePositionManager over one pool; its one user can pay anything below 2**200."""

    def __init__(self, pool: BytecodePool, fee_pips: int) -> None:
        self._pool, self._fee_pips = pool, fee_pips
        code = POSITION_MANAGER.creation_code
        self._address = int(pool._evm.deploy(FACTORY_OWNER, code + words(pool.factory, 0, 0)), 16)
        for token in (TOKEN0, TOKEN1):
            pool._call(FACTORY_OWNER, token, "mint(address,uint256)", int(FACTORY_OWNER, 16), 2**200)

    def mint(self, tick_lower: int, tick_upper: int, amount0: int, amount1: int) -> tuple[int, int, int]:
        """Return (liquidity, amount0, amount1) bought with at most the amounts desired."""
        fields = "address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256"
        recipient, deadline = int(FACTORY_OWNER, 16), 2**64
        arguments = (
            TOKEN0,
            TOKEN1,
            self._fee_pips,
            tick_lower,
            tick_upper,
            amount0,
            amount1,
            0,
            0,
            recipient,
            deadline,
        )
        _, *answer = self._pool._call(FACTORY_OWNER, self._address, f"mint(({fields}))", *arguments)
        liquidity, paid0, paid1 = answer
        return liquidity, paid0, paid1
