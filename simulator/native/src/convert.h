/* Between Python's integers and limbs, and from a status to an exception. */
#ifndef TIDELINE_CONVERT_H
#define TIDELINE_CONVERT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "pool.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "limbs are copied as little-endian bytes"
#endif

bool read_bool(PyObject *value, bool *r);
/* Read an int of at most `bits` bits. Raises SimulationError for one that does not fit, TypeError for another type. */
bool read_unsigned(PyObject *value, u64 *limbs, int count, int bits);
bool read_signed(PyObject *value, u64 *limbs, int count, int bits);
bool read_price(PyObject *value, Price *price);
bool read_u128(PyObject *value, u128 *r);
bool read_i128(PyObject *value, i128 *r);
bool read_long(PyObject *value, long long low, long long high, long long *r);
/* A tick, or the nearest int32 to it: far outside the range every tick is alike. */
bool read_tick(PyObject *value, int32_t *tick);

PyObject *long_of(const u64 *limbs, int count, bool is_signed);
PyObject *long_of_u128(u128 x);
PyObject *long_of_i128(i128 x);

/* The contract's reason; NULL for a status that is no revert. */
const char *reason_of(Status status);
/* Set the exception of a status other than OK; returns NULL. */
PyObject *raise_status(Status status);
PyObject *raise_simulation_error(const char *message);
#endif
