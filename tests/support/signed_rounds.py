"""Rounds played with real keys and real signatures, without a network between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from support.worlds import Chain, make_opening, make_snapshot

from miner.strategy import owned
from protocol.messages import Position, RebalanceQuery, RebalanceResponse, encode
from protocol.signing import keypair_from_uri, read_signature, sign_request, sign_response
from protocol.units import Hotkey
from protocol.wire import REBALANCE_PATH
from simulator.fork import Inventory, virtual_vault
from simulator.opening import Entrant, RoundOpening
from simulator.portfolio import Range
from validator.round_run import RoundRun
from validator.transport import Exchange, ExchangeStatus, MinerEndpoint

VALIDATOR_KEY = keypair_from_uri("//Alice")
MINER_KEYS = {Hotkey(k.ss58_address): k for k in (keypair_from_uri("//Bob"), keypair_from_uri("//Charlie"))}
FOUR_KEYS = MINER_KEYS | {Hotkey(k.ss58_address): k for k in map(keypair_from_uri, ("//Dave", "//Eve"))}
UNIT = 10**18

Decide = Callable[[RebalanceQuery], bytes | None]


def keep(query: RebalanceQuery) -> bytes:
    """Answer with what is shown."""
    positions = tuple(
        Position(tick_lower=p.tick_lower, tick_upper=p.tick_upper, allocation0=p.allocation0, allocation1=p.allocation1)
        for p in query.current_positions
    )
    return answer(query, positions)


def narrow(query: RebalanceQuery) -> bytes:
    """Answer once with a narrow position from idle tokens, then keep."""
    if len(query.current_positions) > 1:
        return keep(query)
    idle = query.inventory_remaining
    kept = query.current_positions[0]
    positions = (
        Position(
            tick_lower=kept.tick_lower,
            tick_upper=kept.tick_upper,
            allocation0=kept.allocation0,
            allocation1=kept.allocation1,
        ),
        Position(tick_lower=-120, tick_upper=120, allocation0=idle.amount0, allocation1=idle.amount1),
    )
    return answer(query, positions)


def restless(half_width: int) -> Decide:
    """Answer every time with all that is owned around the price, every other time one spacing wider."""

    def decide(query: RebalanceQuery) -> bytes:
        spacing, (amount0, amount1) = query.context.tick_spacing, owned(query)
        half = (half_width + query.context.checkpoint_index % 2) * spacing
        centre = query.context.tick // spacing * spacing
        around = Position(tick_lower=centre - half, tick_upper=centre + half, allocation0=amount0, allocation1=amount1)
        return answer(query, (around,))

    return decide


def answer(query: RebalanceQuery, positions: tuple[Position, ...]) -> bytes:
    """Return an accepting response."""
    return encode(
        RebalanceResponse(protocol_version=1, request_id=query.request_id, accepted=True, desired_positions=positions)
    )


def exchange(endpoint: MinerEndpoint, query: RebalanceQuery, decide: Decide, nonce_ns: int) -> Exchange:
    """Return what the wire would have carried, both ends really signing."""
    body = encode(query)
    request = read_signature(
        sign_request(VALIDATOR_KEY, path=REBALANCE_PATH, body=body, receiver=endpoint.hotkey, nonce_ns=nonce_ns)
    )
    response = decide(query)
    if response is None:
        return Exchange(
            endpoint.hotkey,
            REBALANCE_PATH,
            body,
            nonce_ns,
            request,
            ExchangeStatus.TIMEOUT,
            None,
            None,
            None,
            60,
            "late",
        )
    signed = read_signature(
        sign_response(
            FOUR_KEYS[endpoint.hotkey],
            path=REBALANCE_PATH,
            request_body=body,
            body=response,
            nonce_ns=nonce_ns,
            receiver=Hotkey(VALIDATOR_KEY.ss58_address),
        )
    )
    status = ExchangeStatus.ANSWERED
    return Exchange(endpoint.hotkey, REBALANCE_PATH, body, nonce_ns, request, status, 200, response, signed, 5, "")


def signed_opening(round_number: int = 1) -> RoundOpening:
    """Return the opening of a round between the two miners."""
    snapshot = make_snapshot()
    inventory = Inventory(9 * UNIT, 9 * UNIT, ((Range(-6000, 6000), 4 * UNIT, 4 * UNIT),))
    opening = make_opening(snapshot, virtual_vault(snapshot, inventory), ())
    entrants = tuple(Entrant(hotkey, uid, 7) for uid, hotkey in enumerate(MINER_KEYS))
    return replace(
        opening,
        entrants=entrants,
        round_id=f"job-evaluation-{round_number}",
        round_number=round_number,
        validator_hotkey=Hotkey(VALIDATOR_KEY.ss58_address),
    )


def play(opening: RoundOpening, decides: Sequence[Decide]) -> RoundRun:
    """Play a whole round, one swap a block; the n-th miner answers with the n-th function."""
    endpoints = {hotkey: MinerEndpoint(hotkey, "127.0.0.1", 1) for hotkey in MINER_KEYS}
    by_hotkey = dict(zip(MINER_KEYS, decides, strict=True))
    run, chain = RoundRun(opening, endpoints, "test"), Chain(opening.snapshot)
    nonce, step = 1_700_000_000_000_000_000, 0
    while not run.engine.is_finished:
        ask = run.engine.pending_ask()
        if ask is not None:
            questions = run.questions(ask)
            nonce += 1000
            exchanges = [exchange(e, q, by_hotkey[e.hotkey], nonce + i) for i, (e, q) in enumerate(questions)]
            run.take(ask, questions, exchanges)
            continue
        chain.swap(step % 2 == 0, 3 * UNIT)
        run.advance(chain.block())
        step += 1
    return run
