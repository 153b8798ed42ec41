# Many events in one call. Each is decided as if it were alone, errors included; but before it is, the next one is read and hashed
# where that can't be noticed, so that its cache lines are on the way meanwhile.

# The id and the keys; their buckets are on the way when they are wanted.
cdef void hash_event(Core core, Frame* frame) noexcept:
    cdef const Reg* ident = &frame.regs[core.book.id_reg]
    frame.id_hash = hash_text(core.key, ident.v.s, ident.n)
    table_prefetch(&core.seen.table, frame.id_hash)
    hash_keys(core, core.book, frame)
    frame.is_hashed = True


# Decides events[first:last] into `out`, a list or Columns, or with None observes them. `events`: a list that nobody else has, or an
# ArrowRows.
cdef int run_span(Core core, object events, int64_t first, int64_t last, object point, object out) except -1:
    cdef Frame* frame
    cdef Frame* ahead = NULL
    cdef Columns columns = <Columns>out if isinstance(out, Columns) else None
    cdef int64_t i = first
    cdef bint done
    last = min(last, (<ArrowRows>events).batch.length if isinstance(events, ArrowRows) else len(<list>events))
    try:
        while i < last:
            event = event_at(events, i)
            if columns is not None:
                columns.row = i
            frame, ahead = ahead, NULL
            frame = core.enter(event, False) if frame == NULL else core.admit(frame)
            if i + 1 < last:
                ahead = look_ahead(core, events, i + 1)
            try:
                done = run_one(core, frame, event, point, out, columns)
            finally:
                core.give_frame(frame)
            i += done
            if ahead != NULL and ahead.book != core.book.index:  # another policy was put in force: the event is read again
                core.give_frame(ahead)
                ahead = NULL
            approach(core, ahead)
    except (InvalidEvent, EventConflict) as error:
        if columns is None and isinstance(events, ArrowRows):
            error.args = (f"row {(<ArrowRows>events).first + i}: {error}", *error.args[1:])
        raise
    finally:
        if ahead != NULL:
            core.give_frame(ahead)
    return 0


# False: another policy was put in force meanwhile.
cdef inline bint run_one(Core core, Frame* frame, object event, object point, object out, Columns columns) except -1:
    if out is None or (columns is not None and columns.observes):
        return core.observe_frame(frame, event)
    if columns is not None:
        return core.decide_into(frame, point, columns)
    decision = core.decide_frame(frame, point)
    if decision is None:
        return False
    (<list>out).append(decision)
    return True


cdef inline object event_at(object events, int64_t i):
    if isinstance(events, ArrowRows):
        (<ArrowRows>events).row = i
        return events
    return <object>PyList_GET_ITEM_(events, i)

cdef extern from "Python.h":
    PyObject* PyList_GET_ITEM_ "PyList_GET_ITEM"(object items, Py_ssize_t i) noexcept


# The event in a frame of its own, read and hashed, where nothing can tell: no Python code runs before its turn comes, and it
# changes nothing. NULL where it is to be read in its turn, because something about it is out of the ordinary.
cdef Frame* look_ahead(Core core, object events, int64_t i) except? NULL:
    cdef Book book = core.book
    cdef Frame* frame
    cdef bint usual
    if core.hooks or book.program.runs_python or book.currency_count or not (core.clock is None or core.clock is system_clock):
        return NULL
    frame = core.take_frame()
    if isinstance(events, ArrowRows):
        usual = (<ArrowRows>events).book is book and quick_row(book, frame, <ArrowRows>events, i)
    else:
        usual = quick_event(book, frame, PyList_GET_ITEM_(events, i))
    if usual and first_missing(book, frame) == book.field_count and id_fits(book, frame):
        derive(core, book, frame)
        hash_event(core, frame)
        return frame
    core.give_frame(frame)
    return NULL


cdef inline bint quick_event(Book book, Frame* frame, PyObject* event) noexcept:
    return <PyTypeObject*>type_of(event) == book.event_type and quick_struct(book, frame, event)


# The next event's buckets are there by now: its rings are sent for.
cdef inline void approach(Core core, const Frame* frame) noexcept:
    cdef uint32_t i
    if frame != NULL:
        for i in range(core.layout.lookup_count):
            if frame.looked[i].present:
                (<RingStore>core.stores[core.layout.lookups[i].group]).guess(frame.looked[i].key)
