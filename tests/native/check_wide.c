/* The fast divisions against the plain one, on random limbs and on those that make their estimates fail. */
#include <stdio.h>

#include "step.h"

static u64 state = 88172645463325252u;

static u64 random_limb(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    switch (state & 7) {
        case 0: return 0;
        case 1: return ~(u64)0;
        case 2: return (u64)1 << (state >> 8 & 63);
        case 3: return state >> (state >> 8 & 63);
        default: return state * 0x9E3779B97F4A7C15u;
    }
}

static bool same(const char *what, bool is_right) {
    if (!is_right) printf("wrong: %s\n", what);
    return is_right;
}

static bool check_plain(const u64 *n, const u64 *d, const u64 *q, const u64 *r) {
    u64 product[10], carry = 0;
    wide_mul(product, q, 6, d, 4);
    for (int i = 0; i < 10; i++) carry = add_to(&product[i], product[i], i < 4 ? r[i] : 0, carry);
    for (int i = 0; i < 10; i++) {
        if (product[i] != (i < 6 ? n[i] : 0)) return false;
    }
    return wide_cmp(r, d, 4) < 0;
}

static bool check_six_by_four(const u64 *n, const u64 *d, const u64 *q, const u64 *r) {
    u256 rest;
    u128 quotient;
    int shift;
    bool fits = div_6by4(&quotient, &rest, &shift, n, d);
    if (fits != ((q[2] | q[3] | q[4] | q[5]) == 0)) return false;
    if (!fits) return true;
    shift_right(rest.w, shift);
    return quotient == make128(q[1], q[0]) && wide_cmp(rest.w, r, 4) == 0;
}

static bool check_shifted(u128 a, u128 by, int k) {
    u64 n[6], d[2] = {lo64(by), hi64(by)}, q[6], r[2], fast[4];
    shift_2to6(n, a, k);
    wide_divrem(q, r, n, 6, d, 2);
    if ((q[4] | q[5]) != 0) return true;
    Divisor divisor = divisor_of(by);
    u128 rest = div_shifted(fast, a, k, &divisor);
    return wide_cmp(fast, q, 4) == 0 && rest == make128(r[1], r[0]);
}

/* Whether the reciprocal and both quotients by it are what the plain division says. */
static bool check_reciprocal(u128 a, u128 by) {
    u64 all[3] = {~(u64)0, ~(u64)0, ~(u64)0}, d[2] = {lo64(by), hi64(by)}, n[6], q[6], r[2], fast[4];
    Reciprocal reciprocal = reciprocal_of(by);
    wide_divrem(q, NULL, all, 3, d, 2);
    if (wide_cmp(q, reciprocal.inverse, 3) != 0) return false;
    shift_2to6(n, a, 128);
    wide_divrem(q, NULL, n, 6, d, 2);
    if ((q[4] | q[5]) == 0) {
        div_x128(fast, a, &reciprocal);
        if (wide_cmp(fast, q, 4) != 0) return false;
    }
    shift_2to6(n, a, 96);
    wide_divrem(q, r, n, 6, d, 2);
    if ((q[2] | q[3] | q[4] | q[5]) != 0) return true;
    u128 rest, quotient = div_x96(&rest, a, &reciprocal);
    return quotient == make128(q[1], q[0]) && rest == make128(r[1], r[0]);
}

static bool check_sums(const u64 *x, const u64 *y) {
    u256 a, b, sum, difference;
    u64 plain[4], carry = 0, borrow = 0, carried, borrowed;
    memcpy(a.w, x, sizeof a.w);
    memcpy(b.w, y, sizeof b.w);
    carried = u256_add(&sum, &a, &b);
    borrowed = u256_sub(&difference, &a, &b);
    for (int i = 0; i < 4; i++) carry = add_to(&plain[i], x[i], y[i], carry);
    if (wide_cmp(sum.w, plain, 4) != 0 || carry != carried) return false;
    for (int i = 0; i < 4; i++) borrow = sub_to(&plain[i], x[i], y[i], borrow);
    u256_add(&a, &a, &b); /* in place */
    return wide_cmp(difference.w, plain, 4) == 0 && borrow == borrowed && u256_eq(&a, &sum);
}

/* n = q * d - small for q near 2**64 and d with a long run of ones below the top: the digit is estimated too high. */
static void make_hard(u64 *n, u64 *d) {
    u64 q[2] = {random_limb(), random_limb()};
    d[3] = (u64)1 << 63 | random_limb() >> 40;
    d[2] = random_limb() >> 1;
    d[1] = d[0] = ~(u64)0;
    wide_mul(n, d, 4, q, 2);
    u64 borrow = sub_to(&n[0], n[0], 1 + (random_limb() & 3), 0);
    for (int i = 1; i < 6; i++) borrow = sub_to(&n[i], n[i], 0, borrow);
    if (borrow) memset(n, 0, 6 * sizeof *n);
}

/* A divisor without a bit to spare, and a number whose quotient by the inverse is often one too small. */
static bool check_full_divisor(void) {
    u128 c = make128(random_limb() >> 33 | (u64)1 << 31, random_limb());
    u64 a = (random_limb() >> 32 | (u64)1 << 31) << 32;
    a -= hi64((u128)a * hi64(c) + hi64((u128)a * lo64(c)));
    return check_reciprocal(a, -c);
}

int main(void) {
    bool is_right = true;
    for (long round = 0; is_right && round < 1000000; round++) {
        u64 n[6] = {0}, d[4] = {0}, q[6], r[4];
        int dn = 1 + (int)(random_limb() % 4), nn = 1 + (int)(random_limb() % 6);
        for (int i = 0; i < nn; i++) n[i] = random_limb();
        for (int i = 0; i < dn; i++) d[i] = random_limb();
        if (round % 4 == 0 && nn > 1 && dn > 1) n[nn - 1] = d[dn - 1], n[nn - 2] = d[dn - 2];
        if (round % 4 == 1) make_hard(n, d);
        if ((d[0] | d[1] | d[2] | d[3]) == 0) continue;
        wide_divrem(q, r, n, 6, d, 4);
        is_right = same("plain", check_plain(n, d, q, r)) && same("six by four", check_six_by_four(n, d, q, r));
        u128 by = make128(d[1], d[0]) >> (n[0] & 127), a = make128(n[1], n[0]) >> (d[0] & 127);
        if (by != 0) is_right = is_right && same("shifted", check_shifted(a, by, n[0] & 1 ? 96 : 128));
        if (by != 0) is_right = is_right && same("reciprocal", check_reciprocal(n[1] & 1 ? lo64(a) : a, by));
        for (int i = 0; i < 4; i++) n[i] = n[i] % 3 ? n[i] : 0 - (n[i] & 1), d[i] = d[i] % 3 ? d[i] : 0 - (d[i] & 1);
        is_right = is_right && same("sums", check_sums(n, d)) && same("full divisor", check_full_divisor());
    }
    return is_right ? 0 : 1;
}
