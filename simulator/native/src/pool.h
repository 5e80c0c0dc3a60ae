/* A pool: the contract's storage, and the verbs that a stream of events needs. */
#ifndef TIDELINE_POOL_H
#define TIDELINE_POOL_H

#include "oracle.h"
#include "step.h"
#include "table.h"

typedef struct {
    int32_t tick;
    bool is_known;
    Price ratio;
} Edge;

/* The ticks from which the price meets the same boundary whichever way it goes. */
typedef struct {
    int32_t from, to; /* `to` is outside; from = to: nothing is known */
    Price below, above;
} Cell;

/* Who else is paid out of fees (simulator.fee_policy): the two settings lie half_bits apart in fee_protocol; one takes
 * 1 / setting of a fee, or setting / denominator. */
typedef struct {
    uint32_t half_bits, denominator; /* 1 .. 16; 0: without */
} FeePolicy;

typedef struct {
    u64 timestamp;
    FeePolicy policy;
    uint32_t fee_pips;
    int32_t tick_spacing;
    u128 max_liquidity_per_tick;
    Price price;
    int32_t tick;
    int32_t floor; /* index of the greatest initialised tick at or below `tick`, -1 without */
    u128 liquidity;
    u256 growth[2];
    u128 protocol_fees[2];
    uint32_t fee_protocol;
    uint32_t observation_index, cardinality, cardinality_next;
    Ring *ring;
    u256 balance[2]; /* two's complement where they are not known */
    bool knows_balances;
    Table table;
    /* Remembered results, no state: the last word (its first tick), cell, fees, reciprocals and two edges of words. */
    int32_t word;
    Cell cell;
    Fees fees;
    Reciprocal reciprocals[2]; /* of the last two liquidities; of 0: nothing yet */
    bool is_second;            /* the last one is the second */
    Edge edges[2];
} Pool;

typedef struct {
    u256 amount[2]; /* int256 */
    Price price;
    int32_t tick, floor;
    u128 liquidity;
    u256 growth; /* of the token paid in */
    u128 protocol_fee;
    int32_t crossed; /* how many initialised ticks, from the first one in the swap's direction */
} Outcome;

/* The growth at each crossing of the swap under way. */
enum { SCRATCH = 24 };
typedef struct {
    u256 *growths;
    int32_t room;
    u256 first[SCRATCH];
} Scratch;

typedef struct {
    u128 liquidity;
    u256 growth_inside_last[2];
    u128 tokens_owed[2];
} Position;

bool pool_init(Pool *p, uint32_t fee_pips, int32_t tick_spacing, FeePolicy policy);
bool pool_copy(Pool *p, const Pool *from);
void pool_free(Pool *p);
/* After tick, price or ticks were set by hand. */
void pool_refresh(Pool *p);

void scratch_init(Scratch *s);
void scratch_free(Scratch *s);

Status pool_initialize(Pool *p, const Price *price);
/* amount: int256, limit: NULL for none. pool_quote changes nothing but remembered results. */
Status pool_quote(Pool *p, Outcome *o, Scratch *s, bool zero_for_one, const u256 *amount, const Price *limit);
Status pool_swap(Pool *p, Outcome *o, Scratch *s, bool zero_for_one, const u256 *amount, const Price *limit);
/* position: NULL for liquidity without owner; updated when the status is OK. settles: whether tokens move now (as in a
 * mint), or stay owed (as in a burn). amounts: int256. */
Status pool_change_liquidity(Pool *p, int32_t lower, int32_t upper, i128 delta, Position *position, bool settles,
                             u256 *amounts);
void pool_growth_inside(const Pool *p, int32_t lower, int32_t upper, u256 *inside);
Status pool_grow(Pool *p, uint32_t cardinality_next);
bool pool_set_ticks(Pool *p, const Tick *ticks, uint32_t count); /* ascending, ratio and segments are filled in */
size_t pool_own_bytes(const Pool *p);
#endif
