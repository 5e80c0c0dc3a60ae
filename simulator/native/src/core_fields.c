/* The pool's storage as attributes: every one may be read, and set as a test hook or a trial would. */
#include "core_type.h"

typedef enum { FIELD_U128, FIELD_U256, FIELD_PRICE, FIELD_BALANCE, FIELD_U32, FIELD_TICK, FIELD_TIME, FIELD_BOOL } Kind;

typedef struct {
    Kind kind;
    size_t offset;
    long long most; /* of FIELD_U32 */
} Field;

#define AT(member) offsetof(Core, pool.member)

static PyObject *get_field(PyObject *self, void *closure) {
    const Field *field = closure;
    const char *at = (const char *)self + field->offset;
    if (!core_is_free((Core *)self)) return NULL;
    switch (field->kind) {
        case FIELD_U128: {
            u128 x;
            memcpy(&x, at, sizeof x);
            return long_of_u128(x);
        }
        case FIELD_U256: return long_of((const u64 *)(const void *)at, 4, false);
        case FIELD_PRICE: return long_of((const u64 *)(const void *)at, 3, false);
        case FIELD_BALANCE: return long_of((const u64 *)(const void *)at, 4, !((Core *)self)->pool.knows_balances);
        case FIELD_U32: return PyLong_FromUnsignedLong(*(const uint32_t *)(const void *)at);
        case FIELD_TICK: return PyLong_FromLong(*(const int32_t *)(const void *)at);
        case FIELD_TIME: return PyLong_FromUnsignedLongLong(*(const u64 *)(const void *)at);
        default: return PyBool_FromLong(*(const bool *)at);
    }
}

static bool set_wide(Core *core, const Field *field, PyObject *value, char *at) {
    u64 limbs[4] = {0};
    u128 x;
    switch (field->kind) {
        case FIELD_U128:
            if (!read_u128(value, &x)) return false;
            memcpy(at, &x, sizeof x);
            return true;
        case FIELD_PRICE:
            if (!read_unsigned(value, limbs, 3, 160)) return false;
            memcpy(at, limbs, sizeof(Price));
            return true;
        default:
            if (field->kind == FIELD_BALANCE && !core->pool.knows_balances) {
                if (!read_signed(value, limbs, 4, 256)) return false;
            } else if (!read_unsigned(value, limbs, 4, 256)) {
                return false;
            }
            memcpy(at, limbs, sizeof limbs);
            return true;
    }
}

static int set_field(PyObject *self, PyObject *value, void *closure) {
    const Field *field = closure;
    Core *core = (Core *)self;
    char *at = (char *)self + field->offset;
    long long x = 0;
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a pool's field cannot be deleted");
        return -1;
    }
    if (!core_is_free(core)) return -1;
    switch (field->kind) {
        case FIELD_U32:
            if (!read_long(value, 0, field->most, &x)) return -1;
            *(uint32_t *)(void *)at = (uint32_t)x;
            return 0;
        case FIELD_TICK:
            if (!read_long(value, MIN_TICK - 1, MAX_TICK, &x)) return -1;
            *(int32_t *)(void *)at = (int32_t)x;
            pool_refresh(&core->pool);
            return 0;
        case FIELD_TIME:
            return read_unsigned(value, (u64 *)(void *)at, 1, 64) ? 0 : -1;
        case FIELD_BOOL:
            *(bool *)at = PyObject_IsTrue(value) == 1;
            return 0;
        default: return set_wide(core, field, value, at) ? 0 : -1;
    }
}

static Field PRICE = {FIELD_PRICE, AT(price), 0}, TICK = {FIELD_TICK, AT(tick), 0};
static Field LIQUIDITY_FIELD = {FIELD_U128, AT(liquidity), 0}, TIME = {FIELD_TIME, AT(timestamp), 0};
static Field GROWTH0 = {FIELD_U256, AT(growth[0]), 0}, GROWTH1 = {FIELD_U256, AT(growth[1]), 0};
static Field FEES0 = {FIELD_U128, AT(protocol_fees[0]), 0}, FEES1 = {FIELD_U128, AT(protocol_fees[1]), 0};
static Field FEE = {FIELD_U32, AT(fee_pips), PIPS - 1}, FEE_PROTOCOL = {FIELD_U32, AT(fee_protocol), UINT32_MAX};
static Field BALANCE0 = {FIELD_BALANCE, AT(balance[0]), 0}, BALANCE1 = {FIELD_BALANCE, AT(balance[1]), 0};
static Field INDEX = {FIELD_U32, AT(observation_index), 65535}, CARDINALITY = {FIELD_U32, AT(cardinality), 65535};
static Field CARDINALITY_NEXT = {FIELD_U32, AT(cardinality_next), 65535};
static Field SPACING = {FIELD_TICK, AT(tick_spacing), 0}, MOST = {FIELD_U128, AT(max_liquidity_per_tick), 0};
static Field KNOWS = {FIELD_BOOL, AT(knows_balances), 0};

PyGetSetDef core_fields[] = {
    {"sqrt_price_x96", get_field, set_field, NULL, &PRICE},
    {"tick", get_field, set_field, NULL, &TICK},
    {"liquidity", get_field, set_field, NULL, &LIQUIDITY_FIELD},
    {"timestamp", get_field, set_field, NULL, &TIME},
    {"fee_growth_global_0_x128", get_field, set_field, NULL, &GROWTH0},
    {"fee_growth_global_1_x128", get_field, set_field, NULL, &GROWTH1},
    {"protocol_fees_0", get_field, set_field, NULL, &FEES0},
    {"protocol_fees_1", get_field, set_field, NULL, &FEES1},
    {"fee_pips", get_field, set_field, NULL, &FEE},
    {"fee_protocol", get_field, set_field, NULL, &FEE_PROTOCOL},
    {"balance0", get_field, set_field, NULL, &BALANCE0},
    {"balance1", get_field, set_field, NULL, &BALANCE1},
    {"observation_index", get_field, NULL, NULL, &INDEX},
    {"observation_cardinality", get_field, NULL, NULL, &CARDINALITY},
    {"observation_cardinality_next", get_field, NULL, NULL, &CARDINALITY_NEXT},
    {"tick_spacing", get_field, NULL, NULL, &SPACING},
    {"max_liquidity_per_tick", get_field, NULL, NULL, &MOST},
    {"knows_balances", get_field, set_field, NULL, &KNOWS},
    {NULL, NULL, NULL, NULL, NULL},
};
