from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.units import BlockNumber, Hotkey, Uid
from validator.metagraph import (
    Endpoint,
    Identity,
    Metagraph,
    Neuron,
    is_implausible_update,
    miners,
    vanished_hotkeys,
)


def neuron(uid: int, hotkey: str, *, registered: int = 10, axon: Endpoint | None = None) -> Neuron:
    return Neuron(
        uid=Uid(uid),
        hotkey=Hotkey(hotkey),
        coldkey="cold",
        stake=0,
        validator_permit=False,
        registered_at_block=BlockNumber(registered),
        axon=axon,
        last_update=BlockNumber(registered),
    )


def graph(hotkeys: list[str]) -> Metagraph:
    neurons = tuple(neuron(uid, hotkey) for uid, hotkey in enumerate(hotkeys))
    return Metagraph(98, BlockNumber(100), neurons, Hotkey("owner"))


def test_identity_is_hotkey_and_registration() -> None:
    first, again = neuron(3, "a", registered=10), neuron(3, "a", registered=500)
    assert first.identity == ("a", 10) == Identity(Hotkey("a"), BlockNumber(10))
    assert first.identity != again.identity
    assert {("a", 10): "score"}[first.identity] == "score"


def test_miners_are_all_who_listen_but_ourselves() -> None:
    here = Endpoint("10.0.0.1", 80)
    neurons = (neuron(0, "us", axon=here), neuron(1, "silent"), neuron(2, "miner", axon=here))
    assert miners(Metagraph(98, BlockNumber(1), neurons, Hotkey("owner")), "us") == (neurons[2],)


def test_lookups() -> None:
    known = graph(["a", "b"])
    assert (known.by_hotkey("b"), known.by_uid(0)) == (known.neurons[1], known.neurons[0])
    assert (known.by_hotkey("c"), known.by_uid(2)) == (None, None)
    assert known.uid_by_identity() == {("a", 10): 0, ("b", 10): 1}


@pytest.mark.parametrize(
    ("before", "gone", "implausible"),
    [
        (256, 63, False),
        (256, 64, True),
        (44, 11, True),
        (45, 11, False),
        (40, 10, False),
        (10, 10, False),
        (11, 11, True),
    ],
)
def test_an_update_that_loses_too_many_is_refused(before: int, gone: int, implausible: bool) -> None:  # noqa: FBT001 # a case
    hotkeys = [f"hotkey-{number}" for number in range(before)]
    assert is_implausible_update(graph(hotkeys), graph(hotkeys[gone:])) is implausible


@given(st.sets(st.integers(0, 60), max_size=50), st.sets(st.integers(0, 60), max_size=50))
def test_vanished_is_the_difference_of_the_hotkeys(before: set[int], after: set[int]) -> None:
    previous, current = (graph([str(number) for number in sorted(group)]) for group in (before, after))
    assert set(vanished_hotkeys(previous, current)) == {str(number) for number in before - after}
