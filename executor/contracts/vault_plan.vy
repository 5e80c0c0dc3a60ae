# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  What a keeper asks of Tideline's vault, and what the vault tells of it
"""

MAX_POSITIONS: constant(uint256) = 50

struct Close:
    tick_lower: int24
    tick_upper: int24
    amount0_min: uint256
    amount1_min: uint256

struct Collect:
    tick_lower: int24
    tick_upper: int24

# Buys what the opens lack, exactly, but at most `amount_out`. 0 means no swap.
struct Swap:
    zero_for_one: bool
    amount_out: uint256
    amount_in_max: uint256
    sqrt_price_limit_x96: uint160

struct Open:
    tick_lower: int24
    tick_upper: int24
    amount0: uint128
    amount1: uint128
    amount0_min: uint256
    amount1_min: uint256

struct Plan:
    plan_id: bytes32
    deadline: uint256
    positions_hash: bytes32
    closes: DynArray[Close, MAX_POSITIONS]
    collects: DynArray[Collect, MAX_POSITIONS]
    swap: Swap
    opens: DynArray[Open, MAX_POSITIONS]

event Closed:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    liquidity: uint128
    principal0: uint256
    principal1: uint256
    fees0: uint256
    fees1: uint256

event Collected:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    fees0: uint256
    fees1: uint256

event Swapped:
    plan_id: indexed(bytes32)
    amount0: int256
    amount1: int256

event Opened:
    plan_id: indexed(bytes32)
    tick_lower: indexed(int24)
    tick_upper: indexed(int24)
    liquidity: uint128
    amount0: uint256
    amount1: uint256

# Worth in token1 at the long mean: fees that wait in the pool are in neither, the fees collected are in `nav_after`.
# Fees include what others gave, and what a withdrawal of one token left owed. Losses in 1e-18 of the worth before.
event Rebalanced:
    plan_id: indexed(bytes32)
    sqrt_price_x96: uint256
    nav_before: uint256
    nav_after: uint256
    fees0: uint256
    fees1: uint256
    loss_x18: uint256
    daily_loss_x18: uint256
    idle0: uint256
    idle1: uint256
    positions_hash: bytes32
