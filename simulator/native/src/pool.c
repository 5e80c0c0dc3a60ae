#include "state.h"

#include <stdlib.h>

static const Observation GROWN = {.timestamp = 1};

bool pool_init(Pool *p, uint32_t fee_pips, int32_t tick_spacing) {
    int32_t most = MAX_TICK / tick_spacing;
    memset(p, 0, sizeof *p);
    p->fee_pips = fee_pips;
    p->tick_spacing = tick_spacing;
    p->max_liquidity_per_tick = ~(u128)0 / (u128)(2 * most + 1);
    p->floor = -1;
    p->knows_balances = true;
    p->ring = ring_new(0);
    if (p->ring == NULL) return false;
    if (table_init(&p->table)) return true;
    ring_release(p->ring);
    return false;
}

bool pool_copy(Pool *p, const Pool *from) {
    *p = *from;
    if (!table_copy(&p->table, &from->table)) return false;
    p->ring = ring_share(from->ring);
    return true;
}

void pool_free(Pool *p) {
    table_free(&p->table);
    ring_release(p->ring);
    p->ring = NULL;
}

void pool_refresh(Pool *p) {
    p->floor = table_floor(&p->table, p->tick);
    p->cell.from = p->cell.to = 0;
}

size_t pool_own_bytes(const Pool *p) {
    size_t bytes = sizeof *p + table_own_bytes(&p->table);
    if (atomic_load(&p->ring->users) == 1) bytes += ring_bytes(p->ring);
    return bytes;
}

bool pool_set_ticks(Pool *p, const Tick *ticks, uint32_t count) {
    if (!table_reserve(&p->table, count)) return false;
    for (uint32_t i = 0; i < count; i++) {
        Tick *record = table_insert(&p->table, ticks[i].tick);
        Price ratio = record->ratio;
        *record = ticks[i];
        record->ratio = ratio;
        memset(record->segment, 0, sizeof record->segment);
    }
    pool_refresh(p);
    return true;
}

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

/* --- Initialisation and the ring --------------------------------------------------------------------------------------- */

Status pool_initialize(Pool *p, const Price *price) {
    if (is_initialized(p)) return REVERT_AI;
    if (price_lt(price, &MIN_SQRT_RATIO) || !price_lt(price, &MAX_SQRT_RATIO)) return REVERT_R;
    if (!ring_own(&p->ring, 1, &GROWN)) return NO_MEMORY;
    p->ring->slots[0] = (Observation){.timestamp = (uint32_t)p->timestamp, .initialized = true};
    p->cardinality = p->cardinality_next = 1;
    p->observation_index = 0;
    p->price = *price;
    p->tick = tick_at_sqrt_ratio(price);
    pool_refresh(p);
    return OK;
}

Status pool_grow(Pool *p, uint32_t cardinality_next) {
    if (p->cardinality_next >= cardinality_next) return OK;
    if (!ring_own(&p->ring, cardinality_next, &GROWN)) return NO_MEMORY;
    p->cardinality_next = cardinality_next;
    return OK;
}

/* --- Swaps ----------------------------------------------------------------------------------------------------------- */

typedef struct {
    int32_t tick;
    bool is_initialized;
    bool is_segment; /* from the present price, an initialised tick, to this tick: no edge lies between */
    int32_t record;  /* index of the segment's record */
    Price ratio;
} Boundary;

static int32_t floor_div(int32_t a, int32_t b) { return a / b - (a % b != 0 && (a < 0)); }

static inline void use_edge(Pool *p, Boundary *b, int32_t edge, int which) {
    Edge *known = &p->edges[which];
    if (edge < MIN_TICK) edge = MIN_TICK;
    if (edge > MAX_TICK) edge = MAX_TICK;
    if (!known->is_known || known->tick != edge) *known = (Edge){edge, true, sqrt_ratio_at_tick(edge)};
    b->tick = edge;
    b->ratio = known->ratio;
    b->is_initialized = b->is_segment = false;
}

/* The next stop of the price: an initialised tick or the edge of a bitmap word of 256 usable ticks. */
static inline void next_boundary(Pool *p, Boundary *b, int32_t tick, int32_t floor, const Price *price, bool falls) {
    const Order *order = p->table.order;
    int32_t word = 256 * p->tick_spacing;
    if (falls) {
        int32_t edge = floor_div(tick, word) * word;
        if (floor < 0 || order->ticks[floor] < edge) {
            use_edge(p, b, edge, 0);
            return;
        }
        const Tick *stop = table_at(&p->table, floor);
        b->tick = stop->tick;
        b->ratio = stop->ratio;
        b->is_segment = floor + 1 < order->count && price_eq(price, &table_at(&p->table, floor + 1)->ratio);
    } else {
        int32_t edge = floor_div(tick + p->tick_spacing, word) * word + 255 * p->tick_spacing;
        if (floor + 1 >= order->count || order->ticks[floor + 1] > edge) {
            use_edge(p, b, edge, 1);
            return;
        }
        const Tick *stop = table_at(&p->table, floor + 1);
        b->tick = stop->tick;
        b->ratio = stop->ratio;
        b->is_segment = floor >= 0 && price_eq(price, &table_at(&p->table, floor)->ratio);
    }
    b->is_initialized = true;
    b->record = floor;
}

typedef struct {
    bool zero_for_one, exact_in, fast_fee;
    uint32_t fee_protocol, key;
    Price limit;
    u256 remaining, calculated; /* magnitudes */
    u256 growth;
    u128 protocol_fee;
    Price price;
    int32_t tick, floor;
    u128 liquidity;
    int32_t crossed;
} Run;

static inline void spend(Run *r, const u256 *paid, const u256 *out) {
    u256_sub(&r->remaining, &r->remaining, r->exact_in ? paid : out);
    u256_add(&r->calculated, &r->calculated, r->exact_in ? out : paid);
}

static Status slow_step(Run *r, const Pool *p, const Price *target) {
    Step s;
    u256 paid, growth, divisor = u256_of(r->fee_protocol);
    Status status = step_general(&s, &r->price, target, r->liquidity, &r->remaining, r->exact_in, p->fee_pips);
    if (status != OK) return status;
    u256_add(&paid, &s.in, &s.fee);
    spend(r, &paid, &s.out);
    if (r->fee_protocol != 0) {
        u256 share;
        wide_divrem(share.w, NULL, s.fee.w, 4, divisor.w, 4);
        u256_sub(&s.fee, &s.fee, &share);
        r->protocol_fee += u256_low(&share);
    }
    if (r->liquidity != 0) {
        if (!growth_of(&growth, &s.fee, r->liquidity)) return REVERT_EMPTY;
        u256_add(&r->growth, &r->growth, &growth);
    }
    r->price = s.next;
    return OK;
}

static inline u128 divide_small(u128 a, uint32_t n) { return hi64(a) ? a / n : lo64(a) / n; }

/* Returns false, with nothing done, where a number does not fit. */
static inline bool quick_step(Run *r, Pool *p, const Price *target, const Boundary *b) {
    FastStep s;
    u64 q[4];
    if ((r->price.w[2] | target->w[2]) != 0 || !r->fast_fee || !u256_fits127(&r->remaining)) return false;
    const Divisor *divisor = divisor_for(p, r->liquidity);
    if (!step_fast(&s, price_low(&r->price), price_low(target), r->liquidity, divisor, u256_low(&r->remaining),
                   r->exact_in, r->zero_for_one, &p->fees))
        return false;
    u128 share = r->fee_protocol ? divide_small(s.fee, r->fee_protocol) : 0;
    div_shifted(q, s.fee - share, 128, divisor);
    u256 growth = {{q[0], q[1], q[2], q[3]}}, paid = u256_of(s.paid), out = u256_of(s.out);
    spend(r, &paid, &out);
    r->protocol_fee += share;
    u256_add(&r->growth, &r->growth, &growth);
    r->price = price_of(s.next);
    if (s.is_whole && b->is_segment && price_eq(target, &b->ratio) && table_is_own(&p->table, b->record)) {
        int32_t upper = p->table.order->ticks[b->record + 1];
        table_at(&p->table, b->record)->segment[!r->zero_for_one] =
            (Segment){r->liquidity, s.paid, s.out, share, growth, upper, r->key};
    }
    return true;
}

/* A whole segment that was crossed before at this liquidity and fee. */
static inline bool remembered_step(Run *r, const Pool *p, const Boundary *b) {
    const Segment *s = &table_at(&p->table, b->record)->segment[!r->zero_for_one];
    if (s->key != r->key || s->liquidity != r->liquidity || s->upper != p->table.order->ticks[b->record + 1]) return false;
    u256 paid = u256_of(s->paid), out = u256_of(s->out);
    if (u256_lt(&r->remaining, r->exact_in ? &paid : &out)) return false;
    spend(r, &paid, &out);
    r->protocol_fee += s->share;
    u256_add(&r->growth, &r->growth, &s->growth);
    r->price = b->ratio;
    return true;
}

static inline Status step(Run *r, Pool *p, const Boundary *b) {
    bool is_limited = r->zero_for_one ? price_lt(&b->ratio, &r->limit) : price_lt(&r->limit, &b->ratio);
    const Price *target = is_limited ? &r->limit : &b->ratio;
    if (r->liquidity == 0) {
        r->price = *target;
        return OK;
    }
    if (b->is_segment && !is_limited && remembered_step(r, p, b)) return OK;
    if (LIKELY(quick_step(r, p, target, b))) return OK;
    return slow_step(r, p, target);
}

static inline Status cross(Run *r, const Pool *p, Scratch *scratch) {
    int32_t index = r->zero_for_one ? r->floor : r->floor + 1;
    i128 net = table_at(&p->table, index)->liquidity_net;
    if (r->crossed == scratch->room && !scratch_grow(scratch)) return NO_MEMORY;
    scratch->growths[r->crossed++] = r->growth;
    r->floor += r->zero_for_one ? -1 : 1;
    return add_delta(&r->liquidity, r->liquidity, magnitude_of(net), (net < 0) != r->zero_for_one);
}

static Status run(Run *r, Pool *p, Scratch *scratch) {
    while (!u256_is_zero(&r->remaining) && !price_eq(&r->price, &r->limit)) {
        Boundary b;
        Price start = r->price;
        next_boundary(p, &b, r->tick, r->floor, &start, r->zero_for_one);
        Status status = step(r, p, &b);
        if (UNLIKELY(status != OK)) return status;
        if (price_eq(&r->price, &b.ratio)) {
            if (b.is_initialized) {
                status = cross(r, p, scratch);
                if (UNLIKELY(status != OK)) return status;
            }
            r->tick = r->zero_for_one ? b.tick - 1 : b.tick;
        } else if (!price_eq(&r->price, &start)) {
            r->tick = tick_at_sqrt_ratio(&r->price);
        }
    }
    return OK;
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

static inline int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

static const Cell *cell_of(Pool *p) {
    if (p->tick < p->cell.from || p->tick >= p->cell.to) {
        Boundary below, above;
        int32_t spacing = p->tick_spacing, word = 256 * spacing;
        next_boundary(p, &below, p->tick, p->floor, &p->price, true);
        next_boundary(p, &above, p->tick, p->floor, &p->price, false);
        /* Beyond the word of either search the word's edge is another. */
        int32_t first = floor_div(p->tick, word) * word, last = floor_div(p->tick + spacing, word) * word - spacing;
        p->cell = (Cell){larger(below.tick, last), smaller(above.tick, first + word), below.ratio, above.ratio};
    }
    return &p->cell;
}

/* A swap that stops before the next boundary and its limit: one step, no crossing. False, with nothing done, for any
 * other. */
static inline bool swap_inside(Pool *p, Outcome *o, bool zero_for_one, bool exact_in, const u256 *specified,
                               const Price *limit) {
    FastStep s;
    u64 q[4];
    if (p->price.w[2] != 0 || p->liquidity == 0 || p->fee_pips > MOST_FAST_FEE || !u256_fits127(specified)) return false;
    const Cell *cell = cell_of(p);
    const Price *boundary = zero_for_one ? &cell->below : &cell->above;
    const Price *target = (zero_for_one ? price_lt(boundary, limit) : price_lt(limit, boundary)) ? limit : boundary;
    if (target->w[2] != 0) return false;
    u128 remaining = u256_low(specified), amount = remaining, current = price_low(&p->price);
    if (exact_in && !scale(&amount, remaining, PIPS - p->fee_pips, &p->fees.pips, false)) return false;
    if (reaches(exact_in ? amount : amount + 1, p->liquidity, current, price_low(target), zero_for_one == exact_in))
        return false;
    const Divisor *divisor = divisor_for(p, p->liquidity);
    if (!partial_step(&s, current, p->liquidity, divisor, remaining, amount, exact_in, zero_for_one, &p->fees) ||
        UNLIKELY(s.next == price_low(target)))
        return false;
    uint32_t fee_protocol = zero_for_one ? p->fee_protocol & 15 : p->fee_protocol >> 4;
    o->protocol_fee = fee_protocol ? divide_small(s.fee, fee_protocol) : 0;
    div_shifted(q, s.fee - o->protocol_fee, 128, divisor);
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
    if (swap_inside(p, o, zero_for_one, exact_in, &specified, &r.limit)) return OK;
    r.zero_for_one = zero_for_one;
    r.exact_in = exact_in;
    r.fast_fee = p->fee_pips <= MOST_FAST_FEE;
    r.fee_protocol = zero_for_one ? p->fee_protocol & 15 : p->fee_protocol >> 4;
    r.key = (uint32_t)1 << 31 | r.fee_protocol << 20 | p->fee_pips;
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
        if (!ring_own(&p->ring, 0, &GROWN)) return NO_MEMORY;
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
