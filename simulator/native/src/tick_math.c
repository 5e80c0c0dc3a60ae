#include "tick_math.h"

#include <math.h>

const Price MIN_SQRT_RATIO = {{4295128739u, 0, 0}};
const Price MAX_SQRT_RATIO = {{0x5D951D5263988D26u, 0xEFD1FC6A50648849u, 0xFFFD8963u}};

/* sqrt(1.0001)**-(2**i) as Q128: what bit i of |tick| multiplies the ratio by. */
static const u64 FACTORS[20][2] = {
    {0xFFFCB933BD6FAD37u, 0xAA2D162D1A594001u}, {0xFFF97272373D4132u, 0x59A46990580E213Au},
    {0xFFF2E50F5F656932u, 0xEF12357CF3C7FDCCu}, {0xFFE5CACA7E10E4E6u, 0x1C3624EAA0941CD0u},
    {0xFFCB9843D60F6159u, 0xC9DB58835C926644u}, {0xFF973B41FA98C081u, 0x472E6896DFB254C0u},
    {0xFF2EA16466C96A38u, 0x43EC78B326B52861u}, {0xFE5DEE046A99A2A8u, 0x11C461F1969C3053u},
    {0xFCBE86C7900A88AEu, 0xDCFFC83B479AA3A4u}, {0xF987A7253AC41317u, 0x6F2B074CF7815E54u},
    {0xF3392B0822B70005u, 0x940C7A398E4B70F3u}, {0xE7159475A2C29B74u, 0x43B29C7FA6E889D9u},
    {0xD097F3BDFD2022B8u, 0x845AD8F792AA5825u}, {0xA9F746462D870FDFu, 0x8A65DC1F90E061E5u},
    {0x70D869A156D2A1B8u, 0x90BB3DF62BAF32F7u}, {0x31BE135F97D08FD9u, 0x81231505542FCFA6u},
    {0x09AA508B5B7A84E1u, 0xC677DE54F3E99BC9u}, {0x005D6AF8DEDB8119u, 0x6699C329225EE604u},
    {0x00002216E584F5FAu, 0x1EA926041BEDFE98u}, {0x00000000048A1703u, 0x91F7DC42444E8FA2u},
};

/* The product of the factors of the ten lowest bits, by the contract's order and rounding; entry 0, one, does not fit. */
enum { LOW_BITS = 10, LOW_COUNT = 1 << LOW_BITS };
static u128 low_products[LOW_COUNT];

/* For a mantissa from 1 to 2, by its first bits: of a value near, the reciprocal and the ticks. */
enum { LOG_BITS = 8, LOG_COUNT = 1 << LOG_BITS };
static struct {
    double scale, ticks; /* the reciprocal over 2**62 */
} logarithms[LOG_COUNT];
static const double TICKS_PER_OCTAVE = 13863.636746827591; /* 1 / log2(sqrt(1.0001)) */
static const double TICKS_PER_E = 20000.999983334167;       /* 1 / ln(sqrt(1.0001)) */

static u128 factor(int bit) { return make128(FACTORS[bit][0], FACTORS[bit][1]); }

static u128 mul_high(u128 a, u128 b) {
    u64 r[4];
    mul_2x2(r, a, b);
    return make128(r[3], r[2]);
}

void tick_math_prepare(void) {
    for (int i = 1; i < LOW_COUNT; i++) {
        int top = 31 - __builtin_clz((unsigned)i), rest = i - (1 << top);
        low_products[i] = rest ? mul_high(low_products[rest], factor(top)) : factor(top);
    }
    for (int i = 0; i < LOG_COUNT; i++) {
        double near = 1 + (i + 0.5) / LOG_COUNT;
        logarithms[i].scale = 0x1p-62 / near;
        logarithms[i].ticks = log2(near) * TICKS_PER_OCTAVE;
    }
}

Price sqrt_ratio_at_tick(int32_t tick) {
    uint32_t magnitude = (uint32_t)(tick < 0 ? -tick : tick);
    if (magnitude == 0) return (Price){{0, (u64)1 << 32, 0}};
    u128 ratio = low_products[magnitude & (LOW_COUNT - 1)];
    for (uint32_t rest = magnitude >> LOW_BITS; rest != 0; rest &= rest - 1) {
        u128 f = factor(LOW_BITS + __builtin_ctz(rest));
        ratio = ratio == 0 ? f : mul_high(ratio, f);
    }
    u64 x[5] = {lo64(ratio), hi64(ratio), 0, 0, 0};
    if (tick > 0) {
        /* 2**256 - 1 over the ratio, which is at least 2**63: a quotient of four limbs at most. */
        Divisor d = divisor_of(ratio);
        u128 rem = d.shift ? (((u128)1 << d.shift) - 1) : 0;
        u64 low = ~(u64)0 << (d.shift & 63);
        u64 digits[4] = {d.shift >= 64 ? 0 : low, d.shift >= 64 ? low : ~(u64)0, ~(u64)0, ~(u64)0};
        for (int i = 3; i >= 0; i--) x[i] = div_3by2(&rem, digits[i], d.d1, d.d0, d.inverse);
    }
    u64 carry = add_to(&x[0], x[0], 0xFFFFFFFFu, 0);
    for (int i = 1; i < 5; i++) carry = add_to(&x[i], x[i], 0, carry);
    Price price;
    for (int i = 0; i < 3; i++) price.w[i] = x[i] >> 32 | x[i + 1] << 32;
    return price;
}

/* How many ticks head / 2**63 is, for head >= 2**63, to 1e-9: with |r| <= 2**-9 the series' next term is below 2**-47. */
static inline double ticks_of(u64 head) {
    int i = (int)(head << 1 >> (64 - LOG_BITS));
    double r = (double)(int64_t)(head >> 1) * logarithms[i].scale - 1;
    double r2 = r * r;
    return logarithms[i].ticks + TICKS_PER_E * (r + r2 * (r * (1.0 / 3) - 0.5 - r2 * 0.25));
}

/* The logarithm places the price among the ticks with an error below 1e-7 of a tick. Only the ratios' own rounding is
 * coarser, where prices have few digits: there, as near a tick, the exact ratio decides. */
int32_t tick_at_sqrt_ratio(const Price *price) {
    int top = price->w[2] ? 2 : price->w[1] ? 1 : 0;
    int zeros = __builtin_clzll(price->w[top]);
    u64 head = price->w[top] << zeros;
    if (top) head |= price->w[top - 1] >> 1 >> (63 - zeros);
    double position = ticks_of(head) + (double)(top * 64 + 63 - zeros - 96) * TICKS_PER_OCTAVE;
    int32_t tick = (int32_t)(position + 1048576) - 1048576; /* floor, since the sum is above 0 */
    double above = position - tick;
    if (LIKELY(top > 0 && above > 1e-6 && above < 1 - 1e-6)) return tick;
    if (tick < MIN_TICK) tick = MIN_TICK;
    if (tick > MAX_TICK - 1) tick = MAX_TICK - 1;
    for (;;) {
        Price ratio = sqrt_ratio_at_tick(tick);
        if (price_lt(price, &ratio)) {
            tick--;
            continue;
        }
        if (tick == MAX_TICK - 1) return tick;
        ratio = sqrt_ratio_at_tick(tick + 1);
        if (price_lt(price, &ratio)) return tick;
        tick++;
    }
}
