#include "step.h"

/* a (n limbs) fits 256 bits */
static bool fits256(const u64 *a, int n) {
    for (int i = 4; i < n; i++) {
        if (a[i] != 0) return false;
    }
    return true;
}

static void load_liquidity_x96(u64 *r4, u128 liquidity) {
    r4[0] = 0;
    r4[1] = lo64(liquidity) << 32;
    r4[2] = lo64(liquidity) >> 32 | hi64(liquidity) << 32;
    r4[3] = hi64(liquidity) >> 32;
}

/* q (nn limbs) = num / den, rounded */
static void divide(u64 *q, const u64 *num, int nn, const u64 *den, int nd, bool round_up) {
    u64 rem[12], rest = 0;
    wide_divrem(q, rem, num, nn, den, nd);
    for (int i = 0; i < nd; i++) rest |= rem[i];
    if (round_up && rest != 0) wide_increment(q, nn);
}

/* v3-core FullMath.mulDiv and mulDivRoundingUp */
static Status mul_div(u256 *r, const u256 *a, const u256 *b, const u256 *denominator, bool round_up) {
    u64 product[9] = {0}, q[9];
    wide_mul(product, a->w, 4, b->w, 4);
    divide(q, product, 9, denominator->w, 4, round_up);
    if (!fits256(q, 9)) return REVERT_EMPTY;
    memcpy(r->w, q, sizeof r->w);
    return OK;
}

static Price distance_between(const Price *a, const Price *b) {
    Price d;
    const Price *low = price_lt(a, b) ? a : b, *high = low == a ? b : a;
    u64 c = sub_to(&d.w[0], high->w[0], low->w[0], 0);
    c = sub_to(&d.w[1], high->w[1], low->w[1], c);
    sub_to(&d.w[2], high->w[2], low->w[2], c);
    return d;
}

static u256 wide_amount0(const Price *low, const Price *high, u128 liquidity, bool round_up) {
    Price distance = distance_between(low, high);
    u64 numerator[4], product[7], once[7], twice[7];
    u256 r;
    load_liquidity_x96(numerator, liquidity);
    wide_mul(product, numerator, 4, distance.w, 3);
    divide(once, product, 7, high->w, 3, round_up);
    divide(twice, once, 7, low->w, 3, round_up);
    memcpy(r.w, twice, sizeof r.w);
    return r;
}

static u256 wide_amount1(const Price *low, const Price *high, u128 liquidity, bool round_up) {
    Price distance = distance_between(low, high);
    u64 l[2] = {lo64(liquidity), hi64(liquidity)}, product[6] = {0};
    u256 r;
    wide_mul(product, l, 2, distance.w, 3);
    for (int i = 0; i < 4; i++) r.w[i] = product[i + 1] >> 32 | product[i + 2] << 32;
    if (round_up && (product[0] != 0 || (product[1] & 0xFFFFFFFFu) != 0)) wide_increment(r.w, 4);
    return r;
}

/* The same by the fast step's arithmetic. Returns false where a number does not fit. */
static bool quick_delta(u128 *amount, bool token0, const Price *low, const Price *high, u128 liquidity, bool round_up) {
    u64 product[4];
    u128 a = price_low(low), b = price_low(high);
    *amount = 0;
    if (high->w[2] != 0 || a == 0) return false;
    if (a == b) return true;
    mul_2x2(product, liquidity, b - a);
    return token0 ? token0_between(amount, product, a, b, round_up) : shift_right_96(amount, product, round_up);
}

static u256 delta_of(bool token0, const Price *a, const Price *b, u128 liquidity, bool round_up) {
    const Price *low = price_lt(a, b) ? a : b, *high = low == a ? b : a;
    u128 amount;
    if (quick_delta(&amount, token0, low, high, liquidity, round_up)) return u256_of(amount);
    return token0 ? wide_amount0(low, high, liquidity, round_up) : wide_amount1(low, high, liquidity, round_up);
}

u256 amount0_delta(const Price *a, const Price *b, u128 liquidity, bool round_up) {
    return delta_of(true, a, b, liquidity, round_up);
}

u256 amount1_delta(const Price *a, const Price *b, u128 liquidity, bool round_up) {
    return delta_of(false, a, b, liquidity, round_up);
}

/* v3-core SqrtPriceMath.getNextSqrtPriceFromAmount0RoundingUp */
static Status next_from_amount0(Price *next, const Price *current, u128 liquidity, const u256 *amount, bool add) {
    u64 numerator[8] = {0}, product[8] = {0}, denominator[8], scaled[7], q[7], rest[4];
    u256 sum;
    *next = *current;
    if (u256_is_zero(amount)) return OK;
    load_liquidity_x96(numerator, liquidity);
    wide_mul(product, amount->w, 4, current->w, 3);
    wide_mul(scaled, numerator, 4, current->w, 3);
    u64 c = 0;
    if (!add) {
        if (!fits256(product, 8) || wide_cmp(numerator, product, 8) <= 0) return REVERT_EMPTY;
        for (int i = 0; i < 4; i++) c = sub_to(&denominator[i], numerator[i], product[i], c);
        divide(q, scaled, 7, denominator, 4, true);
        if (!fits256(q, 7) || q[3] != 0 || q[2] >> 32 != 0) return REVERT_EMPTY;
        memcpy(next->w, q, sizeof next->w);
        return OK;
    }
    for (int i = 0; i < 8; i++) c = add_to(&denominator[i], numerator[i], product[i], c);
    if (fits256(denominator, 8)) {
        divide(q, scaled, 7, denominator, 4, true);
    } else {
        /* The exact formula would overflow; the contract then uses this one, which rounds twice. */
        wide_divrem(rest, NULL, numerator, 4, current->w, 3);
        u256 reserve = {{rest[0], rest[1], rest[2], rest[3]}};
        if (u256_add(&sum, &reserve, amount) != 0) return REVERT_EMPTY;
        divide(q, numerator, 4, sum.w, 4, true);
    }
    memcpy(next->w, q, sizeof next->w);
    next->w[2] &= 0xFFFFFFFFu;
    return OK;
}

/* v3-core SqrtPriceMath.getNextSqrtPriceFromAmount1RoundingDown */
static Status next_from_amount1(Price *next, const Price *current, u128 liquidity, const u256 *amount, bool add) {
    static const u256 Q96 = {{0, (u64)1 << 32, 0, 0}};
    u256 l = u256_of(liquidity), quotient, price = {{current->w[0], current->w[1], current->w[2], 0}};
    Status status = mul_div(&quotient, amount, &Q96, &l, !add);
    if (status != OK) return status;
    if (add) {
        if (u256_add(&price, &price, &quotient) != 0 || price.w[3] != 0 || price.w[2] >> 32 != 0) return REVERT_EMPTY;
    } else {
        if (!u256_lt(&quotient, &price)) return REVERT_EMPTY;
        u256_sub(&price, &price, &quotient);
    }
    memcpy(next->w, price.w, sizeof next->w);
    return OK;
}

static Status exact_in_step(Step *s, const Price *current, const Price *target, u128 liquidity, const u256 *amount,
                            uint32_t fee_pips, bool falls) {
    u256 rest = u256_of(PIPS - fee_pips), pips = u256_of(PIPS), less_fee;
    Status status = mul_div(&less_fee, amount, &rest, &pips, false);
    if (status != OK) return status;
    s->in = delta_of(falls, current, target, liquidity, true);
    s->next = *target;
    if (u256_lt(&less_fee, &s->in)) {
        if (liquidity == 0) return REVERT_EMPTY;
        status = falls ? next_from_amount0(&s->next, current, liquidity, &less_fee, true)
                       : next_from_amount1(&s->next, current, liquidity, &less_fee, true);
        if (status != OK) return status;
        if (!price_eq(&s->next, target)) s->in = delta_of(falls, current, &s->next, liquidity, true);
    }
    return OK;
}

static Status exact_out_step(Step *s, const Price *current, const Price *target, u128 liquidity, const u256 *amount,
                             bool falls) {
    s->out = delta_of(!falls, current, target, liquidity, false);
    s->next = *target;
    if (u256_lt(amount, &s->out)) {
        Status status = falls ? next_from_amount1(&s->next, current, liquidity, amount, false)
                              : next_from_amount0(&s->next, current, liquidity, amount, false);
        if (status != OK) return status;
        if (!price_eq(&s->next, target)) s->out = delta_of(!falls, current, &s->next, liquidity, false);
    }
    s->in = delta_of(falls, current, &s->next, liquidity, true);
    if (u256_lt(amount, &s->out)) s->out = *amount;
    return OK;
}

Status step_general(Step *s, const Price *current, const Price *target, u128 liquidity, const u256 *amount, bool exact_in,
                    uint32_t fee_pips) {
    bool falls = !price_lt(current, target);
    Status status = exact_in ? exact_in_step(s, current, target, liquidity, amount, fee_pips, falls)
                             : exact_out_step(s, current, target, liquidity, amount, falls);
    if (status != OK) return status;
    if (exact_in) {
        s->out = delta_of(!falls, current, &s->next, liquidity, false);
        if (!price_eq(&s->next, target)) {
            u256_sub(&s->fee, amount, &s->in);
            return OK;
        }
    }
    u256 pips = u256_of(fee_pips), rest = u256_of(PIPS - fee_pips);
    return mul_div(&s->fee, &s->in, &pips, &rest, true);
}

bool reaches_exactly(u128 amount, u128 liquidity, u128 current, u128 target, bool is_token0) {
    u64 product[4], has[6] = {0}, needs[6] = {0};
    mul_2x2(product, liquidity, current > target ? current - target : target - current);
    if (is_token0) {
        u64 prices[4];
        mul_2x2(prices, current, target);
        mul_4x2(has, prices, amount);
        shift_left_96(needs, product);
    } else {
        shift_2to6(has, amount, 96);
        memcpy(needs, product, sizeof product);
    }
    return wide_cmp(has, needs, 6) >= 0;
}

bool growth_of(u256 *growth, const u256 *fee, u128 liquidity) {
    u64 numerator[6] = {0, 0, fee->w[0], fee->w[1], fee->w[2], fee->w[3]}, l[2] = {lo64(liquidity), hi64(liquidity)}, q[6];
    wide_divrem(q, NULL, numerator, 6, l, 2);
    memcpy(growth->w, q, sizeof growth->w);
    return fits256(q, 6);
}

u128 fees_since(const u256 *growth, const u256 *last, u128 liquidity) {
    u256 grown;
    u64 product[6];
    u256_sub(&grown, growth, last);
    mul_4x2(product, grown.w, liquidity);
    return make128(product[3], product[2]);
}
