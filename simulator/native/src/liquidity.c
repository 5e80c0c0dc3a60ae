/* Changes of liquidity (v3-core UniswapV3Pool._modifyPosition): everything is computed first, then committed. */
#include "state.h"

typedef struct {
    int32_t number;
    int32_t index; /* in the table, -1 if it is not there yet */
    Tick after;    /* without ratio and segments where it is new */
    bool is_flipped;
} TickChange;

/* v3-core Tick.update */
static Status update_tick(const Pool *p, TickChange *change, i128 delta, bool is_upper, const Observation *now) {
    Tick *after = &change->after;
    int32_t index = table_floor(&p->table, change->number);
    change->index = index >= 0 && p->table.order->ticks[index] == change->number ? index : -1;
    if (change->index >= 0)
        *after = *table_at(&p->table, change->index);
    else
        memset(after, 0, sizeof *after);
    u128 before = after->liquidity_gross;
    Status status = add_delta(&after->liquidity_gross, before, magnitude_of(delta), delta < 0);
    if (status != OK) return status;
    if (after->liquidity_gross > p->max_liquidity_per_tick) return REVERT_LO;
    if (is_upper ? __builtin_sub_overflow(after->liquidity_net, delta, &after->liquidity_net)
                 : __builtin_add_overflow(after->liquidity_net, delta, &after->liquidity_net))
        return REVERT_EMPTY;
    change->is_flipped = (after->liquidity_gross == 0) != (before == 0);
    if (before == 0 && change->number <= p->tick) {
        after->fee_growth_outside[0] = p->growth[0];
        after->fee_growth_outside[1] = p->growth[1];
        after->tick_cumulative_outside = now->tick_cumulative;
        after->seconds_per_liquidity_outside = now->seconds_per_liquidity_cumulative;
        after->seconds_outside = (uint32_t)p->timestamp;
    }
    return OK;
}

/* v3-core Tick.getFeeGrowthInside; a tick that is not there counts as empty. */
static void growth_between(const Pool *p, int32_t lower, int32_t upper, const Tick *at_lower, const Tick *at_upper,
                           u256 *inside) {
    for (int i = 0; i < 2; i++) {
        u256 below = {{0, 0, 0, 0}}, above = below;
        if (at_lower != NULL) below = at_lower->fee_growth_outside[i];
        if (at_upper != NULL) above = at_upper->fee_growth_outside[i];
        if (p->tick < lower) u256_sub(&below, &p->growth[i], &below);
        if (p->tick >= upper) u256_sub(&above, &p->growth[i], &above);
        u256_sub(&inside[i], &p->growth[i], &below);
        u256_sub(&inside[i], &inside[i], &above);
    }
}

static const Tick *find(const Pool *p, int32_t tick) {
    int32_t index = table_floor(&p->table, tick);
    return index >= 0 && p->table.order->ticks[index] == tick ? table_at(&p->table, index) : NULL;
}

void pool_growth_inside(const Pool *p, int32_t lower, int32_t upper, u256 *inside) {
    growth_between(p, lower, upper, find(p, lower), find(p, upper), inside);
}

/* v3-core Position.update */
static Status update_position(Position *position, i128 delta, const u256 *inside) {
    u128 liquidity;
    if (delta == 0 && position->liquidity == 0) return REVERT_NP;
    Status status = add_delta(&liquidity, position->liquidity, magnitude_of(delta), delta < 0);
    if (status != OK) return status;
    for (int i = 0; i < 2; i++) {
        position->tokens_owed[i] += fees_since(&inside[i], &position->growth_inside_last[i], position->liquidity);
        position->growth_inside_last[i] = inside[i];
    }
    position->liquidity = liquidity;
    return OK;
}

static u256 signed_amount(bool token0, const Price *a, const Price *b, i128 delta) {
    u128 magnitude = magnitude_of(delta);
    bool is_payment = delta >= 0;
    u256 amount = token0 ? amount0_delta(a, b, magnitude, is_payment) : amount1_delta(a, b, magnitude, is_payment);
    return is_payment ? amount : u256_neg(&amount);
}

/* Below the range everything is token0, above it token1; the price divides it in between. */
static void amounts_of(const Pool *p, int32_t lower, int32_t upper, i128 delta, u256 *amounts) {
    Price low = sqrt_ratio_at_tick(lower), high = sqrt_ratio_at_tick(upper);
    amounts[0] = amounts[1] = (u256){{0, 0, 0, 0}};
    if (p->tick < upper) amounts[0] = signed_amount(true, p->tick < lower ? &low : &p->price, &high, delta);
    if (p->tick >= lower) amounts[1] = signed_amount(false, &low, p->tick >= upper ? &high : &p->price, delta);
}

static Status check_ticks(int32_t lower, int32_t upper) {
    if (lower >= upper) return REVERT_TLU;
    if (lower < MIN_TICK) return REVERT_TLM;
    return upper > MAX_TICK ? REVERT_TUM : OK;
}

static Status tick_changes(const Pool *p, TickChange *changes, i128 delta, const Observation *now) {
    for (int i = 0; i < 2; i++) {
        Status status = update_tick(p, &changes[i], delta, i == 1, now);
        if (status != OK) return status;
    }
    for (int i = 0; i < 2; i++) {
        if (changes[i].is_flipped && changes[i].number % p->tick_spacing != 0) return REVERT_SPACING;
    }
    return OK;
}

/* All that committing needs, so that it cannot fail half-way. */
static bool reserve(Pool *p, const TickChange *changes, bool writes_observation) {
    static const Observation unused = {0};
    uint32_t fresh = 0;
    bool flips = false;
    for (int i = 0; i < 2; i++) {
        fresh += changes[i].index < 0;
        flips |= changes[i].is_flipped;
        if (changes[i].index >= 0 && !table_own(&p->table, changes[i].index)) return false;
    }
    if (flips && !table_reserve(&p->table, fresh)) return false;
    return !writes_observation || ring_own(&p->ring, 0, &unused);
}

static void write_tick(Pool *p, const TickChange *change) {
    if (change->index < 0) {
        Tick *record = table_insert(&p->table, change->number);
        Price ratio = record->ratio;
        *record = change->after;
        record->ratio = ratio;
        record->tick = change->number;
        return;
    }
    /* An earlier change of the same call may have moved it. */
    int32_t index = table_floor(&p->table, change->number);
    if (change->after.liquidity_gross == 0)
        table_remove(&p->table, index);
    else
        *table_at(&p->table, index) = change->after;
}

Status pool_change_liquidity(Pool *p, int32_t lower, int32_t upper, i128 delta, Position *position, bool settles,
                             u256 *amounts) {
    TickChange changes[2] = {{.number = lower}, {.number = upper}};
    Position updated = {0};
    u256 inside[2], balance[2] = {p->balance[0], p->balance[1]};
    u128 liquidity = p->liquidity;
    bool is_new = false, in_range = delta != 0 && lower <= p->tick && p->tick < upper;
    if (!is_initialized(p)) return REVERT_LOK;
    Status status = check_ticks(lower, upper);
    if (status != OK) return status;
    Observation now = observation_now(p, &is_new);
    if (delta != 0 && (status = tick_changes(p, changes, delta, &now)) != OK) return status;
    if (position != NULL) {
        updated = *position;
        if (delta != 0)
            growth_between(p, lower, upper, &changes[0].after, &changes[1].after, inside);
        else
            pool_growth_inside(p, lower, upper, inside);
        if ((status = update_position(&updated, delta, inside)) != OK) return status;
    }
    amounts_of(p, lower, upper, delta, amounts);
    if (in_range && (status = add_delta(&liquidity, p->liquidity, magnitude_of(delta), delta < 0)) != OK) return status;
    if (settles && (status = balances_after(p, amounts, balance)) != OK) return status;
    if (delta != 0 && !reserve(p, changes, in_range && is_new)) return NO_MEMORY;
    if (in_range && is_new) write_observation(p, &now);
    p->liquidity = liquidity;
    p->balance[0] = balance[0];
    p->balance[1] = balance[1];
    if (position != NULL) *position = updated;
    if (delta == 0) return OK;
    write_tick(p, &changes[0]);
    write_tick(p, &changes[1]);
    pool_refresh(p);
    return OK;
}
