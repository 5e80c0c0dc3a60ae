#include "oracle.h"

#include <stdlib.h>

size_t ring_bytes(const Ring *ring) { return sizeof *ring + ring->count * sizeof *ring->slots; }

Ring *ring_new(uint32_t count) {
    Ring *ring = calloc(1, sizeof *ring + count * sizeof *ring->slots);
    if (ring == NULL) return NULL;
    atomic_init(&ring->users, 1);
    ring->count = count;
    return ring;
}

Ring *ring_share(Ring *ring) {
    atomic_fetch_add_explicit(&ring->users, 1, memory_order_relaxed);
    return ring;
}

void ring_release(Ring *ring) {
    if (ring != NULL && atomic_fetch_sub_explicit(&ring->users, 1, memory_order_acq_rel) == 1) free(ring);
}

bool ring_own(Ring **ring, uint32_t count, const Observation *fresh) {
    Ring *old = *ring, *own;
    if (count < old->count) count = old->count;
    if (ring_is_own(old) && count == old->count) return true;
    own = ring_new(count);
    if (own == NULL) return false;
    memcpy(own->slots, old->slots, old->count * sizeof *own->slots);
    for (uint32_t i = old->count; i < count; i++) own->slots[i] = *fresh;
    *ring = own;
    ring_release(old);
    return true;
}
