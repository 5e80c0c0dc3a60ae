/* Where the price stops next: an initialised tick, or the edge of a bitmap word. */
#ifndef TIDELINE_BOUNDARY_H
#define TIDELINE_BOUNDARY_H

#include "state.h"

typedef struct {
    int32_t tick;
    bool is_initialized;
    bool is_segment; /* from the present price, an initialised tick, to this tick: no edge lies between */
    int32_t record;  /* index of the segment's record */
    i128 liquidity_net;
    Price ratio;
} Boundary;

static inline int32_t floor_div(int32_t a, int32_t b) { return a / b - (a % b != 0 && (a < 0)); }

/* The first tick of the bitmap word that holds a tick; the last answer is remembered, to divide seldom. */
static inline int32_t word_of(Pool *p, int32_t tick) {
    int32_t word = 256 * p->tick_spacing;
    if (tick < p->word || tick - p->word >= word) p->word = floor_div(tick, word) * word;
    return p->word;
}

static inline void use_edge(Pool *p, Boundary *b, int32_t edge, int which) {
    Edge *known = &p->edges[which];
    if (edge < MIN_TICK) edge = MIN_TICK;
    if (edge > MAX_TICK) edge = MAX_TICK;
    if (!known->is_known || known->tick != edge) *known = (Edge){edge, true, sqrt_ratio_at_tick(edge)};
    b->tick = edge;
    b->ratio = known->ratio;
    b->is_initialized = b->is_segment = false;
}

static inline bool is_at(u128 price, const Tick *tick) { return price_low(&tick->ratio) == price && tick->ratio.w[2] == 0; }

/* The next stop of the price: an initialised tick or the edge of a bitmap word of 256 usable ticks. */
static inline void next_boundary(Pool *p, Boundary *b, int32_t tick, int32_t floor, u128 price, bool falls) {
    const Order *order = p->table.order;
    if (falls) {
        int32_t edge = word_of(p, tick);
        if (floor < 0 || order->ticks[floor] < edge) {
            use_edge(p, b, edge, 0);
            return;
        }
        const Tick *stop = table_at(&p->table, floor);
        b->tick = stop->tick;
        b->liquidity_net = stop->liquidity_net;
        b->ratio = stop->ratio;
        b->is_segment = floor + 1 < order->count && is_at(price, table_at(&p->table, floor + 1));
    } else {
        int32_t edge = word_of(p, tick + p->tick_spacing) + 255 * p->tick_spacing;
        if (floor + 1 >= order->count || order->ticks[floor + 1] > edge) {
            use_edge(p, b, edge, 1);
            return;
        }
        const Tick *stop = table_at(&p->table, floor + 1);
        b->tick = stop->tick;
        b->liquidity_net = stop->liquidity_net;
        b->ratio = stop->ratio;
        b->is_segment = floor >= 0 && is_at(price, table_at(&p->table, floor));
    }
    b->is_initialized = true;
    b->record = floor;
}

static inline int32_t larger(int32_t a, int32_t b) { return a > b ? a : b; }
static inline int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

static inline const Cell *cell_of(Pool *p) {
    if (p->tick < p->cell.from || p->tick >= p->cell.to) {
        Boundary below, above;
        int32_t spacing = p->tick_spacing;
        next_boundary(p, &below, p->tick, p->floor, 0, true);
        next_boundary(p, &above, p->tick, p->floor, 0, false);
        /* Beyond the word of either search the word's edge is another. */
        int32_t end = word_of(p, p->tick) + 256 * spacing, start = word_of(p, p->tick + spacing) - spacing;
        p->cell = (Cell){larger(below.tick, start), smaller(above.tick, end), below.ratio, above.ratio};
    }
    return &p->cell;
}
#endif
