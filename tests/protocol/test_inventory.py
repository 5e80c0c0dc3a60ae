"""Differences and snapshots come to the same inventory; what is lost is noticed, and nothing wrong is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.inventories import USDC, held, inventory

from protocol.errors import RemoteError
from protocol.inventory import (
    Books,
    Changed,
    Following,
    Inventory,
    Opened,
    Place,
    Published,
    applied,
    difference,
    parse,
)
from protocol.messages import encode

inventories = st.builds(
    lambda book, ranges, idle0, block: inventory(
        book,
        *(held(60 * n, amount0, fees1) for n, (amount0, fees1) in sorted(ranges.items())),
        idle0=idle0,
        place=Place(block_number=block, timestamp=block, sqrt_price_x96=2**96, tick=0),
    ),
    st.sampled_from("abc"),
    st.dictionaries(st.integers(-3, 3), st.tuples(st.integers(0, 3), st.integers(0, 2))),
    st.integers(0, 2**255),
    st.integers(0, 9),
)


def test_a_difference_holds_what_is_another_and_by_how_much() -> None:
    before = inventory("a", held(0), held(60), held(120))
    after = inventory("a", held(0), held(60, 8, 3), held(180), idle0=4)
    message = difference(before, after, publisher="p", sequence=2)
    assert isinstance(message, Changed)
    assert (message.positions, message.closed) == ((held(60, 8, 3), held(180)), ((120, 180),))
    assert (message.delta0, message.delta1) == (-6 + 3, 3)
    assert applied(before, message) == after


@given(st.lists(inventories, min_size=1, max_size=12))
def test_whoever_follows_from_the_beginning_or_from_a_snapshot_has_what_was_published(told: list[Inventory]) -> None:
    books, early = Books("p", most=9), Following()
    early.take(books.snapshot())
    for one in told:
        early.take(parse(encode(books.tell(one))))
    late = Following()
    assert late.take(parse(encode(books.snapshot())))
    assert early.books == late.books == books.held == {one.book: one for one in told}
    assert not early.needs_snapshot and early.sequence == late.sequence == len(told)


@given(st.lists(inventories, min_size=1, max_size=10), st.data())
def test_whatever_is_lost_repeated_or_late_a_snapshot_puts_it_right(told: list[Inventory], data: st.DataObject) -> None:
    """Messages vanish at random; a snapshot is asked for when the follower says so, and comes when it likes."""
    books, following = Books("p", most=9), Following()
    for one in told:
        message = books.tell(one)
        for _ in range(data.draw(st.integers(0, 2), label="copies")):
            following.take(message)
        if following.needs_snapshot and data.draw(st.booleans(), label="snapshot"):
            following.take(books.snapshot())
        if not following.needs_snapshot and following.sequence == books.sequence:
            assert following.books == books.held
    following.take(books.heartbeat())
    if following.needs_snapshot:
        following.take(books.snapshot())
    assert not following.needs_snapshot and following.books == books.held


def test_a_lost_message_is_noticed_and_the_loss_if_it_were_not() -> None:
    books, following = Books("p", most=9), Following()
    following.take(books.snapshot())
    following.take(books.tell(inventory("a", held(0))))
    lost = books.tell(inventory("a", held(60)))
    last = books.tell(inventory("a", held(60), idle0=0))
    blind = Following(needs_snapshot=False, publisher="p", sequence=lost.sequence, held=dict(following.held))
    assert blind.take(last) and blind.books["a"].positions == (held(0),), "who does not count hedges what is long gone"
    assert not following.take(last) and following.needs_snapshot
    assert following.books["a"].positions == (held(0),), "what is known stands, and is said to be old"
    assert following.take(books.snapshot()) and following.books == books.held


def test_the_loss_of_the_last_message_is_noticed_by_the_heartbeat() -> None:
    books, following = Books("p", most=9), Following()
    following.take(books.snapshot())
    following.take(books.heartbeat())
    assert not following.needs_snapshot
    books.tell(inventory())
    following.take(books.heartbeat())
    assert following.needs_snapshot


def test_what_arrives_while_a_snapshot_is_on_its_way_is_kept() -> None:
    books, following = Books("p", most=9), Following()
    first = books.tell(inventory("a"))
    snapshot = books.snapshot()
    second, third = books.tell(inventory("a", held(0))), books.tell(inventory("b"))
    for message in (first, second, third):
        following.take(message)
    following.take(snapshot)
    assert (following.needs_snapshot, following.sequence, following.books) == (False, 3, books.held)


def test_a_restart_of_the_publisher_is_noticed_and_an_old_snapshot_is_not_gone_back_to() -> None:
    old, new, following = Books("p", most=9), Books("q", most=9), Following()
    following.take(old.snapshot())
    past = old.snapshot()
    following.take(old.tell(inventory("a")))
    assert not following.take(past) and following.sequence == 1
    following.take(new.tell(inventory("b")))
    assert following.needs_snapshot
    following.take(new.snapshot())
    assert following.books == new.held and following.publisher == "q"
    following.take(new.heartbeat())
    assert not following.needs_snapshot
    following.take(old.heartbeat())
    assert following.needs_snapshot


def test_a_book_of_other_tokens_is_opened_anew() -> None:
    before = inventory("a", held(0))
    assert isinstance(difference(before, inventory("a", token0=USDC), publisher="p", sequence=1), Opened)


def test_few_books_are_kept_and_the_one_told_of_longest_ago_goes_first() -> None:
    books = Books("p", most=2)
    for book in ("a", "b", "a", "c"):
        books.tell(inventory(book))
    assert [one.book for one in books.snapshot().books] == ["a", "c"]
    assert isinstance(books.tell(inventory("b")), Opened)


def test_what_does_not_belong_together_is_not_applied() -> None:
    message = difference(inventory("a"), inventory("a", held(0)), publisher="p", sequence=1)
    assert isinstance(message, Changed)
    with pytest.raises(RemoteError, match="never opened"):
        applied(None, message)
    with pytest.raises(RemoteError, match="do not come out"):
        applied(inventory("a"), message.model_copy(update={"delta0": 0}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"type":"heartbeat"}',
        b'{"type":"heartbeat","version":2,"publisher":"p","sequence":1}',
        b'{"type":"heartbeat","version":1,"publisher":"p","sequence":1,"more":1}',
        b'{"type":"heartbeat","version":1,"publisher":"p","sequence":true}',
        b'{"type":"other","version":1,"publisher":"p","sequence":1}',
        b"\xff",
        b"[" * 10_000,
    ],
)
def test_what_is_no_message_of_this_version_is_a_peers_fault(body: bytes) -> None:
    with pytest.raises(RemoteError):
        parse(body)


def test_every_message_survives_the_wire() -> None:
    books = Books("p", most=9)
    opened = books.tell(inventory("a", held(0), idle0=2**256 - 1))
    changed = books.tell(inventory("a", held(60), idle0=3))
    messages: list[Published] = [opened, changed, books.heartbeat(), books.snapshot()]
    assert [parse(encode(message)) for message in messages] == messages
    assert isinstance(changed, Changed) and changed.delta0 == 3 - (2**256 - 1)
