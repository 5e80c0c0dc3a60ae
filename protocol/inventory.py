"""An inventory that others follow: snapshots, numbered differences, and what a follower makes of them.

Nothing here sends or receives. A publisher numbers every difference; a heartbeat repeats the last number, so that even
the loss of the last message is noticed. Whoever misses one asks for a snapshot, and goes on from its number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from protocol.errors import RemoteError
from protocol.json_gate import one_line
from protocol.messages import Address, Count, DecimalString, Id, Text, Tick, Token, Uint128, Uint160, Uint256
from protocol.units import MAX_UINT256

INVENTORY_VERSION = 1
_MOST_WAITING = 10_000  # differences kept while a snapshot is on its way

Signed256 = Annotated[int, DecimalString(-MAX_UINT256, MAX_UINT256)]
Version = Annotated[int, Field(ge=INVENTORY_VERSION, le=INVENTORY_VERSION)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Held(_Part):
    """A position: what burning it would return, floored, and its uncollected fees. Raw units."""

    tick_lower: Tick
    tick_upper: Tick
    liquidity: Uint128
    amount0: Uint256
    amount1: Uint256
    fees0: Uint256
    fees1: Uint256

    @property
    def range(self) -> tuple[int, int]:
        """What tells it from other positions of the same inventory."""
        return self.tick_lower, self.tick_upper


class Place(_Part):
    """When and at which price of the pool it was so."""

    block_number: Count
    timestamp: Count
    sqrt_price_x96: Uint160
    tick: Tick


class Inventory(_Part):
    """Everything that one portfolio holds. `book` names it: whose, of which job and pool, evaluated or live."""

    book: Text
    kind: Literal["evaluation", "live", "vault"]
    chain_id: Count
    pair_address: Address
    token0: Token
    token1: Token
    place: Place
    idle0: Uint256
    idle1: Uint256
    positions: tuple[Held, ...]

    @property
    def total(self) -> tuple[int, int]:
        """All tokens: idle, in positions, and uncollected."""
        return (
            self.idle0 + sum(p.amount0 + p.fees0 for p in self.positions),
            self.idle1 + sum(p.amount1 + p.fees1 for p in self.positions),
        )


class Opened(_Part):
    """A portfolio that was not there before, whole."""

    version: Version
    type: Literal["opened"]
    publisher: Id
    sequence: Count
    inventory: Inventory


class Changed(_Part):
    """What is another since the last message of a book. `delta0` and `delta1` are of all tokens together."""

    version: Version
    type: Literal["changed"]
    publisher: Id
    sequence: Count
    book: Text
    place: Place
    idle0: Uint256
    idle1: Uint256
    positions: tuple[Held, ...]  # new ones, and those that changed, as they are now
    closed: tuple[tuple[Tick, Tick], ...]
    delta0: Signed256
    delta1: Signed256


class Heartbeat(_Part):
    """Nothing happened since `sequence`."""

    version: Version
    type: Literal["heartbeat"]
    publisher: Id
    sequence: Count


class Snapshot(_Part):
    """All books as they stood at `sequence`."""

    version: Version
    type: Literal["snapshot"]
    publisher: Id
    sequence: Count
    books: tuple[Inventory, ...]


Difference: TypeAlias = Opened | Changed
Published: TypeAlias = Opened | Changed | Heartbeat | Snapshot
_READER: TypeAdapter[Published] = TypeAdapter(Annotated[Published, Field(discriminator="type")])


def parse(body: bytes) -> Published:
    """Read a message. Raises RemoteError, and nothing else, on anything that is none, or of another version."""
    try:
        return _READER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "message"
        raise RemoteError(one_line(f"{place}: {first['msg']}")) from None


def difference(before: Inventory | None, after: Inventory, *, publisher: str, sequence: int) -> Difference:
    """Return the message that turns one inventory of a book into the next.

    Parameters: before  None for a new book; if its tokens or pool are others the book is opened anew   ·   sequence  of
                the message
    Returns:    `applied` to `before` gives `after`
    Rounding:   none
    Raises:     nothing
    Source:     ours
    """
    version = INVENTORY_VERSION
    if before is None or _identity(before) != _identity(after):
        return Opened(version=version, type="opened", publisher=publisher, sequence=sequence, inventory=after)
    old = {p.range: p for p in before.positions}
    new = {p.range: p for p in after.positions}
    totals = zip(after.total, before.total, strict=True)
    delta0, delta1 = (now - then for now, then in totals)
    return Changed(
        version=version,
        type="changed",
        publisher=publisher,
        sequence=sequence,
        book=after.book,
        place=after.place,
        idle0=after.idle0,
        idle1=after.idle1,
        positions=tuple(p for p in after.positions if old.get(p.range) != p),
        closed=tuple(held for held in old if held not in new),
        delta0=delta0,
        delta1=delta1,
    )


def applied(before: Inventory | None, message: Difference) -> Inventory:
    """Return a book after a difference.

    Parameters: before  as it stood at the number before
    Returns:    positions sorted by their range
    Rounding:   none
    Raises:     RemoteError where the two do not belong together, or the totals do not come out as said
    Source:     ours
    """
    if isinstance(message, Opened):
        return message.inventory
    if before is None:
        raise RemoteError("a book changed that was never opened", book=message.book)
    held = {p.range: p for p in before.positions if p.range not in set(message.closed)}
    held.update((p.range, p) for p in message.positions)
    after = before.model_copy(
        update={
            "place": message.place,
            "idle0": message.idle0,
            "idle1": message.idle1,
            "positions": tuple(held[key] for key in sorted(held)),
        }
    )
    moved = tuple(now - then for now, then in zip(after.total, before.total, strict=True))
    if moved != (message.delta0, message.delta1):
        raise RemoteError("the totals do not come out as said", book=message.book)
    return after


def _identity(inventory: Inventory) -> tuple[object, ...]:
    return inventory.kind, inventory.chain_id, inventory.pair_address, inventory.token0, inventory.token1


@dataclass(slots=True)
class Books:
    """What a publisher has told: it numbers what is new, and can tell everything again."""

    publisher: str
    most: int
    sequence: int = 0
    held: dict[str, Inventory] = field(default_factory=dict)

    def tell(self, inventory: Inventory) -> Difference:
        """Return the next message. Past `most` books the one told of longest ago is left out of snapshots."""
        ordered = inventory.model_copy(update={"positions": tuple(sorted(inventory.positions, key=lambda p: p.range))})
        self.sequence += 1
        before = self.held.pop(ordered.book, None)
        self.held[ordered.book] = ordered
        while len(self.held) > self.most:
            self.held.pop(next(iter(self.held)))
        return difference(before, ordered, publisher=self.publisher, sequence=self.sequence)

    def snapshot(self) -> Snapshot:
        """Return everything."""
        return Snapshot(
            version=INVENTORY_VERSION,
            type="snapshot",
            publisher=self.publisher,
            sequence=self.sequence,
            books=tuple(self.held.values()),
        )

    def heartbeat(self) -> Heartbeat:
        """Return the last number again."""
        return Heartbeat(version=INVENTORY_VERSION, type="heartbeat", publisher=self.publisher, sequence=self.sequence)


@dataclass(slots=True)
class Following:
    """What a follower knows. While `needs_snapshot` its books may be old, and what arrives waits for the snapshot.

    FOLLOWING --next number--> FOLLOWING
    FOLLOWING --a number too far, another publisher, a contradiction--> LOST   (needs_snapshot)
    LOST --snapshot--> FOLLOWING, with what waited; LOST again where that has a gap
    """

    needs_snapshot: bool = True
    publisher: str = ""
    sequence: int = 0
    held: dict[str, Inventory] = field(default_factory=dict)
    _waiting: list[Difference] = field(default_factory=list)

    @property
    def books(self) -> Mapping[str, Inventory]:
        """The inventories, by book."""
        return self.held

    def take(self, message: Published) -> bool:
        """Take a message; return whether any book is another than before."""
        if isinstance(message, Snapshot):
            return self._restart(message)
        if isinstance(message, Heartbeat):
            self.needs_snapshot |= message.publisher != self.publisher or message.sequence > self.sequence
            return False
        if self.needs_snapshot or message.publisher != self.publisher or message.sequence > self.sequence + 1:
            self.needs_snapshot = True
            self._waiting = [*self._waiting, message][-_MOST_WAITING:]
            return False
        return message.sequence == self.sequence + 1 and self._apply(message)

    def _apply(self, message: Difference) -> bool:
        book = message.inventory.book if isinstance(message, Opened) else message.book
        try:
            self.held[book] = applied(self.held.get(book), message)
        except RemoteError:
            self.needs_snapshot = True
            return False
        self.sequence = message.sequence
        return True

    def _restart(self, snapshot: Snapshot) -> bool:
        if not self.needs_snapshot and snapshot.publisher == self.publisher and snapshot.sequence <= self.sequence:
            return False
        self.needs_snapshot = False
        self.publisher, self.sequence = snapshot.publisher, snapshot.sequence
        self.held = {inventory.book: inventory for inventory in snapshot.books}
        waiting: Sequence[Difference] = self._waiting
        self._waiting = []
        for message in waiting:
            if message.publisher == self.publisher:
                self.take(message)
        return True
