"""The options of `tideline executor`: whom to ask, whose key, which vaults, and how far to go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click

from executor.fees import FeePolicy
from executor.guards import Limits
from executor.live_guards import LiveLimits
from executor.preparation import Bounds
from executor.steps import Patience
from executor.transactor import Settings
from protocol.errors import ConfigError
from protocol.signing import parse_hotkey
from protocol.units import Hotkey
from tideline.nodes import check_urls
from tideline.vault_access import address_of_option, factory_option, optional_address

F = TypeVar("F", bound=Callable[..., Any])

VALIDATOR_ENV = "TIDELINE_VALIDATOR"
_GWEI, _ETH = 10**9, 10**18
_LIVE, _PLAN, _PATIENCE = LiveLimits(frozenset()), Limits(), Patience()
_BOUNDS = Bounds(_LIVE)


@dataclass(frozen=True, slots=True)
class PriceOptions:
    """A second source of prices: where, how old at most, and whether to wait for it."""

    url: str
    max_age_s: int
    is_waited_for: bool


@dataclass(frozen=True, slots=True)
class ExecutorOptions:
    """The command's options, read once. `validators` is None in a dry run that holds intents against no signature;
    `receivers` names the vaults that are LiquidityManagers, in lower case.
    """

    urls: tuple[str, ...]
    quorum: int
    database_url: str
    validators: frozenset[Hotkey] | None
    bounds: Bounds
    settings: Settings
    receivers: Mapping[str, str]
    factory: str | None
    prices: PriceOptions | None
    is_live: bool
    is_once: bool


def _number(name: str, default: int, text: str, least: int = 0) -> Callable[[F], F]:
    return click.option(name, type=click.IntRange(min=least), default=default, show_default=True, help=text)


_OPTIONS: Sequence[Callable[[Any], Any]] = (
    click.option("--rpc", "urls", multiple=True, help="URL of a node over HTTP; several for failover."),
    click.option(
        "--rpc-quorum", "quorum", type=click.IntRange(min=1), default=1, show_default=True, help="Must agree."
    ),
    click.option(
        "--key", "key", metavar="keystore:FILE|env:NAME", help="The keeper's key, named; never the key itself."
    ),
    click.option("--allow", "vaults", multiple=True, metavar="VAULT", help="A vault that may be touched (repeatable)."),
    click.option(
        "--validator",
        "validators",
        multiple=True,
        metavar="SS58",
        envvar=VALIDATOR_ENV,
        show_envvar=True,
        help="Hotkey of a validator whose signed plans are carried out (repeatable); --live needs one.",
    ),
    click.option("--live", "is_live", is_flag=True, help="Sign and send. Without it: a dry run that changes nothing."),
    click.option("--once", "is_once", is_flag=True, help="End when there is nothing to do."),
    click.option(
        "--fee-receiver",
        "receivers",
        multiple=True,
        metavar="VAULT=ADDRESS",
        help="This vault is a LiquidityManager of SN98, and its fees go there (repeatable).",
    ),
    factory_option,
    _number("--max-fee-gwei", 20, "Most to pay for a unit of gas.", 1),
    click.option("--max-cost", metavar="ETH", help="Most that a transaction may cost, a rollup's data included."),
    _number("--confirmations", _PATIENCE.confirmations, "Blocks until a transaction counts, its own included.", 1),
    click.option(
        "--settled",
        type=click.Choice(["latest", "safe", "finalized"]),
        default=_PATIENCE.settled,
        show_default=True,
        help="What the chain must call a block besides; safe and finalized wait for a rollup's base chain.",
    ),
    _number("--max-age-blocks", _LIVE.max_age_blocks, "Of a decision, past its effective block."),
    _number("--deadline-s", _BOUNDS.deadline_s, "Until a call that no block took is cancelled.", 1),
    _number("--slack-ticks", _BOUNDS.slack_ticks, "How far the price may go before the call is mined."),
    _number("--twap-s", _LIVE.twap_s, "Window of the pool's mean price.", 1),
    _number("--max-deviation-ticks", _LIVE.max_deviation_ticks, "Of the price from that mean."),
    _number("--max-external-ppm", _LIVE.max_external_ppm, "Of the price from that of --price-url."),
    _number("--max-daily-turnover-ppm", _LIVE.max_daily_turnover_ppm, "What swaps pay away in a day; half in a round."),
    _number("--max-daily-loss-ppm", _LIVE.max_daily_loss_ppm, "Of the worth, in a day; half in a round."),
    _number("--cooldown-s", _LIVE.cooldown_s, "Rest between plans of a vault that sets none itself."),
    _number("--max-positions", _PLAN.max_positions, "Of a plan, kept ones included."),
    _number("--max-swap-ppm", _PLAN.max_swap_ppm, "Of the worth, in one plan."),
    _number("--max-pool-share-ppm", _PLAN.max_pool_share_ppm, "Own liquidity of the pool's, at the price."),
    _number("--min-width-spacings", _PLAN.min_width_spacings, "Narrowest range, in tick spacings.", 1),
    click.option(
        "--price-url",
        help="A second source of prices: a URL with {chain_id}, {pool}, {token0}, {token1} that answers a JSON object "
        "of price (whole token1 for a whole token0) and timestamp.",
    ),
    _number("--price-max-age-s", 60, "Of such a price.", 1),
    click.option(
        "--without-price",
        type=click.Choice(["wait", "ignore"]),
        default="wait",
        show_default=True,
        help="While that source is down: wait until the plan is too old, or go on without this guard.",
    ),
)


def executor_options(command: F) -> F:
    """Add what `read_options` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def read_options(given: Mapping[str, Any], database_url: str) -> ExecutorOptions:
    """Return the options, or raise ConfigError with what is wrong."""
    check_urls(given["urls"])
    if given["key"] is None:
        raise ConfigError("name the keeper's key: --key keystore:FILE or --key env:NAME")
    if not given["vaults"]:
        raise ConfigError("name every vault that may be touched: --allow VAULT")
    if given["is_live"] and not given["validators"]:
        raise ConfigError("name the validator whose plans are carried out, by its hotkey: --validator SS58")
    vaults = frozenset(address_of_option("--allow", vault) for vault in given["vaults"])
    live = LiveLimits(vaults, **_named(given, _LIVE, leave_out="vaults"))
    plan = Limits(**_named(given, _PLAN))
    fees = FeePolicy(max_fee_wei=given["max_fee_gwei"] * _GWEI, max_cost_wei=_wei(given["max_cost"]))
    patience = Patience(confirmations=given["confirmations"], settled=given["settled"])
    url = given["price_url"]
    return ExecutorOptions(
        urls=given["urls"],
        quorum=given["quorum"],
        database_url=database_url,
        validators=frozenset(parse_hotkey(hotkey) for hotkey in given["validators"]) or None,
        bounds=Bounds(live, plan, slack_ticks=given["slack_ticks"], deadline_s=given["deadline_s"]),
        settings=Settings(fees, patience),
        receivers=_receivers(given["receivers"], vaults),
        factory=optional_address("--factory", given["factory"]),
        prices=None if url is None else PriceOptions(url, given["price_max_age_s"], given["without_price"] == "wait"),
        is_live=given["is_live"],
        is_once=given["is_once"],
    )


def _named(given: Mapping[str, Any], like: LiveLimits | Limits, *, leave_out: str = "") -> dict[str, Any]:
    return {name: given[name] for name in type(like).__slots__ if name != leave_out}


def _receivers(pairs: Sequence[str], vaults: frozenset[str]) -> dict[str, str]:
    receivers = {}
    for pair in pairs:
        vault, mark, receiver = pair.partition("=")
        if not mark or address_of_option("--fee-receiver", vault) not in vaults:
            raise ConfigError("--fee-receiver wants VAULT=ADDRESS, with a vault of --allow")
        receivers[vault.lower()] = address_of_option("--fee-receiver", receiver)
    return receivers


def _wei(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        wei = Decimal(text) * _ETH
        if wei.is_finite() and wei >= 1:
            return int(wei)
    except InvalidOperation:
        pass
    raise ConfigError(f"--max-cost {text!r:.40} is no amount of ETH; write for example 0.002")
