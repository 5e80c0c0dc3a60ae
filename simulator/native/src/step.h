/* One step of a swap (v3-core SwapMath, SqrtPriceMath): as far as the next price at constant liquidity.
 *
 * step_general follows the contract's formulas one by one in any width. step_fast gives the same numbers for prices and
 * amounts of two limbs, by identities (docs/native.md proves them) that need fewer and shorter divisions. */
#ifndef TIDELINE_STEP_H
#define TIDELINE_STEP_H

#include "tick_math.h"

/* From 2**19 to 2**20, which is what step_fast divides by, a shift of 44 normalises. */
enum { PIPS = 1000000, PIPS_SHIFT = 44, MOST_FAST_FEE = PIPS - (1 << 19) };

typedef enum {
    OK = 0,
    REVERT_EMPTY, /* no reason given */
    REVERT_AS,
    REVERT_LOK,
    REVERT_SPL,
    REVERT_TF,
    REVERT_LS,
    REVERT_LA,
    REVERT_LO,
    REVERT_NP,
    REVERT_TLU,
    REVERT_TLM,
    REVERT_TUM,
    REVERT_AI,
    REVERT_R,
    REVERT_SPACING, /* no reason given, either: a tick off the spacing */
    NO_MEMORY,
} Status;

typedef struct {
    Price next;
    u256 in, out, fee;
} Step;

typedef struct {
    u128 next;
    u128 paid; /* in + fee */
    u128 out;
    u128 fee;
    bool is_whole; /* the target was reached */
} FastStep;

/* amount is |amount remaining| as uint256. */
Status step_general(Step *s, const Price *current, const Price *target, u128 liquidity, const u256 *amount, bool exact_in,
                    uint32_t fee_pips);

/* v3-core SqrtPriceMath.getAmount0Delta, getAmount1Delta for prices in any order; amount 0 needs both above 0. */
u256 amount0_delta(const Price *a, const Price *b, u128 liquidity, bool round_up);
u256 amount1_delta(const Price *a, const Price *b, u128 liquidity, bool round_up);
/* v3-core FullMath.mulDiv(a, b, 2**128) cut to 128 bits: the fees of a position. */
u128 fees_since(const u256 *growth, const u256 *last, u128 liquidity);
/* floor(fee * 2**128 / liquidity); false where the contract reverts because it exceeds 256 bits. */
bool growth_of(u256 *growth, const u256 *fee, u128 liquidity);

/* --- The fast step --------------------------------------------------------------------------------------------------- */

/* A divisor from 2**19 to 2**20, normalised, with floor((2**128 - 1) / d) - 2**64. */
typedef struct {
    u64 d, inverse;
} SmallDivisor;

static inline SmallDivisor small_divisor_of(u64 d) {
    u64 unused;
    d <<= PIPS_SHIFT;
    return (SmallDivisor){d, div_2by1(~d, ~(u64)0, d, &unused)};
}

/* One digit: floor((*rem, u0) / d) for *rem < d; *rem becomes the remainder. */
static inline u64 div_small(u64 *rem, u64 u0, const SmallDivisor *by) {
    u128 q = (u128)by->inverse * *rem + make128(*rem, u0);
    u64 q1 = hi64(q) + 1, r = u0 - q1 * by->d;
    u64 mask = -(u64)(r > lo64(q));
    q1 += mask;
    r += by->d & mask;
    if (UNLIKELY(r >= by->d)) {
        q1++;
        r -= by->d;
    }
    *rem = r;
    return q1;
}

/* What a fee is computed with. */
typedef struct {
    uint32_t fee_pips;
    SmallDivisor pips, rest; /* PIPS and PIPS - fee_pips */
    u64 share;               /* floor(2**64 * fee_pips / (PIPS - fee_pips)) */
} Fees;

static inline Fees fees_of(uint32_t fee_pips) {
    u64 unused, share = div_2by1(fee_pips, 0, PIPS - fee_pips, &unused);
    return (Fees){fee_pips, small_divisor_of(PIPS), small_divisor_of(PIPS - fee_pips), share};
}

/* a * factor / divisor for a < 2**127, factor <= 10**6; false if not below 2**127. */
static inline bool scale(u128 *quotient, u128 a, u64 factor, const SmallDivisor *by, bool round_up) {
    u128 p0 = (u128)lo64(a) * factor, p1 = (u128)hi64(a) * factor + hi64(p0);
    u64 x0 = lo64(p0), x1 = lo64(p1), rem = hi64(p1) << PIPS_SHIFT | x1 >> (64 - PIPS_SHIFT);
    if (rem >= by->d) return false;
    u64 high = div_small(&rem, x1 << PIPS_SHIFT | x0 >> (64 - PIPS_SHIFT), by);
    u64 low = div_small(&rem, x0 << PIPS_SHIFT, by);
    *quotient = make128(high, low) + (round_up && rem != 0);
    return *quotient >> 127 == 0;
}

/* What is left of an amount without its fee. */
static inline bool without_fee(u128 *rest, u128 amount, const Fees *fees) {
    u64 factor = PIPS - fees->fee_pips;
    if (UNLIKELY(hi64(amount) != 0)) return scale(rest, amount, factor, &fees->pips, false);
    /* (q * PIPS + r) * factor / PIPS = q * factor + r * factor / PIPS: divisions by what the compiler knows */
    u64 q = lo64(amount) / PIPS;
    *rest = (u128)q * factor + (lo64(amount) - q * PIPS) * factor / PIPS;
    return true;
}

/* The fee on top of an amount in, rounded up. Of one limb it is a product that lacks less than 1, as the rest tells. */
static inline bool fee_on(u128 *fee, u128 in, const Fees *fees) {
    if (UNLIKELY(hi64(in) != 0)) return scale(fee, in, fees->fee_pips, &fees->rest, true);
    u64 rest = PIPS - fees->fee_pips, q = hi64((u128)lo64(in) * fees->share);
    u64 left = lo64(in) * fees->fee_pips - q * rest;
    *fee = (u128)q + (left > rest) + (left != 0);
    return true;
}

static inline void shift_left_96(u64 *r6, const u64 *a4) {
    r6[0] = 0;
    r6[1] = a4[0] << 32;
    r6[2] = a4[0] >> 32 | a4[1] << 32;
    r6[3] = a4[1] >> 32 | a4[2] << 32;
    r6[4] = a4[2] >> 32 | a4[3] << 32;
    r6[5] = a4[3] >> 32;
}

/* a (4 limbs) / 2**96; false if it needs more than 127 bits. */
static inline bool shift_right_96(u128 *r, const u64 *a, bool round_up) {
    if (a[3] >> 31 != 0) return false;
    *r = make128(a[2] >> 32 | a[3] << 32, a[1] >> 32 | a[2] << 32);
    *r += round_up && (a[0] != 0 || (a[1] & 0xFFFFFFFFu) != 0);
    return *r >> 127 == 0;
}

/* token0 between two prices: liquidity * distance * 2**96 / (a * b); `product` is liquidity * distance. */
static inline bool token0_between(u128 *amount, const u64 *product, u128 a, u128 b, bool round_up) {
    u64 n[6], d[4];
    u256 rest;
    int shift;
    shift_left_96(n, product);
    mul_2x2(d, a, b);
    if (!div_6by4(amount, &rest, &shift, n, d)) return false;
    *amount += round_up && !u256_is_zero(&rest);
    return *amount >> 127 == 0;
}

/* The amounts of a step that reaches its target. */
static inline bool whole_step(FastStep *s, u128 current, u128 target, u128 liquidity, const Fees *fees) {
    bool falls = target < current;
    u128 amount0, amount1, in;
    u64 product[4];
    mul_2x2(product, liquidity, falls ? current - target : target - current);
    if (!shift_right_96(&amount1, product, !falls)) return false;
    if (!token0_between(&amount0, product, current, target, falls)) return false;
    in = falls ? amount0 : amount1;
    s->out = falls ? amount1 : amount0;
    if (!fee_on(&s->fee, in, fees)) return false;
    s->paid = in + s->fee;
    s->next = target;
    s->is_whole = true;
    return true;
}

/* Whether amount * x >= liquidity * y (x, y: the prices' part), exactly; doubles decide unless they are too close. */
bool reaches_exactly(u128 amount, u128 liquidity, u128 current, u128 target, bool is_token0);

static inline bool reaches(u128 amount, const Reciprocal *liquidity, u128 current, u128 target, bool is_token0) {
    static const double Q96 = 79228162514264337593543950336.0;
    u128 distance = current > target ? current - target : target - current;
    double has = double128(amount), needs = liquidity->about * double128(distance);
    if (is_token0) {
        has *= double128(current) * double128(target);
        needs *= Q96;
    } else {
        has *= Q96;
    }
    if (has < needs * (1 - 1e-12)) return false;
    if (has > needs * (1 + 1e-12)) return true;
    return reaches_exactly(amount, liquidity->value, current, target, is_token0);
}

/* token0 paid in; `amount` already without the fee. in = amount - floor(rest / (current * next)). */
static inline bool partial_in_falling(FastStep *s, u128 current, u128 liquidity, u128 remaining, u128 amount) {
    u64 n[6], d[4], m[4], product[4];
    u128 distance, surplus;
    u256 rest, step;
    int shift;
    mul_2x2(m, amount, current);
    mul_4x2(n, m, current);
    u128 middle = make128(m[2], m[1]) + (liquidity << 32);
    d[0] = m[0];
    d[1] = lo64(middle);
    d[2] = hi64(middle);
    d[3] = m[3] + (u64)(liquidity >> 96) + (middle < liquidity << 32);
    if (!div_6by4(&distance, &rest, &shift, n, d)) return false;
    s->next = current - distance;
    s->fee = remaining - amount;
    /* Mostly the product of the prices is above the divisor, and so above what is left. */
    if (UNLIKELY(make128(d[3], d[2]) >= (u128)hi64(current) * hi64(s->next))) {
        shift_right(rest.w, shift);
        mul_2x2(step.w, current, s->next);
        memcpy(n, rest.w, sizeof rest.w);
        n[4] = n[5] = 0;
        if (!div_6by4(&surplus, &rest, &shift, n, step.w)) return false;
        s->fee += surplus;
    }
    s->paid = remaining;
    mul_2x2(product, liquidity, distance);
    return shift_right_96(&s->out, product, false);
}

/* amount * 2**96 = liquidity * distance + rest, so liquidity * distance needs no multiplication. */
static inline void product_of(u64 *product, u128 amount, u128 rest) {
    u64 x[6];
    shift_2to6(x, amount, 96);
    u64 b = sub_to(&product[0], x[0], lo64(rest), 0);
    b = sub_to(&product[1], x[1], hi64(rest), b);
    b = sub_to(&product[2], x[2], 0, b);
    sub_to(&product[3], x[3], 0, b);
}

/* token1 paid in; `amount` already without the fee. in = amount - floor(rest / 2**96). */
static inline bool partial_in_rising(FastStep *s, u128 current, const Reciprocal *liquidity, u128 remaining, u128 amount) {
    u64 product[4];
    u128 rest;
    s->next = current + div_x96(&rest, amount, liquidity);
    s->fee = remaining - amount + (rest >> 96);
    s->paid = remaining;
    product_of(product, amount, rest);
    return token0_between(&s->out, product, current, s->next, false);
}

/* token1 asked for: the price falls by ceil(amount * 2**96 / liquidity), which pays out the amount or more: capped. */
static inline bool partial_out_falling(FastStep *s, u128 current, u128 l, const Reciprocal *liquidity, u128 amount,
                                       const Fees *fees) {
    u64 product[4];
    u128 in, rest, distance = div_x96(&rest, amount, liquidity);
    distance += rest != 0;
    s->next = current - distance;
    s->out = amount;
    mul_2x2(product, l, distance);
    if (!token0_between(&in, product, current, s->next, true)) return false;
    if (!fee_on(&s->fee, in, fees)) return false;
    s->paid = in + s->fee;
    return true;
}

/* token0 asked for: the price rises by ceil(amount * P * P / (L * 2**96 - amount * P)); capped as above. */
static inline bool partial_out_rising(FastStep *s, u128 current, u128 l, u128 amount, const Fees *fees) {
    u64 n[6], d[4], m[4], product[4];
    u256 rest;
    u128 in, distance;
    int shift;
    mul_2x2(m, amount, current);
    mul_4x2(n, m, current);
    u64 b = sub_to(&d[0], 0, m[0], 0);
    b = sub_to(&d[1], lo64(l) << 32, m[1], b);
    b = sub_to(&d[2], lo64(l) >> 32 | hi64(l) << 32, m[2], b);
    sub_to(&d[3], hi64(l) >> 32, m[3], b);
    if (!div_6by4(&distance, &rest, &shift, n, d)) return false;
    distance += !u256_is_zero(&rest);
    s->next = current + distance;
    s->out = amount;
    mul_2x2(product, l, distance);
    if (!shift_right_96(&in, product, true)) return false;
    if (!fee_on(&s->fee, in, fees)) return false;
    s->paid = in + s->fee;
    return true;
}

/* A step that stops short of its target: it spends or pays out all that remains. `amount`: without the fee. */
static inline bool partial_step(FastStep *s, u128 current, u128 liquidity, const Reciprocal *reciprocal, u128 remaining,
                                u128 amount, bool exact_in, bool zero_for_one, const Fees *fees) {
    s->is_whole = false;
    if (exact_in)
        return zero_for_one ? partial_in_falling(s, current, liquidity, remaining, amount)
                            : partial_in_rising(s, current, reciprocal, remaining, amount);
    return zero_for_one ? partial_out_falling(s, current, liquidity, reciprocal, amount, fees)
                        : partial_out_rising(s, current, liquidity, amount, fees);
}

/* remaining < 2**127, liquidity > 0, fee <= PIPS - 2**19. Returns false where a number does not fit: then
 * step_general serves. `reciprocal` is made of `liquidity`; `is_reaching`: the target is known to be reached. */
static inline bool step_fast(FastStep *s, u128 current, u128 target, u128 liquidity, const Reciprocal *reciprocal,
                             u128 remaining, bool exact_in, bool zero_for_one, const Fees *fees, bool is_reaching) {
    u128 amount = remaining;
    if (is_reaching && exact_in) return whole_step(s, current, target, liquidity, fees);
    if (exact_in && !without_fee(&amount, remaining, fees)) return false;
    /* What a whole step pays out is rounded down: amount >= floor(x) when amount + 1 > x. */
    if (reaches(exact_in ? amount : amount + 1, reciprocal, current, target, zero_for_one == exact_in)) {
        if (!whole_step(s, current, target, liquidity, fees)) return false;
        /* amount + 1 = x exactly: `reaches` is >= and the contract's condition >. */
        if (exact_in || LIKELY(s->out <= remaining)) return true;
    }
    return partial_step(s, current, liquidity, reciprocal, remaining, amount, exact_in, zero_for_one, fees);
}
#endif
