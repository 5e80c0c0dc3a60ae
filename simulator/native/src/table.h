/* A pool's initialised ticks: sorted, sparse, shared between forks until one writes.
 *
 * The order (tick numbers ascending, each with the slot of its record) and the records, in chunks of 16, are counted
 * references. A fork copies what it writes to and nothing else. Counts are atomic, since forks that share may run on
 * different threads; everything else in a shared part is only read. */
#ifndef TIDELINE_TABLE_H
#define TIDELINE_TABLE_H

#include <stdatomic.h>
#include <stddef.h>

#include "tick_math.h"

/* What crossing a whole segment (from this tick to the next initialised one) costs in one direction, remembered under
 * everything it depends on. `key` is 0 when nothing is remembered. */
typedef struct {
    u128 liquidity;
    u128 paid;  /* amount in with its fee */
    u128 out;
    u128 share; /* of the fee, to the protocol */
    u256 growth;
    int32_t upper;
    u64 key;
} Segment;

typedef struct {
    u128 liquidity_gross;
    i128 liquidity_net;
    u256 fee_growth_outside[2];
    Price ratio;
    Price seconds_per_liquidity_outside; /* uint160 */
    int64_t tick_cumulative_outside;     /* int56 */
    uint32_t seconds_outside;
    int32_t tick;
    Segment segment[2]; /* falling, rising */
} Tick;

enum { CHUNK_BITS = 4, CHUNK = 1 << CHUNK_BITS };

typedef struct {
    atomic_int users;
    Tick ticks[CHUNK];
} Chunk;

typedef struct {
    atomic_int users;
    int32_t count, room;
    int32_t *ticks; /* ascending; the slots follow in the same allocation */
    uint32_t *slots;
} Order;

typedef struct {
    Order *order;
    Chunk **chunks;
    uint32_t chunk_count;
    uint32_t used;   /* slots ever given out */
    uint32_t *freed; /* slots to give out again */
    uint32_t freed_count, freed_room;
} Table;

bool table_init(Table *t); /* these return false for want of memory and then change nothing */
bool table_copy(Table *t, const Table *from);
void table_free(Table *t);
size_t table_own_bytes(const Table *t); /* what this fork does not share */

/* The index of the greatest tick at or below, -1 if there is none. */
int32_t table_floor(const Table *t, int32_t tick);

static inline Tick *table_at(const Table *t, int32_t index) {
    uint32_t slot = t->order->slots[index];
    return &t->chunks[slot >> CHUNK_BITS]->ticks[slot & (CHUNK - 1)];
}
static inline bool table_is_own(const Table *t, int32_t index) {
    Chunk *chunk = t->chunks[t->order->slots[index] >> CHUNK_BITS];
    return atomic_load_explicit(&chunk->users, memory_order_acquire) == 1;
}
bool table_own_chunk(Table *t, uint32_t index);
/* Make the record at an index private to this fork. */
static inline bool table_own(Table *t, int32_t index) {
    return LIKELY(table_is_own(t, index)) || table_own_chunk(t, t->order->slots[index] >> CHUNK_BITS);
}
/* Make the order private, with room for this many more ticks, each with a private slot. */
bool table_reserve(Table *t, uint32_t more);
/* After table_reserve: put an empty record in its place and return it. */
Tick *table_insert(Table *t, int32_t tick);
/* After table_reserve(t, 0). */
void table_remove(Table *t, int32_t index);
#endif
