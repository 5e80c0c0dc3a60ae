"""`tideline allocate`: how capital is spread over the pools of one pair."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import ConfigError

if TYPE_CHECKING:
    from miner.strategies.plus.family import Settings, Spread

_METHODS = ("marginal", "score", "waterfill", "cscore")
_Share = Annotated[float, Field(ge=0, le=1)]
_Amount = Annotated[float, Field(ge=0, le=1e30)]
_Rate = Annotated[float, Field(ge=-1e6, le=1e6)]
_Bp = Annotated[int, Field(ge=0, le=10_000)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class _PoolEntry(_Model):
    """One pool of the file."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    apr: Annotated[float, Field(ge=0, le=1e6)]
    tvl: _Amount
    lvr: _Rate = 0.0
    cap: _Share = 1.0
    held: _Share = 0.0
    move_cost: _Share = 0.0
    scores: Annotated[list[_Bp], Field(max_length=10)] = []


class _Family(_Model):
    """The file."""

    capital: Annotated[float, Field(gt=0, le=1e30)]
    pools: Annotated[list[_PoolEntry], Field(min_length=1, max_length=1000)]
    method: Literal["marginal", "score", "waterfill", "cscore"] = "marginal"
    cash_rate: _Rate = 0.0
    horizon_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    max_share_bp: Annotated[int, Field(ge=1, le=10_000)] | Literal["published"] = 10_000
    keeps_cash: bool = False


@click.command(short_help="Spread capital over the pools of one pair.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--method", type=click.Choice(_METHODS), help="Overrides the file's; default marginal.")
@click.option("--capital", type=click.FloatRange(0, 1e30, min_open=True), help="Overrides the file's.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def allocate(*, file: Path, method: str | None, capital: float | None, as_json: bool) -> None:
    """Show how capital is spread over the pools in FILE (.toml or .json).

    FILE gives `capital` and for each of `pools` a `name`, `apr` (fees per year) and `tvl` (the in-range liquidity that
    shares them); optional per pool: `lvr`, `cap`, `held` and `move_cost` as fractions, `scores` (trust, liquidity,
    performance, basis points); optional for all: `method`, `cash_rate`, `horizon_days`, `max_share_bp` (a number, or
    "published" for the cap by number of pools and capital in USD), `keeps_cash` (hold back the published cash buffer).

    marginal: the last unit earns the same everywhere, after dilution, losses and moving costs; caps are exact. score
    and waterfill: the published allocators, which know rates and sizes only. cscore: weights by the pools' scores under
    max_share_bp. The formulas are in docs/strategies.md.

    \b
    Example:
      $ cat pools.toml
      capital = 1000000
      pools = [{name = "weth-usdc-005", apr = 0.28, tvl = 4e6}, {name = "weth-usdc-03", apr = 0.27, tvl = 15e6}]
      $ tideline allocate pools.toml
    """
    from miner.strategies.plus.allocation import Pool
    from miner.strategies.plus.family import FamilyPool, Settings, spread

    family = _read(file, {"method": method, "capital": capital})
    pools = [
        FamilyPool(p.name, Pool(p.apr, p.tvl, p.lvr, p.cap, p.held, p.move_cost), tuple(p.scores)) for p in family.pools
    ]
    if len({p.name for p in pools}) != len(pools):
        raise ConfigError(f"{file}: two pools have one name")
    if family.method == "cscore" and not all(p.scores for p in pools):
        raise ConfigError(f"{file}: method cscore needs scores for every pool")
    limit_bp = None if family.max_share_bp == "published" else family.max_share_bp
    settings = Settings(family.method, family.cash_rate, family.horizon_days, limit_bp, family.keeps_cash)
    found = spread(pools, family.capital, settings)
    click.echo(json.dumps(_json(found, settings)) if as_json else _table(found, family.capital))


def _read(file: Path, overrides: dict[str, Any]) -> _Family:
    try:
        data = file.read_bytes()
        value = tomllib.loads(data.decode()) if file.suffix == ".toml" else json.loads(data)
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: not a table of settings")
        return _Family.model_validate({**value, **{k: v for k, v in overrides.items() if v is not None}})
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise ConfigError(f"{file}: {'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is neither TOML nor JSON: {error}") from error


def _json(found: Spread, settings: Settings) -> dict[str, Any]:
    return {"method": settings.method, **asdict(found)}


def _table(found: Spread, capital: float) -> str:
    """Return the allocation as aligned text; a share is of all capital."""
    width = max(len("cash"), *(len(row.name) for row in found.rows))
    lines = [f"{'pool':<{width}}  {'share':>8}  {'amount':>16}  {'net rate':>9}  {'cap':>7}  {'score':>5}"]
    lines += [
        f"{row.name:<{width}}  {row.share:>8.2%}  {row.amount:>16,.2f}  {row.rate:>9.2%}  {row.cap:>7.2%}  "
        f"{row.c_score or '-':>5}"
        for row in found.rows
    ]
    lines.append(f"{'cash':<{width}}  {found.cash:>8.2%}  {found.cash * capital:>16,.2f}")
    lines.append(f"{'all':<{width}}  {1:>8.2%}  {capital:>16,.2f}  {found.income:>9.2%}")
    return "\n".join(lines)
