#include "batch.h"

static bool holds(const Holding *h, int32_t tick) { return h->lower <= tick && tick < h->upper; }

static bool is_in_range(const Fork *fork) {
    for (size_t i = 0; i < fork->holding_count; i++) {
        if (holds(&fork->holdings[i], fork->pool->tick)) return true;
    }
    return false;
}

/* simulator.fork.amounts_for_liquidity: floored, at the price drawn into the range. */
static void add_principal(u256 *principal, const Holding *h, const Price *price) {
    if (price_lt(price, &h->ratio_lower)) price = &h->ratio_lower;
    if (price_lt(&h->ratio_upper, price)) price = &h->ratio_upper;
    u256 amount0 = amount0_delta(price, &h->ratio_upper, h->position.liquidity, false);
    u256 amount1 = amount1_delta(&h->ratio_lower, price, h->position.liquidity, false);
    u256_add(&principal[0], &principal[0], &amount0);
    u256_add(&principal[1], &principal[1], &amount1);
}

/* simulator.math.position.tokens_owed: each position's modulo 2**128. */
static void add_fees(u256 *fees, const Holding *h, const Pool *pool) {
    const Position *p = &h->position;
    u256 inside[2];
    pool_growth_inside(pool, h->lower, h->upper, inside);
    for (int i = 0; i < 2; i++) {
        u256 owed = u256_of(p->tokens_owed[i] + fees_since(&inside[i], &p->growth_inside_last[i], p->liquidity));
        u256_add(&fees[i], &fees[i], &owed);
    }
}

/* simulator.fork.Fork.read */
static void take_reading(Fork *fork) {
    Reading *reading = &fork->readings[fork->reading_count++];
    memset(reading, 0, sizeof *reading);
    for (size_t i = 0; i < fork->holding_count; i++) {
        const Holding *h = &fork->holdings[i];
        add_principal(reading->principal, h, &fork->pool->price);
        add_fees(reading->fees, h, fork->pool);
        if (holds(h, fork->pool->tick)) reading->own_liquidity += h->position.liquidity;
    }
    reading->pool_liquidity = fork->pool->liquidity;
}

static Status apply(Pool *pool, Scratch *scratch, const Event *event, u256 *amounts) {
    if (event->kind == SWAP) {
        Outcome outcome;
        Status status = pool_swap(pool, &outcome, scratch, event->zero_for_one != 0, &event->amount,
                                  event->has_limit ? &event->limit : NULL);
        if (status == OK) memcpy(amounts, outcome.amount, sizeof outcome.amount);
        return status;
    }
    if (event->kind == LIQUIDITY)
        return pool_change_liquidity(pool, event->lower, event->upper, (i128)u256_low(&event->amount), NULL, true,
                                     amounts);
    return OK;
}

void run_fork(Fork *fork, const Event *events, size_t count, uint8_t *fates, u256 *amounts) {
    static const u256 nothing[2] = {{{0, 0, 0, 0}}, {{0, 0, 0, 0}}};
    Pool *pool = fork->pool;
    Scratch scratch;
    scratch_init(&scratch);
    fork->stopped_at = count;
    fork->status = OK;
    memset(fates, NOT_REACHED, fork->start);
    for (size_t i = fork->start; i < count; i++) {
        u256 moved[2] = {nothing[0], nothing[1]};
        if (events[i].timestamp > pool->timestamp && is_in_range(fork))
            fork->in_range_s += events[i].timestamp - pool->timestamp;
        pool->timestamp = events[i].timestamp;
        Status status = apply(pool, &scratch, &events[i], moved);
        fates[i] = DONE;
        if (events[i].kind == MARK) take_reading(fork);
        if (status != OK) {
            memcpy(moved, nothing, sizeof moved);
            fates[i] = SKIPPED;
            if (status != REVERT_SPL || events[i].kind != SWAP) {
                fates[i] = STOPPED;
                fork->stopped_at = i;
                fork->status = status;
                memset(fates + i + 1, NOT_REACHED, count - i - 1);
            }
        }
        if (amounts != NULL) memcpy(amounts + 2 * i, moved, sizeof moved);
        if (fates[i] == STOPPED) break;
    }
    scratch_free(&scratch);
}
