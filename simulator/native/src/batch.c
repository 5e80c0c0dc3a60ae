#include "batch.h"

static bool is_in_range(const Fork *fork) {
    int32_t tick = fork->pool->tick;
    for (size_t i = 0; i < fork->range_count; i++) {
        if (fork->ranges[i].lower <= tick && tick < fork->ranges[i].upper) return true;
    }
    return false;
}

static Status apply(Pool *pool, Scratch *scratch, const Event *event, u256 *amounts) {
    if (event->kind == SWAP) {
        Outcome outcome;
        Status status = pool_swap(pool, &outcome, scratch, event->zero_for_one != 0, &event->amount,
                                  event->has_limit ? &event->limit : NULL);
        if (status == OK) memcpy(amounts, outcome.amount, sizeof outcome.amount);
        return status;
    }
    if (event->kind == LIQUIDITY)
        return pool_change_liquidity(pool, event->lower, event->upper, (i128)u256_low(&event->amount), NULL, true,
                                     amounts);
    return OK;
}

void run_fork(Fork *fork, const Event *events, size_t count, uint8_t *fates, u256 *amounts) {
    static const u256 nothing[2] = {{{0, 0, 0, 0}}, {{0, 0, 0, 0}}};
    Pool *pool = fork->pool;
    Scratch scratch;
    scratch_init(&scratch);
    fork->stopped_at = count;
    fork->status = OK;
    for (size_t i = 0; i < count; i++) {
        u256 moved[2] = {nothing[0], nothing[1]};
        if (events[i].timestamp > pool->timestamp && fork->range_count != 0 && is_in_range(fork))
            fork->in_range_s += events[i].timestamp - pool->timestamp;
        pool->timestamp = events[i].timestamp;
        Status status = apply(pool, &scratch, &events[i], moved);
        fates[i] = DONE;
        if (status != OK) {
            memcpy(moved, nothing, sizeof moved);
            fates[i] = SKIPPED;
            if (status != REVERT_SPL || events[i].kind != SWAP) {
                fates[i] = STOPPED;
                fork->stopped_at = i;
                fork->status = status;
                memset(fates + i + 1, NOT_REACHED, count - i - 1);
            }
        }
        if (amounts != NULL) memcpy(amounts + 2 * i, moved, sizeof moved);
        if (fates[i] == STOPPED) break;
    }
    scratch_free(&scratch);
}
