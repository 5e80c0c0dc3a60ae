"""Who takes part, whatever the chain answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from protocol.errors import ChainError
from protocol.units import BlockNumber, Hotkey, Uid
from simulator.opening import Entrant
from validator.metagraph import Endpoint, Metagraph, Neuron
from validator.roster import BELIEVED_AFTER, RETRY_S, FixedRoster, MetagraphRoster
from validator.transport import MinerEndpoint

OWN = Hotkey("5own")


def make_graph(hotkeys: Iterable[str], block: int = 100) -> Metagraph:
    neurons = tuple(
        Neuron(
            uid=Uid(uid),
            hotkey=Hotkey(hotkey),
            coldkey="cold",
            stake=0,
            validator_permit=False,
            registered_at_block=BlockNumber(7 + uid),
            axon=None if hotkey == "silent" else Endpoint("203.0.113.7", 8000 + uid),
            last_update=BlockNumber(7),
        )
        for uid, hotkey in enumerate(hotkeys)
    )
    return Metagraph(98, BlockNumber(block), neurons, Hotkey("owner"))


FORTY = [f"5m{n}" for n in range(40)]


@dataclass
class Source:
    """Answers with what a test puts in, and can be made to wait."""

    answer: Metagraph | ChainError = field(default_factory=lambda: make_graph(FORTY))
    reads: int = 0
    gate: asyncio.Event | None = None

    async def metagraph(self) -> Metagraph:
        self.reads += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, ChainError):
            raise self.answer
        return self.answer


@dataclass
class Bench:
    """A roster with a clock that moves by hand."""

    source: Source = field(default_factory=Source)
    now: float = 5_000.0

    def __post_init__(self) -> None:
        self.roster = MetagraphRoster(self.source, OWN, refresh_s=300, monotonic=lambda: self.now)

    async def hotkeys(self) -> list[str]:
        return [neuron.hotkey for neuron in (await self.roster.metagraph()).neurons]


async def test_those_who_publish_an_endpoint_take_part_except_ourselves() -> None:
    bench = Bench(Source(make_graph(["5a", "silent", OWN, "5b"])))
    assert await bench.roster.entrants() == [
        (Entrant(Hotkey("5a"), 0, 7), MinerEndpoint(Hotkey("5a"), "203.0.113.7", 8000)),
        (Entrant(Hotkey("5b"), 3, 10), MinerEndpoint(Hotkey("5b"), "203.0.113.7", 8003)),
    ]


async def test_it_is_read_again_after_its_time_and_not_before() -> None:
    bench = Bench()
    await bench.hotkeys()
    bench.source.answer = make_graph([*FORTY, "5new"])
    bench.now += 299
    assert "5new" not in await bench.hotkeys()
    bench.now += 1
    assert "5new" in await bench.hotkeys()
    assert bench.source.reads == 2


async def test_a_first_read_that_fails_is_raised_and_the_next_asks_again() -> None:
    bench = Bench(Source(ChainError("nobody answers", retryable=True)))
    with pytest.raises(ChainError):
        await bench.hotkeys()
    bench.source.answer = make_graph(FORTY)
    assert await bench.hotkeys() == FORTY


async def test_a_later_read_that_fails_keeps_the_last_and_is_not_repeated_at_once() -> None:
    bench = Bench()
    await bench.hotkeys()
    bench.source.answer = ChainError("nobody answers", retryable=True)
    bench.now += 300
    assert await bench.hotkeys() == FORTY
    assert await bench.hotkeys() == FORTY
    assert bench.source.reads == 2, "every round would otherwise wait for the deadline of a silent chain"
    bench.now += RETRY_S
    assert await bench.hotkeys() == FORTY
    assert bench.source.reads == 3


async def test_an_implausible_answer_is_refused_until_it_has_been_given_often_enough() -> None:
    bench = Bench()
    await bench.hotkeys()
    bench.source.answer = make_graph(FORTY[:20])
    bench.now += 300
    for _ in range(BELIEVED_AFTER - 1):
        assert await bench.hotkeys() == FORTY
        bench.now += RETRY_S
    assert await bench.hotkeys() == FORTY[:20]


async def test_one_plausible_answer_in_between_begins_the_count_anew() -> None:
    bench = Bench()
    await bench.hotkeys()
    for answer in (FORTY[:20], FORTY, FORTY[:20], FORTY):
        bench.source.answer = make_graph(answer)
        for _ in range(BELIEVED_AFTER - 1 if answer is not FORTY else 1):
            bench.now += 300
            assert await bench.hotkeys() == FORTY


async def test_jobs_that_ask_at_once_share_one_read() -> None:
    bench = Bench(Source(gate=asyncio.Event()))
    asking = [asyncio.create_task(bench.roster.entrants()) for _ in range(5)]
    await asyncio.sleep(0)
    assert bench.source.gate is not None
    bench.source.gate.set()
    answers = await asyncio.gather(*asking)
    assert all(answer == answers[0] for answer in answers) and bench.source.reads == 1


async def test_a_registration_anew_is_a_new_entrant() -> None:
    bench = Bench()
    before = {e.hotkey: e for e, _ in await bench.roster.entrants()}
    graph = make_graph(FORTY, block=400)
    again = replace(graph.neurons[3], registered_at_block=BlockNumber(350))
    bench.source.answer = replace(graph, neurons=(*graph.neurons[:3], again, *graph.neurons[4:]))
    bench.now += 300
    after = {e.hotkey: e for e, _ in await bench.roster.entrants()}
    assert after[Hotkey("5m3")] == replace(before[Hotkey("5m3")], registered_at_block=350)


async def test_miners_named_by_hand_keep_their_order() -> None:
    named = [MinerEndpoint(Hotkey(name), "127.0.0.1", 1) for name in ("5b", "5a")]
    assert await FixedRoster(named).entrants() == [
        (Entrant(Hotkey("5b"), 0, 0), named[0]),
        (Entrant(Hotkey("5a"), 1, 0), named[1]),
    ]
