"""The in-memory chain, seen through the real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import bittensor as bt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.signing import Signer, keypair_from_uri
from tideline.embedded_chain import Refusal, SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor, Signed

NETUID = 98
START = 1_000
KEYS = {name: keypair_from_uri(f"//{name}") for name in ("owner", "val", "val2", "miner", "rival", "cold")}
ADDRESS = {name: key.ss58_address for name, key in KEYS.items()}
NAME = {address: name for name, address in ADDRESS.items()}
TAO = 10**9
calls = bt.calls.SubtensorModule


def make_chain(**rules: object) -> InMemorySubtensor:
    """uid 0 owner, 1 and 2 validators, 3 and 4 miners, permits given, nobody rate-limited."""
    settings = {"tempo": 50, "weights_rate_limit": 20, **rules}
    chain = InMemorySubtensor(
        SubnetRules(NETUID, ADDRESS["owner"], ADDRESS["cold"], **settings),  # type: ignore[arg-type]  # test settings
        start_block=START,
    )
    for name, stake in (("owner", 0), ("val", 200 * TAO), ("val2", 100 * TAO), ("miner", 0), ("rival", 0)):
        chain.register(ADDRESS[name], ADDRESS["cold"], stake=stake)
    chain.run_epoch()
    return chain


@pytest.fixture
def chain() -> InMemorySubtensor:
    return make_chain()


@pytest.fixture
async def client(chain: InMemorySubtensor) -> AsyncIterator[bt.Client]:
    async with bt.Client("local", substrate=chain) as opened:
        yield opened


async def submit(client: bt.Client, call: object, key: str) -> bt.ExtrinsicResult:
    """An extrinsic without the SDK's preflight, so that the chain itself has to judge it."""
    return await client.submit_call(call, KEYS[key], signer="hotkey")


def weights_call(**changes: object) -> object:
    return calls.set_mechanism_weights(
        **{"netuid": NETUID, "mecid": 0, "dests": [3, 4], "weights": [65535, 1], "version_key": 0, **changes}
    )


def serve_call(ip: int = 0x0A000001, port: int = 8091, ip_type: int = 4) -> object:
    return calls.serve_axon(
        netuid=NETUID, version=1, ip=ip, port=port, ip_type=ip_type, protocol=4, placeholder1=0, placeholder2=0
    )


async def test_the_real_client_decodes_the_metagraph(chain: InMemorySubtensor, client: bt.Client) -> None:
    await submit(client, serve_call(), "miner")
    chain.advance_to(START + 7)
    graph = await client.subnets.metagraph(NETUID)
    assert graph is not None
    assert (graph.netuid, graph.block, graph.tempo, graph.owner_hotkey) == (NETUID, START + 7, 50, ADDRESS["owner"])
    assert [
        (NAME[n.hotkey], n.uid, n.validator_permit, n.block_at_registration, n.total_stake.rao, n.axon)
        for n in graph.neurons
    ] == [
        ("owner", 0, False, START, 0, None),
        ("val", 1, True, START, 200 * TAO, None),
        ("val2", 2, True, START, 100 * TAO, None),
        ("miner", 3, False, START, 0, "10.0.0.1:8091"),
        ("rival", 4, False, START, 0, None),
    ]


async def test_another_subnet_does_not_exist(client: bt.Client) -> None:
    assert await client.subnets.metagraph(NETUID + 1) is None
    assert await client.read("uid", hotkey_ss58=ADDRESS["val"], netuid=NETUID + 1) is None
    call = calls.set_mechanism_weights(netuid=NETUID + 1, mecid=0, dests=[1], weights=[1], version_key=0)
    refused = await submit(client, call, "val")
    assert (refused.success, refused.error.name) == (False, "SubnetNotExists")


async def test_permits_come_with_the_epoch_and_go_to_the_largest_stakes(client: bt.Client) -> None:
    chain = make_chain(max_validators=2)
    newcomer = keypair_from_uri("//newcomer").ss58_address
    uid = chain.register(newcomer, ADDRESS["cold"], stake=150 * TAO)
    before = [seat.permit for seat in chain.subnet.seats]
    chain.advance_to(START + 50)
    after = [seat.permit for seat in chain.subnet.seats]
    assert (uid, before, after) == (
        5,
        [False, True, True, False, False, False],
        [False, True, False, False, False, True],
    )


async def test_serving_again_takes_fifty_blocks(chain: InMemorySubtensor, client: bt.Client) -> None:
    outcomes = []
    for block, port in ((START, 1), (START + 49, 2), (START + 50, 3)):
        chain.advance_to(block)
        result = await submit(client, serve_call(port=port), "miner")
        outcomes.append((result.success, result.error.name if result.error else None))
    assert outcomes == [(True, None), (False, "ServingRateLimitExceeded"), (True, None)]
    served = chain.subnet.seats[3].axon
    assert served is not None and served.port == 3


@pytest.mark.parametrize(
    ("ip", "port", "ip_type", "name"),
    [
        (0x7F000001, 80, 4, "InvalidIpAddress"),
        (1, 80, 6, "InvalidIpAddress"),
        (2**32 - 1, 80, 4, "InvalidIpAddress"),
        (1, 80, 5, "InvalidIpType"),
        (0x0A000001, 0, 4, "InvalidPort"),
    ],
)
async def test_endpoints_that_the_chain_refuses(ip: int, port: int, ip_type: int, name: str) -> None:
    chain = make_chain(loopback_endpoints=False)
    result = await submit(bt.Client("local", substrate=chain), serve_call(ip, port, ip_type), "miner")
    assert (result.success, result.error.name, chain.subnet.seats[3].axon) == (False, name, None)


async def test_only_the_registered_serve(client: bt.Client) -> None:
    result = await submit(client, serve_call(), "cold")
    assert (result.error.name, result.error.code) == ("HotKeyNotRegisteredInNetwork", bt.ErrorCode.NOT_REGISTERED)


@pytest.mark.parametrize(
    ("rules", "changes", "key", "name", "code"),
    [
        ({}, {"weights": [1]}, "val", "WeightVecNotEqualSize", "invalid_argument"),
        ({}, {"mecid": 1}, "val", "MechanismDoesNotExist", "subnet_not_exists"),
        ({}, {"dests": [0] * 6, "weights": [1] * 6}, "val", "UidsLengthExceedUidsInSubNet", "limit_exceeded"),
        ({}, {}, "cold", "HotKeyNotRegisteredInSubNet", "not_registered"),
        ({"min_stake_to_set_weights": TAO}, {}, "miner", "NotEnoughStakeToSetWeights", "insufficient_balance"),
        ({"version_key": 2}, {"version_key": 1}, "val", "IncorrectWeightVersionKey", "invalid_argument"),
        ({"weights_rate_limit": 21}, {}, "val", "SettingWeightsTooFast", "rate_limited"),
        ({}, {}, "miner", "NeuronNoValidatorPermit", "not_authorized"),
        ({}, {"dests": [3, 3]}, "val", "DuplicateUids", "invalid_argument"),
        ({}, {"dests": [3, 5]}, "val", "UidVecContainInvalidOne", "invalid_argument"),
        ({"min_allowed_weights": 3}, {}, "val", "WeightVecLengthIsLow", "invalid_argument"),
        ({"max_weight_limit": 32767}, {}, "val", "MaxWeightExceeded", "limit_exceeded"),
        ({"commit_reveal": True}, {}, "val", "CommitRevealEnabled", "disabled"),
    ],
)
async def test_weights_that_the_chain_refuses(
    rules: dict[str, object], changes: dict[str, object], key: str, name: str, code: str
) -> None:
    chain = make_chain(**rules)
    chain.advance_to(START + 20)
    before = chain.subnet
    result = await submit(bt.Client("local", substrate=chain), weights_call(**changes), key)
    assert (result.success, result.error.name, result.error.code.value) == (False, name, code)
    assert result.extrinsic_id == f"{START + 20}-0000"
    assert chain.subnet == before


@pytest.mark.parametrize(
    ("key", "dests", "weights", "stored"),
    [
        ("val", [3, 4], [65535, 1], ((3, 65535), (4, 1))),
        ("val", [3, 4], [2, 1], ((3, 65535), (4, 32768))),  # the chain scales the largest up
        ("owner", [3], [1], ((3, 65535),)),  # the owner needs no permit
        ("miner", [3], [7], ((3, 65535),)),  # neither does a weight on oneself
    ],
)
async def test_weights_that_the_chain_accepts(
    chain: InMemorySubtensor,
    client: bt.Client,
    key: str,
    dests: list[int],
    weights: list[int],
    stored: tuple[tuple[int, int], ...],
) -> None:
    chain.advance_to(START + 20)
    result = await submit(client, weights_call(dests=dests, weights=weights), key)
    uid = chain.subnet.uid_of(ADDRESS[key])
    assert result.success and uid is not None
    assert (chain.subnet.seats[uid].weights, chain.subnet.seats[uid].last_update) == (stored, START + 20)


class Impostor:
    """Claims the validator's address and signs with a key of its own."""

    def __init__(self, claimed: Signer, own: Signer) -> None:
        self.ss58_address, self.public_key, self.crypto_type = claimed.ss58_address, claimed.public_key, 1
        self._own = own

    def sign(self, payload: bytes) -> bytes:
        return self._own.sign(payload)


async def test_a_signer_must_be_the_hotkey_that_it_claims_to_be(chain: InMemorySubtensor, client: bt.Client) -> None:
    chain.advance_to(START + 20)
    before = chain.subnet
    result = await client.submit_call(weights_call(), Impostor(KEYS["val"], KEYS["rival"]), signer="hotkey")
    assert (result.success, result.error.name, result.extrinsic_id, chain.subnet) == (False, "BadProof", None, before)
    honest = await client.submit_call(weights_call(), Impostor(KEYS["val"], KEYS["val"]), signer="hotkey")
    assert honest.success


async def test_an_extrinsic_counts_once_and_only_as_it_was_signed(chain: InMemorySubtensor, client: bt.Client) -> None:
    key = KEYS["val"]
    chain.set_rules(weights_rate_limit=0)
    call = await chain.compose(weights_call())
    signed = Signed(call, key.ss58_address, key.crypto_type, 0, key.sign(call.payload(0)))
    forged = await chain.compose(weights_call(weights=[1, 65535]))
    altered = Signed(forged, signed.address, signed.crypto_type, 0, signed.signature)
    future = Signed(call, signed.address, signed.crypto_type, 1, signed.signature)
    outcomes = [await chain.submit_signed(extrinsic, key) for extrinsic in (altered, future, signed, signed)]
    assert [result.error.name if result.error else "ok" for result in outcomes] == ["BadProof", "Future", "ok", "Stale"]


async def test_a_full_subnet_prunes_the_oldest_that_is_not_immune() -> None:
    chain = make_chain(max_uids=5, immunity_period=100)
    newcomer = keypair_from_uri("//newcomer").ss58_address
    with pytest.raises(Refusal, match="NoNeuronIdAvailable"):
        chain.register(newcomer, ADDRESS["cold"])
    chain.advance_to(START + 100)
    assert chain.register(newcomer, ADDRESS["cold"]) == 1  # uid 0 is the owner's
    assert chain.subnet.uid_of(ADDRESS["val"]) is None


async def test_a_replaced_seat_starts_empty(chain: InMemorySubtensor, client: bt.Client) -> None:
    await submit(client, serve_call(), "miner")
    chain.advance_to(START + 20)
    await submit(client, weights_call(), "val")
    newcomer = keypair_from_uri("//newcomer").ss58_address
    chain.register(newcomer, ADDRESS["cold"], uid=3)
    seat = chain.subnet.seats[3]
    assert (seat.hotkey, seat.axon, seat.weights, seat.permit, seat.registered_at, seat.last_update) == (
        newcomer,
        None,
        (),
        False,
        START + 20,
        START + 20,
    )
    assert chain.subnet.seats[1].weights == ((3, 0), (4, 1))


async def test_registration_by_burn(client: bt.Client, chain: InMemorySubtensor) -> None:
    newcomer = keypair_from_uri("//newcomer").ss58_address
    call = calls.burned_register(netuid=NETUID, hotkey=newcomer)
    poor = await client.submit_call(call, KEYS["cold"])
    chain.fund(ADDRESS["cold"], 1_500_000)
    paid = await client.submit_call(call, KEYS["cold"])
    again = await client.submit_call(call, KEYS["cold"])
    assert [r.error.name if r.error else "ok" for r in (poor, paid, again)] == [
        "NotEnoughBalanceToStake",
        "ok",
        "NotEnoughBalanceToStake",
    ]
    assert (await client.read("uid", hotkey_ss58=newcomer, netuid=NETUID), chain.subnet.balances) == (
        5,
        {ADDRESS["cold"]: 500_000},
    )


async def test_epochs_run_when_due_and_when_triggered(chain: InMemorySubtensor, client: bt.Client) -> None:
    seen = []
    for block in (START + 49, START + 50, START + 151):
        chain.advance_to(block)
        status = await client.read("epoch_status", netuid=NETUID)
        seen.append((status["epoch_index"], status["last_epoch_block"], status["blocks_remaining"]))
    chain.trigger_epoch(START + 160)
    seen.append((await client.read("epoch_status", netuid=NETUID))["next_epoch_start_block"])
    chain.advance_to(START + 160)
    status = await client.read("epoch_status", netuid=NETUID)
    seen.append((status["epoch_index"], status["last_epoch_block"], status["next_epoch_start_block"]))
    assert seen == [
        (1, START, 1),
        (2, START + 50, 50),
        (4, START + 150, 49),
        START + 160,
        (5, START + 160, START + 210),
    ]


async def test_a_new_tempo_begins_a_new_cycle(chain: InMemorySubtensor, client: bt.Client) -> None:
    chain.advance_to(START + 30)
    chain.set_tempo(80)
    assert await client.read("next_epoch_start_block", netuid=NETUID) == START + 110


async def test_the_client_can_wait_for_blocks_and_epochs(chain: InMemorySubtensor, client: bt.Client) -> None:
    waiting = asyncio.create_task(client.wait_for_epoch(NETUID, timeout=5))
    reached = asyncio.create_task(client.wait_for_block(START + 3, timeout=5))
    numbers: list[int] = []

    async def follow() -> None:
        async for header in client.blocks():
            numbers.append(header.number)
            if header.number == START + 55:
                return

    following = asyncio.create_task(follow())
    for block in (START + 1, START + 3, START + 49, START + 55):
        await asyncio.sleep(0)  # let the subscribers run between blocks
        chain.advance_to(block)
    event = await waiting
    await following
    assert (event.block, event.previous, (await reached).number) == (START + 50, START, START + 3)
    assert numbers == list(range(START, START + 56))


async def test_a_pinned_read_does_not_move(chain: InMemorySubtensor, client: bt.Client) -> None:
    chain.advance_to(START + 20)
    view = await client.at(START + 20)
    chain.advance_to(START + 21)
    await submit(client, weights_call(), "val")
    assert (await view.read("weights", netuid=NETUID), list(await client.read("weights", netuid=NETUID))) == ({}, [1])
    with pytest.raises(bt.ChainError, match="does not exist"):
        await client.subnets.metagraph(NETUID, block=START + 22)
    with pytest.raises(bt.ChainError, match="discarded"):
        await client.subnets.metagraph(NETUID, block=START - 1)


async def test_clients_share_one_chain(chain: InMemorySubtensor, client: bt.Client) -> None:
    async with bt.Client("local", substrate=chain) as other:
        await submit(other, serve_call(), "miner")
    graph = await client.subnets.metagraph(NETUID)
    assert graph is not None and graph.neurons[3].axon == "10.0.0.1:8091"


async def test_connecting_leaves_nothing_on_disk(
    chain: InMemorySubtensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "symbols.json"
    monkeypatch.setenv("BTCLI_TOKEN_SYMBOLS_CACHE", str(cache))
    await bt.Client("local", substrate=chain).connect()
    assert not cache.exists()


async def test_what_is_not_modelled_says_so(client: bt.Client) -> None:
    with pytest.raises(bt.ChainError, match="does not model") as caught:
        await client.query(("SubtensorModule", "Kappa"), [NETUID])
    assert caught.value.code is bt.ErrorCode.NOT_FOUND


async def test_a_timelocked_commit_is_kept_sealed(client: bt.Client, chain: InMemorySubtensor) -> None:
    chain.set_rules(commit_reveal=True, weights_rate_limit=0)
    chain.advance_to(START + 20)
    result = await client.execute(bt.SetWeights(NETUID, weights={3: 1.0}), KEYS["val"])
    pending = await client.read("timelocked_weight_commits", netuid=NETUID)
    assert result.success
    assert [(c["hotkey"], c["commit_block"], c["reveal_round"]) for c in pending[1]] == [
        (ADDRESS["val"], START + 20, result.data["reveal_round"])
    ]
    assert (chain.subnet.seats[1].weights, chain.subnet.seats[1].last_update) == ((), START + 20)
    more = [await client.execute(bt.SetWeights(NETUID, weights={3: 1.0}), KEYS["val"]) for _ in range(10)]
    assert [bool(each) for each in more] == [True] * 9 + [False]
    assert more[-1].error.name == "TooManyUnrevealedCommits"


@given(steps=st.lists(st.integers(0, 130), max_size=12), tempo=st.integers(1, 60))
def test_epochs_do_not_depend_on_how_often_the_chain_is_told(steps: list[int], tempo: int) -> None:
    by_steps, at_once = make_chain(tempo=tempo), make_chain(tempo=tempo)
    for step in steps:
        by_steps.advance_to(by_steps.head + step)
    at_once.advance_to(by_steps.head)
    assert by_steps.subnet == at_once.subnet
    assert by_steps.head - by_steps.subnet.last_epoch_block < tempo


@given(
    moves=st.lists(
        st.tuples(st.integers(0, 7), st.one_of(st.none(), st.integers(0, 4)), st.integers(0, 40)), max_size=30
    )
)
def test_a_hotkey_never_holds_two_seats(moves: list[tuple[int, int | None, int]]) -> None:
    chain = make_chain(max_uids=5, immunity_period=10)
    for number, uid, blocks in moves:
        chain.advance_to(chain.head + blocks)
        try:
            chain.register(f"hotkey-{number}", "cold", uid=uid)
        except Refusal as refusal:
            assert str(refusal) in ("HotKeyAlreadyRegisteredInSubNet", "NoNeuronIdAvailable")
    hotkeys = [seat.hotkey for seat in chain.subnet.seats]
    assert len(set(hotkeys)) == len(hotkeys) == 5


def test_the_chain_never_goes_back(chain: InMemorySubtensor) -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        chain.advance_to(START - 1)
