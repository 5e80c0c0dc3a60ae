"""Uniswap V3 on an empty chain: the published contracts, two tokens, and a record's pool as it was at its opening."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.addresses import to_checksum_address
from protocol.errors import ChainError, ConfigError, SimulationError
from simulator.chain.abi import address_of, call_data, keccak256, signed, unsigned, words
from simulator.chain.artifacts import FACTORY, POSITION_MANAGER, QUOTER, SWAP_ROUTER, TICK_LENS, WETH9
from simulator.chain.compiler import compiled
from simulator.chain.node import Node, Receipt, Transaction
from simulator.chain.seeding import opening_positions
from simulator.market import MarketInfo, Token
from simulator.records import Record

DRIVER = "0x" + keccak256(b"tideline devnet driver")[12:].hex()

_DEPLOYMENT_GAS = 8_000_000
_CALL_GAS = 1_000_000
_SLOT_GAS = 25_000  # one more slot of the oracle
_SLOTS_AT_ONCE = 500
_FUNDS = 2**127  # of each token: the pool itself can hold no more than 2**128
_BUILT_IN_FEES = {500: 10, 3000: 60, 10000: 200}  # the factory's own: fee to tick spacing
SETUP_BLOCKS = 64  # at most


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything on a devnet is, with checksums."""

    pool: str
    token0: str
    token1: str
    weth9: str
    factory: str
    position_manager: str
    swap_router: str
    tick_lens: str
    quoter: str
    trader: str


def prepare() -> None:
    """Fetch and compile what a deployment needs, which takes a while the first time. Raises ConfigError."""
    for contract in (FACTORY, POSITION_MANAGER, SWAP_ROUTER, TICK_LENS, QUOTER, WETH9):
        _ = contract.creation_code
    for name in ("token", "trader"):
        compiled(name)


async def set_up(node: Node, record: Record, *, start_timestamp: int, observation_cardinality: int) -> Addresses:
    """Put the record's opening on an empty chain, one block a second from `start_timestamp`.

    Raises ConfigError for a pool that the factory cannot make, SimulationError for an opening that cannot be rebuilt.
    """
    setup = _Setup(node, start_timestamp)
    await node.control(DRIVER)
    contracts = _deploy_contracts(setup, record.info)
    await setup.carry_out()
    info = record.info
    pair = (int(contracts["token0"], 16), int(contracts["token1"], 16))
    answer = await node.call(contracts["factory"], "getPool(address,address,uint24)", *pair, info.fee_pips)
    pool = address_of(answer[0])
    setup.call(pool, "initialize(uint160)", record.opening.sqrt_price_x96)
    for size in (*range(_SLOTS_AT_ONCE, observation_cardinality, _SLOTS_AT_ONCE), observation_cardinality):
        setup.call(pool, "increaseObservationCardinalityNext(uint16)", size, gas=_SLOT_GAS * _SLOTS_AT_ONCE)
    fee_protocol = record.opening.fee_protocol
    if fee_protocol:
        setup.call(pool, "setFeeProtocol(uint8,uint8)", fee_protocol % 16, fee_protocol >> 4)
    trader = setup.deploy(compiled("trader").creation_code + words(int(pool, 16)))
    for name in ("token0", "token1"):
        setup.fund(trader, contracts[name], is_weth9=contracts[name] == contracts["weth9"])
    for (tick_lower, tick_upper), liquidity in opening_positions(record).items():
        setup.call(trader, "mint(int24,int24,uint128)", tick_lower, tick_upper, liquidity)
    await setup.carry_out()
    await check_pool(node, pool, record)
    contracts |= {"pool": pool, "trader": trader}
    return Addresses(**{name: to_checksum_address(address) for name, address in contracts.items()})


async def check_pool(node: Node, pool: str, record: Record) -> None:
    """Raise SimulationError unless the pool has the opening's price, tick, liquidity and every tick's gross and net."""
    opening = record.opening
    slot0 = await node.call(pool, "slot0()")
    liquidity = await node.call(pool, "liquidity()")
    numbers = [tick for tick, _ in opening.ticks]
    answers = await node.call_all(pool, "ticks(int24)", numbers)
    state = (slot0[0], signed(slot0[1], 24), liquidity[0])
    if state != (opening.sqrt_price_x96, opening.tick, opening.liquidity):
        raise SimulationError(f"the devnet's pool opens at {state}, not as the record", record=record.name)
    for (tick, expected), answer in zip(opening.ticks, answers, strict=True):
        got = (unsigned(answer[0], 128), signed(answer[1], 128))
        if got != (expected.liquidity_gross, expected.liquidity_net):
            raise SimulationError(f"the devnet's pool has {got} at a tick", record=record.name, tick=tick)


class _Setup:
    """Transactions of the driver that are carried out together, in order, and must all succeed."""

    def __init__(self, node: Node, timestamp: int) -> None:
        self._node = node
        self._timestamp = timestamp
        self._nonce = 0
        self._blocks = 0
        self._waiting: list[Transaction] = []

    def next_address(self, ahead: int = 0) -> str:
        """Return where the next deployment (or one that many transactions later) will be."""
        return created_address(DRIVER, self._nonce + ahead)

    def deploy(self, code: bytes) -> str:
        """Add a deployment and return where it will be."""
        address = self.next_address()
        self._add(Transaction(None, "0x" + code.hex(), _DEPLOYMENT_GAS))
        return address

    def call(self, to: str, signature: str, *arguments: int, gas: int = _CALL_GAS, value: int = 0) -> None:
        """Add a call."""
        self._add(Transaction(to, call_data(signature, *arguments), gas, value))

    def fund(self, receiver: str, token: str, *, is_weth9: bool) -> None:
        """Add what gives a receiver more of a token than a pool can hold."""
        if is_weth9:
            self.call(token, "deposit()", value=_FUNDS)
            self.call(token, "transfer(address,uint256)", int(receiver, 16), _FUNDS)
        else:
            self.call(token, "mint(address,uint256)", int(receiver, 16), _FUNDS)

    async def carry_out(self) -> None:
        """Send what was added and make blocks until all of it has happened."""
        waiting = set(await self._node.send(DRIVER, self._waiting))
        self._waiting = []
        while waiting:
            if self._blocks == SETUP_BLOCKS:
                raise ChainError(f"the setup does not fit into {SETUP_BLOCKS} blocks", retryable=False)
            mined = await self._node.mine(self._timestamp + self._blocks)
            self._blocks += 1
            for receipt in mined.receipts.values():
                _insist(receipt)
            waiting -= mined.receipts.keys()

    def _add(self, transaction: Transaction) -> None:
        self._waiting.append(transaction)
        self._nonce += 1


def _deploy_contracts(setup: _Setup, info: MarketInfo) -> dict[str, str]:
    """Add the deployment of everything but the trader, and the making of the pool; returns names and addresses."""
    if _BUILT_IN_FEES.get(info.fee_pips, info.tick_spacing) != info.tick_spacing:
        raise ConfigError(f"the factory has no fee {info.fee_pips} with tick spacing {info.tick_spacing}")
    at = _deploy_tokens(setup, info)
    at.setdefault("weth9", setup.next_address())
    if at["weth9"] == setup.next_address():
        setup.deploy(WETH9.creation_code)
    at["factory"] = setup.deploy(FACTORY.creation_code)
    surroundings = words(int(at["factory"], 16), int(at["weth9"], 16))
    at["position_manager"] = setup.deploy(POSITION_MANAGER.creation_code + surroundings + words(0))
    at["swap_router"] = setup.deploy(SWAP_ROUTER.creation_code + surroundings)
    at["tick_lens"] = setup.deploy(TICK_LENS.creation_code)
    at["quoter"] = setup.deploy(QUOTER.creation_code + surroundings)
    if info.fee_pips not in _BUILT_IN_FEES:
        setup.call(at["factory"], "enableFeeAmount(uint24,int24)", info.fee_pips, info.tick_spacing)
    pair = (int(at["token0"], 16), int(at["token1"], 16))
    signature = "createPool(address,address,uint24)"
    setup.call(at["factory"], signature, *pair, info.fee_pips, gas=_DEPLOYMENT_GAS)
    return at


def _deploy_tokens(setup: _Setup, info: MarketInfo) -> dict[str, str]:
    """Add both tokens. The pool calls the one at the lower address token0, so that one has to be the record's."""
    tokens = {"token0": info.token0, "token1": info.token1}
    order = sorted(tokens) if setup.next_address() < setup.next_address(1) else sorted(tokens, reverse=True)
    at: dict[str, str] = {}
    for name in order:
        at[name] = setup.deploy(_token_code(tokens[name]))
        if _is_weth(tokens[name]):
            at["weth9"] = at[name]
    return at


def created_address(sender: str, nonce: int) -> str:
    """Return the address of what a sender deploys with a nonce below 128, in lower case."""
    encoded = bytes.fromhex("d694") + bytes.fromhex(sender[2:]) + bytes([nonce or 0x80])  # RLP of a list of two
    return "0x" + keccak256(encoded)[12:].hex()


def _is_weth(token: Token) -> bool:
    return (token.symbol, token.decimals) == ("WETH", 18)


def _token_code(token: Token) -> bytes:
    if _is_weth(token):
        return WETH9.creation_code
    symbol = token.symbol.encode()[:32]
    arguments = words(64, token.decimals, len(symbol)) + symbol.ljust(-(-len(symbol) // 32) * 32, b"\0")
    return compiled("token").creation_code + arguments


def _insist(receipt: Receipt) -> None:
    if not receipt.is_success:
        raise SimulationError("a transaction of the devnet's setup failed", transaction=receipt.transaction_hash)
