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
#endif
