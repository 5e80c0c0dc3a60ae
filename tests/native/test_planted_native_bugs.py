"""The comparison of the engines can fail: it finds every one of these bugs, planted in the C source and compiled."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from support.engine_duel import fight_engines, probe_engines, replayed_engines
from support.pancake_walk import PancakeWalk
from support.pool_walk import PoolWalk
from support.reading_duel import difference_in_reading

pytest.importorskip("simulator.native._core", reason="there was no compiler")
COMPILER = shutil.which("cc") or ""
if not COMPILER:
    pytest.skip("there is no compiler now", allow_module_level=True)

import simulator.native.batch  # noqa: E402 only where the extension exists
import simulator.native.pool  # noqa: E402 as above

BUDGET = 900  # walks; most bugs need fewer than thirty
SOURCE = Path(simulator.native.pool.__file__).parent / "src"


class Bug(NamedTuple):
    """A wrong piece of one file."""

    file: str
    right: str
    wrong: str


BUGS = {
    "a short step forgets what rounding leaves over": Bug("step.h", "s->fee += surplus;", ""),
    "a rising step forgets what rounding leaves over": Bug("step.h", "amount + (rest >> 96)", "amount"),
    "an output moves the price too little": Bug("step.h", "distance += rest != 0;", ""),
    "a whole step counts as reached when it is one unit short": Bug(
        "step.h", "if (exact_in || LIKELY(s->out <= remaining)) return true;", "return true;"
    ),
    "doubles decide what is too close for them": Bug(
        "step.h", "return reaches_exactly(amount, liquidity->value, current, target, is_token0);", "return true;"
    ),
    "token0 is not rounded up": Bug("step.h", "*amount += round_up && ", "*amount += 0 && "),
    "a fee is not rounded up": Bug("step.h", "+ (round_up && rem != 0);", ";"),
    "the second correction of a digit is missing": Bug("wide.h", "    if (UNLIKELY(r >= d)) {", "    if (0) {"),
    "an inverse is one too large": Bug("wide.h", "    v += once + twice;\n    p -=", "    p -="),
    "a segment is remembered for any liquidity": Bug("swap.c", " || s->liquidity != k->liquidity", ""),
    "a segment is remembered for any fee": Bug("swap.c", "if (s->key != r->key || ", "if (s->key == 0 || "),
    "a remembered segment ignores the limit": Bug(
        "swap.c", "if (falls ? price < k->limit : k->limit < price) return OK;", ""
    ),
    "a remembered segment is crossed by too small an amount": Bug(
        "swap.c", "if (k->remaining < takes || k->remaining == 0) return OK;", "if (k->remaining == 0) return OK;"
    ),
    "the boundaries below are those of another word": Bug("boundary.h", "larger(below.tick, start)", "below.tick"),
    "the boundaries above are those of another word": Bug("boundary.h", "smaller(above.tick, end)", "above.tick"),
    "a reciprocal outlives its liquidity": Bug(
        "state.h",
        "if (p->reciprocals[p->is_second].value != liquidity) p->rec",
        "if (p->reciprocals[p->is_second].value == 0) p->rec",
    ),
    "the protocol's share stays in the growth": Bug("swap.c", "div_x128(q, s.fee - share,", "div_x128(q, s.fee,"),
    "an unmoved tick is recomputed": Bug("swap.c", "s.next == current ? p->tick :", ""),
    "a crossing takes the growth of the swap's end": Bug("swap.c", "&scratch->growths[i], &now", "&o->growth, &now"),
    "the oracle is written a second time": Bug("swap.c", "if (is_new) write", "write"),
    "a tick made at the price takes no growth": Bug("liquidity.c", "number <= p->tick", "number < p->tick"),
    "a remembered segment is crossed by nothing": Bug(
        "swap.c", "if (k->remaining < takes || k->remaining == 0) return OK;", "if (k->remaining < takes) return OK;"
    ),
    "a swap known to reach its target takes the target of the next step for reached": Bug(
        "swap.c", "    k->is_reaching = false;\n    if (s.is_whole", "    if (s.is_whole"
    ),
    "a carry between the halves of the growth is lost": Bug("swap.c", " + (k->growth_low < growth_low);", ";"),
    "the settings of the protocol's share lie four bits apart": Bug(
        "swap.c", "p->fee_protocol >> half;", "p->fee_protocol >> 4;"
    ),
    "a share with a denominator is one of n": Bug(
        "swap.c", "*share = denominator ? divide_small(fee * setting, denominator) :", "*share ="
    ),
    "the general step takes no share": Bug("swap.c", "u256_sub(&s.fee, &s.fee, &share);", ""),
    "a word is one tick wider": Bug("boundary.h", "+ 255 * p->tick_spacing", "+ 256 * p->tick_spacing"),
    "the price is taken to start at a tick": Bug(
        "boundary.h", "price_low(&tick->ratio) == price && tick->ratio.w[2] == 0", "price >> 127 == 0"
    ),
    "the logarithm alone decides near a tick": Bug("tick_math.c", "above > 1e-6 && above < 1 - 1e-6", "above >= 0"),
    "the ring's new slots begin too late": Bug(
        "oracle.c", "i = old->count; i < count", "i = old->count + 1; i < count"
    ),
    "the oracle sums a tick too much": Bug("oracle.h", "(int64_t)tick * (int64_t)delta", "(int64_t)(tick + 1) * delta"),
    "a tick may hold too much": Bug("pool.c", "(u128)(2 * most + 1)", "(u128)(2 * most)"),
    "the general step is not capped": Bug("step.c", "if (u256_lt(amount, &s->out)) s->out = *amount;", ""),
    "a fee of one limb is never rounded up": Bug("step.h", " + (left != 0);", ";"),
    "a fee of one limb lacks what its product lacks": Bug("step.h", " + (left > rest)", ""),
    "an amount of one limb keeps its fee's remainder": Bug("step.h", "q * PIPS) * factor / PIPS", "q * PIPS)"),
    "amounts at wide prices are computed in two limbs": Bug(
        "step.c", "if (high->w[2] != 0 || a == 0) return false;", "if (a == 0) return false;"
    ),
    "a long product loses its carry": Bug("wide.c", "r[i + nb] = carry;", "r[i + nb] = 0;"),
    "a reason is another's": Bug("convert.c", '[REVERT_LS] = "LS"', '[REVERT_LS] = "LA"'),
    "a position's growths are exchanged": Bug(
        "core_type.c", "PyTuple_GET_ITEM(tuple, 1 + i)", "PyTuple_GET_ITEM(tuple, 2 - i)"
    ),
    "a field shows its neighbour": Bug("core_fields.c", "FIELD_U256, AT(growth[1])", "FIELD_U256, AT(growth[0])"),
    "a removed tick leaves the others in place": Bug(
        "table.c", "order->slots + index + 1, after", "order->slots + index, after"
    ),
}


# Batches are compared in test_batch.py: what walks do here never makes one.
OF_BATCHES = {"batch.c", "batch.h", "module.c"}


def test_every_file_has_a_bug() -> None:
    declared = {"convert.h", "core_type.h", "pool.h", "step.h", "table.h", "tick_math.h"}  # nothing is computed there
    files = {path.name for path in SOURCE.glob("*.[ch]")}
    assert files - declared - OF_BATCHES == {bug.file for bug in BUGS.values()} - declared


def mutant(bug: Bug, where: Path) -> Any:
    """Compile the engine with a bug and return its module."""
    shutil.copytree(SOURCE, where / "src")
    path = where / "src" / bug.file
    text = path.read_text()
    assert text.count(bug.right) == 1, f"{bug.file} has {text.count(bug.right)} times {bug.right!r}"
    path.write_text(text.replace(bug.right, bug.wrong))
    return compiled(where / "src", where)


def compiled(source: Path, where: Path, *flags: str) -> Any:
    """Compile a core and return its module."""
    library = where / f"_core{sysconfig.get_config_var('EXT_SUFFIX')}"
    sources = sorted(map(str, source.glob("*.c")))
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [COMPILER, "-std=c11", "-O1", "-w", *flags, "-fPIC", "-shared", include, *sources, "-lm"]
    command += ["-o", str(library)]
    subprocess.run(command, check=True)
    loader = importlib.machinery.ExtensionFileLoader("simulator.native._core", str(library))
    spec = importlib.util.spec_from_file_location("simulator.native._core", library, loader=loader)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


@pytest.mark.parametrize("name", BUGS)
def test_the_comparison_finds_a_planted_bug(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simulator.native._core", mutant(BUGS[name], tmp_path))
    module = executed_anew(simulator.native.pool, monkeypatch)
    if probe_engines(module.NativePool) is not None:
        return
    walks = (PoolWalk, PoolWalk, PancakeWalk)
    fights = (fight_engines(module.NativePool, 7, index, walks[index % 3]) for index in range(BUDGET))
    defeat = next((found for found in fights if found is not None), None)
    assert defeat is not None
    arguments = defeat.fee_pips, defeat.tick_spacing, defeat.fee_policy, defeat.operations
    assert replayed_engines(module.NativePool, *arguments) == defeat.difference
    assert replayed_engines(simulator.native.pool.NativePool, *arguments) is None


def test_the_engine_without_assembly_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    core = compiled(SOURCE, tmp_path, "-DTIDELINE_PORTABLE")
    monkeypatch.setitem(sys.modules, "simulator.native._core", core)
    module = executed_anew(simulator.native.pool, monkeypatch)
    assert module.NativePool is not simulator.native.pool.NativePool
    assert probe_engines(module.NativePool) is None
    for index in range(30):
        assert fight_engines(module.NativePool, 8, index, (PoolWalk, PancakeWalk)[index % 2]) is None


BATCH_BUGS = {
    "a price below a range is not drawn into it": Bug("batch.c", "price = &h->ratio_lower;", ";"),
    "a price above a range is not drawn into it": Bug("batch.c", "price = &h->ratio_upper;", ";"),
    "token0 of a position is rounded up": Bug(
        "batch.c", "upper, h->position.liquidity, false", "upper, h->position.liquidity, true"
    ),
    "token1 of a position is rounded up": Bug(
        "batch.c", "price, h->position.liquidity, false", "price, h->position.liquidity, true"
    ),
    "what is owed already is left out": Bug("batch.c", "p->tokens_owed[i] + fees_since", "fees_since"),
    "fees of one token are counted for both": Bug("batch.c", "&inside[i], &p->growth", "&inside[0], &p->growth"),
    "liquidity out of range is one's own": Bug("batch.c", "if (holds(h, fork->pool->tick)) reading", "reading"),
    "the upper tick is in range": Bug("batch.c", "tick < h->upper", "tick <= h->upper"),
    "the pool's liquidity is not read": Bug("batch.c", "reading->pool_liquidity = fork->pool->liquidity;", ""),
    "a fork takes part from the first event on": Bug("batch.c", "for (size_t i = fork->start;", "for (size_t i = 0;"),
    "events before a fork's start are told as done": Bug("batch.c", "memset(fates, NOT_REACHED, fork->start);", ""),
    "a mark is read before its time": Bug(
        "batch.c", "if (events[i].kind == MARK)", "if (i + 1 < count && events[i + 1].kind == MARK)"
    ),
    "a weight loses its uppermost limb": Bug("module.c", "wide_limbs(size, WEIGHT_LIMBS)", "wide_limbs(size, 2)"),
    "a weight's sign is lost": Bug("module.c", "weight->is_negative[token] = is_negative;", ""),
    "time in range is not counted": Bug("batch.c", "fork->in_range_s += events", "fork->in_range_s = events"),
}
WORLDS = 400


@pytest.mark.parametrize("name", BATCH_BUGS)
def test_the_comparison_of_readings_finds_a_planted_bug(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = mutant(BATCH_BUGS[name], tmp_path)
    monkeypatch.setitem(sys.modules, "simulator.native._core", core)
    pool, batch = (executed_anew(m, monkeypatch) for m in (simulator.native.pool, simulator.native.batch))
    assert any(difference_in_reading(pool.NativePool, batch, seed) for seed in range(WORLDS))


def executed_anew(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a module on the core that is there now."""
    name = f"mutant {module.__name__}"
    spec = importlib.util.spec_from_file_location(name, module.__file__)
    assert spec is not None and spec.loader is not None
    again = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, again)  # where its dataclasses look for their module
    spec.loader.exec_module(again)
    return again
