/* A swap (v3-core UniswapV3Pool.swap): everything is computed first, then committed. */
#include "boundary.h"

#include <stdlib.h>

void scratch_init(Scratch *s) {
    s->growths = s->first;
    s->room = SCRATCH;
}

void scratch_free(Scratch *s) {
    if (s->growths != s->first) free(s->growths);
}

static bool scratch_grow(Scratch *s) {
    size_t bytes = (size_t)s->room * sizeof *s->growths;
    u256 *more = malloc(2 * bytes);
    if (more == NULL) return false;
    memcpy(more, s->growths, bytes);
    scratch_free(s);
    s->growths = more;
    s->room *= 2;
    return true;
}

typedef struct {
    bool zero_for_one, exact_in, fast_fee;
    uint32_t setting; /* the protocol's, for the token paid in */
    u64 key;
    Price limit;
    u256 remaining, calculated; /* magnitudes */
    u256 growth;
    u128 protocol_fee;
    Price price;
    int32_t tick, floor;
    u128 liquidity;
    int32_t crossed;
    bool is_reaching; /* what is known of the first step */
} Run;

static inline void spend(Run *r, const u256 *paid, const u256 *out) {
    u256_sub(&r->remaining, &r->remaining, r->exact_in ? paid : out);
    u256_add(&r->calculated, &r->calculated, r->exact_in ? out : paid);
}

/* The protocol's share of a fee: 1 / setting of it, or setting / denominator. False where the contract reverts because
 * the product exceeds 256 bits. */
static bool share_of(u256 *share, const u256 *fee, u64 setting, u64 denominator) {
    u64 product[5] = {0}, quotient[5] = {0};
    memcpy(product, fee->w, sizeof fee->w);
    if (denominator != 0) wide_mul(product, fee->w, 4, &setting, 1);
    if (product[4] != 0) return false;
    if (setting != 0) wide_divrem(quotient, NULL, product, 5, denominator ? &denominator : &setting, 1);
    memcpy(share->w, quotient, sizeof share->w);
    return true;
}

static Status slow_step(Run *r, const Pool *p, const Price *target) {
    Step s;
    u256 paid, growth, share;
    if (r->liquidity == 0) {
        r->price = *target;
        return OK;
    }
    Status status = step_general(&s, &r->price, target, r->liquidity, &r->remaining, r->exact_in, p->fee_pips);
    if (status != OK) return status;
    u256_add(&paid, &s.in, &s.fee);
    spend(r, &paid, &s.out);
    if (!share_of(&share, &s.fee, r->setting, p->policy.denominator)) return REVERT_EMPTY;
    u256_sub(&s.fee, &s.fee, &share);
    r->protocol_fee += u256_low(&share);
    if (!growth_of(&growth, &s.fee, r->liquidity)) return REVERT_EMPTY;
    u256_add(&r->growth, &r->growth, &growth);
    r->price = s.next;
    return OK;
}

static inline uint32_t setting_for(const Pool *p, bool zero_for_one) {
    uint32_t half = p->policy.half_bits;
    return zero_for_one ? p->fee_protocol & (((uint32_t)1 << half) - 1) : p->fee_protocol >> half;
}

static inline u128 divide_small(u128 a, uint32_t n) { return hi64(a) ? a / n : lo64(a) / n; }

/* The same share; false where the product might not fit. */
static inline bool quick_share(u128 *share, u128 fee, uint32_t setting, uint32_t denominator) {
    *share = 0;
    if (setting == 0) return true;
    if (denominator != 0 && fee >> 96 != 0) return false;
    *share = denominator ? divide_small(fee * setting, denominator) : divide_small(fee, setting);
    return true;
}

/* A swap under way while its numbers have two limbs. It never leaves the function that makes it, so that it can stay in
 * registers: a price written as two halves and read as a whole would wait for both. */
typedef struct {
    u128 price, limit, remaining, calculated, liquidity, protocol_fee;
    u128 growth_low, growth_high;
    int32_t tick, floor, crossed;
    bool is_reaching; /* the first step reaches its target, as is known */
} Quick;

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE Quick quick_of(const Run *r) {
    return (Quick){.price = price_low(&r->price),
                   .limit = r->limit.w[2] ? ~(u128)0 : price_low(&r->limit),
                   .remaining = u256_low(&r->remaining),
                   .calculated = u256_low(&r->calculated),
                   .liquidity = r->liquidity,
                   .protocol_fee = r->protocol_fee,
                   .growth_low = u256_low(&r->growth),
                   .growth_high = u256_high(&r->growth),
                   .tick = r->tick,
                   .floor = r->floor,
                   .crossed = r->crossed,
                   .is_reaching = r->is_reaching};
}

static ALWAYS_INLINE void store_quick(Run *r, const Quick *k) {
    r->price = price_of(k->price);
    r->remaining = u256_of(k->remaining);
    r->calculated = u256_of(k->calculated);
    r->growth = u256_pair(k->growth_high, k->growth_low);
    r->liquidity = k->liquidity;
    r->protocol_fee = k->protocol_fee;
    r->tick = k->tick;
    r->floor = k->floor;
    r->crossed = k->crossed;
    r->is_reaching = false;
}

/* A step paid and gave this much. False, with nothing done, if the sum might not fit. */
static ALWAYS_INLINE bool quick_spend(Quick *k, bool exact_in, u128 paid, u128 out, u128 share, u128 growth_low,
                                      u128 growth_high) {
    u128 calculated = k->calculated + (exact_in ? out : paid);
    if (UNLIKELY(calculated >> 127 != 0)) return false;
    k->calculated = calculated;
    k->remaining -= exact_in ? paid : out;
    k->protocol_fee += share;
    k->growth_low += growth_low;
    k->growth_high += growth_high + (k->growth_low < growth_low);
    return true;
}

/* As far as the boundary, the limit or the amount. False, with nothing done, where a number does not fit. */
static ALWAYS_INLINE bool quick_step(Quick *k, const Run *r, Pool *p, const Boundary *b) {
    FastStep s;
    u64 q[4];
    u128 share, stop = price_low(&b->ratio);
    bool is_limited = r->zero_for_one ? stop < k->limit : k->limit < stop;
    u128 target = is_limited ? k->limit : stop;
    if (k->liquidity == 0) {
        k->price = target;
        return true;
    }
    const Reciprocal *reciprocal = reciprocal_for(p, k->liquidity);
    if (!step_fast(&s, k->price, target, k->liquidity, reciprocal, k->remaining, r->exact_in, r->zero_for_one, &p->fees,
                   k->is_reaching) ||
        !quick_share(&share, s.fee, r->setting, p->policy.denominator))
        return false;
    div_x128(q, s.fee - share, reciprocal);
    if (!quick_spend(k, r->exact_in, s.paid, s.out, share, make128(q[1], q[0]), make128(q[3], q[2]))) return false;
    k->price = s.next;
    k->is_reaching = false;
    if (s.is_whole && b->is_segment && !is_limited && table_is_own(&p->table, b->record)) {
        Segment *segment = &table_at(&p->table, b->record)->segment[!r->zero_for_one];
        u256 growth = {{q[0], q[1], q[2], q[3]}};
        *segment = (Segment){k->liquidity, s.paid, s.out, share, growth, p->table.order->ticks[b->record + 1], r->key};
    }
    return true;
}

static ALWAYS_INLINE Status quick_cross(Quick *k, bool falls, i128 net, Scratch *scratch) {
    if (k->crossed == scratch->room && !scratch_grow(scratch)) return NO_MEMORY;
    scratch->growths[k->crossed++] = u256_pair(k->growth_high, k->growth_low);
    k->floor += falls ? -1 : 1;
    return add_delta(&k->liquidity, k->liquidity, magnitude_of(net), (net < 0) != falls);
}

/* From an initialised tick on: cross every segment that was crossed before, at this liquidity, fee and share, and that
 * the amount and the limit let the price cross again. What is remembered holds no edge of a word. */
static ALWAYS_INLINE Status cross_remembered(Quick *k, const Run *r, const Pool *p, Scratch *scratch) {
    const Order *order = p->table.order;
    bool falls = r->zero_for_one;
    while (k->floor >= 0 && k->floor + 1 < order->count) {
        const Tick *lower = table_at(&p->table, k->floor), *stop = lower;
        const Segment *s = &lower->segment[!falls];
        if (s->key != r->key || s->liquidity != k->liquidity || s->upper != order->ticks[k->floor + 1]) return OK;
        if (!falls) stop = table_at(&p->table, k->floor + 1);
        u128 price = price_low(&stop->ratio), takes = r->exact_in ? s->paid : s->out;
        if (falls ? price < k->limit : k->limit < price) return OK;
        if (k->remaining < takes || k->remaining == 0) return OK;
        if (!quick_spend(k, r->exact_in, s->paid, s->out, s->share, u256_low(&s->growth), u256_high(&s->growth))) return OK;
        k->price = price;
        k->tick = falls ? stop->tick - 1 : stop->tick;
        Status status = quick_cross(k, falls, stop->liquidity_net, scratch);
        if (UNLIKELY(status != OK)) return status;
    }
    return OK;
}

/* As far as numbers have two limbs; the swap may not be done then. */
static Status run_quick(Run *r, Pool *p, Scratch *scratch) {
    Status status = OK;
    if (!r->fast_fee || r->price.w[2] != 0 || !u256_fits127(&r->remaining) || !u256_fits127(&r->calculated)) return OK;
    Quick k = quick_of(r);
    while (k.remaining != 0 && k.price != k.limit) {
        Boundary b;
        u128 start = k.price;
        next_boundary(p, &b, k.tick, k.floor, start, r->zero_for_one);
        if (b.ratio.w[2] != 0 || !quick_step(&k, r, p, &b)) break;
        if (k.price == price_low(&b.ratio)) {
            k.tick = r->zero_for_one ? b.tick - 1 : b.tick;
            if (!b.is_initialized) continue;
            status = quick_cross(&k, r->zero_for_one, b.liquidity_net, scratch);
            if (LIKELY(status == OK)) status = cross_remembered(&k, r, p, scratch);
            if (UNLIKELY(status != OK)) return status;
        } else if (k.price != start) {
            Price price = price_of(k.price);
            k.tick = tick_at_sqrt_ratio(&price);
        }
    }
    store_quick(r, &k);
    return OK;
}

/* One step of any width. */
static Status run_slow(Run *r, Pool *p, Scratch *scratch) {
    Boundary b;
    Price start = r->price;
    next_boundary(p, &b, r->tick, r->floor, price_low(&start), r->zero_for_one);
    bool is_limited = r->zero_for_one ? price_lt(&b.ratio, &r->limit) : price_lt(&r->limit, &b.ratio);
    Status status = slow_step(r, p, is_limited ? &r->limit : &b.ratio);
    if (status != OK) return status;
    if (price_eq(&r->price, &b.ratio)) {
        r->tick = r->zero_for_one ? b.tick - 1 : b.tick;
        if (!b.is_initialized) return OK;
        if (r->crossed == scratch->room && !scratch_grow(scratch)) return NO_MEMORY;
        scratch->growths[r->crossed++] = r->growth;
        r->floor += r->zero_for_one ? -1 : 1;
        return add_delta(&r->liquidity, r->liquidity, magnitude_of(b.liquidity_net), (b.liquidity_net < 0) != r->zero_for_one);
    }
    if (!price_eq(&r->price, &start)) r->tick = tick_at_sqrt_ratio(&r->price);
    return OK;
}

static bool is_done(const Run *r) { return u256_is_zero(&r->remaining) || price_eq(&r->price, &r->limit); }

static Status run(Run *r, Pool *p, Scratch *scratch) {
    Status status = run_quick(r, p, scratch);
    while (status == OK && !is_done(r)) {
        status = run_slow(r, p, scratch);
        if (status == OK) status = run_quick(r, p, scratch);
    }
    return status;
}

static Status check_limit(const Pool *p, bool zero_for_one, const u256 *amount, const Price *limit, Price *checked) {
    static const Price LOWEST = {{4295128740u, 0, 0}};
    static const Price HIGHEST = {{0x5D951D5263988D25u, 0xEFD1FC6A50648849u, 0xFFFD8963u}};
    if (u256_is_zero(amount)) return REVERT_AS;
    if (!is_initialized(p)) return REVERT_LOK;
    *checked = limit != NULL ? *limit : zero_for_one ? LOWEST : HIGHEST;
    bool allowed = zero_for_one ? price_lt(&MIN_SQRT_RATIO, checked) && price_lt(checked, &p->price)
                                : price_lt(&p->price, checked) && price_lt(checked, &MAX_SQRT_RATIO);
    return allowed ? OK : REVERT_SPL;
}

/* A swap that stops before the next boundary and its limit: one step, no crossing. False, with nothing done, for any
 * other; then is_reaching says whether its first step is known to reach its target. */
static inline bool swap_inside(Pool *p, Outcome *o, bool zero_for_one, bool exact_in, const u256 *specified,
                               const Price *limit, bool *is_reaching) {
    FastStep s;
    u64 q[4];
    if (p->price.w[2] != 0 || p->liquidity == 0 || p->fee_pips > MOST_FAST_FEE || !u256_fits127(specified)) return false;
    const Cell *cell = cell_of(p);
    const Price *boundary = zero_for_one ? &cell->below : &cell->above;
    const Price *target = (zero_for_one ? price_lt(boundary, limit) : price_lt(limit, boundary)) ? limit : boundary;
    if (target->w[2] != 0) return false;
    u128 remaining = u256_low(specified), amount = remaining, current = price_low(&p->price);
    if (exact_in && !without_fee(&amount, remaining, &p->fees)) return false;
    const Reciprocal *reciprocal = reciprocal_for(p, p->liquidity);
    if (reaches(exact_in ? amount : amount + 1, reciprocal, current, price_low(target), zero_for_one == exact_in)) {
        *is_reaching = true;
        return false;
    }
    if (!partial_step(&s, current, p->liquidity, reciprocal, remaining, amount, exact_in, zero_for_one, &p->fees) ||
        UNLIKELY(s.next == price_low(target)))
        return false;
    if (!quick_share(&o->protocol_fee, s.fee, setting_for(p, zero_for_one), p->policy.denominator)) return false;
    div_x128(q, s.fee - o->protocol_fee, reciprocal);
    u256 growth = {{q[0], q[1], q[2], q[3]}}, paid = u256_of(s.paid), out = u256_of(s.out);
    u256_add(&o->growth, &p->growth[!zero_for_one], &growth);
    o->amount[!zero_for_one] = paid;
    o->amount[zero_for_one] = u256_neg(&out);
    o->price = price_of(s.next);
    o->tick = s.next == current ? p->tick : tick_at_sqrt_ratio(&o->price);
    o->floor = p->floor;
    o->liquidity = p->liquidity;
    o->crossed = 0;
    return true;
}

/* Above the most that the fast step takes, these serve nobody. */
static void know_fees(Pool *p) {
    p->fees = fees_of(p->fee_pips <= MOST_FAST_FEE ? p->fee_pips : 0);
    p->fees.fee_pips = p->fee_pips;
}

static Status compute_swap(Pool *p, Outcome *o, Scratch *scratch, bool zero_for_one, const u256 *amount,
                           const Price *limit) {
    Run r;
    Status status = check_limit(p, zero_for_one, amount, limit, &r.limit);
    if (status != OK) return status;
    bool exact_in = !(amount->w[3] >> 63);
    if (p->fees.pips.d == 0 || p->fees.fee_pips != p->fee_pips) know_fees(p);
    u256 specified = exact_in ? *amount : u256_neg(amount), used;
    r.is_reaching = false;
    if (swap_inside(p, o, zero_for_one, exact_in, &specified, &r.limit, &r.is_reaching)) return OK;
    r.zero_for_one = zero_for_one;
    r.exact_in = exact_in;
    r.fast_fee = p->fee_pips <= MOST_FAST_FEE;
    r.setting = setting_for(p, zero_for_one);
    r.key = (u64)1 << 63 | (u64)r.setting << 20 | p->fee_pips;
    r.remaining = specified;
    r.calculated = (u256){{0, 0, 0, 0}};
    r.growth = p->growth[!zero_for_one];
    r.protocol_fee = 0;
    r.price = p->price;
    r.tick = p->tick;
    r.floor = p->floor;
    r.liquidity = p->liquidity;
    r.crossed = 0;
    status = run(&r, p, scratch);
    if (status != OK) return status;
    u256_sub(&used, &specified, &r.remaining);
    int specified_token = zero_for_one != exact_in;
    o->amount[specified_token] = exact_in ? used : u256_neg(&used);
    o->amount[!specified_token] = exact_in ? u256_neg(&r.calculated) : r.calculated;
    o->price = r.price;
    o->tick = r.tick;
    o->floor = r.floor;
    o->liquidity = r.liquidity;
    o->growth = r.growth;
    o->protocol_fee = r.protocol_fee;
    o->crossed = r.crossed;
    return OK;
}

Status pool_quote(Pool *p, Outcome *o, Scratch *s, bool zero_for_one, const u256 *amount, const Price *limit) {
    u256 balance[2];
    Status status = compute_swap(p, o, s, zero_for_one, amount, limit);
    return status != OK ? status : balances_after(p, o->amount, balance);
}

/* Every outside value of a crossed tick changes sides. The oracle's values are those of the swap's start. */
static void turn(Tick *tick, const Pool *p, const u256 *growth, const Observation *now, bool zero_for_one) {
    const u256 *growth0 = zero_for_one ? growth : &p->growth[0], *growth1 = zero_for_one ? &p->growth[1] : growth;
    u256_sub(&tick->fee_growth_outside[0], growth0, &tick->fee_growth_outside[0]);
    u256_sub(&tick->fee_growth_outside[1], growth1, &tick->fee_growth_outside[1]);
    tick->tick_cumulative_outside = wrap_int56(now->tick_cumulative - tick->tick_cumulative_outside);
    sub_uint160(&tick->seconds_per_liquidity_outside, &now->seconds_per_liquidity_cumulative,
                &tick->seconds_per_liquidity_outside);
    tick->seconds_outside = (uint32_t)p->timestamp - tick->seconds_outside;
}

Status pool_swap(Pool *p, Outcome *o, Scratch *scratch, bool zero_for_one, const u256 *amount, const Price *limit) {
    u256 balance[2];
    Status status = compute_swap(p, o, scratch, zero_for_one, amount, limit);
    if (status != OK) return status;
    status = balances_after(p, o->amount, balance);
    if (status != OK) return status;
    int32_t first = zero_for_one ? p->floor : p->floor + 1, way = zero_for_one ? -1 : 1;
    for (int32_t i = 0; i < o->crossed; i++) {
        if (!table_own(&p->table, first + way * i)) return NO_MEMORY;
    }
    if (o->tick != p->tick) {
        bool is_new;
        if (!ring_is_own(p->ring) && !ring_own(&p->ring, 0, NULL)) return NO_MEMORY; /* without new slots */
        Observation now = observation_now(p, &is_new);
        for (int32_t i = 0; i < o->crossed; i++)
            turn(table_at(&p->table, first + way * i), p, &scratch->growths[i], &now, zero_for_one);
        if (is_new) write_observation(p, &now);
    }
    p->balance[0] = balance[0];
    p->balance[1] = balance[1];
    p->price = o->price;
    p->tick = o->tick;
    p->floor = o->floor;
    p->liquidity = o->liquidity;
    p->growth[!zero_for_one] = o->growth;
    p->protocol_fees[!zero_for_one] += o->protocol_fee;
    return OK;
}
