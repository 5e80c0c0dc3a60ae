"""A subnet's state in the shapes in which a node serves it: storage items, storage maps, runtime calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tideline.embedded_chain import Seat, Subnet, next_epoch_start_block

BLOCK_TIME_MS = 12_000
TOKEN_SYMBOL = "T"

# What a node returns is decoded SCALE: plain values whose type only the reader knows.
Decoded = Any
Getter = Callable[[Subnet, int, Sequence[Any]], Decoded]


class NotModelledError(LookupError):
    """The embedded chain keeps no such item."""


def read_item(subnet: Subnet, block: int, module: str, item: str, params: Sequence[Any]) -> Decoded:
    """Return one storage item as it was at `block`; for another subnet what the node answers where nothing is."""
    getter = _ITEMS.get((module, item))
    if getter is None:
        raise NotModelledError(f"{module}.{item}")
    if module == "SubtensorModule" and item in _PER_NETUID and params[0] != subnet.rules.netuid:
        return None
    return getter(subnet, block, params)


def read_map(subnet: Subnet, module: str, item: str, params: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return one storage map, or the part of it under `params`."""
    if (module, item) in _WHOLE_MAPS:
        return _WHOLE_MAPS[module, item](subnet, params)
    if (module, item) not in _SUBNET_MAPS:
        raise NotModelledError(f"{module}.{item}")
    return _SUBNET_MAPS[module, item](subnet) if params and params[0] == subnet.rules.netuid else []


def call_runtime(subnet: Subnet, block: int, api: str, method: str, params: Sequence[Any]) -> Decoded:
    """Return the answer of a runtime call; None for a subnet that does not exist."""
    calls: Mapping[tuple[str, str], Callable[[Subnet, int], Decoded]] = {
        ("SubnetInfoRuntimeApi", "get_metagraph"): metagraph_record,
        ("SubnetInfoRuntimeApi", "get_next_epoch_start_block"): lambda state, _: next_epoch_start_block(state),
        ("SubnetInfoRuntimeApi", "get_subnet_hyperparams_v3"): lambda state, _: hyperparameters(state),
        ("NeuronInfoRuntimeApi", "get_neurons_lite"): lambda state, _: neuron_records(state),
    }
    if (api, method) not in calls:
        raise NotModelledError(f"{api}.{method}")
    return calls[api, method](subnet, block) if params[0] == subnet.rules.netuid else None


def metagraph_record(subnet: Subnet, block: int) -> dict[str, Decoded]:
    """Return the record that `get_metagraph` serves. Scores and emission are 0: consensus is not modelled."""
    seats, rules = subnet.seats, subnet.rules
    zeros = [0] * len(seats)
    return {
        "netuid": rules.netuid,
        "name": list(b"tideline"),
        "symbol": list(TOKEN_SYMBOL.encode()),
        "identity": None,
        "network_registered_at": subnet.registered_at,
        "owner_hotkey": rules.owner_hotkey,
        "owner_coldkey": rules.owner_coldkey,
        "block": block,
        "tempo": rules.tempo,
        "last_step": subnet.last_epoch_block,
        "blocks_since_last_step": block - subnet.last_epoch_block,
        "num_uids": len(seats),
        "max_uids": rules.max_uids,
        "hotkeys": [seat.hotkey for seat in seats],
        "coldkeys": [seat.coldkey for seat in seats],
        "identities": [None for _ in seats],
        "axons": [axon_record(seat) for seat in seats],
        "active": [_is_active(subnet, seat, block) for seat in seats],
        "validator_permit": [seat.permit for seat in seats],
        "last_update": [seat.last_update for seat in seats],
        "block_at_registration": [seat.registered_at for seat in seats],
        **dict.fromkeys(("rank", "trust", "consensus", "incentives", "dividends", "pruning_score", "emission"), zeros),
        "alpha_stake": [seat.stake for seat in seats],
        "tao_stake": zeros,
        "total_stake": [seat.stake for seat in seats],
        "tao_in": 0,
        "alpha_in": 0,
    }


def neuron_records(subnet: Subnet) -> list[dict[str, Decoded]]:
    return [
        {
            "uid": uid,
            "hotkey": seat.hotkey,
            "coldkey": seat.coldkey,
            "active": True,
            "validator_permit": seat.permit,
            "last_update": seat.last_update,
            "stake": [(seat.coldkey, seat.stake)],
        }
        for uid, seat in enumerate(subnet.seats)
    ]


def hyperparameters(subnet: Subnet) -> list[dict[str, Decoded]]:
    rules = subnet.rules
    values = {
        "tempo": {"U16": rules.tempo},
        "weights_rate_limit": {"U64": rules.weights_rate_limit},
        "min_allowed_weights": {"U16": rules.min_allowed_weights},
        "max_weights_limit": {"U16": rules.max_weight_limit},
        "weights_version": {"U64": rules.version_key},
        "commit_reveal_weights_enabled": {"Bool": rules.commit_reveal},
        "immunity_period": {"U16": rules.immunity_period},
        "serving_rate_limit": {"U64": rules.serving_rate_limit},
        "max_validators": {"U16": rules.max_validators},
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def axon_record(seat: Seat) -> dict[str, int] | None:
    axon = seat.axon
    if axon is None:
        return None
    return {
        "block": axon.block,
        "version": axon.version,
        "ip": axon.ip,
        "port": axon.port,
        "ip_type": axon.ip_type,
        "protocol": axon.protocol,
        "placeholder1": 0,
        "placeholder2": 0,
    }


def _is_active(subnet: Subnet, seat: Seat, block: int) -> bool:
    return block - seat.last_update <= subnet.rules.activity_cutoff


def _seat_of(subnet: Subnet, hotkey: str) -> Seat | None:
    uid = subnet.uid_of(hotkey)
    return None if uid is None else subnet.seats[uid]


def _axon_of(subnet: Subnet, hotkey: str) -> Decoded:
    seat = _seat_of(subnet, hotkey)
    return None if seat is None else axon_record(seat)


def _seat_at(subnet: Subnet, uid: int) -> Seat | None:
    return subnet.seats[uid] if 0 <= uid < len(subnet.seats) else None


def _row(seat: Seat | None) -> list[tuple[int, int]]:
    return [] if seat is None else list(seat.weights)


def _account(subnet: Subnet, address: str) -> Decoded:
    return {"nonce": 0, "data": {"free": subnet.balances.get(address, 0), "reserved": 0, "frozen": 0}}


_SUBNET_ITEMS: dict[str, Getter] = {
    "Uids": lambda s, b, p: s.uid_of(p[1]),
    "Keys": lambda s, b, p: seat.hotkey if (seat := _seat_at(s, p[1])) else None,
    "Axons": lambda s, b, p: _axon_of(s, p[1]),
    "Weights": lambda s, b, p: _row(_seat_at(s, p[1])),
    "LastUpdate": lambda s, b, p: [seat.last_update for seat in s.seats],
    "ValidatorPermit": lambda s, b, p: [seat.permit for seat in s.seats],
    "BlockAtRegistration": lambda s, b, p: seat.registered_at if (seat := _seat_at(s, p[1])) else None,
    "NetworksAdded": lambda s, b, p: True,
    "SubnetworkN": lambda s, b, p: len(s.seats),
    "SubnetOwner": lambda s, b, p: s.rules.owner_coldkey,
    "SubnetOwnerHotkey": lambda s, b, p: s.rules.owner_hotkey,
    "NetworkRegisteredAt": lambda s, b, p: s.registered_at,
    "Tempo": lambda s, b, p: s.rules.tempo,
    "LastEpochBlock": lambda s, b, p: s.last_epoch_block,
    "PendingEpochAt": lambda s, b, p: s.pending_epoch_at,
    "SubnetEpochIndex": lambda s, b, p: s.epoch_index,
    "SubnetEpochConsensus": lambda s, b, p: "Yuma",
    "BlocksSinceLastStep": lambda s, b, p: b - s.last_epoch_block,
    "CommitRevealWeightsEnabled": lambda s, b, p: s.rules.commit_reveal,
    "RevealPeriodEpochs": lambda s, b, p: s.rules.reveal_period,
    "WeightsSetRateLimit": lambda s, b, p: s.rules.weights_rate_limit,
    "WeightsVersionKey": lambda s, b, p: s.rules.version_key,
    "MinAllowedWeights": lambda s, b, p: s.rules.min_allowed_weights,
    "MaxWeightsLimit": lambda s, b, p: s.rules.max_weight_limit,
    "MaxAllowedUids": lambda s, b, p: s.rules.max_uids,
    "MaxAllowedValidators": lambda s, b, p: s.rules.max_validators,
    "ImmunityPeriod": lambda s, b, p: s.rules.immunity_period,
    "ServingRateLimit": lambda s, b, p: s.rules.serving_rate_limit,
    "Burn": lambda s, b, p: s.rules.burn,
    "CollateralLockShare": lambda s, b, p: 0,
    "MechanismCountCurrent": lambda s, b, p: 1,
}
_PER_NETUID = frozenset(_SUBNET_ITEMS)
_ITEMS: dict[tuple[str, str], Getter] = {
    **{("SubtensorModule", item): getter for item, getter in _SUBNET_ITEMS.items()},
    ("SubtensorModule", "Owner"): lambda s, b, p: seat.coldkey if (seat := _seat_of(s, p[0])) else None,
    ("SubtensorModule", "StakeThreshold"): lambda s, b, p: s.rules.min_stake_to_set_weights,
    ("System", "Account"): lambda s, b, p: _account(s, p[0]),
    ("System", "Number"): lambda s, b, p: b,
}

_WHOLE_MAPS: dict[tuple[str, str], Callable[[Subnet, Sequence[Any]], list[tuple[Any, Any]]]] = {
    ("SubtensorModule", "NetworksAdded"): lambda s, p: [(s.rules.netuid, True)],
    ("SubtensorModule", "Tempo"): lambda s, p: [(s.rules.netuid, s.rules.tempo)],
    ("SubtensorModule", "Burn"): lambda s, p: [(s.rules.netuid, s.rules.burn)],
    ("SubtensorModule", "SubnetworkN"): lambda s, p: [(s.rules.netuid, len(s.seats))],
    ("SubtensorModule", "IsNetworkMember"): lambda s, p: [(s.rules.netuid, True)] if _seat_of(s, p[0]) else [],
}
_SUBNET_MAPS: dict[tuple[str, str], Callable[[Subnet], list[tuple[Any, Any]]]] = {
    ("SubtensorModule", "Uids"): lambda s: [(seat.hotkey, uid) for uid, seat in enumerate(s.seats)],
    ("SubtensorModule", "Keys"): lambda s: [(uid, seat.hotkey) for uid, seat in enumerate(s.seats)],
    ("SubtensorModule", "Weights"): lambda s: [(uid, _row(seat)) for uid, seat in enumerate(s.seats) if seat.weights],
    ("SubtensorModule", "Bonds"): lambda s: [],
    ("SubtensorModule", "Axons"): lambda s: [(seat.hotkey, axon_record(seat)) for seat in s.seats if seat.axon],
    ("SubtensorModule", "TimelockedWeightCommits"): lambda s: [
        (epoch, [(c.hotkey, c.block, c.ciphertext, c.reveal_round) for c in queue]) for epoch, queue in s.commits
    ],
    ("Commitments", "CommitmentOf"): lambda s: [],
    ("Commitments", "RevealedCommitments"): lambda s: [],
}
