# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
"""
@title  Tideline's lens: a pool of the Uniswap V3 family, and a vault in it, seen in one eth_call
@notice Never deployed and never paid for: a node runs this code by state override, at one block hash, and forgets it.
        Out of gas or room it stops early and says at which word of the tick bitmap to go on.
"""

interface Token:
    def balanceOf(owner: address) -> uint256: view

interface Pool:
    def slot0() -> (uint160, int24, uint16, uint16, uint16, uint32, bool): view  # PancakeSwap needs 32 bits, Uniswap 8
    def liquidity() -> uint128: view
    def feeGrowthGlobal0X128() -> uint256: view
    def feeGrowthGlobal1X128() -> uint256: view
    def fee() -> uint24: view
    def tickSpacing() -> int24: view
    def token0() -> address: view
    def token1() -> address: view
    def tickBitmap(word: int16) -> uint256: view
    def ticks(tick: int24) -> (uint128, int128, uint256, uint256, int56, uint160, uint32, bool): view
    def positions(key: bytes32) -> (uint128, uint256, uint256, uint128, uint128): view

interface StakedPool:  # Slipstream
    def slot0() -> (uint160, int24, uint16, uint16, uint16, bool): view
    def ticks(tick: int24) -> (
        uint128, int128, int128, uint256, uint256, uint256, int56, uint160, uint32, bool
    ): view
    def stakedLiquidity() -> uint128: view
    def unstakedFee() -> uint24: view
    def rewardGrowthGlobalX128() -> uint256: view
    def rewardRate() -> uint256: view
    def rewardReserve() -> uint256: view
    def periodFinish() -> uint256: view
    def rollover() -> uint256: view
    def lastUpdated() -> uint32: view

interface Manager:
    def balanceOf(owner: address) -> uint256: view
    def tokenOfOwnerByIndex(owner: address, index: uint256) -> uint256: view
    def positions(token_id: uint256) -> (
        uint96, address, address, address, uint24, int24, int24, uint128, uint256, uint256, uint128, uint128
    ): view

HEAD: constant(uint256) = 24  # words before the ticks
PER_TICK: constant(uint256) = 7  # of which a pool without stakes needs 5
PER_POSITION: constant(uint256) = 7
MAX_TICKS: constant(uint256) = 1280
MAX_POSITIONS: constant(uint256) = 128
MAX_KEYS: constant(uint256) = 64
MAX_ANSWER: constant(uint256) = HEAD + MAX_TICKS * PER_TICK + (MAX_POSITIONS + MAX_KEYS) * PER_POSITION
MAX_WORDS: constant(int256) = 6934  # the whole bitmap at spacing 1
# A full word is 256 ticks of 10k gas, of 20k with stakes; the rest pays for the answer's memory.
RESERVE: constant(uint256) = 4_500_000
RESERVE_WITH_STAKES: constant(uint256) = 6_500_000


@external
@view
def look(
    pool: Pool,
    first: int256,
    end: int256,
    owner: address,
    manager: Manager,
    has_stakes: bool,
    keys: DynArray[bytes32, MAX_KEYS],
) -> DynArray[bytes32, MAX_ANSWER]:
    """
    @param first the first word of the bitmap to read
    @param end the word to stop before
    @param owner whose positions and tokens to read; nobody's if zero
    @param manager the position manager that holds positions for the owner; none if zero
    @param has_stakes whether it is a Slipstream pool
    @param keys positions in the pool itself
    @return HEAD words of state, PER_TICK a tick in ascending order, PER_POSITION a position (those by key last)
    """
    answer: DynArray[bytes32, MAX_ANSWER] = []
    token0: address = staticcall pool.token0()
    token1: address = staticcall pool.token1()
    fee: uint24 = staticcall pool.fee()
    spacing: int256 = convert(staticcall pool.tickSpacing(), int256)
    answer.append(convert(block.number, bytes32))
    answer.append(convert(chain.id, bytes32))
    answer.append(convert(token0, bytes32))
    answer.append(convert(token1, bytes32))
    answer.append(convert(fee, bytes32))
    answer.append(convert(spacing, bytes32))
    price: uint160 = 0
    tick: int24 = 0
    observation: uint16 = 0
    cardinality: uint16 = 0
    next_cardinality: uint16 = 0
    fee_protocol: uint32 = 0
    unlocked: bool = False
    staked: StakedPool = StakedPool(pool.address)
    key: uint256 = convert(fee, uint256)  # what the manager's positions name their pool by, beside the tokens
    if has_stakes:
        price, tick, observation, cardinality, next_cardinality, unlocked = staticcall staked.slot0()
        key = convert(spacing, uint256)
    else:
        price, tick, observation, cardinality, next_cardinality, fee_protocol, unlocked = staticcall pool.slot0()
    answer.append(convert(price, bytes32))
    answer.append(convert(tick, bytes32))
    answer.append(convert(fee_protocol, bytes32))
    answer.append(convert(staticcall pool.liquidity(), bytes32))
    answer.append(convert(staticcall pool.feeGrowthGlobal0X128(), bytes32))
    answer.append(convert(staticcall pool.feeGrowthGlobal1X128(), bytes32))
    idle0: uint256 = 0
    idle1: uint256 = 0
    if owner != empty(address):
        idle0 = staticcall Token(token0).balanceOf(owner)
        idle1 = staticcall Token(token1).balanceOf(owner)
    answer.append(convert(idle0, bytes32))
    answer.append(convert(idle1, bytes32))
    if has_stakes:
        answer.append(convert(staticcall staked.stakedLiquidity(), bytes32))
        answer.append(convert(staticcall staked.unstakedFee(), bytes32))
        answer.append(convert(staticcall staked.rewardGrowthGlobalX128(), bytes32))
        answer.append(convert(staticcall staked.rewardRate(), bytes32))
        answer.append(convert(staticcall staked.rewardReserve(), bytes32))
        answer.append(convert(staticcall staked.periodFinish(), bytes32))
        answer.append(convert(staticcall staked.rollover(), bytes32))
        answer.append(convert(staticcall staked.lastUpdated(), bytes32))
    else:
        for _: uint256 in range(8):
            answer.append(empty(bytes32))
    answer.append(empty(bytes32))  # the word to go on at, known below
    answer.append(empty(bytes32))  # how many ticks follow

    reserve: uint256 = RESERVE_WITH_STAKES if has_stakes else RESERVE
    next: int256 = first
    found: uint256 = 0
    for word: int256 in range(first, end, bound=MAX_WORDS):
        if word != first and (msg.gas < reserve or found + 256 > MAX_TICKS):
            break
        bitmap: uint256 = staticcall pool.tickBitmap(convert(word, int16))
        for _: uint256 in range(256):
            if bitmap == 0:
                break
            bit: uint256 = bitmap & unsafe_sub(0, bitmap)
            bitmap = bitmap ^ bit
            number: int256 = (word * 256 + convert(self._index(bit), int256)) * spacing
            gross: uint128 = 0
            net: int128 = 0
            outside0: uint256 = 0
            outside1: uint256 = 0
            tick_cumulative: int56 = 0
            seconds_per_liquidity: uint160 = 0
            seconds: uint32 = 0
            initialized: bool = False
            staked_net: int128 = 0
            rewards: uint256 = 0
            if has_stakes:
                (
                    gross, net, staked_net, outside0, outside1, rewards,
                    tick_cumulative, seconds_per_liquidity, seconds, initialized
                ) = staticcall staked.ticks(convert(number, int24))
            else:
                gross, net, outside0, outside1, tick_cumulative, seconds_per_liquidity, seconds, initialized = (
                    staticcall pool.ticks(convert(number, int24))
                )
            answer.append(convert(number, bytes32))
            answer.append(convert(gross, bytes32))
            answer.append(convert(net, bytes32))
            answer.append(convert(outside0, bytes32))
            answer.append(convert(outside1, bytes32))
            if has_stakes:
                answer.append(convert(staked_net, bytes32))
                answer.append(convert(rewards, bytes32))
            found += 1
        next = word + 1
    answer[HEAD - 2] = convert(next, bytes32)
    answer[HEAD - 1] = convert(found, bytes32)

    liquidity: uint128 = 0
    inside0: uint256 = 0
    inside1: uint256 = 0
    owed0: uint128 = 0
    owed1: uint128 = 0
    if manager.address != empty(address):
        count: uint256 = staticcall manager.balanceOf(owner)
        assert count <= MAX_POSITIONS, "too many positions"
        for i: uint256 in range(count, bound=MAX_POSITIONS):
            nonce: uint96 = 0
            operator: address = empty(address)
            of_token0: address = empty(address)
            of_token1: address = empty(address)
            of_key: uint24 = 0  # the fee; the tick spacing at Slipstream
            lower: int24 = 0
            upper: int24 = 0
            nonce, operator, of_token0, of_token1, of_key, lower, upper, liquidity, inside0, inside1, owed0, owed1 = (
                staticcall manager.positions(staticcall manager.tokenOfOwnerByIndex(owner, i))
            )
            if of_token0 != token0 or of_token1 != token1 or convert(of_key, uint256) != key:
                continue
            answer.append(convert(lower, bytes32))
            answer.append(convert(upper, bytes32))
            answer.append(convert(liquidity, bytes32))
            answer.append(convert(inside0, bytes32))
            answer.append(convert(inside1, bytes32))
            answer.append(convert(owed0, bytes32))
            answer.append(convert(owed1, bytes32))
    for position: bytes32 in keys:
        liquidity, inside0, inside1, owed0, owed1 = staticcall pool.positions(position)
        answer.append(empty(bytes32))  # the reader knows a key's ticks
        answer.append(empty(bytes32))
        answer.append(convert(liquidity, bytes32))
        answer.append(convert(inside0, bytes32))
        answer.append(convert(inside1, bytes32))
        answer.append(convert(owed0, bytes32))
        answer.append(convert(owed1, bytes32))
    return answer


@internal
@pure
def _index(bit: uint256) -> uint256:
    """@return the position of the only bit set"""
    rest: uint256 = bit
    index: uint256 = 0
    if rest >> 128 != 0:
        rest = rest >> 128
        index = 128
    if rest >> 64 != 0:
        rest = rest >> 64
        index |= 64
    if rest >> 32 != 0:
        rest = rest >> 32
        index |= 32
    if rest >> 16 != 0:
        rest = rest >> 16
        index |= 16
    if rest >> 8 != 0:
        rest = rest >> 8
        index |= 8
    if rest >> 4 != 0:
        rest = rest >> 4
        index |= 4
    if rest >> 2 != 0:
        rest = rest >> 2
        index |= 2
    return index | (rest >> 1)
