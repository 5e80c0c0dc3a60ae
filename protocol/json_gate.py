"""The gate in front of every body from the network: bounded, unambiguous JSON or one short line saying why not."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, NoReturn

from protocol.errors import RemoteError
from protocol.wire import MAX_BODY_BYTES, MAX_CONTAINERS, MAX_NESTING, MAX_NUMBER_CHARS

# An unterminated string runs to the end: were it skipped, each escaped quote in it would start another scan.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_SHOWN_CHARS = 160


def is_one_line(text: str) -> bool:
    """Tell whether a text is one visible line: nothing that a log, a terminal or a database chokes on."""
    return text.isprintable() or not any(_is_hidden(c) for c in text)


def _is_hidden(character: str) -> bool:
    """Control, format, surrogate, private and unassigned characters (C*), line and paragraph separators."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in {"Zl", "Zp"}


def one_line(text: str, limit: int = _SHOWN_CHARS) -> str:
    """Return a peer's text as one short visible line."""
    clean = "".join("?" if _is_hidden(c) else c for c in text[:limit])
    return clean if len(text) <= limit else clean[: limit - 1] + "…"


def check_json(body: bytes) -> None:
    """Raise RemoteError unless the body is small, shallow UTF-8 JSON without repeated keys or monstrous numbers.

    The schema is judged later, on the same bytes. A repeated key is refused because two parsers may
    disagree about which value counts; a long literal, because turning digits into an integer is quadratic.
    """
    if len(body) > MAX_BODY_BYTES:
        raise RemoteError(f"body is {len(body)} bytes, the limit is {MAX_BODY_BYTES}")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RemoteError("body is not UTF-8") from error
    _check_nesting(text)
    try:
        json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=_short_number,
            parse_float=_short_number,
            parse_constant=_not_a_number,
        )
    except (ValueError, RecursionError) as error:
        raise RemoteError(f"body is not valid JSON: {one_line(str(error))}") from error


def _check_nesting(text: str) -> None:
    if text.count("{") + text.count("[") > MAX_CONTAINERS:
        raise RemoteError(f"body has more than {MAX_CONTAINERS} objects and lists")
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        token = match.group()
        if token in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise RemoteError(f"body is nested deeper than {MAX_NESTING}")
        elif token in "]}":
            depth -= 1


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key is repeated")
    return value


def _short_number(literal: str) -> None:
    """Check a number's length only: its value is read by the schema."""
    if len(literal) > MAX_NUMBER_CHARS:
        raise ValueError(f"a number literal is longer than {MAX_NUMBER_CHARS} characters")


def _not_a_number(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")
