"""What our vault says of itself at a block, by its plain getters: all that its owner needs in order to act, and nothing
that a broken oracle or a strange pool could refuse to answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from executor.vault import VaultLimits, limit_words
from executor.vault_abi import LIMITS
from protocol.errors import ConfigError
from simulator.chain.abi import address_of, call_data, keccak256, read_words, selector, signed, words
from simulator.chain.blocks import Header
from simulator.chain.endpoints import Endpoints
from simulator.chain.rpc import BadAnswer, Refused, Request
from simulator.market import MarketInfo

_GETTERS = (
    "POOL()",
    "TOKEN0()",
    "TOKEN1()",
    "owner()",
    "proposed_owner()",
    "keeper()",
    "keeper_until()",
    "guardian()",
    "is_paused()",
    "last_rebalance()",
    "daily_loss_x18()",
    "limits()",
    "drift()",
    "drift_tick()",
    "drift_appointment()",
    "appointments()",
    "TICK_SPACING()",
    "announced_hash()",
    "announced_at()",
)
CODE_HASH = "3be5add874f78897694693b2f98562ab89bd1ff7cf639a7da77fbdd3a20479d0"  # of what is compiled: a test compares
_MILLIONTH_X18 = 10**12


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """A vault's roles, limits and budgets. Addresses are in lower case; nobody is the zero address.

    `daily_loss_x18` is what the vault counts as lost in the last day, in units of 1e-18 of its worth. `drift` is how
    many ticks its pool's long mean had come at the last plan, and `drift_tick` where it was then; None where the next
    plan begins anew, as after an appointment. `announced_hash` is that of looser limits that wait since `announced_at`
    to be set; 0 where none do.
    """

    address: str
    pool: str
    token0: str
    token1: str
    owner: str
    proposed_owner: str
    keeper: str
    keeper_until: int
    guardian: str
    is_paused: bool
    last_rebalance: int
    daily_loss_x18: int
    limits: VaultLimits
    drift: int
    drift_tick: int | None
    tick_spacing: int
    announced_hash: int
    announced_at: int

    def cooldown_left_s(self, timestamp: int) -> int:
        """Return the seconds until the keeper may carry out a plan again."""
        return max(self.last_rebalance + self.limits.cooldown_s - timestamp, 0)

    @property
    def loss_left_x18(self) -> int:
        """What may still be lost in this day."""
        return max(self.limits.max_daily_loss_ppm * _MILLIONTH_X18 - self.daily_loss_x18, 0)

    def drift_left(self, timestamp: int) -> int:
        """Return how many ticks the long mean may have come since the last plan for there to be another."""
        most = self.limits.max_daily_drift
        worn = max(timestamp - self.last_rebalance, 0) * most // 86_400
        return most if self.drift_tick is None else most - max(self.drift - worn, 0)


async def read_code(endpoints: Endpoints, header: Header, address: str, *, deadline_s: float) -> bytes:
    """Return the code at an address; empty where there is no contract."""
    request = Request("eth_getCode", (address, header.pin()), _read_code, is_decisive=True)
    return await endpoints.ask(request, deadline_s=deadline_s)


def is_our_code(code: bytes, info: MarketInfo) -> bool:
    """Whether code is our vault's, with what a deployment on this pool fixes behind it: nobody else's words."""
    addresses = (info.pair_address, info.token0.address, info.token1.address)
    fixed = words(info.tick_spacing, *(int(address, 16) for address in addresses))  # in the compiler's order
    return code.endswith(fixed) and keccak256(code[: -len(fixed)]).hex() == CODE_HASH


async def read_facts(endpoints: Endpoints, header: Header, vault: str, *, deadline_s: float) -> VaultFacts:
    """Read a vault. Raises ConfigError where there is no contract, or none of this kind."""
    chain = f"on chain {endpoints.chain_id}"
    if not await read_code(endpoints, header, vault, deadline_s=deadline_s):
        raise ConfigError(f"there is no contract at {vault} {chain}; check the address, and that the chain is right")
    requests = [
        Request("eth_call", ({"to": vault, "data": call_data(name)}, header.pin()), read_words, is_decisive=True)
        for name in _GETTERS
    ]
    try:
        answers = await endpoints.ask_all(requests, deadline_s=deadline_s)
        return _facts(vault.lower(), answers)
    except (Refused, BadAnswer, IndexError, TypeError) as error:
        raise ConfigError(f"{vault} is no vault of ours {chain}; it is another contract") from error


async def require_sound(endpoints: Endpoints, header: Header, facts: VaultFacts, *, deadline_s: float) -> None:
    """Raise ConfigError where a vault is in a state in which its owner should give it nothing. Code says nothing of how
    a contract was made: with ours, another's constructor can leave an heir, or limits that limit nothing.
    """
    if int(facts.proposed_owner, 16):
        raise ConfigError(f"{facts.proposed_owner} may take {facts.address} over at any moment; give it no tokens")
    limits = selector(f"set_limits({LIMITS})") + words(*limit_words(facts.limits))
    call = {"from": facts.owner, "to": facts.address, "data": "0x" + limits.hex()}
    request = Request("eth_call", (call, header.pin()), lambda _: None, is_decisive=True)
    try:
        await endpoints.ask(request, deadline_s=deadline_s)
    except Refused as refusal:
        why = f"the limits of {facts.address} are not what our contract allows"
        raise ConfigError(f"{why}: {refusal.message}; give it no tokens") from refusal


def _facts(vault: str, answers: list[list[int]]) -> VaultFacts:
    pool, token0, token1, owner, proposed, keeper = (address_of(answer[0]) for answer in answers[:6])
    return VaultFacts(
        address=vault,
        pool=pool,
        token0=token0,
        token1=token1,
        owner=owner,
        proposed_owner=proposed,
        keeper=keeper,
        keeper_until=answers[6][0],
        guardian=address_of(answers[7][0]),
        is_paused=bool(answers[8][0]),
        last_rebalance=answers[9][0],
        daily_loss_x18=answers[10][0],
        limits=VaultLimits(*answers[11]),  # none of them is negative: the contract's bounds see to that
        drift=answers[12][0],
        drift_tick=signed(answers[13][0], 24) if answers[14] == answers[15] else None,
        tick_spacing=signed(answers[16][0], 24),
        announced_hash=answers[17][0],
        announced_at=answers[18][0],
    )


def _read_code(value: Any) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise BadAnswer(f"{value!r:.40} is no code")
    return bytes.fromhex(value[2:])
