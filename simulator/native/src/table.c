#include "table.h"

#include <stdlib.h>

static Order *new_order(int32_t room) {
    Order *order = malloc(sizeof *order + (size_t)room * (sizeof(int32_t) + sizeof(uint32_t)));
    if (order == NULL) return NULL;
    atomic_init(&order->users, 1);
    order->count = 0;
    order->room = room;
    order->ticks = (int32_t *)(order + 1);
    order->slots = (uint32_t *)(order->ticks + room);
    return order;
}

static void release_order(Order *order) {
    if (order != NULL && atomic_fetch_sub_explicit(&order->users, 1, memory_order_acq_rel) == 1) free(order);
}

static void release_chunk(Chunk *chunk) {
    if (chunk != NULL && atomic_fetch_sub_explicit(&chunk->users, 1, memory_order_acq_rel) == 1) free(chunk);
}

static void *aligned_chunk(void) {
    /* calloc aligns to 16, which is what __int128 needs on the supported platforms. */
    return calloc(1, sizeof(Chunk));
}

bool table_init(Table *t) {
    memset(t, 0, sizeof *t);
    t->order = new_order(0);
    return t->order != NULL;
}

bool table_copy(Table *t, const Table *from) {
    memset(t, 0, sizeof *t);
    if (from->chunk_count) {
        t->chunks = malloc(from->chunk_count * sizeof *t->chunks);
        if (t->chunks == NULL) return false;
    }
    if (from->freed_count) {
        t->freed = malloc(from->freed_count * sizeof *t->freed);
        if (t->freed == NULL) {
            free(t->chunks);
            return false;
        }
        memcpy(t->freed, from->freed, from->freed_count * sizeof *t->freed);
    }
    t->freed_count = t->freed_room = from->freed_count;
    t->used = from->used;
    t->chunk_count = from->chunk_count;
    for (uint32_t i = 0; i < t->chunk_count; i++) {
        t->chunks[i] = from->chunks[i];
        atomic_fetch_add_explicit(&t->chunks[i]->users, 1, memory_order_relaxed);
    }
    t->order = from->order;
    atomic_fetch_add_explicit(&t->order->users, 1, memory_order_relaxed);
    return true;
}

void table_free(Table *t) {
    for (uint32_t i = 0; i < t->chunk_count; i++) release_chunk(t->chunks[i]);
    free(t->chunks);
    free(t->freed);
    release_order(t->order);
    memset(t, 0, sizeof *t);
}

size_t table_own_bytes(const Table *t) {
    size_t bytes = t->chunk_count * sizeof *t->chunks + t->freed_room * sizeof *t->freed;
    if (atomic_load(&t->order->users) == 1)
        bytes += sizeof *t->order + (size_t)t->order->room * (sizeof(int32_t) + sizeof(uint32_t));
    for (uint32_t i = 0; i < t->chunk_count; i++) {
        if (atomic_load(&t->chunks[i]->users) == 1) bytes += sizeof(Chunk);
    }
    return bytes;
}

int32_t table_floor(const Table *t, int32_t tick) {
    int32_t low = 0, high = t->order->count;
    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (t->order->ticks[middle] <= tick)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

bool table_own_chunk(Table *t, uint32_t index) {
    Chunk *shared = t->chunks[index], *own;
    if (atomic_load_explicit(&shared->users, memory_order_acquire) == 1) return true;
    own = malloc(sizeof *own);
    if (own == NULL) return false;
    memcpy(own->ticks, shared->ticks, sizeof own->ticks);
    atomic_init(&own->users, 1);
    t->chunks[index] = own;
    release_chunk(shared);
    return true;
}

static bool own_order(Table *t, uint32_t more) {
    Order *old = t->order, *own;
    int32_t needed = old->count + (int32_t)more;
    if (atomic_load_explicit(&old->users, memory_order_acquire) == 1 && needed <= old->room) return true;
    own = new_order(needed + needed / 8 + 2);
    if (own == NULL) return false;
    memcpy(own->ticks, old->ticks, (size_t)old->count * sizeof *own->ticks);
    memcpy(own->slots, old->slots, (size_t)old->count * sizeof *own->slots);
    own->count = old->count;
    t->order = own;
    release_order(old);
    return true;
}

/* Room for one more freed slot, so that table_remove cannot fail. */
static bool reserve_freed(Table *t) {
    uint32_t room = t->freed_room * 2 + 8;
    uint32_t *freed;
    if (t->freed_count + 2 <= t->freed_room) return true;
    freed = realloc(t->freed, room * sizeof *freed);
    if (freed == NULL) return false;
    t->freed = freed;
    t->freed_room = room;
    return true;
}

static bool add_chunk(Table *t) {
    Chunk **chunks = realloc(t->chunks, (t->chunk_count + 1) * sizeof *chunks);
    if (chunks == NULL) return false;
    t->chunks = chunks;
    chunks[t->chunk_count] = aligned_chunk();
    if (chunks[t->chunk_count] == NULL) return false;
    atomic_init(&chunks[t->chunk_count]->users, 1);
    t->chunk_count++;
    return true;
}

bool table_reserve(Table *t, uint32_t more) {
    if (!own_order(t, more) || !reserve_freed(t)) return false;
    for (uint32_t i = 0; i < more; i++) {
        if (i < t->freed_count) {
            if (!table_own_chunk(t, t->freed[t->freed_count - 1 - i] >> CHUNK_BITS)) return false;
            continue;
        }
        uint32_t slot = t->used + (i - t->freed_count);
        if (slot >> CHUNK_BITS == t->chunk_count) {
            if (!add_chunk(t)) return false;
        } else if (!table_own_chunk(t, slot >> CHUNK_BITS)) {
            return false;
        }
    }
    return true;
}

Tick *table_insert(Table *t, int32_t tick) {
    Order *order = t->order;
    int32_t place = table_floor(t, tick) + 1;
    size_t after = (size_t)(order->count - place);
    uint32_t slot = t->freed_count ? t->freed[--t->freed_count] : t->used++;
    memmove(order->ticks + place + 1, order->ticks + place, after * sizeof *order->ticks);
    memmove(order->slots + place + 1, order->slots + place, after * sizeof *order->slots);
    order->ticks[place] = tick;
    order->slots[place] = slot;
    order->count++;
    Tick *record = table_at(t, place);
    memset(record, 0, sizeof *record);
    record->tick = tick;
    record->ratio = sqrt_ratio_at_tick(tick);
    return record;
}

void table_remove(Table *t, int32_t index) {
    Order *order = t->order;
    size_t after = (size_t)(order->count - index - 1);
    t->freed[t->freed_count++] = order->slots[index];
    memmove(order->ticks + index, order->ticks + index + 1, after * sizeof *order->ticks);
    memmove(order->slots + index, order->slots + index + 1, after * sizeof *order->slots);
    order->count--;
}
