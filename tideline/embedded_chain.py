"""The rules of one subnet, as values: what a block, an epoch or an extrinsic does to its state.

A model of subtensor's own rules (network reference §6), reduced to what a validator and a miner can observe:
registration, permits, serving, weights, epochs. Not modelled: Yuma consensus and emission (every score reads 0),
alpha pools, transaction fees, the drand reveal of timelocked commits, forks of the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

U16_MAX = 65535
U32_MAX = 2**32 - 1
U128_MAX = 2**128 - 1
LOCALHOSTS = {4: 0x7F000001, 6: 1}
MAX_UNREVEALED_COMMITS = 10
MAX_COMMIT_BYTES = 5_000


class Refusal(Exception):
    """The chain's own refusal of an extrinsic, by the name in its error catalogue."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class SubnetRules:
    """The hyperparameters of the subnet: rates and periods in blocks, money in rao, limits as shares of 65535."""

    netuid: int
    owner_hotkey: str
    owner_coldkey: str
    tempo: int = 360
    weights_rate_limit: int = 100
    min_allowed_weights: int = 1
    max_weight_limit: int = U16_MAX
    version_key: int = 0
    commit_reveal: bool = False
    reveal_period: int = 1
    max_uids: int = 256
    max_validators: int = 64
    min_stake_to_set_weights: int = 0
    immunity_period: int = 5_000
    serving_rate_limit: int = 50
    activity_cutoff: int = 5_000
    burn: int = 1_000_000
    registration_allowed: bool = True
    # The real chain refuses 127.0.0.1 and ::1; an embedded subnet lives on loopback.
    loopback_endpoints: bool = True


@dataclass(frozen=True, slots=True)
class Axon:
    """A published endpoint: the address as an integer, as the chain stores it."""

    block: int
    version: int
    ip: int
    port: int
    ip_type: int
    protocol: int


@dataclass(frozen=True, slots=True)
class Seat:
    """One uid and who holds it."""

    hotkey: str
    coldkey: str
    stake: int
    registered_at: int
    last_update: int
    permit: bool = False
    axon: Axon | None = None
    weights: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """A timelocked weight commit, which this chain keeps but cannot open."""

    hotkey: str
    block: int
    ciphertext: str
    reveal_round: int


@dataclass(frozen=True, slots=True)
class Subnet:
    """Everything the chain knows at one block. Only values: a state that was read never changes."""

    rules: SubnetRules
    registered_at: int
    last_epoch_block: int
    seats: tuple[Seat, ...] = ()
    epoch_index: int = 0
    pending_epoch_at: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    commits: tuple[tuple[int, tuple[Commit, ...]], ...] = ()

    def uid_of(self, hotkey: str) -> int | None:
        return next((uid for uid, seat in enumerate(self.seats) if seat.hotkey == hotkey), None)


def next_epoch_start_block(subnet: Subnet) -> int | None:
    """Return the block in whose beginning the next epoch runs; None when the tempo is 0."""
    if subnet.rules.tempo == 0:
        return None
    due = subnet.last_epoch_block + subnet.rules.tempo
    return min(due, subnet.pending_epoch_at) if subnet.pending_epoch_at else due


def run_epoch(subnet: Subnet, block: int) -> Subnet:
    """Return the subnet after an epoch at `block`: permits go to the largest stakes, the counters move."""
    ranked = sorted(range(len(subnet.seats)), key=lambda uid: (-subnet.seats[uid].stake, uid))
    chosen = {uid for uid in ranked[: subnet.rules.max_validators] if subnet.seats[uid].stake > 0}
    return replace(
        subnet,
        seats=tuple(replace(seat, permit=uid in chosen) for uid, seat in enumerate(subnet.seats)),
        last_epoch_block=block,
        epoch_index=subnet.epoch_index + 1,
        pending_epoch_at=0,
    )


def with_tempo(subnet: Subnet, tempo: int, block: int) -> Subnet:
    """Return the subnet with another tempo; the cycle begins anew at `block`, as when its owner changes it."""
    return replace(subnet, rules=replace(subnet.rules, tempo=tempo), last_epoch_block=block)


def with_seat(subnet: Subnet, uid: int, seat: Seat) -> Subnet:
    return replace(subnet, seats=(*subnet.seats[:uid], seat, *subnet.seats[uid + 1 :]))


def register(
    subnet: Subnet, block: int, *, hotkey: str, coldkey: str, stake: int, uid: int | None = None
) -> tuple[Subnet, int]:
    """Return the subnet with `hotkey` on a seat and its uid: a free one, the given one, or the one pruned for it."""
    if subnet.uid_of(hotkey) is not None:
        raise Refusal("HotKeyAlreadyRegisteredInSubNet")
    seat = Seat(hotkey=hotkey, coldkey=coldkey, stake=stake, registered_at=block, last_update=block)
    if uid is None and len(subnet.seats) < subnet.rules.max_uids:
        return replace(subnet, seats=(*subnet.seats, seat)), len(subnet.seats)
    uid = _seat_to_prune(subnet, block) if uid is None else uid
    # Whoever had weighted the old tenant has not weighted the new one.
    emptied = tuple(
        replace(other, weights=tuple((to, 0 if to == uid else value) for to, value in other.weights))
        for other in subnet.seats
    )
    return with_seat(replace(subnet, seats=emptied), uid, seat), uid


def _seat_to_prune(subnet: Subnet, block: int) -> int:
    # Emission is 0 for everybody here, so the chain's next criteria decide: oldest registration, then lowest uid.
    prunable = [
        (seat.registered_at, uid)
        for uid, seat in enumerate(subnet.seats)
        if block - seat.registered_at >= subnet.rules.immunity_period and seat.hotkey != subnet.rules.owner_hotkey
    ]
    if not prunable:
        raise Refusal("NoNeuronIdAvailable")
    return min(prunable)[1]


def burned_register(subnet: Subnet, block: int, *, signer: str, hotkey: str) -> Subnet:
    """Return the subnet after a coldkey paid the burn to seat its hotkey."""
    if not subnet.rules.registration_allowed:
        raise Refusal("SubNetRegistrationDisabled")
    balance = subnet.balances.get(signer, 0)
    if balance < subnet.rules.burn:
        raise Refusal("NotEnoughBalanceToStake")
    paid = replace(subnet, balances={**subnet.balances, signer: balance - subnet.rules.burn})
    return register(paid, block, hotkey=hotkey, coldkey=signer, stake=0)[0]


def serve_axon(
    subnet: Subnet, block: int, *, signer: str, version: int, ip: int, port: int, ip_type: int, protocol: int
) -> Subnet:
    """Return the subnet with the signer's endpoint published."""
    uid = subnet.uid_of(signer)
    if uid is None:
        raise Refusal("HotKeyNotRegisteredInNetwork")
    if ip_type not in LOCALHOSTS:
        raise Refusal("InvalidIpType")
    highest = U32_MAX if ip_type == 4 else U128_MAX
    if ip >= highest or (ip == LOCALHOSTS[ip_type] and not subnet.rules.loopback_endpoints):
        raise Refusal("InvalidIpAddress")
    seat = subnet.seats[uid]
    served = seat.axon.block if seat.axon is not None else 0
    if served and block - served < subnet.rules.serving_rate_limit:
        raise Refusal("ServingRateLimitExceeded")
    if not 1 <= port <= U16_MAX:
        raise Refusal("InvalidPort")
    return with_seat(subnet, uid, replace(seat, axon=Axon(block, version, ip, port, ip_type, protocol)))


def set_weights(
    subnet: Subnet,
    block: int,
    *,
    signer: str,
    mecid: int,
    dests: tuple[int, ...],
    values: tuple[int, ...],
    version_key: int,
) -> Subnet:
    """Return the subnet with the signer's weight row replaced. The checks come in the chain's own order."""
    rules = subnet.rules
    if rules.commit_reveal:
        raise Refusal("CommitRevealEnabled")
    if len(dests) != len(values):
        raise Refusal("WeightVecNotEqualSize")
    if mecid != 0:
        raise Refusal("MechanismDoesNotExist")
    if len(dests) > len(subnet.seats):
        raise Refusal("UidsLengthExceedUidsInSubNet")
    uid = _weigher(subnet, signer)
    seat = subnet.seats[uid]
    if rules.version_key and version_key < rules.version_key:
        raise Refusal("IncorrectWeightVersionKey")
    if seat.last_update and block - seat.last_update < rules.weights_rate_limit:
        raise Refusal("SettingWeightsTooFast")
    is_self_weight = dests == (uid,)
    if not (is_self_weight or seat.permit or signer == rules.owner_hotkey):
        raise Refusal("NeuronNoValidatorPermit")
    if len(set(dests)) != len(dests):
        raise Refusal("DuplicateUids")
    if any(not 0 <= dest < len(subnet.seats) for dest in dests):
        raise Refusal("UidVecContainInvalidOne")
    if not is_self_weight and len(dests) < min(len(subnet.seats), rules.min_allowed_weights):
        raise Refusal("WeightVecLengthIsLow")
    row = _max_upscale(values)
    if not is_self_weight and rules.max_weight_limit < U16_MAX and _exceeds(row, rules.max_weight_limit):
        raise Refusal("MaxWeightExceeded")
    return with_seat(subnet, uid, replace(seat, weights=tuple(zip(dests, row, strict=True)), last_update=block))


def commit_weights(subnet: Subnet, block: int, *, signer: str, mecid: int, commit: bytes, reveal_round: int) -> Subnet:
    """Return the subnet with a timelocked commit stored. Nothing here can open it: that takes the drand pulse."""
    if not subnet.rules.commit_reveal:
        raise Refusal("CommitRevealDisabled")
    if mecid != 0:
        raise Refusal("MechanismDoesNotExist")
    uid = _weigher(subnet, signer)
    seat = subnet.seats[uid]
    if seat.last_update and block - seat.last_update < subnet.rules.weights_rate_limit:
        raise Refusal("CommittingWeightsTooFast")
    if len(commit) > MAX_COMMIT_BYTES:
        raise Refusal("CommitPayloadTooLarge")
    queues = dict(subnet.commits)
    queue = queues.get(subnet.epoch_index, ())
    if sum(held.hotkey == signer for held in queue) >= MAX_UNREVEALED_COMMITS:
        raise Refusal("TooManyUnrevealedCommits")
    queues[subnet.epoch_index] = (*queue, Commit(signer, block, "0x" + commit.hex(), reveal_round))
    committed = with_seat(subnet, uid, replace(seat, last_update=block))
    return replace(committed, commits=tuple(sorted(queues.items())))


def _weigher(subnet: Subnet, signer: str) -> int:
    uid = subnet.uid_of(signer)
    if uid is None:
        raise Refusal("HotKeyNotRegisteredInSubNet")
    if subnet.seats[uid].stake < subnet.rules.min_stake_to_set_weights:
        raise Refusal("NotEnoughStakeToSetWeights")
    return uid


def _max_upscale(values: tuple[int, ...]) -> tuple[int, ...]:
    top = max(values, default=0)
    if top in (0, U16_MAX):
        return values
    return tuple((value * U16_MAX + top // 2) // top for value in values)


def _exceeds(row: tuple[int, ...], limit: int) -> bool:
    return max(row, default=0) * U16_MAX > limit * sum(row)
