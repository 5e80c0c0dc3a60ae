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
static void take_reading(const Fork *fork, Reading *reading) {
    memset(reading, 0, sizeof *reading);
    for (size_t i = 0; i < fork->holding_count; i++) {
        const Holding *h = &fork->holdings[i];
        add_principal(reading->principal, h, &fork->pool->price);
        add_fees(reading->fees, h, fork->pool);
        if (holds(h, fork->pool->tick)) reading->own_liquidity += h->position.liquidity;
    }
    reading->pool_liquidity = fork->pool->liquidity;
}

/* sum += weight[0] * amounts[0] + weight[1] * amounts[1]. The sum has a limb to spare for signs and carries. */
static void add_weighted(u64 *sum, const Weight *weight, const u256 *amounts) {
    for (int token = 0; token < 2; token++) {
        int limbs = wide_limbs(amounts[token].w, 4), used = weight->limbs[token];
        u64 product[SUM_LIMBS] = {0}, carry = 0;
        if (limbs == 0 || used == 0) continue;
        wide_mul(product, weight->size[token], used, amounts[token].w, limbs);
        for (int i = 0; i < SUM_LIMBS; i++) {
            carry = weight->is_negative[token] ? sub_to(&sum[i], sum[i], product[i], carry)
                                               : add_to(&sum[i], sum[i], product[i], carry);
        }
    }
}

/* a / b > c / d, b and d not 0 */
static bool is_larger_share(u128 a, u128 b, u128 c, u128 d) {
    u256 left, right;
    mul_2x2(left.w, a, d);
    mul_2x2(right.w, c, b);
    return u256_lt(&right, &left);
}

static void sum_up(Sums *sums, const Weight *weight, const Reading *reading) {
    add_weighted(sums->principal, weight, reading->principal);
    add_weighted(sums->fees, weight, reading->fees);
    sums->last = *reading;
    if (reading->own_liquidity != 0 && (sums->most_pool == 0 || is_larger_share(reading->own_liquidity, reading->pool_liquidity,
                                                                                sums->most_own, sums->most_pool))) {
        sums->most_own = reading->own_liquidity;
        sums->most_pool = reading->pool_liquidity;
    }
}

static void mark(Fork *fork, const Weight *weight) {
    Reading reading;
    take_reading(fork, &reading);
    if (fork->readings != NULL) fork->readings[fork->reading_count] = reading;
    else sum_up(&fork->sums, weight, &reading);
    fork->reading_count++;
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
    const Weight *weight = fork->weights;
    for (size_t i = 0; weight != NULL && i < fork->start; i++) weight += events[i].kind == MARK;
    for (size_t i = fork->start; i < count; i++) {
        u256 moved[2] = {nothing[0], nothing[1]};
        if (events[i].timestamp > pool->timestamp && is_in_range(fork))
            fork->in_range_s += events[i].timestamp - pool->timestamp;
        pool->timestamp = events[i].timestamp;
        Status status = apply(pool, &scratch, &events[i], moved);
        fates[i] = DONE;
        if (events[i].kind == MARK) {
            mark(fork, weight);
            if (weight != NULL) weight++;
        }
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
