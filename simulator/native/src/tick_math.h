/* Between ticks and square roots of prices (v3-core TickMath), Q64.96 in three limbs. */
#ifndef TIDELINE_TICK_MATH_H
#define TIDELINE_TICK_MATH_H

#include "wide.h"

#define MIN_TICK (-887272)
#define MAX_TICK 887272

typedef struct {
    u64 w[3];
} Price;

extern const Price MIN_SQRT_RATIO, MAX_SQRT_RATIO;

static inline bool price_eq(const Price *a, const Price *b) {
    return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2])) == 0;
}
static inline bool price_lt(const Price *a, const Price *b) {
    if (a->w[2] != b->w[2]) return a->w[2] < b->w[2];
    return make128(a->w[1], a->w[0]) < make128(b->w[1], b->w[0]);
}
static inline u128 price_low(const Price *p) { return make128(p->w[1], p->w[0]); }
static inline Price price_of(u128 x) { return (Price){{lo64(x), hi64(x), 0}}; }

/* Fill the table of ratios; before anything else here, once. */
void tick_math_prepare(void);

/* The square root of the price at a tick, MIN_TICK .. MAX_TICK, rounded as the contract rounds it. */
Price sqrt_ratio_at_tick(int32_t tick);

/* The greatest tick whose ratio is not above a price, MIN_SQRT_RATIO <= price < MAX_SQRT_RATIO. */
int32_t tick_at_sqrt_ratio(const Price *price);
#endif
