"""Our vault in the published pool, in revm: an owner, a keeper, a guardian, and others who trade.

The others pay out of what they hold; whoever deals with the vault is an account or, told by a token, a contract.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pyrevm import EVM, AccountInfo, BlockEnv
from support.bytecode_pool import reason_of
from support.evm_assembly import PAYER, TRANSFER, assemble

from executor.vault import (
    CONTRACTS,
    ListedPosition,
    VaultCall,
    VaultClose,
    VaultLimits,
    VaultOpen,
    VaultSwap,
    vault_code,
)
from executor.vault_abi import deployment_arguments, positions_hash, rebalance_data
from simulator.chain.abi import position_key, selector, signed, words
from simulator.chain.artifacts import FACTORY
from simulator.chain.compiler import compiled
from simulator.math.tick_math import MAX_SQRT_RATIO, MIN_SQRT_RATIO, get_sqrt_ratio_at_tick
from simulator.portfolio import Range

DEPLOYER, OWNER, KEEPER, GUARDIAN, OTHERS, ATTACKER = (f"0x{byte:02x}" + "11" * 19 for byte in range(0xD0, 0xD6))
START = 1_700_000_000
UNIT = 10**18
GAS = 2**24  # the most that one transaction may use
MANY = 2**120
FEE, SPACING = 3000, 60
LOOSE = VaultLimits(
    twap_short_s=60,
    twap_long_s=600,
    max_deviation=300,
    min_width=120,
    max_distance=20_000,
    max_positions=50,
    cooldown_s=60,
    max_loss_ppm=20_000,
    max_daily_loss_ppm=50_000,
    max_daily_drift=20_000,
)
TIGHT = VaultLimits(min_width=120)
_TEST_CONTRACTS = Path(__file__).parent / "contracts"

Patch = tuple[str, str, str]  # a file, what is in it exactly once, what takes its place
_MADE = "    bounds.__init__(pool.tick_spacing(), limits)\n"
# A constructor that lists a position which the pool does not have; the code that is left behind is ours.
MADE_WITH_A_PHANTOM: Patch = (
    "vault.vy",
    _MADE,
    _MADE + "    book.words = [book.pack(book.Position(tick_lower=-600, tick_upper=600, liquidity=10**24))]\n",
)


class Reverted(Exception):
    """A call reverted; the message is its reason."""


@cache
def patched_vault(*patches: Patch) -> bytes:
    """Return the creation code of the vault with something changed in its source. A patch that does not fit fails."""
    texts = {path.name: path.read_text() for path in CONTRACTS.glob("*.vy")}
    for file, right, wrong in patches:
        assert texts[file].count(right) == 1, f"{file} has {texts[file].count(right)} times {right!r}"
        texts[file] = texts[file].replace(right, wrong)
    with tempfile.TemporaryDirectory() as directory:
        for name, text in texts.items():
            (Path(directory) / name).write_text(text)
        return compiled("vault", Path(directory)).creation_code


@dataclass(frozen=True, slots=True)
class Log:
    """An event of the vault: its first topic, the indexed words, the others."""

    topic: str
    indexed: tuple[int, ...]
    data: tuple[int, ...]


@dataclass(slots=True)
class VaultWorld:
    """One pool with other people's liquidity, half an hour old, and one vault without tokens."""

    limits: VaultLimits = TIGHT
    code: bytes = b""
    token_name: str = "odd_token"
    fee_pips: int = FEE
    spacing: int = SPACING
    others: Sequence[tuple[int, int, int]] = ((-60_000, 60_000, 10_000 * UNIT),)
    home: int = 0  # the tick at which the pool begins
    keeper: str = KEEPER
    now: int = START
    plans: int = 0
    gas_used: int = 0
    logs: list[Log] = field(default_factory=list)  # of the last call in which the vault told anything
    evm: EVM = field(default_factory=lambda: EVM(gas_limit=2**62, spec_id="CANCUN"))
    token0: str = ""
    token1: str = ""
    pool: str = ""
    vault: str = ""

    def __post_init__(self) -> None:
        token = compiled(self.token_name, _TEST_CONTRACTS).creation_code
        self.token0, self.token1 = sorted([self.deploy(token) for _ in range(2)], key=str.lower)
        factory = self.deploy(FACTORY.creation_code)
        pair = (int(self.token0, 16), int(self.token1, 16), self.fee_pips)
        self.pool = f"0x{self.call(DEPLOYER, factory, 'createPool(address,address,uint24)', *pair)[0]:040x}"
        self.call(DEPLOYER, self.pool, "initialize(uint160)", get_sqrt_ratio_at_tick(self.home))
        self.call(DEPLOYER, self.pool, "increaseObservationCardinalityNext(uint16)", 300)
        payer = assemble(PAYER, POOL=int(self.pool, 16), TOKEN0=pair[0], TOKEN1=pair[1], PAY=TRANSFER)
        self.evm.insert_account_info(OTHERS, AccountInfo(code=payer))
        for holder in (OTHERS, OWNER, ATTACKER):
            self.give(holder, MANY, MANY)
        for lower, upper, liquidity in self.others:
            self.add(lower, upper, liquidity)
        self.pass_time(1800)
        self.vault = self.deploy_vault(self.limits, self.code or vault_code().creation_code)
        self.appoint()

    # --- Calls ------------------------------------------------------------------------------------------------------

    def deploy(self, code: bytes) -> str:
        """Deploy in the deployer's name. Raises Reverted."""
        self._set_time()
        try:
            return str(self.evm.deploy(DEPLOYER, code))
        except RuntimeError as error:
            raise Reverted(reason_of(error)) from error

    def deploy_vault(self, limits: VaultLimits, code: bytes, owner: str = OWNER, guardian: str = GUARDIAN) -> str:
        """Deploy a vault on the pool."""
        return self.deploy(code + deployment_arguments(self.pool, owner, guardian, limits))

    def deploy_agent(self) -> str:
        """Deploy a contract that does as it is told."""
        return self.deploy(compiled("agent", _TEST_CONTRACTS).creation_code)

    def send(self, sender: str, to: str, data: bytes) -> list[int]:
        """Make a call as a transaction of its own; returns the answer's words. Raises Reverted."""
        self._set_time()
        try:
            answer = bytes(self.evm.message_call(sender, to, calldata=data, gas=GAS))
        except RuntimeError as error:
            raise Reverted(reason_of(error)) from error
        finally:
            self.evm.reset_transient_storage()
        result = self.evm.result
        assert result is not None
        self.gas_used = result.gas_used
        logs = [_log(raw) for raw in result.logs if raw.address.lower() == self.vault]
        self.logs = logs or self.logs
        return [int.from_bytes(answer[at : at + 32], "big") for at in range(0, len(answer), 32)]

    def call(self, sender: str, to: str, signature: str, *arguments: int) -> list[int]:
        """Call with arguments of one word each."""
        return self.send(sender, to, selector(signature) + words(*arguments))

    def ask(self, signature: str, *arguments: int) -> list[int]:
        """Ask the vault as a stranger."""
        return self.call(ATTACKER, self.vault, signature, *arguments)

    def tell(self, sender: str, signature: str, *arguments: int) -> list[int]:
        """Call the vault."""
        return self.call(sender, self.vault, signature, *arguments)

    def tell_agent(self, agent: str, verb: str, target: str, data: bytes) -> None:
        """Have an agent `act` now, or `arm` it to act at the next transfer it hears of."""
        padded = data.ljust(-(-len(data) // 32) * 32, b"\0")
        arguments = words(int(target, 16), 64, len(data)) + padded
        self.send(ATTACKER, agent, selector(f"{verb}(address,bytes)") + arguments)

    def _set_time(self) -> None:
        self.evm.set_block_env(BlockEnv(number=1 + (self.now - START) // 2, timestamp=self.now))

    def pass_time(self, seconds: int) -> None:
        """Let nothing happen for a while."""
        self.now += seconds

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back at the end whatever happens inside."""
        before, now = self.evm.snapshot(), self.now
        try:
            yield
        finally:
            self.evm.revert(before)
            self.now = now

    # --- Tokens and the pool ----------------------------------------------------------------------------------------

    def give(self, holder: str, amount0: int, amount1: int) -> None:
        """Mint tokens."""
        for token, amount in ((self.token0, amount0), (self.token1, amount1)):
            self.call(DEPLOYER, token, "mint(address,uint256)", int(holder, 16), amount)

    def balances(self, holder: str) -> tuple[int, int]:
        """Return both balances."""
        both = [self.call(DEPLOYER, t, "balanceOf(address)", int(holder, 16))[0] for t in (self.token0, self.token1)]
        return both[0], both[1]

    def behave(
        self, token: str, *, mute: bool = False, blocked: bool = False, false: bool = False, to: str = ""
    ) -> None:
        """Change a token's habits; `to` is told of its transfers."""
        habits = (int(mute), int(blocked), int(false), int(to or "0", 16))
        self.call(DEPLOYER, token, "behave(bool,bool,bool,address)", *habits)

    @property
    def sqrt_price_x96(self) -> int:
        """The pool's price."""
        return self.call(DEPLOYER, self.pool, "slot0()")[0]

    @property
    def tick(self) -> int:
        """The pool's tick."""
        return signed(self.call(DEPLOYER, self.pool, "slot0()")[1], 24)

    def add(self, tick_lower: int, tick_upper: int, liquidity: int, owner: str = OTHERS) -> None:
        """Mint in the pool, paid by the others."""
        signature = "mint(address,int24,int24,uint128,bytes)"
        self.call(DEPLOYER, OTHERS, signature, int(owner, 16), tick_lower, tick_upper, liquidity, 160, 0)

    def swap(self, zero_for_one: bool, amount: int, limit: int | None = None) -> tuple[int, int]:  # noqa: FBT001 - the contract's order
        """Swap as the others."""
        extreme = MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1
        arguments = (int(OTHERS, 16), int(zero_for_one), amount, extreme if limit is None else limit, 160, 0)
        amount0, amount1 = self.call(DEPLOYER, OTHERS, "swap(address,bool,int256,uint160,bytes)", *arguments)
        return signed(amount0, 256), signed(amount1, 256)

    def push_to(self, sqrt_price_x96: int) -> tuple[int, int]:
        """Trade as the others until the pool has a price; returns what they paid."""
        price = self.sqrt_price_x96
        return (0, 0) if price == sqrt_price_x96 else self.swap(sqrt_price_x96 < price, 2**119, sqrt_price_x96)

    def liquidity_of(self, owner: str, tick_lower: int, tick_upper: int) -> int:
        """Return a position's liquidity in the pool."""
        return self.call(DEPLOYER, self.pool, "positions(bytes32)", position_key(owner, tick_lower, tick_upper))[0]

    # --- The vault --------------------------------------------------------------------------------------------------

    def appoint(self) -> None:
        """Make the keeper keeper for a month."""
        self.tell(OWNER, "set_keeper(address,uint256)", int(self.keeper, 16), self.now + 30 * 86400)

    def deposit(self, amount0: int, amount1: int) -> None:
        """Deposit as the owner."""
        for token, amount in ((self.token0, amount0), (self.token1, amount1)):
            self.call(OWNER, token, "approve(address,uint256)", int(self.vault, 16), amount)
        self.tell(OWNER, "deposit(uint256,uint256)", amount0, amount1)

    def positions(self) -> list[ListedPosition]:
        """Return what the vault lists."""
        _, _, *fields = self.ask("positions()")
        rows = (fields[at : at + 3] for at in range(0, len(fields), 3))
        return [ListedPosition(Range(signed(lower, 24), signed(upper, 24)), amount) for lower, upper, amount in rows]

    def plan(
        self,
        *,
        closes: Sequence[VaultClose | Range] = (),
        collects: Sequence[Range] = (),
        swap: VaultSwap | None = None,
        opens: Sequence[VaultOpen] = (),
    ) -> VaultCall:
        """Return a call made for the vault as it is, with an id of its own."""
        self.plans += 1
        closing = tuple(VaultClose(c, 0, 0) if isinstance(c, Range) else c for c in closes)
        ticket = (self.plans.to_bytes(32, "big"), self.now + 60, positions_hash(self.positions()))
        return VaultCall(*ticket, closing, tuple(collects), swap, tuple(opens))

    def rebalance(self, call: VaultCall, sender: str | None = None) -> None:
        """Carry out a plan as the keeper."""
        self.send(sender or self.keeper, self.vault, rebalance_data(call))

    def owned_if_closed(self) -> tuple[int, int]:
        """Return what the owner would get by withdrawing everything now."""
        with self.undone():
            before = self.balances(OWNER)
            self.tell(OWNER, "withdraw_all()")
            after = self.balances(OWNER)
        return after[0] - before[0], after[1] - before[1]


def opening(lower: int, upper: int, amount0: int, amount1: int) -> VaultOpen:
    """Return an open without minimum amounts."""
    return VaultOpen(Range(lower, upper), amount0, amount1, 0, 0)


def any_swap(zero_for_one: bool, amount_out: int) -> VaultSwap:  # noqa: FBT001 - the contract's order
    """Return a swap at any price."""
    return VaultSwap(zero_for_one, amount_out, 2**127, MIN_SQRT_RATIO + 1 if zero_for_one else MAX_SQRT_RATIO - 1)


def _log(raw: object) -> Log:
    name, *indexed = raw.topics  # type: ignore[attr-defined] # pyrevm ships no type of it
    data = bytes(raw.data[1])  # type: ignore[attr-defined] # as above
    values = tuple(int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32))
    return Log(name, tuple(int(topic, 16) for topic in indexed), values)
