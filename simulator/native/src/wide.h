/* Integers wider than a register: 128 bits by the compiler, 256 and more by limbs of 64 bits, least significant first.
 *
 * Nothing here allocates, fails or depends on the sign of a shift. Divisors of the two fast divisions are normalised
 * (their highest bit set) together with the numerator, which leaves quotients unchanged. */
#ifndef TIDELINE_WIDE_H
#define TIDELINE_WIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t u64;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 i128;

typedef struct {
    u64 w[4];
} u256;

/* Instructions that C has no words for; -DTIDELINE_PORTABLE does without. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(TIDELINE_PORTABLE)
#define TIDELINE_X86
#endif

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline u64 lo64(u128 x) { return (u64)x; }
static inline u64 hi64(u128 x) { return (u64)(x >> 64); }
static inline u128 make128(u64 hi, u64 lo) { return (u128)hi << 64 | lo; }

/* --- Doubles: an estimate good to a few units in the 53rd bit ----------------------------------------------------- */

/* By parts below 2**63, since the signed conversion is the one every processor has. */
static inline double double128(u128 x) {
    if (LIKELY(x >> 63 == 0)) return (double)(int64_t)lo64(x);
    double low = (double)(int64_t)(lo64(x) & INT64_MAX), middle = (double)(int64_t)((u64)(x >> 63) & INT64_MAX);
    double sum = middle * 0x1p63 + low;
    if (UNLIKELY(hi64(x) >> 62 != 0)) sum += (double)(int64_t)(hi64(x) >> 62) * 0x1p126;
    return sum;
}

/* --- 256 bits, modulo 2**256 -------------------------------------------------------------------------------------- */

static inline u256 u256_of(u128 x) { return (u256){{lo64(x), hi64(x), 0, 0}}; }

static inline u64 add_to(u64 *r, u64 a, u64 b, u64 carry) {
    u128 s = (u128)a + b + carry;
    *r = (u64)s;
    return (u64)(s >> 64);
}

static inline u64 sub_to(u64 *r, u64 a, u64 b, u64 borrow) {
    u128 d = (u128)a - b - borrow;
    *r = (u64)d;
    return (u64)(d >> 64) & 1;
}

static inline u128 u256_low(const u256 *a) { return make128(a->w[1], a->w[0]); }
static inline u128 u256_high(const u256 *a) { return make128(a->w[3], a->w[2]); }
static inline u256 u256_pair(u128 high, u128 low) { return (u256){{lo64(low), hi64(low), lo64(high), hi64(high)}}; }

/* Both return the carry out. No compiler makes a chain of add-with-carry out of C; by halves of 128 bits they come close. */
static inline u64 u256_add(u256 *r, const u256 *a, const u256 *b) {
#ifdef TIDELINE_X86
    u64 w0 = a->w[0], w1 = a->w[1], w2 = a->w[2], w3 = a->w[3];
    bool over;
    __asm__("addq %5, %0\n\tadcq %6, %1\n\tadcq %7, %2\n\tadcq %8, %3"
            : "+&r"(w0), "+&r"(w1), "+&r"(w2), "+&r"(w3), "=@ccc"(over)
            : "rm"(b->w[0]), "rm"(b->w[1]), "rm"(b->w[2]), "rm"(b->w[3]));
    *r = (u256){{w0, w1, w2, w3}};
    return over;
#else
    u128 low = u256_low(a) + u256_low(b), carry = low < u256_low(a);
    u128 high = u256_high(a) + u256_high(b), whole = high + carry;
    u64 over = (u64)(high < u256_high(a)) | (u64)(whole < high);
    *r = u256_pair(whole, low);
    return over;
#endif
}

static inline u64 u256_sub(u256 *r, const u256 *a, const u256 *b) {
#ifdef TIDELINE_X86
    u64 w0 = a->w[0], w1 = a->w[1], w2 = a->w[2], w3 = a->w[3];
    bool under;
    __asm__("subq %5, %0\n\tsbbq %6, %1\n\tsbbq %7, %2\n\tsbbq %8, %3"
            : "+&r"(w0), "+&r"(w1), "+&r"(w2), "+&r"(w3), "=@ccc"(under)
            : "rm"(b->w[0]), "rm"(b->w[1]), "rm"(b->w[2]), "rm"(b->w[3]));
    *r = (u256){{w0, w1, w2, w3}};
    return under;
#else
    u128 low = u256_low(a) - u256_low(b), borrow = u256_low(a) < u256_low(b);
    u128 high = u256_high(a) - u256_high(b), whole = high - borrow;
    u64 under = (u64)(u256_high(a) < u256_high(b)) | (u64)(high < borrow);
    *r = u256_pair(whole, low);
    return under;
#endif
}

static inline bool u256_is_zero(const u256 *a) { return (a->w[0] | a->w[1] | a->w[2] | a->w[3]) == 0; }
static inline bool u256_eq(const u256 *a, const u256 *b) {
    return ((a->w[0] ^ b->w[0]) | (a->w[1] ^ b->w[1]) | (a->w[2] ^ b->w[2]) | (a->w[3] ^ b->w[3])) == 0;
}
static inline bool u256_lt(const u256 *a, const u256 *b) {
    u256 d;
    return u256_sub(&d, a, b) != 0;
}
static inline u256 u256_neg(const u256 *a) {
    u256 zero = {{0, 0, 0, 0}}, r;
    u256_sub(&r, &zero, a);
    return r;
}
static inline bool u256_fits127(const u256 *a) { return (a->w[3] | a->w[2] | a->w[1] >> 63) == 0; }

/* --- Any length: plain and slow, for what is rare ------------------------------------------------------------------- */

int wide_cmp(const u64 *a, const u64 *b, int n);
int wide_limbs(const u64 *a, int n); /* without the zeros on top */
void wide_mul(u64 *r, const u64 *a, int na, const u64 *b, int nb);
/* q (nn limbs) = floor(num / den), rem (nd limbs); den is not 0. Either result may be NULL. nn, nd at most 12. */
void wide_divrem(u64 *q, u64 *rem, const u64 *num, int nn, const u64 *den, int nd);
bool wide_increment(u64 *a, int n);

/* --- Products of fixed size ------------------------------------------------------------------------------------------ */

/* r (4 limbs) = a * b */
static inline void mul_2x2(u64 *r, u128 a, u128 b) {
    u128 p00 = (u128)lo64(a) * lo64(b), p01 = (u128)lo64(a) * hi64(b);
    u128 p10 = (u128)hi64(a) * lo64(b), p11 = (u128)hi64(a) * hi64(b);
    u128 middle = p01 + hi64(p00), carry = p10 + lo64(middle);
    u128 top = p11 + hi64(middle) + hi64(carry);
    r[0] = lo64(p00);
    r[1] = lo64(carry);
    r[2] = lo64(top);
    r[3] = hi64(top);
}

/* r (6 limbs) = a (4 limbs) * b */
static inline void mul_4x2(u64 *r, const u64 *a, u128 b) {
    u64 low[4], high[4], c;
    mul_2x2(low, make128(a[1], a[0]), b);
    mul_2x2(high, make128(a[3], a[2]), b);
    r[0] = low[0];
    r[1] = low[1];
    c = add_to(&r[2], low[2], high[0], 0);
    c = add_to(&r[3], low[3], high[1], c);
    c = add_to(&r[4], high[2], 0, c);
    r[5] = high[3] + c;
}

/* --- Division by one and two limbs ----------------------------------------------------------------------------------- */

/* floor((hi, lo) / d) for hi < d. */
static inline u64 div_2by1(u64 hi, u64 lo, u64 d, u64 *rem) {
#ifdef TIDELINE_X86
    u64 q, r;
    __asm__("divq %4" : "=a"(q), "=d"(r) : "0"(lo), "1"(hi), "r"(d) : "cc");
    *rem = r;
    return q;
#else
    u128 n = make128(hi, lo);
    u64 q = (u64)(n / d);
    *rem = (u64)(n - (u128)q * d);
    return q;
#endif
}

/* A divisor of two limbs, normalised, with floor((2**192 - 1) / d) - 2**64. */
typedef struct {
    u64 d1, d0, inverse;
    int shift;
} Divisor;

static inline u64 inverse_of(u64 d1, u64 d0) {
    u64 unused, v = div_2by1(~d1, ~(u64)0, d1, &unused);
    /* The corrections are as likely as not, so they are masks: a branch would be guessed wrong half of the time. */
    u64 p = d1 * v + d0;
    u64 once = -(u64)(p < d0), twice = once & -(u64)(p >= d1);
    v += once + twice;
    p -= (d1 & once) + (d1 & twice);
    u128 t = (u128)v * d0;
    p += hi64(t);
    once = -(u64)(p < hi64(t));
    twice = once & -(u64)(make128(p, lo64(t)) >= make128(d1, d0));
    v += once + twice;
    return v;
}

/* d > 0 */
static inline Divisor divisor_of(u128 d) {
    int shift = hi64(d) ? __builtin_clzll(hi64(d)) : 64 + __builtin_clzll(lo64(d));
    d <<= shift;
    return (Divisor){hi64(d), lo64(d), inverse_of(hi64(d), lo64(d)), shift};
}

/* One digit: floor((*rem, u0) / d) for *rem < d; *rem becomes the remainder. */
static inline u64 div_3by2(u128 *rem, u64 u0, u64 d1, u64 d0, u64 inverse) {
    u128 d = make128(d1, d0);
    u128 q = (u128)inverse * hi64(*rem) + *rem;
    u64 q1 = hi64(q) + 1;
    u128 r = make128(lo64(*rem) - hi64(q) * d1, u0) - (u128)d0 * hi64(q) - d;
    u64 mask = -(u64)(hi64(r) >= lo64(q));
    q1 += mask;
    r += make128(d1 & mask, d0 & mask);
    if (UNLIKELY(r >= d)) {
        q1++;
        r -= d;
    }
    *rem = r;
    return q1;
}

/* x (6 limbs) = a << s, s < 256 */
static inline void shift_2to6(u64 *x, u128 a, int s) {
    int limbs = s >> 6, bits = s & 63;
    u64 a0 = lo64(a) << bits;
    u64 a1 = bits ? (u64)(a >> (64 - bits)) : hi64(a);
    u64 a2 = bits ? hi64(a) >> (64 - bits) : 0;
    x[0] = x[1] = x[2] = x[3] = x[4] = x[5] = 0;
    x[limbs] = a0;
    x[limbs + 1] = a1;
    x[limbs + 2] = a2;
}

/* (high, low) << bits, the upper limb; bits < 64 */
static inline u64 shift_pair(u64 high, u64 low, int bits) { return high << bits | low >> 1 >> (63 - bits); }

/* q (4 limbs) = floor((a << k) / d), 64 <= k <= 128; the quotient must be below 2**256. Returns the remainder. */
u128 div_shifted(u64 *q, u128 a, int k, const Divisor *d);

static inline void shift_left(u64 *x, int n, int bits) {
    if (bits == 0) return;
    for (int i = n - 1; i > 0; i--) x[i] = x[i] << bits | x[i - 1] >> (64 - bits);
    x[0] <<= bits;
}

/* --- By a divisor that serves many times -------------------------------------------------------------------------------- */

/* A divisor with floor((2**192 - 1) / d), least limb first, and about as a double. */
typedef struct {
    Divisor divisor;
    u128 value;
    u64 inverse[3];
    double about;
} Reciprocal;

/* d > 0. By v = floor((2**192 - 1) / d'), d' = d << shift, and what is left of it, r: the result is
 * (v << shift) + floor((r << shift) / d'), of which the second part has `shift` bits. */
static inline Reciprocal reciprocal_of(u128 d) {
    Divisor by = divisor_of(d);
    int bits = by.shift & 63;
    u128 left = ~((u128)by.inverse * by.d0 + make128(by.d0 + by.inverse * by.d1, 0));
    u128 low = make128(1, by.inverse) << bits;
    u64 upper = by.shift >= 64 ? div_3by2(&left, 0, by.d1, by.d0, by.inverse) : 0;
    u128 rest = left >> 1 >> (63 - bits);
    u64 lower = div_3by2(&rest, lo64(left) << bits, by.d1, by.d0, by.inverse);
    u128 second = (u128)upper << bits | lower;
    if (by.shift < 64) return (Reciprocal){by, d, {lo64(low | second), hi64(low | second), 0}, double128(d)};
    return (Reciprocal){by, d, {lo64(second), lo64(low) | hi64(second), hi64(low)}, double128(d)};
}

/* x (4 limbs) = a * inverse. For a below 2**64, x / 2**192 is not above a / d and less than a / 2**192 below it. */
static inline void mul_inverse(u64 *x, u64 a, const Reciprocal *d) {
    u128 p0 = (u128)a * d->inverse[0], p1 = (u128)a * d->inverse[1] + hi64(p0), p2 = (u128)a * d->inverse[2] + hi64(p1);
    x[0] = lo64(p0);
    x[1] = lo64(p1);
    x[2] = lo64(p2);
    x[3] = hi64(p2);
}

/* q (4 limbs) = floor(a * 2**128 / d), which must be below 2**256. */
static inline void div_x128(u64 *q, u128 a, const Reciprocal *d) {
    u64 x[4];
    mul_inverse(x, lo64(a), d);
    /* The quotient is one more only where what x lacks carries into it. */
    if (UNLIKELY(hi64(a) != 0 || x[0] + lo64(a) < lo64(a))) {
        div_shifted(q, a, 128, &d->divisor);
        return;
    }
    q[0] = x[1];
    q[1] = x[2];
    q[2] = x[3];
    q[3] = 0;
}

/* floor(a * 2**96 / d), which must be below 2**128. */
static inline u128 div_x96(u128 *rest, u128 a, const Reciprocal *d) {
    u64 x[4];
    if (UNLIKELY(hi64(a) != 0 || d->divisor.shift == 0)) {
        *rest = div_shifted(x, a, 96, &d->divisor);
        return make128(x[1], x[0]);
    }
    mul_inverse(x, lo64(a), d);
    u128 q = make128(x[2] >> 32 | x[3] << 32, x[1] >> 32 | x[2] << 32), left = (a << 96) - q * d->value;
    if (UNLIKELY(left >= d->value)) { /* d has a bit to spare, so there is no doubt about it */
        q++;
        left -= d->value;
    }
    *rest = left;
    return q;
}

/* --- Six limbs by four, quotient of two ------------------------------------------------------------------------------ */

/* One digit of (high, n2, low) / (d_high, d_low): high and low have two limbs, d is normalised, the numerator is below
 * d * 2**64. *high, *low become the remainder. */
static inline u64 div_digit(u128 *high, u64 n2, u128 *low, u128 d_high, u128 d_low, u64 inverse) {
    u128 rem = *high;
    u64 q, carry = 0;
    if (UNLIKELY(rem >= d_high)) {
        /* Equal, since the numerator is below d * 2**64: the digit is 2**64 - 1 or less, and leaves d_high + n2. */
        q = ~(u64)0;
        rem = d_high + n2;
        carry = rem < d_high;
    } else {
        q = div_3by2(&rem, n2, hi64(d_high), lo64(d_high), inverse);
    }
    u128 p0 = (u128)q * lo64(d_low), p1 = (u128)q * hi64(d_low) + hi64(p0);
    u128 product = make128(lo64(p1), lo64(p0)), take = (u128)hi64(p1) + (*low < product);
    u64 borrow = rem < take;
    *low -= product;
    *high = rem - take;
    while (UNLIKELY(borrow > carry)) {
        *low += d_low;
        u128 give = *low < d_low, sum = *high + d_high;
        u64 c = (u64)(sum < d_high) | (u64)(sum + give < sum);
        *high = sum + give;
        q--;
        borrow -= c;
    }
    return q;
}

/* One digit, the quotient being below 2**64, by one division: of (n4 .. n0) by a normalised d with n4 < d's top limb.
 * An estimate by the top limb alone is 2 too large at most, and seldom is. */
static inline u64 div_one_digit(u256 *rest, const u64 *n, u128 d_high, u128 d_low) {
    u64 unused, q = div_2by1(n[4], n[3], hi64(d_high), &unused);
    u128 p0 = (u128)q * lo64(d_low), p1 = (u128)q * hi64(d_low) + hi64(p0);
    u128 p2 = (u128)q * lo64(d_high) + hi64(p1), p3 = (u128)q * hi64(d_high) + hi64(p2);
    u128 low = make128(n[1], n[0]), high = make128(n[3], n[2]);
    u128 product_low = make128(lo64(p1), lo64(p0)), product_high = make128(lo64(p3), lo64(p2));
    u128 borrow = low < product_low, whole = high - product_high;
    u64 owed = hi64(p3) - n[4] + (u64)(high < product_high) + (u64)(whole < borrow);
    low -= product_low;
    high = whole - borrow;
    while (UNLIKELY(owed != 0)) {
        low += d_low;
        u128 give = low < d_low, sum = high + d_high;
        owed -= (u64)(sum < d_high) | (u64)(sum + give < sum);
        high = sum + give;
        q--;
    }
    *rest = u256_pair(high, low);
    return q;
}

/* *q = floor(n / d), n of 6 limbs and d of 4, not 0. Returns false, with nothing promised, when the quotient needs more
 * than two limbs. `rest` becomes the remainder times 2**shift, of which the shift is returned through `shift`. */
static inline bool div_6by4(u128 *q, u256 *rest, int *shift, const u64 *n, const u64 *d) {
    u64 n0 = n[0], n1 = n[1], n2 = n[2], n3 = n[3], n4 = n[4], n5 = n[5];
    u64 d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
    *shift = 0;
    while (d3 == 0) {
        if (n5 != 0) return false;
        n5 = n4, n4 = n3, n3 = n2, n2 = n1, n1 = n0, n0 = 0;
        d3 = d2, d2 = d1, d1 = d0, d0 = 0;
        *shift += 64;
    }
    int bits = __builtin_clzll(d3);
    if (n5 >> 1 >> (63 - bits) != 0) return false;
    *shift += bits;
    u128 d_high = make128(shift_pair(d3, d2, bits), shift_pair(d2, d1, bits));
    u128 d_low = make128(shift_pair(d1, d0, bits), d0 << bits);
    u128 high = make128(shift_pair(n5, n4, bits), shift_pair(n4, n3, bits));
    u64 third = shift_pair(n3, n2, bits), fourth = shift_pair(n2, n1, bits);
    u64 fifth = shift_pair(n1, n0, bits), sixth = n0 << bits;
    if (hi64(high) == 0 && lo64(high) < hi64(d_high)) {
        u64 digits[5] = {sixth, fifth, fourth, third, lo64(high)};
        *q = div_one_digit(rest, digits, d_high, d_low);
        return true;
    }
    if (high > d_high || UNLIKELY(high == d_high && make128(third, fourth) >= d_low)) return false;
    u64 inverse = inverse_of(hi64(d_high), lo64(d_high));
    u128 low = make128(fourth, fifth);
    u64 first = div_digit(&high, third, &low, d_high, d_low, inverse);
    third = hi64(low);
    low = make128(lo64(low), sixth);
    u64 second = div_digit(&high, third, &low, d_high, d_low, inverse);
    *q = make128(first, second);
    *rest = u256_pair(high, low);
    return true;
}

/* a (4 limbs) >> shift, shift < 256 */
static inline void shift_right(u64 *a, int shift) {
    for (; shift >= 64; shift -= 64) a[0] = a[1], a[1] = a[2], a[2] = a[3], a[3] = 0;
    for (int i = 0; i < 3; i++) a[i] = a[i] >> shift | a[i + 1] << 1 << (63 - shift);
    a[3] >>= shift;
}
#endif
