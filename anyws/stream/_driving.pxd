# The functions of _driving.py in C, for the compiled modules. Same names, same meaning.

cdef extern from *:
    """
    /* An iterator, a coroutine of Python's or one of Cython's can be sent to, and need not be asked for more. */
    static PyObject *anyws_begin(PyObject *awaitable) {
      if (PyCoro_CheckExact(awaitable) || PyIter_Check(awaitable)) return Py_NewRef(awaitable);
      PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
      if (methods != NULL && methods->am_await != NULL) return methods->am_await(awaitable);
      PyErr_Format(PyExc_TypeError, "%.100s cannot be awaited", Py_TYPE(awaitable)->tp_name);
      return NULL;
    }

    static PyObject *anyws_step(PyObject *awaited, PyObject *value, PyObject *ended) {
      PyObject *result;
      iternextfunc next = Py_TYPE(awaited)->tp_iternext;
      if (value == Py_None && next != NULL) {
        result = next(awaited);
        if (result != NULL) return result;
        if (PyErr_Occurred()) {
          if (!PyErr_ExceptionMatches(PyExc_StopIteration)) return NULL;
          PyErr_Clear();
        }
        return Py_NewRef(ended);
      }
      PySendResult outcome = PyIter_Send(awaited, value, &result);
      if (outcome != PYGEN_RETURN) return result;
      Py_DECREF(result);
      return Py_NewRef(ended);
    }

    static void anyws_return_value(PyObject *value) {
    #if PY_VERSION_HEX < 0x030C0000
      PyErr_SetObject(PyExc_StopIteration, value);
    #else
      /* The same; but to call the class takes twice as long. */
      PyTypeObject *type = (PyTypeObject *)PyExc_StopIteration;
      PyObject *nothing = PyTuple_New(0);
      PyObject *exception = nothing == NULL ? NULL : type->tp_new(type, nothing, NULL);
      Py_XDECREF(nothing);
      if (exception == NULL) return;
      ((PyStopIterationObject *)exception)->value = Py_NewRef(value);
      PyErr_SetRaisedException(exception);
    #endif
    }
    """
    object begin "anyws_begin" (object awaitable)
    object step "anyws_step" (object awaited, object value, object ended)
    void anyws_return_value(object value)


cdef inline coroutine(operation):
    return operation


# The exception is set here, and the ``raise StopIteration`` that follows leaves it. To raise it would make a
# traceback, which costs as much as all else that a message takes.
cdef inline void return_value(value) noexcept:
    if value is not None:
        anyws_return_value(value)
