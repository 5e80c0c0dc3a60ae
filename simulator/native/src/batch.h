/* Many events on many pools, without Python. */
#ifndef TIDELINE_BATCH_H
#define TIDELINE_BATCH_H

#include "pool.h"

typedef enum { CLOCK = 0, SWAP = 1, LIQUIDITY = 2, MARK = 3 } Kind;

typedef struct {
    u64 timestamp;
    uint32_t kind;
    uint8_t zero_for_one, has_limit, unused[2];
    int32_t lower, upper;
    u256 amount; /* a swap's int256, or a liquidity delta's int128 in the two low limbs */
    Price limit;
} Event;

/* What became of an event on one fork. */
typedef enum { DONE = 0, SKIPPED = 1, STOPPED = 2, NOT_REACHED = 3 } Fate;

/* A position of the fork's owner, with the ratios at its ticks. */
typedef struct {
    int32_t lower, upper;
    Price ratio_lower, ratio_upper;
    Position position;
} Holding;

/* What an account books at a mark: tokens inside the positions as a burn would return them, fees as a collect would,
 * the liquidity of those in range and the pool's. */
typedef struct {
    u256 principal[2], fees[2];
    u128 own_liquidity, pool_liquidity;
} Reading;

/* What each token's price will change by until the next mark: magnitudes, how many of their limbs count, signs. */
#define WEIGHT_LIMBS 6
#define SUM_LIMBS 11
typedef struct {
    u64 size[2][WEIGHT_LIMBS];
    uint8_t limbs[2];
    bool is_negative[2];
} Weight;

/* What an account needs of all the marks of a batch together: the weighted sums of principal and fees (two's
 * complement), the last reading, and the two liquidities at the mark with the largest share. */
typedef struct {
    u64 principal[SUM_LIMBS], fees[SUM_LIMBS];
    Reading last;
    u128 most_own, most_pool;
} Sums;

typedef struct {
    Pool *pool;
    const Holding *holdings; /* time counts while the tick is in any of them */
    size_t holding_count;
    size_t start; /* the first event that reaches this fork */
    Reading *readings; /* room for one a mark from `start` on, or NULL: then `sums` by the batch's weights */
    const Weight *weights;
    Sums sums;
    size_t reading_count;
    u64 in_range_s;
    size_t stopped_at; /* the count of events if none stopped it */
    Status status;
} Fork;

/* Let events happen on a fork until one reverts other than by a limit already passed. fates: one byte an event;
 * amounts: two int256 an event, or NULL. */
void run_fork(Fork *fork, const Event *events, size_t count, uint8_t *fates, u256 *amounts);
#endif
