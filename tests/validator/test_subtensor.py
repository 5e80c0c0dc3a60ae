"""The validator's adapter with the real client, real keys and the in-memory chain."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import fields, replace

import bittensor as bt
import pytest
from bittensor.intents.weights import clip_to_max_weight, normalize
from hypothesis import given
from hypothesis import strategies as st
from support.subnet_of_four import ADDRESS, COLD, KEYS, NETUID, START, TAO, make_chain

from protocol.errors import ConfigError
from protocol.subtensor import ChainEndpoint
from protocol.units import Uid
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
)
from validator.weight_vector import WeightLimits, within_limit


@pytest.fixture
def chain() -> InMemorySubtensor:
    return make_chain()


@pytest.fixture
def endpoint(chain: InMemorySubtensor) -> ChainEndpoint:
    return ChainEndpoint("local", NETUID, substrate=chain, deadline_s=0.2, submit_deadline_s=0.2)


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
