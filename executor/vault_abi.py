"""The vault's calls as bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from executor.vault import ListedPosition, VaultCall, VaultLimits, limit_words
from simulator.chain.abi import keccak256, selector, words
from simulator.portfolio import Range

LIMITS = "(uint256,uint256,int256,int256,int256,uint256,uint256,uint256,uint256,uint256)"
REBALANCE = (
    "rebalance((bytes32,uint256,bytes32,(int24,int24,uint256,uint256)[],(int24,int24)[],"
    "(bool,uint256,uint256,uint160),(int24,int24,uint128,uint128,uint256,uint256)[]))"
)
_HEAD_WORDS = 10  # of a plan: three values, three offsets, the swap's four values
_TICK_OFFSET = 2**23


def positions_hash(positions: Iterable[ListedPosition]) -> bytes:
    """Return the hash by which a plan says which positions it was made for, in the vault's order.

    Parameters: positions  as the vault lists them
    Returns:    32 bytes
    Source:     executor/contracts/vault_positions.vy
    """
    packed = [_packed(position) for position in positions]
    return keccak256(words(32, len(packed), *packed))


def _packed(position: ListedPosition) -> int:
    lower, upper = position.range.tick_lower + _TICK_OFFSET, position.range.tick_upper + _TICK_OFFSET
    return lower << 152 | upper << 128 | position.liquidity


def rebalance_data(call: VaultCall) -> bytes:
    """Return the call data of `rebalance`.

    Parameters: call  any values that fit the contract's types
    Returns:    selector and arguments
    Source:     the contract ABI specification, "Use of Dynamic Types"
    """
    swap = call.swap
    arrays: list[list[tuple[int, ...]]] = [
        [(*_ticks(c.range), c.amount0_min, c.amount1_min) for c in call.closes],
        [_ticks(r) for r in call.collects],
        [(*_ticks(o.range), o.amount0, o.amount1, o.amount0_min, o.amount1_min) for o in call.opens],
    ]
    tails = [_array(items) for items in arrays]
    at = [32 * _HEAD_WORDS + sum(map(len, tails[:index])) for index in range(len(tails))]
    swap_words = (
        (0, 0, 0, 0)
        if swap is None
        else (int(swap.zero_for_one), swap.amount_out, swap.amount_in_max, swap.sqrt_price_limit_x96)
    )
    plan_id, expected = int.from_bytes(call.plan_id, "big"), int.from_bytes(call.positions_hash, "big")
    head = words(plan_id, call.deadline_s, expected, at[0], at[1], *swap_words, at[2])
    return selector(REBALANCE) + words(32) + head + b"".join(tails)


def _ticks(position_range: Range) -> tuple[int, int]:
    return position_range.tick_lower, position_range.tick_upper


def _array(items: Sequence[tuple[int, ...]]) -> bytes:
    return words(len(items)) + b"".join(words(*item) for item in items)


def deployment_arguments(pair_address: str, owner: str, guardian: str, limits: VaultLimits) -> bytes:
    """Return what follows the creation code in a deployment.

    Parameters: three addresses   ·   limits  within the contract's bounds, or the deployment reverts
    Returns:    the constructor's arguments
    Source:     executor/contracts/vault.vy
    """
    return words(int(pair_address, 16), int(owner, 16), int(guardian, 16), *limit_words(limits))
