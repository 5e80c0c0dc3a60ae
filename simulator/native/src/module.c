/* The extension module: the pool's type, events packed into bytes, and batches. */
#include "batch.h"
#include "core_type.h"

/* PyType_FromSpec aligns objects to what malloc gives; __int128 needs 16. */
_Static_assert(_Alignof(Core) <= 16, "objects are aligned to 16 bytes");

static PyTypeObject *core_type;

static bool pack_swap(Event *event, PyObject *amount, PyObject *limit) {
    if (!read_signed(amount, event->amount.w, 4, 256)) return false;
    event->has_limit = limit != Py_None;
    return !event->has_limit || read_price(limit, &event->limit);
}

static bool pack_liquidity(Event *event, PyObject *lower, PyObject *upper, PyObject *delta) {
    i128 x;
    if (!read_tick(lower, &event->lower) || !read_tick(upper, &event->upper) || !read_i128(delta, &x)) return false;
    event->amount = u256_of((u128)x);
    return true;
}

/* (timestamp,) a clock; (timestamp, None) a mark; (timestamp, zero_for_one, amount, limit) a swap;
 * (timestamp, lower, upper, delta, None) liquidity */
static bool pack_event(Event *event, PyObject *item) {
    memset(event, 0, sizeof *event);
    if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) < 1 || !read_unsigned(PyTuple_GET_ITEM(item, 0), &event->timestamp, 1, 64)) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "an event is a tuple that begins with its time");
        return false;
    }
    switch (PyTuple_GET_SIZE(item)) {
        case 1: event->kind = CLOCK; return true;
        case 2: event->kind = MARK; return true;
        case 4: {
            bool zero_for_one;
            if (!read_bool(PyTuple_GET_ITEM(item, 1), &zero_for_one)) return false;
            event->kind = SWAP;
            event->zero_for_one = (uint8_t)zero_for_one;
            return pack_swap(event, PyTuple_GET_ITEM(item, 2), PyTuple_GET_ITEM(item, 3));
        }
        case 5:
            event->kind = LIQUIDITY;
            return pack_liquidity(event, PyTuple_GET_ITEM(item, 1), PyTuple_GET_ITEM(item, 2), PyTuple_GET_ITEM(item, 3));
        default: PyErr_SetString(PyExc_TypeError, "an event has 1, 2, 4 or 5 parts"); return false;
    }
}

static PyObject *module_pack(PyObject *module, PyObject *items) {
    (void)module;
    PyObject *fast = PySequence_Fast(items, "events are wanted"), *packed = NULL;
    if (fast == NULL) return NULL;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
    packed = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(Event));
    for (Py_ssize_t i = 0; packed != NULL && i < count; i++) {
        Event event;
        if (!pack_event(&event, PySequence_Fast_GET_ITEM(fast, i))) {
            Py_CLEAR(packed);
            break;
        }
        memcpy(PyBytes_AS_STRING(packed) + i * (Py_ssize_t)sizeof event, &event, sizeof event);
    }
    Py_DECREF(fast);
    return packed;
}

/* --- Batches --------------------------------------------------------------------------------------------------------- */

typedef struct {
    Fork *forks;
    Holding *holdings;
    Reading *readings;
    bool has_weights;
    PyObject *cores; /* a list */
    Py_ssize_t count, taken;
} Batch;

/* (tick_lower, tick_upper, the position's five) */
static bool read_holding(PyObject *item, Holding *holding) {
    PyObject *lower, *upper, *position;
    if (!PyArg_ParseTuple(item, "OOO", &lower, &upper, &position)) return false;
    if (!read_tick(lower, &holding->lower) || !read_tick(upper, &holding->upper)) return false;
    if (!read_position(position, &holding->position)) return false;
    if (holding->lower < MIN_TICK || holding->upper > MAX_TICK) {
        raise_simulation_error("a position's ticks are outside the pool's");
        return false;
    }
    holding->ratio_lower = sqrt_ratio_at_tick(holding->lower);
    holding->ratio_upper = sqrt_ratio_at_tick(holding->upper);
    return true;
}

/* For every fork (the first event that reaches it, its positions), or None. */
static bool read_watched(Batch *batch, PyObject *watched, Py_ssize_t events) {
    Py_ssize_t total = 0, at = 0, start;
    PyObject *list;
    if (watched == Py_None) return true;
    if (!PyList_Check(watched) || PyList_GET_SIZE(watched) != batch->count) {
        PyErr_SetString(PyExc_TypeError, "a start and positions are wanted for every fork");
        return false;
    }
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        if (!PyArg_ParseTuple(PyList_GET_ITEM(watched, i), "nO!", &start, &PyList_Type, &list)) return false;
        if (start < 0 || start > events) {
            raise_simulation_error("a fork starts outside its batch");
            return false;
        }
        batch->forks[i].start = (size_t)start;
        batch->forks[i].holding_count = (size_t)PyList_GET_SIZE(list);
        total += PyList_GET_SIZE(list);
    }
    batch->holdings = PyMem_Calloc(total ? (size_t)total : 1, sizeof *batch->holdings);
    if (batch->holdings == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        list = PyTuple_GET_ITEM(PyList_GET_ITEM(watched, i), 1);
        batch->forks[i].holdings = batch->holdings + at;
        for (size_t j = 0; j < batch->forks[i].holding_count; j++) {
            if (!read_holding(PyList_GET_ITEM(list, (Py_ssize_t)j), &batch->holdings[at++])) return false;
        }
    }
    return true;
}

static bool read_weight(PyObject *value, Weight *weight, int token) {
    u64 *size = weight->size[token];
    if (!read_signed(value, size, WEIGHT_LIMBS, 64 * WEIGHT_LIMBS)) return false;
    bool is_negative = size[WEIGHT_LIMBS - 1] >> 63 != 0;
    for (int i = 0; is_negative && i < WEIGHT_LIMBS; i++) size[i] = ~size[i];
    if (is_negative) wide_increment(size, WEIGHT_LIMBS);
    weight->is_negative[token] = is_negative;
    weight->limbs[token] = (uint8_t)wide_limbs(size, WEIGHT_LIMBS);
    return true;
}

/* [(for token0, for token1), ...] */
static PyObject *module_pack_weights(PyObject *module, PyObject *weights) {
    (void)module;
    if (!PyList_Check(weights)) return PyErr_Format(PyExc_TypeError, "a list of weights is wanted");
    Py_ssize_t count = PyList_GET_SIZE(weights);
    PyObject *packed = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(Weight));
    for (Py_ssize_t i = 0; packed != NULL && i < count; i++) {
        PyObject *token0, *token1;
        Weight weight;
        memset(&weight, 0, sizeof weight);
        if (!PyArg_ParseTuple(PyList_GET_ITEM(weights, i), "OO", &token0, &token1) ||
            !read_weight(token0, &weight, 0) || !read_weight(token1, &weight, 1)) {
            Py_CLEAR(packed);
            break;
        }
        memcpy(PyBytes_AS_STRING(packed) + i * (Py_ssize_t)sizeof weight, &weight, sizeof weight);
    }
    return packed;
}

static bool take_weights(Batch *batch, PyObject *packed, size_t marks) {
    if (!PyBytes_Check(packed) || (size_t)PyBytes_GET_SIZE(packed) != marks * sizeof(Weight)) {
        PyErr_SetString(PyExc_TypeError, "packed weights are wanted, for every mark");
        return false;
    }
    batch->has_weights = true;
    const Weight *first = (const Weight *)(const void *)PyBytes_AS_STRING(packed);
    for (Py_ssize_t i = 0; i < batch->count; i++) batch->forks[i].weights = first;
    return true;
}

/* For the weights of all marks, or where there are none for a reading of each. */
static bool make_room(Batch *batch, PyObject *weights, const Event *events, Py_ssize_t count) {
    size_t marks = 0;
    for (Py_ssize_t i = 0; i < count; i++) marks += events[i].kind == MARK;
    if (weights != Py_None) return take_weights(batch, weights, marks);
    batch->readings = PyMem_Calloc((size_t)batch->count * marks + 1, sizeof *batch->readings);
    if (batch->readings == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (Py_ssize_t i = 0; i < batch->count; i++) batch->forks[i].readings = batch->readings + (size_t)i * marks;
    return true;
}

/* Mark every pool as busy: nobody else may touch one while the lock is released, not even this batch a second time. */
static bool take(Batch *batch) {
    for (; batch->taken < batch->count; batch->taken++) {
        PyObject *item = PyList_GET_ITEM(batch->cores, batch->taken);
        if (!PyObject_TypeCheck(item, core_type)) {
            PyErr_SetString(PyExc_TypeError, "forks are native pools");
            return false;
        }
        Core *core = (Core *)item;
        if (core->is_busy) {
            raise_simulation_error("a pool can be in one batch only, and once");
            return false;
        }
        core->is_busy = true;
        Py_INCREF(item);
        batch->forks[batch->taken].pool = &core->pool;
    }
    return true;
}

static void release(Batch *batch) {
    for (Py_ssize_t i = 0; i < batch->taken; i++) {
        Core *core = (Core *)((char *)batch->forks[i].pool - offsetof(Core, pool));
        core->is_busy = false;
        Py_DECREF((PyObject *)core);
    }
    PyMem_Free(batch->forks);
    PyMem_Free(batch->holdings);
    PyMem_Free(batch->readings);
}

static PyObject *tuple_of_reading(const Reading *r) {
    PyObject *items[] = {long_of(r->principal[0].w, 4, false), long_of(r->principal[1].w, 4, false),
                         long_of(r->fees[0].w, 4, false),      long_of(r->fees[1].w, 4, false),
                         long_of_u128(r->own_liquidity),       long_of_u128(r->pool_liquidity)};
    return tuple_of(6, items);
}

/* (marks reached, the last reading, both sums, both liquidities of the largest share) */
static PyObject *tuple_of_sums(const Fork *fork) {
    const Sums *sums = &fork->sums;
    PyObject *items[] = {PyLong_FromSize_t(fork->reading_count),      tuple_of_reading(&sums->last),
                         long_of(sums->principal, SUM_LIMBS, true), long_of(sums->fees, SUM_LIMBS, true),
                         long_of_u128(sums->most_own),              long_of_u128(sums->most_pool)};
    return tuple_of(6, items);
}

static PyObject *list_of_readings(const Fork *fork) {
    PyObject *list = PyList_New((Py_ssize_t)fork->reading_count);
    for (size_t i = 0; list != NULL && i < fork->reading_count; i++) {
        PyObject *tuple = tuple_of_reading(&fork->readings[i]);
        if (tuple == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, (Py_ssize_t)i, tuple);
    }
    return list;
}

static PyObject *report(const Batch *batch) {
    PyObject *list = PyList_New(batch->count);
    for (Py_ssize_t i = 0; list != NULL && i < batch->count; i++) {
        const Fork *fork = &batch->forks[i];
        if (fork->status == NO_MEMORY) {
            Py_DECREF(list);
            return PyErr_NoMemory();
        }
        PyObject *readings = !batch->has_weights ? list_of_readings(fork) : tuple_of_sums(fork), *entry = NULL;
        if (readings != NULL)
            entry = Py_BuildValue("nzKN", (Py_ssize_t)fork->stopped_at,
                                  fork->status == OK ? NULL : reason_of(fork->status),
                                  (unsigned long long)fork->in_range_s, readings);
        if (entry == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, entry);
    }
    return list;
}

static bool check_buffers(const Batch *batch, Py_ssize_t events, const Py_buffer *fates, const Py_buffer *amounts) {
    bool fits = fates->len == batch->count * events;
    if (amounts->buf != NULL) {
        fits = fits && amounts->len == batch->count * events * 2 * (Py_ssize_t)sizeof(u256);
        fits = fits && (uintptr_t)amounts->buf % _Alignof(u256) == 0;
    }
    if (!fits) PyErr_SetString(PyExc_ValueError, "a buffer has the wrong size");
    return fits;
}

static void run_all(const Batch *batch, const Event *events, size_t count, uint8_t *fates, u256 *amounts) {
    for (Py_ssize_t i = 0; i < batch->count; i++) {
        size_t offset = (size_t)i * count;
        run_fork(&batch->forks[i], events, count, fates + offset, amounts == NULL ? NULL : amounts + 2 * offset);
    }
}

/* (forks, packed events, for every fork its start and positions or None, weights of every mark or None, fates buffer,
 * amounts buffer or None)
 * -> for every fork (where it stopped, reason of the revert that stopped it or None, seconds in range, a list of
 * readings or, with weights, their sums) */
static PyObject *module_run(PyObject *module, PyObject *args) {
    (void)module;
    PyObject *cores, *packed, *watched, *weights, *result = NULL;
    Py_buffer fates = {0}, amounts = {0};
    Batch batch = {0};
    if (!PyArg_ParseTuple(args, "O!SOOw*z*", &PyList_Type, &cores, &packed, &watched, &weights, &fates, &amounts))
        return NULL;
    Py_ssize_t events = PyBytes_GET_SIZE(packed) / (Py_ssize_t)sizeof(Event);
    const Event *first = (const Event *)(const void *)PyBytes_AS_STRING(packed);
    batch.cores = cores;
    batch.count = PyList_GET_SIZE(cores);
    batch.forks = PyMem_Calloc(batch.count ? (size_t)batch.count : 1, sizeof *batch.forks);
    if (batch.forks == NULL) {
        PyErr_NoMemory();
    } else if (check_buffers(&batch, events, &fates, &amounts) && read_watched(&batch, watched, events) &&
               make_room(&batch, weights, first, events) && take(&batch)) {
        Py_BEGIN_ALLOW_THREADS
        run_all(&batch, first, (size_t)events, fates.buf, amounts.buf);
        Py_END_ALLOW_THREADS
        result = report(&batch);
    }
    release(&batch);
    PyBuffer_Release(&fates);
    if (amounts.obj != NULL) PyBuffer_Release(&amounts);
    return result;
}

static PyObject *module_ratio(PyObject *module, PyObject *value) {
    (void)module;
    long long tick;
    if (!read_long(value, MIN_TICK, MAX_TICK, &tick)) return NULL;
    Price ratio = sqrt_ratio_at_tick((int32_t)tick);
    return long_of(ratio.w, 3, false);
}

static PyObject *module_tick(PyObject *module, PyObject *value) {
    (void)module;
    Price price;
    if (!read_price(value, &price)) return NULL;
    if (price_lt(&price, &MIN_SQRT_RATIO) || !price_lt(&price, &MAX_SQRT_RATIO)) return raise_status(REVERT_R);
    return PyLong_FromLong(tick_at_sqrt_ratio(&price));
}

static PyMethodDef methods[] = {
    {"pack", module_pack, METH_O, "Events as bytes."},
    {"pack_weights", module_pack_weights, METH_O, "What marks are multiplied by, as bytes."},
    {"run", module_run, METH_VARARGS, "A batch of events on many pools."},
    {"get_sqrt_ratio_at_tick", module_ratio, METH_O, "As TickMath has it."},
    {"get_tick_at_sqrt_ratio", module_tick, METH_O, "As TickMath has it."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_core", .m_doc = "The native engine.", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__core(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    tick_math_prepare();
    PyObject *type = core_type_new();
    if (type == NULL || PyModule_AddObjectRef(module, "Core", type) < 0 ||
        PyModule_AddIntConstant(module, "EVENT_BYTES", sizeof(Event)) < 0 ||
        PyModule_AddIntConstant(module, "WEIGHT_BYTES", sizeof(Weight)) < 0) {
        Py_XDECREF(type);
        Py_DECREF(module);
        return NULL;
    }
    core_type = (PyTypeObject *)type;
    return module;
}
