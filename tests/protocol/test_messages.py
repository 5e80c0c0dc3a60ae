import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from support.queries import Shape, make_query, shapes, shown

from protocol.errors import RemoteError
from protocol.json_gate import is_one_line
from protocol.messages import (
    MinerMetadata,
    Position,
    RebalanceQuery,
    RebalanceResponse,
    encode,
    parse_query,
    parse_response,
)
from protocol.units import MAX_TICK, MIN_TICK
from protocol.wire import MAX_BODY_BYTES, MAX_CONTAINERS

POSITION = {"tick_lower": -10, "tick_upper": 10, "allocation0": "1", "allocation1": "2", "confidence": None}


def response_json(**changes: Any) -> bytes:
    value = {"protocol_version": 1, "request_id": "r", "accepted": True, "desired_positions": [POSITION]}
    return json.dumps(value | changes).encode()


def with_position(**changes: Any) -> bytes:
    return response_json(desired_positions=[POSITION | changes])


def query_json(path: str, value: Any) -> bytes:
    """Return a valid query with one value replaced, as bytes."""
    body = json.loads(encode(make_query(Shape(positions=(shown(-10, 10, 1, 2),)))))
    *parents, last = path.split(".")
    target = body
    for name in parents:
        target = target[int(name)] if isinstance(target, list) else target[name]
    target[last] = value
    return json.dumps(body).encode()


def test_a_query_survives_the_wire() -> None:
    query = make_query(Shape(positions=(shown(-196_300, -196_100, 2**200, 0),)))
    assert parse_query(encode(query)) == query


def test_a_response_survives_the_wire() -> None:
    response = RebalanceResponse(
        protocol_version=1,
        request_id="r",
        accepted=True,
        desired_positions=(
            Position(tick_lower=-10, tick_upper=10, allocation0=2**256 - 1, allocation1=0, confidence=0.5),
        ),
        miner_metadata=MinerMetadata(version="1", model_info="naïve"),
    )
    assert (
        encode(response)
        == (
            '{"accepted":true,"desired_positions":[{"allocation0":"' + str(2**256 - 1) + '","allocation1":"0",'
            '"confidence":0.5,"tick_lower":-10,"tick_upper":10}],"miner_metadata":{"model_info":"naïve","version":"1"},'
            '"protocol_version":1,"refusal_reason":null,"request_id":"r"}'
        ).encode()
    )
    assert parse_response(encode(response), request_id="r") == response


@settings(max_examples=60)
@given(shapes())
def test_any_query_survives_the_wire(shape: Shape) -> None:
    query = make_query(shape)
    body = encode(query)
    assert parse_query(body) == query
    assert encode(parse_query(body)) == body


def test_the_largest_messages_fit() -> None:
    big = 2**256 - 1
    ranges = [(MIN_TICK, MAX_TICK - i) for i in range(50)]
    query = make_query(
        Shape(positions=tuple(shown(a, b, big, big, 2**128 - 1) for a, b in ranges), idle0=big, idle1=big)
    )
    brackets = "[" * 256
    response = RebalanceResponse(
        protocol_version=1,
        request_id="{" * 128,
        accepted=True,
        desired_positions=tuple(
            Position(tick_lower=a, tick_upper=b, allocation0=big, allocation1=big, confidence=1 / 3) for a, b in ranges
        ),
        miner_metadata=MinerMetadata(version=brackets, model_info=brackets),
    )
    for body in (encode(query), encode(response)):
        assert len(body) < MAX_BODY_BYTES // 2
        assert body.count(b"{") + body.count(b"[") < MAX_CONTAINERS
    assert parse_query(encode(query)) == query
    assert parse_response(encode(response)) == response


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (response_json(protocol_version=True), "protocol_version: Input should be a valid integer"),
        (response_json(protocol_version=2), "protocol_version: Input should be less than or equal to 1"),
        (response_json(protocol_version=1.0), "protocol_version: Input should be a valid integer"),
        (response_json(accepted=1), "accepted: Input should be a valid boolean"),
        (response_json(accepted="true"), "accepted: Input should be a valid boolean"),
        (response_json(surprise=1), "surprise: Extra inputs are not permitted"),
        (response_json(**{"\x1b[31m\n": 1}), "?[31m?: Extra inputs are not permitted"),
        (response_json(request_id=""), "request_id: String should have at least 1 character"),
        (response_json(request_id="x" * 129), "request_id: String should have at most 128 characters"),
        (response_json(refusal_reason="no"), "message: refusal_reason in an accepted answer"),
        (response_json(accepted=False), "message: desired_positions in a refusal"),
        (
            response_json(accepted=False, desired_positions=None, refusal_reason="n" * 257),
            "refusal_reason: String should have at most 256 characters",
        ),
        (
            response_json(accepted=False, desired_positions=None, refusal_reason="a\nb"),
            "refusal_reason: text must be one visible line",
        ),
        (response_json(desired_positions={}), "desired_positions: Input should be a valid array"),
        (response_json(desired_positions=[POSITION, POSITION]), "message: two positions have the same range"),
        (
            response_json(desired_positions=[POSITION | {"tick_upper": 11 + i} for i in range(51)]),
            "desired_positions: Tuple should have at most 50 items after validation, not 51",
        ),
        (with_position(tick_lower=True), "desired_positions.0.tick_lower: Input should be a valid integer"),
        (with_position(tick_lower=-10.0), "desired_positions.0.tick_lower: Input should be a valid integer"),
        (with_position(tick_lower="-10"), "desired_positions.0.tick_lower: Input should be a valid integer"),
        (with_position(tick_lower=None), "desired_positions.0.tick_lower: Input should be a valid integer"),
        (
            with_position(tick_lower=MIN_TICK - 1),
            "desired_positions.0.tick_lower: Input should be greater than or equal to -887272",
        ),
        (
            with_position(tick_upper=MAX_TICK + 1),
            "desired_positions.0.tick_upper: Input should be less than or equal to 887272",
        ),
        (with_position(tick_upper=-10), "desired_positions.0: tick_lower must be below tick_upper"),
        (with_position(tick_upper=-20), "desired_positions.0: tick_lower must be below tick_upper"),
        (with_position(confidence=1.5), "desired_positions.0.confidence: Input should be less than or equal to 1"),
        (with_position(confidence=True), "desired_positions.0.confidence: Input should be a valid number"),
        (with_position(confidence=float("nan")), "body is not valid JSON: NaN is not JSON"),
    ],
)
def test_what_a_response_must_not_be(body: bytes, reason: str) -> None:
    with pytest.raises(RemoteError) as caught:
        parse_response(body)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    "amount",
    [
        1,
        1.0,
        True,
        None,
        "",
        "-1",
        "+1",
        "01",
        "00",
        " 1",
        "1 ",
        "1_000",
        "1.0",
        "1e3",
        "0x1",
        "١",
        "¹",
        "1" * 79,
        str(2**256),
    ],
)
def test_an_amount_is_a_canonical_decimal_string(amount: object) -> None:
    with pytest.raises(RemoteError, match=r"^desired_positions\.0\.allocation0: "):
        parse_response(with_position(allocation0=amount))


@pytest.mark.parametrize("amount", [0, 1, 10, 2**53 + 1, 2**256 - 1])
def test_an_amount_is_an_exact_integer_once_read(amount: int) -> None:
    response = parse_response(with_position(allocation0=str(amount)))
    assert response.desired_positions is not None
    assert response.desired_positions[0].allocation0 == amount
    assert f'"allocation0":"{amount}"'.encode() in encode(response)


@pytest.mark.parametrize("amount", ["1", 1.0, True, -1, 2**256])
def test_in_python_an_amount_is_an_integer(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Position(tick_lower=0, tick_upper=1, allocation0=amount, allocation1=0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("chain_id", 0),
        ("chain_id", 2**53),
        ("chain_id", "8453"),
        ("round_type", "practice"),
        ("block_number", -1),
        ("block_number", True),
        ("current_price", -1.0),
        ("current_price", "1"),
        ("current_price", True),
        ("pair_address", "0x4200000000000000000000000000000000000g06"),
        ("pair_address", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02914"),  # one digit away from its checksum
        ("sn_liquidity_manager_address", "0x52908400098527886e0F7030069857D2E4169EE7"),
        ("job_id", "a\u202eb"),
        ("round_id", "x" * 129),
        ("current_positions.0.liquidity", str(2**128)),
        ("current_positions.0.tick_lower", 10),
        ("inventory_remaining", {"amount0": "1"}),
        ("context.sqrt_price_x96", str(2**160)),
        ("context.tick_spacing", 0),
        ("context.tick_spacing", 16385),
        ("context.fee_pips", 1_000_001),
        ("context.deadline_s", 0),
        ("context.deadline_s", 61),
        ("context.target", "profit"),
        ("context.quote_token", "token2"),
        ("context.block_hash", "0x" + "AB" * 32),
        ("context.snapshot_hash", "0x" + "ab" * 31),
        ("context.limits.max_positions", 51),
        ("context.token0.decimals", 256),
        ("context.unknown", 1),
    ],
)
def test_what_a_query_must_not_be(path: str, value: object) -> None:
    with pytest.raises(RemoteError):
        parse_query(query_json(path, value))


def test_a_query_without_a_field_is_none() -> None:
    full = json.loads(encode(make_query()))
    for name in full:
        body = json.dumps({key: value for key, value in full.items() if key != name}).encode()
        with pytest.raises(RemoteError, match=f"^{name}: Field required$"):
            parse_query(body)


def test_keep_withdraw_and_no_answer_are_three_things() -> None:
    answers = [
        parse_response(response_json(desired_positions=value)).desired_positions for value in ([POSITION], [], None)
    ]
    assert [None if answer is None else len(answer) for answer in answers] == [1, 0, None]


def test_an_answer_to_another_question_is_none() -> None:
    with pytest.raises(RemoteError, match="answer echoes another request_id"):
        parse_response(response_json(), request_id="s")


def test_messages_are_frozen() -> None:
    query = make_query()
    with pytest.raises(ValidationError):
        query.job_id = "other"  # type: ignore[misc]  # that it cannot be done is the point


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=20)),
    lambda children: st.one_of(
        st.lists(children, max_size=4), st.dictionaries(st.text(max_size=12), children, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(st.data())
def test_a_mutilated_message_raises_nothing_but_a_remote_error(data: st.DataObject) -> None:
    whole = json.loads(
        encode(make_query(Shape(positions=(shown(-10, 10, 1, 2),)))) if data.draw(st.booleans()) else response_json()
    )
    node: Any = whole
    for _ in range(data.draw(st.integers(0, 3))):
        children = list(node.values()) if isinstance(node, dict) else node
        inner = [child for child in children if isinstance(child, dict | list) and child]
        if not inner:
            break
        node = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(json_values)
    body = json.dumps(whole).encode()
    for parse in (parse_query, parse_response):
        try:
            message = parse(body)
        except RemoteError as error:
            assert len(str(error)) < 250
            assert is_one_line(str(error))
        else:
            assert isinstance(message, RebalanceQuery | RebalanceResponse)
            assert parse(encode(message)) == message


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_body_raises_nothing_but_a_remote_error(data: st.DataObject) -> None:
    body = bytearray(response_json())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        parse_response(bytes(body))
    except RemoteError as error:
        assert is_one_line(str(error))
