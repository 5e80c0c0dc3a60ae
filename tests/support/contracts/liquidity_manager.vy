# pragma version ==0.4.3
# pragma evm-version cancun
"""
@title  Stands in for SN98's LiquidityManager: the same calls and layouts, for one token pair, without stashing
"""

struct MintParams:
    token0: address
    token1: address
    fee: uint24
    tick_lower: int24
    tick_upper: int24
    amount0_desired: uint256
    amount1_desired: uint256
    amount0_min: uint256
    amount1_min: uint256
    recipient: address
    deadline: uint256

struct DecreaseParams:
    token_id: uint256
    liquidity: uint128
    amount0_min: uint256
    amount1_min: uint256
    deadline: uint256

struct CollectParams:
    token_id: uint256
    recipient: address
    amount0_max: uint128
    amount1_max: uint128

interface Manager:
    def mint(params: MintParams) -> (uint256, uint128, uint256, uint256): nonpayable
    def decreaseLiquidity(params: DecreaseParams) -> (uint256, uint256): nonpayable
    def collect(params: CollectParams) -> (uint256, uint256): nonpayable
    def burn(token_id: uint256): nonpayable
    def positions(token_id: uint256) -> (
        uint96, address, address, address, uint24, int24, int24, uint128, uint256, uint256, uint128, uint128
    ): view

interface Token:
    def approve(spender: address, amount: uint256) -> bool: nonpayable

operator: public(address)
akAddressToPositionManager: public(HashMap[address, address])
receivers: HashMap[uint256, address]
TOKEN0: immutable(address)
TOKEN1: immutable(address)
FEE: immutable(uint24)


@deploy
def __init__(operator: address, ak: address, manager: address, token0: address, token1: address, fee: uint24):
    self.operator = operator
    self.akAddressToPositionManager[ak] = manager
    TOKEN0 = token0
    TOKEN1 = token1
    FEE = fee


@external
def mint(
    ak: address, amount0: uint256, amount1: uint256, lower: int24, upper: int24, receiver: address, data: Bytes[64]
):
    assert msg.sender == self.operator, "not the operator"
    amount0_min: uint256 = 0
    amount1_min: uint256 = 0
    amount0_min, amount1_min = abi_decode(data, (uint256, uint256))
    manager: address = self.akAddressToPositionManager[ak]
    extcall Token(TOKEN0).approve(manager, amount0)
    extcall Token(TOKEN1).approve(manager, amount1)
    minted: (uint256, uint128, uint256, uint256) = extcall Manager(manager).mint(
        MintParams(
            token0=TOKEN0,
            token1=TOKEN1,
            fee=FEE,
            tick_lower=lower,
            tick_upper=upper,
            amount0_desired=amount0,
            amount1_desired=amount1,
            amount0_min=amount0_min,
            amount1_min=amount1_min,
            recipient=self,
            deadline=block.timestamp,
        )
    )
    self.receivers[minted[0]] = receiver


@external
def burn(ak: address, token_id: uint256, data: Bytes[64]):
    assert msg.sender == self.operator, "not the operator"
    amount0_min: uint256 = 0
    amount1_min: uint256 = 0
    amount0_min, amount1_min = abi_decode(data, (uint256, uint256))
    manager: Manager = Manager(self.akAddressToPositionManager[ak])
    self._collect(manager, token_id, self.receivers[token_id])
    extcall manager.decreaseLiquidity(
        DecreaseParams(
            token_id=token_id,
            liquidity=(staticcall manager.positions(token_id))[7],
            amount0_min=amount0_min,
            amount1_min=amount1_min,
            deadline=block.timestamp,
        )
    )
    self._collect(manager, token_id, self)
    extcall manager.burn(token_id)


@internal
def _collect(manager: Manager, token_id: uint256, receiver: address):
    most: uint128 = max_value(uint128)
    extcall manager.collect(
        CollectParams(token_id=token_id, recipient=receiver, amount0_max=most, amount1_max=most)
    )
