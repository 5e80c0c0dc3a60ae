from miner.limits import Slots, TokenBuckets


def test_a_bucket_empties_refills_and_does_not_overflow() -> None:
    now = [0.0]
    buckets = TokenBuckets(2.0, 3, lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now[0] = 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    now[0] = 100.0
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_slots_are_per_key_and_leave_nothing_behind() -> None:
    slots = Slots(2)
    assert [slots.acquire(key) for key in "aaab"] == [True, True, False, True]
    for key in "aab":
        slots.release(key)
    assert slots.total() == 0
    assert slots.acquire("a")
