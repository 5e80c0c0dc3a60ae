#include "wide.h"

int wide_cmp(const u64 *a, const u64 *b, int n) {
    while (n-- > 0) {
        if (a[n] != b[n]) return a[n] < b[n] ? -1 : 1;
    }
    return 0;
}

int wide_limbs(const u64 *a, int n) {
    while (n > 0 && a[n - 1] == 0) n--;
    return n;
}

void wide_mul(u64 *r, const u64 *a, int na, const u64 *b, int nb) {
    memset(r, 0, sizeof(u64) * (size_t)(na + nb));
    for (int i = 0; i < na; i++) {
        u64 carry = 0;
        for (int j = 0; j < nb; j++) {
            u128 t = (u128)a[i] * b[j] + r[i + j] + carry;
            r[i + j] = lo64(t);
            carry = hi64(t);
        }
        r[i + nb] = carry;
    }
}

bool wide_increment(u64 *a, int n) {
    for (int i = 0; i < n; i++) {
        if (++a[i] != 0) return false;
    }
    return true;
}

static void divrem_by_limb(u64 *q, u64 *rem, const u64 *num, int nn, u64 den) {
    u64 r = 0;
    for (int i = nn - 1; i >= 0; i--) {
        u64 digit = div_2by1(r, num[i], den, &r);
        if (q != NULL) q[i] = digit;
    }
    if (rem != NULL) rem[0] = r;
}

/* Subtract digit * v (n limbs) from u (n + 1 limbs) and correct the digit: Knuth's algorithm D, steps D4 to D6. */
static u64 subtract_multiple(u64 *u, const u64 *v, int n, u64 digit) {
    u64 carry = 0, borrow = 0;
    for (int i = 0; i < n; i++) {
        u128 p = (u128)digit * v[i] + carry;
        carry = hi64(p);
        borrow = sub_to(&u[i], u[i], lo64(p), borrow);
    }
    borrow = sub_to(&u[n], u[n], carry, borrow);
    while (borrow) {
        u64 c = 0;
        for (int i = 0; i < n; i++) c = add_to(&u[i], u[i], v[i], c);
        c = add_to(&u[n], u[n], 0, c);
        digit--;
        borrow -= c;
    }
    return digit;
}

void wide_divrem(u64 *q, u64 *rem, const u64 *num, int nn, const u64 *den, int nd) {
    u64 u[14], v[12];
    int n = wide_limbs(den, nd), bits;
    if (rem != NULL) memset(rem, 0, sizeof(u64) * (size_t)nd);
    if (n == 1) {
        divrem_by_limb(q, rem, num, nn, den[0]);
        return;
    }
    bits = __builtin_clzll(den[n - 1]);
    memcpy(v, den, sizeof(u64) * (size_t)n);
    shift_left(v, n, bits);
    memcpy(u, num, sizeof(u64) * (size_t)nn);
    u[nn] = 0;
    shift_left(u, nn + 1, bits);
    if (q != NULL) memset(q, 0, sizeof(u64) * (size_t)nn);
    for (int j = nn - n; j >= 0; j--) {
        u64 unused, digit = ~(u64)0;
        if (u[j + n] < v[n - 1]) digit = div_2by1(u[j + n], u[j + n - 1], v[n - 1], &unused);
        digit = subtract_multiple(u + j, v, n, digit);
        if (q != NULL) q[j] = digit;
    }
    if (rem == NULL) return;
    for (int i = 0; i < n && i < nn; i++) rem[i] = bits ? u[i] >> bits | (i + 1 <= nn ? u[i + 1] << (64 - bits) : 0) : u[i];
}

u128 div_shifted(u64 *q, u128 a, int k, const Divisor *d) {
    /* a << (k + shift) without its lowest limb, which is 0; by whole limbs, of which there are none, one or two */
    int s = k - 64 + d->shift, bits = s & 63;
    u64 x0 = lo64(a) << bits, x1 = shift_pair(hi64(a), lo64(a), bits), x2 = shift_pair(0, hi64(a), bits), x3 = 0, x4 = 0;
    if (s >= 128)
        x4 = x2, x3 = x1, x2 = x0, x1 = x0 = 0;
    else if (s >= 64)
        x3 = x2, x2 = x1, x1 = x0, x0 = 0;
    u128 rem = make128(x2, x1);
    q[3] = q[2] = 0;
    if (UNLIKELY((x3 | x4) != 0 || rem >= make128(d->d1, d->d0))) {
        rem = make128(x4, x3);
        q[3] = div_3by2(&rem, x2, d->d1, d->d0, d->inverse);
        q[2] = div_3by2(&rem, x1, d->d1, d->d0, d->inverse);
    }
    q[1] = div_3by2(&rem, x0, d->d1, d->d0, d->inverse);
    q[0] = div_3by2(&rem, 0, d->d1, d->d0, d->inverse);
    return rem >> d->shift;
}
