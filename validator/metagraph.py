"""The subnet as plain values: who holds which uid, since when, and where it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from protocol.units import BlockNumber, Hotkey, Uid

VANISHED_MIN = 10
VANISHED_SHARE = 4  # a quarter


class Identity(NamedTuple):
    """What state about a peer is keyed by; it equals the plain pair, so that a stored pair finds it again.

    A uid is a seat that the chain gives to another, and a hotkey may leave and come back: only both facts
    together name one tenancy.
    """

    hotkey: Hotkey
    registered_at_block: BlockNumber


class Endpoint(NamedTuple):
    """Where a neuron says that it listens. Peers choose it, so nothing may be assumed about it."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class Neuron:
    """One seat of the subnet. `stake` is in rao of the subnet's alpha, blocks are heights."""

    uid: Uid
    hotkey: Hotkey
    coldkey: str
    stake: int
    validator_permit: bool
    registered_at_block: BlockNumber
    axon: Endpoint | None
    last_update: BlockNumber

    @property
    def identity(self) -> Identity:
        return Identity(self.hotkey, self.registered_at_block)


@dataclass(frozen=True, slots=True)
class Metagraph:
    """Every neuron of a subnet at one block, ordered by uid."""

    netuid: int
    block: BlockNumber
    neurons: tuple[Neuron, ...]
    owner_hotkey: Hotkey

    def by_hotkey(self, hotkey: str) -> Neuron | None:
        return next((neuron for neuron in self.neurons if neuron.hotkey == hotkey), None)

    def by_uid(self, uid: int) -> Neuron | None:
        return next((neuron for neuron in self.neurons if neuron.uid == uid), None)

    def uid_by_identity(self) -> dict[Identity, Uid]:
        return {neuron.identity: neuron.uid for neuron in self.neurons}


def miners(metagraph: Metagraph, self_hotkey: str) -> tuple[Neuron, ...]:
    """Return everybody who may be asked: all who publish an endpoint, except ourselves.

    Parameters: metagraph  one pinned snapshot   ·   self_hotkey  ss58 of the asking validator
    Returns:    neurons in uid order
    Rounding:   none
    Raises:     nothing
    Source:     a validator that also serves is a miner to the others: the chain knows no roles, only permits
    """
    return tuple(neuron for neuron in metagraph.neurons if neuron.axon is not None and neuron.hotkey != self_hotkey)


def vanished_hotkeys(previous: Metagraph, current: Metagraph) -> tuple[Hotkey, ...]:
    """Return the hotkeys of `previous` that `current` no longer knows, in uid order.

    Parameters: two snapshots of one subnet, the older first
    Returns:    hotkeys; one that merely changed its seat or registered anew has not vanished
    Rounding:   none
    Raises:     nothing
    Source:     network reference §7
    """
    present = {neuron.hotkey for neuron in current.neurons}
    return tuple(neuron.hotkey for neuron in previous.neurons if neuron.hotkey not in present)


def is_implausible_update(previous: Metagraph, current: Metagraph) -> bool:
    """Return whether so many hotkeys vanished at once that the answer is likelier wrong than the subnet empty.

    Parameters: two snapshots of one subnet, the older first
    Returns:    True when more than 10 and at least a quarter of the previous hotkeys are gone
    Rounding:   exact: 4·vanished >= previous, in integers
    Raises:     nothing
    Source:     network reference §7 (both bounds, so that neither a tiny subnet nor ordinary churn trips it)
    """
    vanished = len(vanished_hotkeys(previous, current))
    return vanished > VANISHED_MIN and VANISHED_SHARE * vanished >= len(previous.neurons)
