"""Who is best at a job, and whether that is skill or luck: statistics of stored scores, for display only.

A score is already the excess over the benchmark of the same round, on the same path and with the same capital, so that
it is paired by construction. Two miners are compared by the differences of their scores on the rounds in which both
were scored. Rounds are taken as independent; where they are not (a trend of hours), the true uncertainty is larger than
what is said here.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr  # type: ignore[import-untyped]  # scipy ships no types

from db.records import MinerScore, Participation, ScoreEntry
from protocol.units import Hotkey, Uid
from validator.reputation import participation_days

SIGNIFICANCE = 0.95  # one-sided
POWER = 0.80
_Z = float(ndtri(SIGNIFICANCE) + ndtri(POWER))  # 2.4865


@dataclass(frozen=True, slots=True)
class Excess:
    """Statistics of paired excesses, 1e-18 units. What a single round cannot tell is None."""

    rounds: int
    mean_e18: float | None
    standard_error_e18: float | None
    signal_to_noise: float | None
    probability_positive: float | None
    rounds_needed: int | None


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One miner at one job. `lead` is its excess over the next in rank; the last has none."""

    rank: int
    hotkey: Hotkey
    uid: Uid
    evaluation_e18: int
    live_e18: int
    combined_e18: int
    evaluation_rounds: int
    live_rounds: int
    participation_days: int
    wins: int
    excess: Excess
    lead: Excess | None


def describe(values: NDArray[np.float64]) -> Excess:
    """Return what paired excesses tell about their true mean.

    Parameters: values  shape (n_rounds,), any unit   ·   n_rounds >= 0
    Returns:    mean; standard error s/√n with s from n − 1; mean/s; the probability that the true mean is positive, by
                Student's t with n − 1 degrees of freedom and a flat prior, which is the normal one for many rounds and
                honest about few; and how many rounds this signal-to-noise takes to show at 95 % one-sided with 80 %
                power. From fewer than two rounds only the mean; a signal-to-noise of 0 or less never shows
    Rounding:   floats; rounds needed are rounded up
    Raises:     nothing
    Source:     strategy reference C4, n = (2.487/SNR)²
    """
    n = len(values)
    if n == 0:
        return Excess(0, None, None, None, None, None)
    mean = float(np.mean(values))
    if n == 1:
        return Excess(1, mean, None, None, None, None)
    deviation = float(np.std(values, ddof=1))
    # Equal values may leave a deviation that is nothing but the mean's own rounding.
    if bool(np.all(values == values[0])) or deviation == 0.0:
        certain = 0.5 if mean == 0 else float(mean > 0)
        return Excess(n, mean, 0.0, None, certain, None)
    error = deviation / math.sqrt(n)
    snr = mean / deviation
    probability = float(stdtr(n - 1, mean / error))
    return Excess(n, mean, error, snr, probability, rounds_needed(snr))


def confidence_ppm(history: Iterable[ScoreEntry], hotkey: Hotkey, registered_at_block: int) -> int:
    """Return how sure it is that a miner beats the benchmark, in parts per million.

    Parameters: history  evaluation scores of one job; those of an earlier registration do not count
    Returns:    the probability that its true mean excess is positive, as in `describe`; 0 from fewer than two rounds
    Rounding:   down
    Raises:     nothing
    Source:     strategy reference C4
    """
    of_it = (e for e in history if e.hotkey == hotkey and e.registered_at_block == registered_at_block and e.scored)
    return int((describe(_floats(e.score_e18 for e in of_it)).probability_positive or 0.0) * 1_000_000)


def rounds_needed(signal_to_noise: float) -> int | None:
    """Return after how many rounds a signal of this size shows.

    Parameters: signal_to_noise  mean over standard deviation of one round
    Returns:    n = (z(0.95) + z(0.80))²/SNR², at least 2; None if it never shows (SNR <= 0, or beyond 10¹⁵ rounds)
    Rounding:   up
    Raises:     nothing
    Source:     strategy reference C4
    """
    if signal_to_noise <= 0:
        return None
    rounds = (_Z / signal_to_noise) ** 2
    return max(2, math.ceil(rounds)) if rounds <= 1e15 else None


def rank_miners(
    reputations: Iterable[MinerScore],
    history: Iterable[ScoreEntry],
    participation: Iterable[Participation],
    *,
    today: date,
) -> tuple[LeaderboardRow, ...]:
    """Return a job's miners, best first.

    Parameters: reputations, participation  of one job   ·   history  its evaluation scores; those of an earlier
                registration of a hotkey do not count   ·   today  UTC, chain time
    Returns:    rows by combined reputation, then evaluation, earlier registration and hotkey
    Rounding:   reputations are exact, statistics are floats
    Raises:     nothing
    Source:     design §4.10
    """
    ranked = sorted(reputations, key=lambda m: (-m.combined_e18, -m.evaluation_e18, m.registered_at_block, m.hotkey))
    scores = _scores_by_round(ranked, history)
    days: dict[str, list[Participation]] = defaultdict(list)
    for row in participation:
        days[row.hotkey].append(row)
    rows = []
    for index, miner in enumerate(ranked):
        behind = ranked[index + 1] if index + 1 < len(ranked) else None
        rows.append(
            LeaderboardRow(
                rank=index + 1,
                hotkey=miner.hotkey,
                uid=miner.uid,
                evaluation_e18=miner.evaluation_e18,
                live_e18=miner.live_e18,
                combined_e18=miner.combined_e18,
                evaluation_rounds=miner.evaluation_rounds,
                live_rounds=miner.live_rounds,
                participation_days=participation_days(days[miner.hotkey], today=today),
                wins=miner.wins,
                excess=describe(_floats(scores[miner.hotkey].values())),
                lead=None if behind is None else describe(_lead(scores[miner.hotkey], scores[behind.hotkey])),
            )
        )
    return tuple(rows)


def _scores_by_round(miners: Sequence[MinerScore], history: Iterable[ScoreEntry]) -> dict[str, dict[int, int]]:
    registered = {miner.hotkey: miner.registered_at_block for miner in miners}
    scores: dict[str, dict[int, int]] = defaultdict(dict)
    for entry in history:
        if entry.scored and registered.get(entry.hotkey) == entry.registered_at_block:
            scores[entry.hotkey][entry.round_number] = entry.score_e18
    return scores


def _lead(ahead: Mapping[int, int], behind: Mapping[int, int]) -> NDArray[np.float64]:
    # Subtracted as integers: two close scores lose nothing.
    return _floats(ahead[number] - behind[number] for number in ahead if number in behind)


def _floats(values: Iterable[int]) -> NDArray[np.float64]:
    return np.array([float(value) for value in values], dtype=np.float64)
