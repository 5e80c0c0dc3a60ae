import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteError
from protocol.json_gate import check_json, is_one_line, one_line
from protocol.wire import MAX_BODY_BYTES, MAX_NESTING


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b" " * (MAX_BODY_BYTES + 1), "body is 65537 bytes, the limit is 65536"),
        (b'"\xff"', "body is not UTF-8"),
        (b'"\xed\xa0\x80"', "body is not UTF-8"),  # a surrogate, encoded as if it were a character
        ("{}".encode("utf-16"), "body is not UTF-8"),
        (
            b"\xef\xbb\xbf{}",
            "body is not valid JSON: Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
        ),
        (b"", "body is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"{}{}", "body is not valid JSON: Extra data: line 1 column 3 (char 2)"),
        (b'{"a":1,"a":1}', "body is not valid JSON: a key is repeated"),
        (b'{"a":{"b":1,"b":2}}', "body is not valid JSON: a key is repeated"),
        (rb'{"a":1,"\u0061":2}', "body is not valid JSON: a key is repeated"),
        (b"NaN", "body is not valid JSON: NaN is not JSON"),
        (b"[-Infinity]", "body is not valid JSON: -Infinity is not JSON"),
        (b"1" * 33, "body is not valid JSON: a number literal is longer than 32 characters"),
        (b"0." + b"1" * 60_000, "body is not valid JSON: a number literal is longer than 32 characters"),
        (b"1e" + b"1" * 60_000, "body is not valid JSON: a number literal is longer than 32 characters"),
        (b"[" * (MAX_NESTING + 1) + b"]" * (MAX_NESTING + 1), "body is nested deeper than 8"),
        (b"[" * 60_000, "body has more than 1024 objects and lists"),
        (b"[" * 1024, "body is nested deeper than 8"),
    ],
)
def test_what_the_gate_refuses(body: bytes, reason: str) -> None:
    with pytest.raises(RemoteError) as caught:
        check_json(body)
    assert caught.value.message == reason


@pytest.mark.parametrize(
    "body", [b"{}", b"[[[[[[[[]]]]]]]]", b'"[[[[[[[[[[[["', b'["\\"[[[[[[[[[", {}]', b'{"a":{"a":1}}', b"-1.5e3"]
)
def test_what_the_gate_lets_through(body: bytes) -> None:
    check_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b"9" * 65_000,
        b'"' + b'\\"' * 32_000,
        b'"' + b"\\\\" * 32_000,
        b'"' + b"\\" * 65_000,
        b'"' * 65_000,
        b"[" + b'"",' * 21_000,
        b"-" * 65_000,
        b'{"' + b"\\u0022" * 10_000,
        b"[]" * 500,
    ],
)
def test_no_body_is_expensive_to_refuse(body: bytes) -> None:
    started = time.process_time()
    with pytest.raises(RemoteError):
        check_json(body)
    assert time.process_time() - started < 0.25  # quadratic work on 64 KiB would take many seconds


@given(
    st.one_of(
        st.binary(max_size=300), st.text(alphabet='{}[]",:\\0123456789.eE+-ntrufalsNI \n', max_size=300).map(str.encode)
    )
)
def test_the_gate_raises_nothing_but_a_remote_error(body: bytes) -> None:
    try:
        check_json(body)
    except RemoteError as error:
        assert is_one_line(error.message)
    else:
        json.loads(body)


@given(st.text(), st.integers(1, 300))
def test_one_line_is_short_and_printable(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert is_one_line(line)
    assert line == text or len(text) > limit or not is_one_line(text)


@pytest.mark.parametrize("text", ["", "a b", "naïve", "漢\u3000字", "5\u00a0%", "🎉"])
def test_what_is_one_line(text: str) -> None:
    assert is_one_line(text)


@pytest.mark.parametrize(
    "text", ["\n", "\x00", "\x1b[0m", "\x7f", "\u2028", "\u2029", "\u202e", "\u200b", "\ud800", "\ue000"]
)
def test_what_is_not(text: str) -> None:
    assert not is_one_line(f"a{text}b")
