"""The validator's adapter with the real client, real keys and the in-memory chain."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from typing import Any

import bittensor as bt
import pytest
from bittensor.intents.weights import clip_to_max_weight, normalize
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ChainError, ConfigError
from protocol.signing import keypair_from_uri
from protocol.subtensor import ChainEndpoint
from protocol.units import Uid
from tideline.embedded_chain import SubnetRules
from tideline.embedded_subtensor import InMemorySubtensor
from validator.metagraph import Endpoint
from validator.subtensor import ValidatorChain
from validator.weight_setter import (
    Epoch,
    Wait,
    WaitReason,
    WeightSet,
    WeightSetter,
    WeightSettings,
    WeightsOutcome,
    WeightsResult,
)
from validator.weight_vector import WeightLimits, within_limit

NETUID = 98
START = 1_000
TAO = 10**9
KEYS = {name: keypair_from_uri(f"//{name}") for name in ("owner", "val", "miner", "rival", "thief", "cold")}
ADDRESS = {name: key.ss58_address for name, key in KEYS.items()}
COLD = ADDRESS["cold"]


def make_chain(**rules: object) -> InMemorySubtensor:
    """uid 0 the owner, 1 a validator with a permit, 2 and 3 miners."""
    settings = {"tempo": 50, "weights_rate_limit": 20, **rules}
    chain = InMemorySubtensor(SubnetRules(NETUID, ADDRESS["owner"], COLD, **settings), start_block=START)
    for name in ("owner", "val", "miner", "rival"):
        chain.register(ADDRESS[name], COLD, stake=100 * TAO if name == "val" else 0)
    chain.run_epoch()
    return chain


class Unreliable:
    """A substrate in front of another that can be told to fail or to hang, per method, and counts its connections."""

    def __init__(self, inner: InMemorySubtensor) -> None:
        self.inner, self.token_symbols = inner, {}
        self.faults: dict[str, Callable[[], Any]] = {}
        self.connects = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.connects += name == "connect"
            before = self.faults.get(name, self.faults.get("*"))
            if before is not None:
                await before()
            result = await method(*args, **kwargs)
            after = self.faults.get(f"after {name}")
            if after is not None:
                await after()
            return result

        return call


async def lose_connection() -> None:
    raise bt.RpcConnectionError("connection closed by peer")


async def hang() -> None:
    await asyncio.Event().wait()


def raising(error: Exception) -> Callable[[], Any]:
    async def fault() -> None:
        raise error

    return fault


@pytest.fixture
def chain() -> InMemorySubtensor:
    return make_chain()


@pytest.fixture
def line(chain: InMemorySubtensor) -> Unreliable:
    return Unreliable(chain)


@pytest.fixture
def endpoint(line: Unreliable) -> ChainEndpoint:
    return ChainEndpoint("local", NETUID, substrate=line, deadline_s=0.2, submit_deadline_s=0.2)  # type: ignore[arg-type]  # delegates


@pytest.fixture
async def validator(endpoint: ChainEndpoint) -> AsyncIterator[ValidatorChain]:
    connected = await ValidatorChain.connect(endpoint, KEYS["val"])
    yield connected
    await connected.close()


async def serve(chain: InMemorySubtensor, name: str, ip: str, port: int) -> None:
    async with bt.Client("local", substrate=chain) as client:
        (await client.execute(bt.ServeAxon(NETUID, ip, port), KEYS[name])).raise_for_failure()


async def test_from_registration_to_weights_read_back(chain: InMemorySubtensor, validator: ValidatorChain) -> None:
    await serve(chain, "miner", "127.0.0.1", 8091)
    await serve(chain, "rival", "2001:db8::7", 8092)
    chain.advance_to(START + 31)
    graph = await validator.metagraph()
    assert [
        (n.uid, n.hotkey, n.stake, n.validator_permit, n.registered_at_block, n.axon, n.last_update)
        for n in graph.neurons
    ] == [
        (0, ADDRESS["owner"], 0, False, START, None, START),
        (1, ADDRESS["val"], 100 * TAO, True, START, None, START),
        (2, ADDRESS["miner"], 0, False, START, Endpoint("127.0.0.1", 8091), START),
        (3, ADDRESS["rival"], 0, False, START, Endpoint("2001:db8::7", 8092), START),
    ]
    assert (graph.netuid, graph.block, graph.owner_hotkey) == (NETUID, START + 31, ADDRESS["owner"])
    assert await validator.epoch() == Epoch(
        block=START + 31,
        index=1,
        tempo=50,
        last_epoch_block=START,
        next_epoch_start_block=START + 50,
        blocks_remaining=19,
    )
    setter = WeightSetter(validator, WeightSettings())
    record = await setter.step({graph.neurons[2].identity: 3, graph.neurons[3].identity: 1})
    assert record == WeightSet(START + 31, 1, (2, 3), (65535, 21845), included=True, read_back_ok=True, message="")
    assert chain.subnet.seats[1].weights == ((2, 65535), (3, 21845))
    assert await setter.step({}) == Wait(WaitReason.ALREADY_SET, 19)


async def test_who_we_are(validator: ValidatorChain) -> None:
    assert (await validator.uid(), validator.hotkey, validator.netuid, await validator.block()) == (
        1,
        ADDRESS["val"],
        NETUID,
        START,
    )


async def test_a_hotkey_without_a_seat_is_told_how_to_get_one(endpoint: ChainEndpoint) -> None:
    stranger = await ValidatorChain.connect(endpoint, KEYS["thief"])
    with pytest.raises(ConfigError, match="btcli subnets register --netuid 98") as caught:
        await stranger.uid()
    assert ADDRESS["thief"] in str(caught.value)


async def test_a_subnet_that_does_not_exist_is_the_operators_to_fix(endpoint: ChainEndpoint) -> None:
    lost = await ValidatorChain.connect(replace(endpoint, netuid=5), KEYS["val"])
    for question in (lost.metagraph, lost.epoch):
        with pytest.raises(ConfigError, match="check netuid"):
            await question()


async def test_the_limits(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    chain.set_rules(min_allowed_weights=3, max_weight_limit=30_000, version_key=9, commit_reveal=True)
    assert await validator.limits() == WeightLimits(3, 30_000, rate_limit=20, version_key=9, commit_reveal=True)


async def test_too_early_is_an_outcome(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    chain.advance_to(START + 19)
    result = await validator.set_weights({Uid(2): 1})
    assert (result.outcome, result.code, result.included) == (WeightsOutcome.RATE_LIMITED, "rate_limited", False)
    assert (await validator.blocks_since_last_update(), chain.subnet.seats[1].weights) == (19, ())
    chain.advance_to(START + 20)
    assert (await validator.set_weights({Uid(2): 1})).included


async def test_without_a_permit_the_chain_refuses(endpoint: ChainEndpoint, chain: InMemorySubtensor) -> None:
    chain.advance_to(START + 30)
    miner = await ValidatorChain.connect(endpoint, KEYS["miner"])
    result = await miner.set_weights({Uid(1): 1})
    assert (result.outcome, result.code, result.read_back_ok) == (WeightsOutcome.REFUSED, "not_authorized", False)


async def test_an_old_version_key_is_refused_and_a_new_one_taken(
    endpoint: ChainEndpoint, chain: InMemorySubtensor
) -> None:
    chain.set_rules(version_key=4)
    chain.advance_to(START + 30)
    outcomes = [
        (await (await ValidatorChain.connect(endpoint, KEYS["val"], version_key=key)).set_weights({Uid(2): 1})).outcome
        for key in (3, 4)
    ]
    assert outcomes == [WeightsOutcome.REFUSED, WeightsOutcome.INCLUDED]


async def test_all_zero_sends_nothing(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    chain.advance_to(START + 20)
    await validator.set_weights({Uid(2): 1})
    chain.advance_to(START + 80)
    before = chain.subnet
    result = await validator.set_weights({Uid(2): 0, Uid(3): 0})
    assert (result.outcome, result.sent, chain.subnet) == (WeightsOutcome.NOTHING_TO_SET, (), before)


async def test_too_few_entries_are_refused_with_a_line_that_says_what_to_change(
    validator: ValidatorChain, chain: InMemorySubtensor
) -> None:
    chain.set_rules(min_allowed_weights=3)
    chain.advance_to(START + 30)
    result = await validator.set_weights({Uid(2): 1, Uid(3): 1})
    assert result.outcome is WeightsOutcome.REFUSED
    assert "fewer than 3" in result.message and "min_allowed_weights" in result.message


@pytest.mark.parametrize("limit", [65535, 50_000, 40_000, 33_000, 32_800])
async def test_clipped_weights_are_accepted_and_read_back_exactly(
    validator: ValidatorChain, chain: InMemorySubtensor, limit: int
) -> None:
    chain.set_rules(max_weight_limit=limit)
    chain.advance_to(START + 30)
    result = await validator.set_weights({Uid(0): 1, Uid(2): 65535, Uid(3): 20_000})
    assert (result.included, result.read_back_ok, result.sent) == (True, True, chain.subnet.seats[1].weights)


@given(st.lists(st.integers(1, 65535), min_size=2, max_size=30), st.integers(2_000, 65535))
def test_the_sdk_sends_the_cut_vector_as_it_is(values: list[int], limit: int) -> None:
    top = max(values)
    cut = within_limit({Uid(uid): value * 65535 // top or 1 for uid, value in enumerate(values)}, limit)
    if cut:
        sent = normalize(list(cut), clip_to_max_weight([float(value) for value in cut.values()], limit / 65535))
        assert dict(zip(*sent, strict=True)) == cut


async def test_the_sdk_alone_would_send_what_the_chain_refuses(chain: InMemorySubtensor) -> None:
    chain.set_rules(max_weight_limit=33_000)
    chain.advance_to(START + 30)
    async with bt.Client("local", substrate=chain) as client:
        refused = await client.execute(bt.SetWeights(NETUID, weights={0: 1, 2: 65535, 3: 20_000}), KEYS["val"])
    assert refused.error is not None and refused.error.name == "MaxWeightExceeded"


async def test_a_limit_that_only_equal_weights_meet_is_no_reason_to_send_equal_weights(
    validator: ValidatorChain, chain: InMemorySubtensor
) -> None:
    chain.set_rules(max_weight_limit=20_000)
    chain.advance_to(START + 30)
    result = await validator.set_weights({Uid(2): 65535, Uid(3): 1})
    assert (result.outcome, chain.subnet.seats[1].weights) == (WeightsOutcome.REFUSED, ())
    assert "max_weight_limit" in result.message
    async with bt.Client("local", substrate=chain) as client:  # the SDK does, and here the chain refuses even those
        refused = await client.execute(bt.SetWeights(NETUID, weights={2: 65535, 3: 1}), KEYS["val"])
    assert refused.error is not None and refused.error.name == "MaxWeightExceeded"


async def test_a_commit_is_read_back_as_a_commit(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    chain.set_rules(commit_reveal=True)
    chain.advance_to(START + 30)
    result = await validator.set_weights({Uid(2): 1})
    assert (result.outcome, result.included, result.read_back_ok) == (WeightsOutcome.COMMITTED, True, True)
    assert result.reveal_round is not None and chain.subnet.commits[0][1][0].reveal_round == result.reveal_round


# Somebody else in the seat -----------------------------------------------------


async def test_attack_a_uid_replaced_between_scoring_and_setting(
    validator: ValidatorChain, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 31)
    then = await validator.metagraph()
    scores = {then.neurons[2].identity: 5, then.neurons[3].identity: 1}
    chain.register(ADDRESS["thief"], COLD, uid=2)
    naive = await validator.set_weights({Uid(2): 65535, Uid(3): 13107})
    assert naive.included and chain.subnet.seats[1].weights[0] == (2, 65535)  # by uid the thief is paid
    chain.advance_to(START + 81)
    record = await WeightSetter(validator, WeightSettings()).step(scores)
    assert isinstance(record, WeightSet)
    assert (record.uids, record.weights, chain.subnet.seats[1].weights) == ((3,), (65535,), ((3, 65535),))


async def test_attack_a_hotkey_that_comes_back_is_a_new_miner(
    validator: ValidatorChain, chain: InMemorySubtensor
) -> None:
    then = await validator.metagraph()
    scores = {then.neurons[2].identity: 5, then.neurons[3].identity: 1}
    chain.advance_to(START + 10)
    chain.register(ADDRESS["thief"], COLD, uid=2)
    chain.register(ADDRESS["miner"], COLD, uid=0)
    chain.advance_to(START + 31)
    now = await validator.metagraph()
    returned = now.by_hotkey(ADDRESS["miner"])
    assert returned is not None and returned.identity == (ADDRESS["miner"], START + 10)
    record = await WeightSetter(validator, WeightSettings()).step(scores)
    assert isinstance(record, WeightSet) and record.uids == (3,)


async def test_everybody_scored_is_gone_and_the_row_stays(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    chain.advance_to(START + 31)
    setter = WeightSetter(validator, WeightSettings())
    graph = await validator.metagraph()
    await setter.step({graph.neurons[3].identity: 1})
    chain.register(ADDRESS["thief"], COLD, uid=2)
    chain.advance_to(START + 81)
    assert await setter.step({graph.neurons[2].identity: 1}) == Wait(WaitReason.NOTHING_TO_SET, 1)
    assert chain.subnet.seats[1].weights == ((3, 65535),)


async def test_epoch_after_epoch_through_a_change_of_tempo(validator: ValidatorChain, chain: InMemorySubtensor) -> None:
    setter = WeightSetter(validator, WeightSettings())
    scores = {(await validator.metagraph()).neurons[2].identity: 1}
    blocks = []
    for block in range(START, START + 260):
        chain.advance_to(block)
        if block == START + 120:
            chain.set_tempo(80)
        step = await setter.step(scores)
        if isinstance(step, WeightSet):
            assert step.included and step.read_back_ok
            blocks.append(block - START)
    # Epochs at 50 and 100; the new tempo begins its cycle at 120, hence epochs at 200 and 280.
    assert blocks == [30, 80, 180]


# The line fails ------------------------------------------------------------------


async def test_a_lost_connection_is_retryable_and_reopened_once(validator: ValidatorChain, line: Unreliable) -> None:
    assert line.connects == 1
    line.faults["*"] = lose_connection
    for question in (validator.uid, validator.metagraph, validator.epoch, validator.limits, validator.block):
        with pytest.raises(ChainError, match="closed by peer") as caught:
            await question()
        assert caught.value.retryable
    line.faults.clear()
    before = line.connects
    answers = await asyncio.gather(validator.uid(), validator.block(), validator.uid())
    assert (answers, line.connects - before) == ([1, START, 1], 1)
    await validator.metagraph()
    assert line.connects - before == 1


async def test_a_hang_ends_at_the_deadline(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["runtime_call"] = hang
    with pytest.raises(ChainError, match="deadline") as caught:
        await validator.metagraph()
    assert caught.value.retryable
    line.faults.clear()
    assert (await validator.metagraph()).block == START


async def test_nobody_answers_at_the_start(endpoint: ChainEndpoint, line: Unreliable) -> None:
    for fault in (lose_connection, hang, raising(OSError("no route to host"))):
        line.faults["connect"] = fault
        with pytest.raises(ChainError, match="cannot connect") as caught:
            await ValidatorChain.connect(endpoint, KEYS["val"])
        assert caught.value.retryable


async def test_the_real_transport_against_nobody_and_against_silence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts by the kernel's hand, and never says a word
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        alone = ChainEndpoint(url, NETUID, fallback_endpoints=(), archive_endpoints=(), deadline_s=0.3)
        with pytest.raises(ChainError, match="deadline") as silence:
            await ValidatorChain.connect(alone, KEYS["val"])
    with pytest.raises(ChainError, match="could not connect to any endpoint") as nobody:
        await ValidatorChain.connect(alone, KEYS["val"])
    assert silence.value.retryable and nobody.value.retryable
    assert silence.value.where == {"network": url, "netuid": NETUID}


async def test_closing_a_dead_line_does_not_hang(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["close"] = hang
    await validator.close()
    await validator.close()
    line.faults.clear()
    assert await validator.uid() == 1  # and it can be opened again


async def test_an_impossible_answer_is_not_asked_for_again(validator: ValidatorChain, line: Unreliable) -> None:
    line.faults["runtime_call"] = raising(KeyError("hotkeys"))
    with pytest.raises(ChainError, match="impossible answer") as caught:
        await validator.metagraph()
    assert not caught.value.retryable


async def test_a_submission_that_never_arrived_is_unknown(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)
    for fault in (lose_connection, hang):
        line.faults["submit"] = fault
        result = await validator.set_weights({Uid(2): 1})
        assert (result.outcome, result.included) == (WeightsOutcome.UNKNOWN, False)
    assert chain.subnet.seats[1].weights == ()
    line.faults.clear()
    assert (await validator.set_weights({Uid(2): 1})).included


async def test_a_submission_whose_answer_was_lost_is_found_on_chain(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)
    line.faults["after submit"] = hang
    result = await validator.set_weights({Uid(2): 1})
    assert (result.outcome, result.read_back_ok, result.block) == (WeightsOutcome.INCLUDED, True, START + 30)
    assert "found on chain" in result.message


async def test_a_chain_that_holds_something_else_is_reported(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)

    async def forget() -> None:
        subnet = chain.subnet
        seats = (subnet.seats[0], replace(subnet.seats[1], weights=((3, 65535),)), *subnet.seats[2:])
        chain._store(replace(subnet, seats=seats))

    line.faults["after submit"] = forget
    result = await validator.set_weights({Uid(2): 1})
    assert result == WeightsResult(
        WeightsOutcome.INCLUDED,
        START + 30,
        ((2, 65535),),
        read_back_ok=False,
        code="",
        message="the chain does not hold what was sent",
    )


async def test_a_pool_rejection_is_a_result(
    validator: ValidatorChain, line: Unreliable, chain: InMemorySubtensor
) -> None:
    chain.advance_to(START + 30)

    async def race() -> None:
        chain._nonces[ADDRESS["val"]] = 5  # somebody used our nonces between signing and submitting

    line.faults["submit"] = race
    result = await validator.set_weights({Uid(2): 1})
    assert result.included


# Only the network differs ----------------------------------------------------------


def test_finney_is_one_setting_away(endpoint: ChainEndpoint) -> None:
    finney = replace(endpoint, network="finney", substrate=None)
    changed = {f.name for f in fields(ChainEndpoint) if getattr(endpoint, f.name) != getattr(finney, f.name)}
    clients = endpoint.client(), finney.client()
    assert changed == {"network", "substrate"}
    assert [type(client) for client in clients] == [bt.Client, bt.Client]
    assert [client.endpoint for client in clients][1] == "wss://entrypoint-finney.opentensor.ai:443"


def test_pools_and_urls_reach_the_client() -> None:
    pinned = ChainEndpoint("wss://mine.example:9944", NETUID, fallback_endpoints=("wss://other.example",))
    assert pinned.client().endpoint == "wss://mine.example:9944"
    with pytest.raises(ConfigError, match=r"subtensor\.network"):
        ChainEndpoint("fynney", NETUID).client()


def test_the_client_may_not_spend_or_leave_its_subnet(endpoint: ChainEndpoint) -> None:
    policy = endpoint.client().policy
    assert policy is not None
    assert (policy.max_spend_tao.rao, policy.allowed_netuids, policy.allow_raw_calls) == (0, [NETUID], False)


# Keys ---------------------------------------------------------------------------------
