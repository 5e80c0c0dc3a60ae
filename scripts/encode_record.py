"""Write a market in the neutral format as a record that ships with Tideline: small, and the same bytes every time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import click

from simulator.neutral import NeutralFile
from simulator.records import load_file

_EXACT_IN_JSON = 2**53  # beyond it many JSON readers round, so larger integers stay decimal strings


@click.command()
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", type=click.Path(dir_okay=False, writable=True, path_type=Path))
@click.option(
    "--facts", default="{}", help="JSON object of header fields to set, such as chain_id, token0, opening_block."
)
def main(source: Path, target: Path, facts: str) -> None:
    """Re-encode SOURCE as TARGET (.jsonl.gz), then load it once to prove that it is a record."""
    try:
        given = json.loads(facts)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"is not JSON: {error}", param_hint="--facts") from error
    header = {**NeutralFile.open(source).header, **given}
    rows = [_small(json.loads(text)) for text in _lines(source)[1:]]
    header["lines_after_header"] = len(rows)
    text = "\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in (header, *rows)) + "\n"
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    record = load_file(target)
    click.echo(
        f"{target.name}: {target.stat().st_size} bytes, {record.length_blocks} blocks, {record.duration_s} s, "
        f"digest {record.digest}"
    )


def _lines(path: Path) -> list[str]:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode().splitlines()


def _small(value: Any) -> Any:
    """Return the value with every decimal string that JSON holds exactly as a number."""
    if isinstance(value, list):
        return [_small(item) for item in value]
    if isinstance(value, dict):
        return {key: _small(item) for key, item in value.items()}
    if isinstance(value, str) and value.lstrip("-").isdigit() and abs(int(value)) < _EXACT_IN_JSON:
        return int(value)
    return value


if __name__ == "__main__":
    main()
