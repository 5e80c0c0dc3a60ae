#include "state.h"

static const Observation GROWN = {.timestamp = 1};

bool pool_init(Pool *p, uint32_t fee_pips, int32_t tick_spacing, FeePolicy policy) {
    int32_t most = MAX_TICK / tick_spacing;
    memset(p, 0, sizeof *p);
    p->fee_pips = fee_pips;
    p->policy = policy;
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
