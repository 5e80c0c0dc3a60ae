/* What swaps and changes of liquidity both do to a pool's storage. */
#ifndef TIDELINE_STATE_H
#define TIDELINE_STATE_H

#include "pool.h"

static inline u128 magnitude_of(i128 x) { return x < 0 ? -(u128)x : (u128)x; }

/* v3-core LiquidityMath.addDelta */
static inline Status add_delta(u128 *z, u128 x, u128 magnitude, bool is_negative) {
    if (is_negative) {
        if (magnitude > x) return REVERT_LS;
        *z = x - magnitude;
        return OK;
    }
    *z = x + magnitude;
    return *z < x ? REVERT_LA : OK;
}

static inline bool is_initialized(const Pool *p) { return (p->price.w[0] | p->price.w[1] | p->price.w[2]) != 0; }

/* Of a liquidity, or of 1. */
static inline const Reciprocal *reciprocal_for(Pool *p, u128 liquidity) {
    if (liquidity == 0) liquidity = 1;
    if (p->reciprocals[p->is_second].value != liquidity) {
        p->is_second = !p->is_second; /* a swap that crosses comes back to the first one for the oracle */
        if (p->reciprocals[p->is_second].value != liquidity) p->reciprocals[p->is_second] = reciprocal_of(liquidity);
    }
    return &p->reciprocals[p->is_second];
}

/* What an observation made now would hold; `*is_new` unless one was made in this block already. */
static inline Observation observation_now(Pool *p, bool *is_new) {
    const Observation *last = &p->ring->slots[p->observation_index];
    *is_new = last->timestamp != (uint32_t)p->timestamp;
    if (!*is_new) return *last;
    return oracle_transform(last, (uint32_t)p->timestamp, p->tick, reciprocal_for(p, p->liquidity));
}

/* v3-core Oracle.write, of an observation that is new; the ring must be private. */
static inline void write_observation(Pool *p, const Observation *now) {
    if (p->cardinality_next > p->cardinality && p->observation_index == p->cardinality - 1)
        p->cardinality = p->cardinality_next;
    p->observation_index = p->observation_index + 1 == p->cardinality ? 0 : p->observation_index + 1;
    p->ring->slots[p->observation_index] = *now;
}

/* The balances after a change (int256), as a plain ERC-20 would have them. */
static inline Status balances_after(const Pool *p, const u256 *change, u256 *balance) {
    bool is_below = false, is_above = false;
    for (int i = 0; i < 2; i++) {
        bool is_negative = change[i].w[3] >> 63;
        u64 carry = u256_add(&balance[i], &p->balance[i], &change[i]);
        is_below |= is_negative && !carry;
        is_above |= !is_negative && carry;
    }
    if (!p->knows_balances) return OK;
    return is_below ? REVERT_TF : is_above ? REVERT_EMPTY : OK;
}
#endif
