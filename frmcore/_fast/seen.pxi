# Ids that the engine remembers: where the event's record is, and what was told about it since.

cdef struct Told:  # one update field of one event
    Reg value  # a text is the state's own copy
    int64_t at
    uint64_t seq
    uint8_t told

cdef struct EventState:  # only for events that something was told about
    uint16_t book  # whose updates and points `told` and `points` are
    uint16_t update_count
    uint16_t point_count
    Told final
    const RecordHead* latest  # the record of the latest decision about it
    const RecordHead** points  # its later decisions, by point; NULL: none
    Told told[0]

cdef struct IdRecord:
    Hash hash
    RecordHead* record
    EventState* state


cdef EventState* state_new(Book book, const RecordHead* record) noexcept nogil:
    cdef uint32_t size = sizeof(EventState) + book.update_count * sizeof(Told)
    cdef EventState* state = <EventState*>calloc(1, size)
    if state == NULL:
        return NULL
    state.points = <const RecordHead**>calloc(book.point_count, sizeof(void*))
    if state.points == NULL:
        free(state)
        return NULL
    state.book = <uint16_t>book.index
    state.update_count, state.point_count = <uint16_t>book.update_count, <uint16_t>book.point_count
    state.latest = record
    reg_set_int(&state.final.value, record.outcome)
    state.final.at, state.final.seq = record.time, record.seq
    return state


cdef void state_free(EventState* state) noexcept nogil:
    cdef uint32_t i
    if state == NULL:
        return
    for i in range(state.update_count):
        if state.told[i].value.n:
            free(<void*>state.told[i].value.v.s)
    free(state.points)
    free(state)


cdef inline uint64_t state_bytes(const EventState* state) noexcept nogil:
    if state == NULL:
        return 0
    return sizeof(EventState) + state.update_count * sizeof(Told) + state.point_count * sizeof(void*)


# Takes the new value when it is the latest that was told: the greatest (at, sequence) wins. True when it was taken.
# A text must be the caller's to give away (n > 0 says it was allocated).
cdef bint tell(Told* told, const Reg* value, int64_t at, uint64_t seq) noexcept nogil:
    if told.seq and (at < told.at or (at == told.at and seq < told.seq)):
        return False
    if told.value.n:
        free(<void*>told.value.v.s)
    told.value = value[0]
    told.at, told.seq, told.told = at, seq, 1
    return True


# The update registers as known now: what was told, else the default.
cdef void state_to_regs(Book book, const EventState* state, Reg* regs) noexcept nogil:
    cdef uint32_t i
    cdef Reg* updates = regs + book.field_count + book.derived_count
    for i in range(book.update_count):
        if state != NULL and state.told[i].told:
            updates[i] = state.told[i].value
        else:
            updates[i] = book.defaults[i]
