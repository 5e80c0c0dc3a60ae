/* The Python type around a pool. */
#ifndef TIDELINE_CORE_TYPE_H
#define TIDELINE_CORE_TYPE_H

#include "convert.h"

typedef struct {
    PyObject_HEAD
    Pool pool;
    bool is_made; /* the pool was initialised and must be freed */
    bool is_busy; /* a batch is running on it without the interpreter's lock */
} Core;

/* Create the type from its base specification; shared by the methods and the batch. */
PyObject *core_type_new(void);
extern PyGetSetDef core_fields[];
/* Raises SimulationError while a batch runs. */
bool core_is_free(const Core *core);
/* A tuple of new references; NULL entries make it fail. */
PyObject *tuple_of(Py_ssize_t count, PyObject **items);
/* (liquidity, growth inside 0 and 1 as last counted, tokens owed 0 and 1) */
bool read_position(PyObject *tuple, Position *position);
#endif
