#include "convert.h"

/* more: a second argument, or NULL */
static PyObject *raise_named(const char *module, const char *name, const char *text, PyObject *more) {
    PyObject *type = NULL, *error = NULL, *from = PyImport_ImportModule(module);
    if (from != NULL) type = PyObject_GetAttrString(from, name);
    if (type != NULL)
        error = more == NULL ? PyObject_CallFunction(type, "s", text) : PyObject_CallFunction(type, "sO", text, more);
    if (error != NULL) PyErr_SetObject(type, error);
    Py_XDECREF(error);
    Py_XDECREF(type);
    Py_XDECREF(from);
    return NULL;
}

PyObject *raise_simulation_error(const char *message) {
    return raise_named("protocol.errors", "SimulationError", message, NULL);
}

const char *reason_of(Status status) {
    static const char *const REASONS[] = {
        [REVERT_EMPTY] = "",  [REVERT_AS] = "AS",   [REVERT_LOK] = "LOK", [REVERT_SPL] = "SPL", [REVERT_TF] = "TF",
        [REVERT_LS] = "LS",   [REVERT_LA] = "LA",   [REVERT_LO] = "LO",   [REVERT_NP] = "NP",   [REVERT_TLU] = "TLU",
        [REVERT_TLM] = "TLM", [REVERT_TUM] = "TUM", [REVERT_AI] = "AI",   [REVERT_R] = "R",     [NO_MEMORY] = NULL,
        [REVERT_SPACING] = "",
    };
    return REASONS[status];
}

static const char REVERTS[] = "simulator.math.revert";

PyObject *raise_status(Status status) {
    if (status == NO_MEMORY) return PyErr_NoMemory();
    if (status != REVERT_SPACING) return raise_named(REVERTS, "PoolRevert", reason_of(status), NULL);
    PyObject *meaning = NULL, *module = PyImport_ImportModule(REVERTS);
    if (module != NULL) meaning = PyObject_GetAttrString(module, "OFF_SPACING");
    if (meaning != NULL) raise_named(REVERTS, "PoolRevert", reason_of(status), meaning);
    Py_XDECREF(meaning);
    Py_XDECREF(module);
    return NULL;
}

/* Neither a number that passes for one, as numpy's does, nor a bool: see check_ints. */
static bool is_int(PyObject *value) {
    if (PyLong_CheckExact(value)) return true;
    PyObject *name = PyType_GetName(Py_TYPE(value));
    if (name != NULL) PyErr_Format(PyExc_TypeError, "an int is wanted, not %U", name);
    Py_XDECREF(name);
    return false;
}

static bool read_bytes(PyObject *value, u64 *limbs, int count, bool is_signed) {
    size_t size = (size_t)count * sizeof(u64);
    if (!is_int(value)) return false;
#if PY_VERSION_HEX >= 0x030D0000
    int flags = Py_ASNATIVEBYTES_LITTLE_ENDIAN;
    if (!is_signed) flags |= Py_ASNATIVEBYTES_UNSIGNED_BUFFER | Py_ASNATIVEBYTES_REJECT_NEGATIVE;
    Py_ssize_t needed = PyLong_AsNativeBytes(value, limbs, (Py_ssize_t)size, flags);
    if (needed >= 0 && needed <= (Py_ssize_t)size) return true;
#else
    if (_PyLong_AsByteArray((PyLongObject *)value, (unsigned char *)limbs, size, 1, is_signed) == 0) return true;
#endif
    if (PyErr_Occurred() && !PyErr_ExceptionMatches(PyExc_OverflowError) && !PyErr_ExceptionMatches(PyExc_ValueError))
        return false;
    PyErr_Clear();
    raise_simulation_error("argument does not fit its Solidity type");
    return false;
}

bool read_unsigned(PyObject *value, u64 *limbs, int count, int bits) {
    if (!read_bytes(value, limbs, count, false)) return false;
    if (bits == 64 * count || limbs[count - 1] >> (bits - 64 * (count - 1)) == 0) return true;
    raise_simulation_error("argument does not fit its Solidity type");
    return false;
}

bool read_signed(PyObject *value, u64 *limbs, int count, int bits) {
    if (bits != 64 * count) {
        raise_simulation_error("unsupported width");
        return false;
    }
    return read_bytes(value, limbs, count, true);
}

bool read_price(PyObject *value, Price *price) { return read_unsigned(value, price->w, 3, 160); }

bool read_u128(PyObject *value, u128 *r) {
    u64 w[2];
    if (!read_unsigned(value, w, 2, 128)) return false;
    *r = make128(w[1], w[0]);
    return true;
}

bool read_i128(PyObject *value, i128 *r) {
    u64 w[2];
    if (!read_signed(value, w, 2, 128)) return false;
    *r = (i128)make128(w[1], w[0]);
    return true;
}

bool read_long(PyObject *value, long long low, long long high, long long *r) {
    int overflow = 0;
    long long x;
    if (!is_int(value)) return false;
    x = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (x == -1 && PyErr_Occurred()) return false;
    if (overflow || x < low || x > high) {
        raise_simulation_error("argument does not fit its type");
        return false;
    }
    *r = x;
    return true;
}

bool read_tick(PyObject *value, int32_t *tick) {
    int overflow = 0;
    long long x;
    if (!is_int(value)) return false;
    x = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (x == -1 && PyErr_Occurred()) return false;
    if (overflow > 0 || x > INT32_MAX) x = INT32_MAX;
    if (overflow < 0 || x < INT32_MIN) x = INT32_MIN;
    *tick = (int32_t)x;
    return true;
}

PyObject *long_of(const u64 *limbs, int count, bool is_signed) {
    return _PyLong_FromByteArray((const unsigned char *)limbs, (size_t)count * sizeof(u64), 1, is_signed);
}

PyObject *long_of_u128(u128 x) {
    u64 w[2] = {lo64(x), hi64(x)};
    return long_of(w, 2, false);
}

PyObject *long_of_i128(i128 x) {
    u64 w[2] = {lo64((u128)x), hi64((u128)x)};
    return long_of(w, 2, true);
}
