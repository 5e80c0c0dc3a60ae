/* The pool's memory of time (v3-core Oracle): what the engine writes. Searching the ring is left to Python. */
#ifndef TIDELINE_ORACLE_H
#define TIDELINE_ORACLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "tick_math.h"

typedef struct {
    Price seconds_per_liquidity_cumulative; /* uint160, Q128 */
    int64_t tick_cumulative;                /* int56 */
    uint32_t timestamp;
    bool initialized;
} Observation;

typedef struct {
    atomic_int users;
    uint32_t count;
    Observation slots[];
} Ring;

Ring *ring_new(uint32_t count); /* NULL for want of memory; zeroed */
Ring *ring_share(Ring *ring);
void ring_release(Ring *ring);
size_t ring_bytes(const Ring *ring);
static inline bool ring_is_own(const Ring *ring) {
    return atomic_load_explicit(&ring->users, memory_order_acquire) == 1;
}
/* Replace *ring by a private one of at least this many slots; the new ones hold `fresh`. */
bool ring_own(Ring **ring, uint32_t count, const Observation *fresh);

static inline int64_t wrap_int56(int64_t value) {
    u64 low = (u64)value & (((u64)1 << 56) - 1);
    return (int64_t)(low ^ (u64)1 << 55) - ((int64_t)1 << 55);
}

static inline void add_uint160(Price *r, const Price *a, const Price *b) {
    u64 c = add_to(&r->w[0], a->w[0], b->w[0], 0);
    c = add_to(&r->w[1], a->w[1], b->w[1], c);
    add_to(&r->w[2], a->w[2], b->w[2], c);
    r->w[2] &= 0xFFFFFFFFu;
}

static inline void sub_uint160(Price *r, const Price *a, const Price *b) {
    u64 c = sub_to(&r->w[0], a->w[0], b->w[0], 0);
    c = sub_to(&r->w[1], a->w[1], b->w[1], c);
    sub_to(&r->w[2], a->w[2], b->w[2], c);
    r->w[2] &= 0xFFFFFFFFu;
}

/* The observation that follows `last` when tick and liquidity (or 1; `liquidity` is made of it) held until `time`. */
static inline Observation oracle_transform(const Observation *last, uint32_t time, int32_t tick, const Reciprocal *liquidity) {
    uint32_t delta = time - last->timestamp;
    Observation next = {.timestamp = time, .initialized = true};
    Price seconds;
    u64 q[4];
    div_x128(q, delta, liquidity);
    memcpy(seconds.w, q, sizeof seconds.w);
    add_uint160(&next.seconds_per_liquidity_cumulative, &last->seconds_per_liquidity_cumulative, &seconds);
    next.tick_cumulative = wrap_int56(last->tick_cumulative + (int64_t)tick * (int64_t)delta);
    return next;
}
#endif
