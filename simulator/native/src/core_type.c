#include "core_type.h"

bool core_is_free(const Core *core) {
    if (!core->is_busy) return true;
    raise_simulation_error("the pool is in a batch that is still running");
    return false;
}

static bool read_attribute(PyObject *object, const char *name, long long low, long long high, uint32_t *r) {
    long long x;
    PyObject *value = PyObject_GetAttrString(object, name);
    bool is_read = value != NULL && read_long(value, low, high, &x);
    Py_XDECREF(value);
    if (is_read) *r = (uint32_t)x;
    return is_read;
}

/* Two settings share 32 bits, and a product of one with 96 bits stays below 2**128. */
static bool read_policy(PyObject *object, FeePolicy *policy) {
    return read_attribute(object, "half_bits", 1, 16, &policy->half_bits) &&
           read_attribute(object, "denominator", 0, UINT32_MAX, &policy->denominator);
}

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fee_pips", "tick_spacing", "fee_policy", NULL};
    PyObject *fee_object, *spacing_object, *policy_object = NULL;
    FeePolicy policy = {4, 0};
    long long fee, spacing;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O", names, &fee_object, &spacing_object, &policy_object)) return NULL;
    if (policy_object != NULL && !read_policy(policy_object, &policy)) return NULL;
    if (!read_long(fee_object, 0, PIPS - 1, &fee)) return NULL;
    /* Wider spacings have no usable tick but 0, and would overflow the arithmetic of bitmap words. */
    if (!read_long(spacing_object, 1, MAX_TICK, &spacing)) return NULL;
    Core *core = (Core *)type->tp_alloc(type, 0);
    if (core == NULL) return NULL;
    core->is_made = pool_init(&core->pool, (uint32_t)fee, (int32_t)spacing, policy);
    if (core->is_made) return (PyObject *)core;
    Py_DECREF(core);
    return PyErr_NoMemory();
}

static void core_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    Core *core = (Core *)self;
    if (core->is_made) pool_free(&core->pool);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *core_copy(PyObject *self, PyObject *unused) {
    (void)unused;
    Core *core = (Core *)self;
    if (!core_is_free(core)) return NULL;
    Core *twin = (Core *)Py_TYPE(self)->tp_alloc(Py_TYPE(self), 0);
    if (twin == NULL) return NULL;
    twin->is_made = pool_copy(&twin->pool, &core->pool);
    if (twin->is_made) return (PyObject *)twin;
    Py_DECREF(twin);
    return PyErr_NoMemory();
}

static PyObject *core_initialize(PyObject *self, PyObject *value) {
    Core *core = (Core *)self;
    Price price;
    if (!core_is_free(core) || !read_price(value, &price)) return NULL;
    Status status = pool_initialize(&core->pool, &price);
    if (status != OK) return raise_status(status);
    Py_RETURN_NONE;
}

/* --- Swaps ----------------------------------------------------------------------------------------------------------- */

typedef Status (*SwapVerb)(Pool *, Outcome *, Scratch *, bool, const u256 *, const Price *);

static bool swap_with(PyObject *self, PyObject *const *args, Py_ssize_t count, SwapVerb verb, Outcome *outcome) {
    Core *core = (Core *)self;
    Scratch scratch;
    Price limit;
    u256 amount;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "zero_for_one, amount_specified and sqrt_price_limit_x96 are wanted");
        return false;
    }
    bool zero_for_one;
    if (!read_bool(args[0], &zero_for_one) || !core_is_free(core) || !read_signed(args[1], amount.w, 4, 256)) return false;
    if (args[2] != Py_None && !read_price(args[2], &limit)) return false;
    scratch_init(&scratch);
    Status status = verb(&core->pool, outcome, &scratch, zero_for_one, &amount, args[2] == Py_None ? NULL : &limit);
    scratch_free(&scratch);
    if (status != OK) raise_status(status);
    return status == OK;
}

PyObject *tuple_of(Py_ssize_t count, PyObject **items) {
    PyObject *tuple = PyTuple_New(count);
    bool is_whole = tuple != NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        is_whole = is_whole && items[i] != NULL;
        if (tuple != NULL)
            PyTuple_SET_ITEM(tuple, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    if (is_whole) return tuple;
    Py_XDECREF(tuple);
    return NULL;
}

static PyObject *core_swap(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Outcome o;
    if (!swap_with(self, args, count, pool_swap, &o)) return NULL;
    PyObject *items[] = {long_of(o.amount[0].w, 4, true), long_of(o.amount[1].w, 4, true)};
    return tuple_of(2, items);
}

static PyObject *core_quote(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Outcome o;
    if (!swap_with(self, args, count, pool_quote, &o)) return NULL;
    PyObject *items[] = {long_of(o.amount[0].w, 4, true), long_of(o.amount[1].w, 4, true), long_of(o.price.w, 3, false),
                         PyLong_FromLong(o.tick), long_of_u128(o.liquidity)};
    return tuple_of(5, items);
}

/* --- Liquidity ------------------------------------------------------------------------------------------------------- */

bool read_position(PyObject *tuple, Position *position) {
    u128 owed[2];
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != 5) {
        PyErr_SetString(PyExc_TypeError, "a position is a tuple of five");
        return false;
    }
    if (!read_u128(PyTuple_GET_ITEM(tuple, 0), &position->liquidity)) return false;
    for (int i = 0; i < 2; i++) {
        if (!read_unsigned(PyTuple_GET_ITEM(tuple, 1 + i), position->growth_inside_last[i].w, 4, 256)) return false;
        if (!read_u128(PyTuple_GET_ITEM(tuple, 3 + i), &owed[i])) return false;
    }
    memcpy(position->tokens_owed, owed, sizeof owed);
    return true;
}

static PyObject *tuple_of_position(const Position *p) {
    PyObject *items[] = {long_of_u128(p->liquidity), long_of(p->growth_inside_last[0].w, 4, false),
                         long_of(p->growth_inside_last[1].w, 4, false), long_of_u128(p->tokens_owed[0]),
                         long_of_u128(p->tokens_owed[1])};
    return tuple_of(5, items);
}

/* (tick_lower, tick_upper, liquidity_delta, position or None, settles) -> (amount0, amount1, position or None) */
static PyObject *core_change_liquidity(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Core *core = (Core *)self;
    int32_t lower, upper;
    i128 delta;
    Position position;
    u256 amounts[2];
    if (count != 5) {
        PyErr_SetString(PyExc_TypeError, "five arguments are wanted");
        return NULL;
    }
    if (!core_is_free(core) || !read_tick(args[0], &lower) || !read_tick(args[1], &upper)) return NULL;
    if (!read_i128(args[2], &delta)) return NULL;
    bool is_owned = args[3] != Py_None;
    if (is_owned && !read_position(args[3], &position)) return NULL;
    Status status = pool_change_liquidity(&core->pool, lower, upper, delta, is_owned ? &position : NULL,
                                          args[4] == Py_True, amounts);
    if (status != OK) return raise_status(status);
    PyObject *items[] = {long_of(amounts[0].w, 4, true), long_of(amounts[1].w, 4, true),
                         is_owned ? tuple_of_position(&position) : Py_NewRef(Py_None)};
    return tuple_of(3, items);
}

static bool read_observation(PyObject *item, Observation *o) {
    PyObject *time, *cumulative, *seconds_per_liquidity;
    long long t, x;
    int initialized;
    memset(o, 0, sizeof *o);
    if (!PyArg_ParseTuple(item, "OOOp", &time, &cumulative, &seconds_per_liquidity, &initialized)) return false;
    if (!read_long(time, 0, UINT32_MAX, &t) || !read_price(seconds_per_liquidity, &o->seconds_per_liquidity_cumulative) ||
        !read_long(cumulative, -((long long)1 << 55), ((long long)1 << 55) - 1, &x))
        return false;
    o->timestamp = (uint32_t)t;
    o->tick_cumulative = x;
    o->initialized = initialized;
    return true;
}

/* (index, cardinality, cardinality_next, list of slots): the oracle of a pool that travelled. */
static PyObject *core_set_oracle(PyObject *self, PyObject *args) {
    static const Observation empty = {0};
    Core *core = (Core *)self;
    int index, cardinality, next;
    PyObject *list;
    if (!core_is_free(core) || !PyArg_ParseTuple(args, "iiiO!", &index, &cardinality, &next, &PyList_Type, &list)) return NULL;
    Py_ssize_t count = PyList_GET_SIZE(list);
    if (index < 0 || cardinality < 0 || next < cardinality || next > 65535 || count != next ||
        (index >= cardinality && index != 0) || core->pool.ring->count != 0)
        return raise_simulation_error("the oracle does not agree with itself");
    if (!ring_own(&core->pool.ring, (uint32_t)count, &empty)) return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (!read_observation(PyList_GET_ITEM(list, i), &core->pool.ring->slots[i])) return NULL;
    }
    core->pool.observation_index = (uint32_t)index;
    core->pool.cardinality = (uint32_t)cardinality;
    core->pool.cardinality_next = (uint32_t)next;
    Py_RETURN_NONE;
}

static PyObject *core_growth_inside(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Core *core = (Core *)self;
    int32_t lower, upper;
    u256 inside[2];
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "tick_lower and tick_upper are wanted");
        return NULL;
    }
    if (!core_is_free(core) || !read_tick(args[0], &lower) || !read_tick(args[1], &upper)) return NULL;
    pool_growth_inside(&core->pool, lower, upper, inside);
    PyObject *items[] = {long_of(inside[0].w, 4, false), long_of(inside[1].w, 4, false)};
    return tuple_of(2, items);
}

/* --- Ticks and observations ------------------------------------------------------------------------------------------ */

static PyObject *tuple_of_tick(const Tick *t) {
    PyObject *items[] = {long_of_u128(t->liquidity_gross),
                         long_of_i128(t->liquidity_net),
                         long_of(t->fee_growth_outside[0].w, 4, false),
                         long_of(t->fee_growth_outside[1].w, 4, false),
                         PyLong_FromLongLong(t->tick_cumulative_outside),
                         long_of(t->seconds_per_liquidity_outside.w, 3, false),
                         PyLong_FromUnsignedLong(t->seconds_outside),
                         Py_NewRef(Py_True)};
    return tuple_of(8, items);
}

static PyObject *core_tick(PyObject *self, PyObject *number) {
    Core *core = (Core *)self;
    int32_t tick;
    if (!core_is_free(core) || !read_tick(number, &tick)) return NULL;
    int32_t index = table_floor(&core->pool.table, tick);
    if (index < 0 || core->pool.table.order->ticks[index] != tick) Py_RETURN_NONE;
    return tuple_of_tick(table_at(&core->pool.table, index));
}

static PyObject *core_tick_numbers(PyObject *self, PyObject *unused) {
    (void)unused;
    Core *core = (Core *)self;
    if (!core_is_free(core)) return NULL;
    const Order *order = core->pool.table.order;
    PyObject *list = PyList_New(order->count);
    for (int32_t i = 0; list != NULL && i < order->count; i++) {
        PyObject *number = PyLong_FromLong(order->ticks[i]);
        if (number == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, number);
    }
    return list;
}

static bool read_tick_state(PyObject *item, Tick *tick) {
    PyObject *number, *gross, *net, *outside0, *outside1, *cumulative, *seconds_per_liquidity, *seconds;
    long long x, s;
    memset(tick, 0, sizeof *tick);
    if (!PyArg_ParseTuple(item, "OOOOOOOO", &number, &gross, &net, &outside0, &outside1, &cumulative,
                          &seconds_per_liquidity, &seconds))
        return false;
    if (!read_tick(number, &tick->tick) || !read_u128(gross, &tick->liquidity_gross) ||
        !read_i128(net, &tick->liquidity_net) || !read_unsigned(outside0, tick->fee_growth_outside[0].w, 4, 256) ||
        !read_unsigned(outside1, tick->fee_growth_outside[1].w, 4, 256) ||
        !read_price(seconds_per_liquidity, &tick->seconds_per_liquidity_outside) ||
        !read_long(cumulative, -((long long)1 << 55), ((long long)1 << 55) - 1, &x) || !read_long(seconds, 0, UINT32_MAX, &s))
        return false;
    tick->tick_cumulative_outside = x;
    tick->seconds_outside = (uint32_t)s;
    return true;
}

/* Take ticks, a list ascending of (tick, the seven fields of TickInfo that vary), into a pool without any. */
static PyObject *core_set_ticks(PyObject *self, PyObject *list) {
    Core *core = (Core *)self;
    if (!core_is_free(core)) return NULL;
    if (!PyList_Check(list) || core->pool.table.order->count != 0) return raise_simulation_error("ticks are set once");
    Py_ssize_t count = PyList_GET_SIZE(list);
    Tick *ticks = PyMem_Calloc(count ? (size_t)count : 1, sizeof *ticks);
    bool is_read = ticks != NULL;
    if (!is_read) PyErr_NoMemory();
    for (Py_ssize_t i = 0; is_read && i < count; i++) is_read = read_tick_state(PyList_GET_ITEM(list, i), &ticks[i]);
    if (is_read && !pool_set_ticks(&core->pool, ticks, (uint32_t)count)) {
        PyErr_NoMemory();
        is_read = false;
    }
    PyMem_Free(ticks);
    if (!is_read) return NULL;
    Py_RETURN_NONE;
}

static PyObject *core_observations(PyObject *self, PyObject *unused) {
    (void)unused;
    Core *core = (Core *)self;
    if (!core_is_free(core)) return NULL;
    const Ring *ring = core->pool.ring;
    PyObject *list = PyList_New(ring->count);
    for (uint32_t i = 0; list != NULL && i < ring->count; i++) {
        const Observation *o = &ring->slots[i];
        PyObject *items[] = {PyLong_FromUnsignedLong(o->timestamp), PyLong_FromLongLong(o->tick_cumulative),
                             long_of(o->seconds_per_liquidity_cumulative.w, 3, false), PyBool_FromLong(o->initialized)};
        PyObject *tuple = tuple_of(4, items);
        if (tuple == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, tuple);
    }
    return list;
}

static PyObject *core_grow(PyObject *self, PyObject *value) {
    Core *core = (Core *)self;
    long long next;
    if (!core_is_free(core) || !read_long(value, 0, 65535, &next)) return NULL;
    Status status = pool_grow(&core->pool, (uint32_t)next);
    if (status != OK) return raise_status(status);
    Py_RETURN_NONE;
}

static PyObject *core_sizeof(PyObject *self, PyObject *unused) {
    (void)unused;
    Core *core = (Core *)self;
    if (!core_is_free(core)) return NULL;
    return PyLong_FromSize_t(sizeof(Core) - sizeof(Pool) + pool_own_bytes(&core->pool));
}

#define FAST(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef core_methods[] = {
    {"_copy", core_copy, METH_NOARGS, NULL},
    {"initialize", core_initialize, METH_O, NULL},
    {"swap", FAST(core_swap), METH_FASTCALL, NULL},
    {"_quote", FAST(core_quote), METH_FASTCALL, NULL},
    {"_change_liquidity", FAST(core_change_liquidity), METH_FASTCALL, NULL},
    {"fee_growth_inside", FAST(core_growth_inside), METH_FASTCALL, NULL},
    {"_tick", core_tick, METH_O, NULL},
    {"_tick_numbers", core_tick_numbers, METH_NOARGS, NULL},
    {"_set_ticks", core_set_ticks, METH_O, NULL},
    {"_observations", core_observations, METH_NOARGS, NULL},
    {"_grow", core_grow, METH_O, NULL},
    {"_set_oracle", core_set_oracle, METH_VARARGS, NULL},
    {"__sizeof__", core_sizeof, METH_NOARGS, "Memory this pool shares with no copy of it, in bytes."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot core_slots[] = {
    {Py_tp_new, (void *)core_new}, {Py_tp_dealloc, (void *)core_dealloc}, {Py_tp_methods, core_methods},
    {Py_tp_getset, core_fields},   {Py_tp_doc, "A pool's storage."},      {0, NULL},
};

static PyType_Spec core_spec = {
    .name = "simulator.native._core.Core",
    .basicsize = sizeof(Core),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = core_slots,
};

PyObject *core_type_new(void) { return PyType_FromSpec(&core_spec); }
