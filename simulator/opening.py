"""Everything that is fixed when a round opens. A round's result depends on this, the blocks and the answers, and on
nothing else.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from protocol.errors import ConfigError, SimulationError
from protocol.units import Hotkey
from simulator.gas import GasTable
from simulator.ledger import GasPolicy
from simulator.market import MarketInfo, Token
from simulator.portfolio import VaultState
from simulator.snapshot import PoolSnapshot
from simulator.valuation import Numeraire, QuoteToken, Target

RESTRIKE_S = 300


@dataclass(frozen=True, slots=True)
class Schedule:
    """When things happen in a round, in blocks after the snapshot's block."""

    length_blocks: int
    checkpoint_interval_blocks: int
    deadline_s: int
    block_time_s: int
    restrike_s: int = RESTRIKE_S

    @classmethod
    def from_settings(
        cls, *, duration_s: int, checkpoint_interval_blocks: int, deadline_s: int, block_time_s: int
    ) -> Schedule:
        """Return the schedule of a job on a chain. Raises ConfigError when its parts do not fit together."""
        schedule = cls(duration_s // block_time_s, checkpoint_interval_blocks, deadline_s, block_time_s)
        if checkpoint_interval_blocks < 1:
            raise ConfigError("checkpoint_interval_blocks must be at least 1")
        if schedule.delay_blocks > checkpoint_interval_blocks:
            raise ConfigError(
                f"checkpoint_interval_blocks {checkpoint_interval_blocks} is shorter than the "
                f"{schedule.delay_blocks} blocks in which a plan takes effect (deadline {deadline_s} s at "
                f"{block_time_s} s a block); raise it or lower the deadline"
            )
        if schedule.delay_blocks > schedule.length_blocks:
            raise ConfigError(
                f"round_duration_seconds {duration_s} leaves no time for a plan to take effect; "
                f"use at least {schedule.delay_blocks * block_time_s}"
            )
        return schedule

    @property
    def delay_blocks(self) -> int:
        """Blocks from a checkpoint to its effective block: thinking time is the same for everyone (design §4.5)."""
        return 1 - (-self.deadline_s // self.block_time_s)

    def end_block(self, start_block: int) -> int:
        """Return the last block of a round that opened at `start_block`."""
        return start_block + self.length_blocks

    def effective_block(self, checkpoint_block: int) -> int:
        """Return the block before whose first event the plans of a checkpoint are carried out."""
        return checkpoint_block + self.delay_blocks


@dataclass(frozen=True, slots=True)
class Entrant:
    """A miner as it was registered when the round opened; a new registration is a new miner."""

    hotkey: Hotkey
    uid: int
    registered_at_block: int


@dataclass(frozen=True, slots=True)
class RoundOpening:
    """The settings, the snapshot and the participants of one round."""

    round_id: str
    round_number: int
    round_type: str
    job_id: str
    vault_address: str
    market: MarketInfo
    target: Target
    quote_token: QuoteToken
    schedule: Schedule
    gas: GasPolicy
    max_pool_share_ppm: int
    entrants: tuple[Entrant, ...]
    validator_hotkey: Hotkey
    snapshot: PoolSnapshot
    vault: VaultState
    is_on_chain: bool = False  # a live round whose plans an executor carries out on the vault itself
    snapshot_digest: str = field(init=False)

    def __post_init__(self) -> None:
        if len(set(self.participants)) != len(self.participants):
            raise SimulationError("a hotkey takes part twice", round_id=self.round_id)
        if self.schedule.delay_blocks > self.schedule.checkpoint_interval_blocks:
            raise SimulationError("plans of one checkpoint would fall due after the next", round_id=self.round_id)
        if self.is_on_chain and (len(self.entrants) != 1 or not self.vault.in_pool):
            raise SimulationError("a round on chain is one miner's, with a real vault", round_id=self.round_id)
        object.__setattr__(self, "snapshot_digest", self.snapshot.digest())  # once, not once per query

    @property
    def participants(self) -> tuple[Hotkey, ...]:
        """The hotkeys taking part, in the order of the entrants."""
        return tuple(entrant.hotkey for entrant in self.entrants)

    def numeraire(self, bundle: tuple[int, int]) -> Numeraire:
        """Return the round's unit of value for an opening bundle of (amount0, amount1)."""
        return Numeraire(self.target, self.quote_token, bundle[0], bundle[1], self.snapshot.sqrt_price_x96)

    def to_json(self) -> dict[str, Any]:
        """Return JSON-ready values; `from_json` reads them back."""
        return {
            "round_id": self.round_id,
            "round_number": self.round_number,
            "round_type": self.round_type,
            "job_id": self.job_id,
            "vault_address": self.vault_address,
            "market": asdict(self.market),
            "target": str(self.target),
            "quote_token": str(self.quote_token),
            "schedule": asdict(self.schedule),
            "gas": {
                "price_wei": str(self.gas.price_wei),
                "token_is_0": self.gas.token_is_0,
                "rate_numerator": str(self.gas.rate_numerator),
                "rate_denominator": str(self.gas.rate_denominator),
                "table": asdict(self.gas.table),
            },
            "max_pool_share_ppm": self.max_pool_share_ppm,
            "entrants": [[e.hotkey, e.uid, e.registered_at_block] for e in self.entrants],
            "validator_hotkey": self.validator_hotkey,
            "snapshot": self.snapshot.to_json(),
            "vault": self.vault.to_json(),
            **({"is_on_chain": True} if self.is_on_chain else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RoundOpening:
        """Read what `to_json` wrote. Raises SimulationError on a malformed value."""
        try:
            market, gas = value["market"], value["gas"]
            tokens = {name: Token(**market[name]) for name in ("token0", "token1")}
            return cls(
                round_id=value["round_id"],
                round_number=value["round_number"],
                round_type=value["round_type"],
                job_id=value["job_id"],
                vault_address=value["vault_address"],
                market=MarketInfo(**{**market, **tokens}),
                target=Target(value["target"]),
                quote_token=QuoteToken(value["quote_token"]),
                schedule=Schedule(**value["schedule"]),
                gas=GasPolicy(
                    price_wei=int(gas["price_wei"]),
                    token_is_0=gas["token_is_0"],
                    rate_numerator=int(gas["rate_numerator"]),
                    rate_denominator=int(gas["rate_denominator"]),
                    table=GasTable(**gas["table"]),
                ),
                max_pool_share_ppm=value["max_pool_share_ppm"],
                entrants=tuple(Entrant(*entrant) for entrant in value["entrants"]),
                validator_hotkey=value["validator_hotkey"],
                snapshot=PoolSnapshot.from_json(value["snapshot"]),
                vault=VaultState.from_json(value["vault"]),
                is_on_chain=value.get("is_on_chain", False),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise SimulationError(f"round opening is malformed: {error!r}") from error
