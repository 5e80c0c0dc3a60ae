# pragma version ==0.4.3
# pragma optimize gas
# pragma evm-version cancun
# pragma nonreentrancy on
"""
@title  The list of positions in Tideline's vault
@notice A position is one word: lower tick, upper tick (each plus 2**23), liquidity.
"""

# `liquidity` is what the vault minted; others may have added to it in the pool, which changes nothing here.
struct Position:
    tick_lower: int24
    tick_upper: int24
    liquidity: uint128

MAX_POSITIONS: constant(uint256) = 50
TICK_OFFSET: constant(int256) = 2**23

words: DynArray[uint256, MAX_POSITIONS]


@external
@view
def positions() -> DynArray[Position, MAX_POSITIONS]:
    answer: DynArray[Position, MAX_POSITIONS] = []
    for word: uint256 in self.words:
        answer.append(self.unpack(word))
    return answer


@external
@view
def positions_hash() -> bytes32:
    return self.hash_of(self.words)


@internal
@pure
def pack(position: Position) -> uint256:
    return self._head(position.tick_lower, position.tick_upper) << 128 | convert(position.liquidity, uint256)


@internal
@pure
def unpack(word: uint256) -> Position:
    return Position(
        tick_lower=convert(convert(word >> 152, int256) - TICK_OFFSET, int24),
        tick_upper=convert(convert((word >> 128) % 2**24, int256) - TICK_OFFSET, int24),
        liquidity=convert(word % 2**128, uint128),
    )


@internal
@pure
def hash_of(words: DynArray[uint256, MAX_POSITIONS]) -> bytes32:
    return keccak256(abi_encode(words))


@internal
@pure
def index_of(words: DynArray[uint256, MAX_POSITIONS], tick_lower: int24, tick_upper: int24) -> uint256:
    """@return where a range stands in the list, or the list's length"""
    head: uint256 = self._head(tick_lower, tick_upper)
    for index: uint256 in range(len(words), bound=MAX_POSITIONS):
        if words[index] >> 128 == head:
            return index
    return len(words)


@internal
@pure
def _head(tick_lower: int24, tick_upper: int24) -> uint256:
    lower: uint256 = convert(convert(tick_lower, int256) + TICK_OFFSET, uint256)
    upper: uint256 = convert(convert(tick_upper, int256) + TICK_OFFSET, uint256)
    return lower << 24 | upper
