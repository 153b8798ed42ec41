# Ids that the engine remembers: where the event's record is, and what was told about it since.

cdef enum:
    TOLD = 1
    TOLD_LOST = 2  # the policy has no name for it: an older state has it

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
    EventState* before  # of an older policy: it tells what this one has no name for
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


# One state, without those before it.
cdef void state_free(EventState* state) noexcept nogil:
    cdef uint32_t i
    for i in range(state.update_count):
        if state.told[i].value.n:
            free(<void*>state.told[i].value.v.s)
    free(state.points)
    free(state)


cdef inline uint64_t state_bytes(const EventState* state) noexcept nogil:
    cdef uint64_t total = 0
    while state != NULL:
        total += sizeof(EventState) + state.update_count * sizeof(Told) + state.point_count * sizeof(void*)
        state = state.before
    return total


# A later decision about the event: its outcome is the event's `final` from `at` on, unless something was told later.
cdef void tell_outcome(EventState* state, const RecordHead* record, int64_t at) noexcept nogil:
    cdef Reg outcome
    outcome.n = 0
    reg_set_int(&outcome, record.outcome)
    tell(&state.final, &outcome, at, record.seq)


# Takes the new value when it is the latest that was told: the greatest (at, sequence) wins. True when it was taken.
# A text must be the caller's to give away (n > 0 says it was allocated).
cdef bint tell(Told* told, const Reg* value, int64_t at, uint64_t seq) noexcept nogil:
    if told.seq and (at < told.at or (at == told.at and seq < told.seq)):
        return False
    if told.value.n:
        free(<void*>told.value.v.s)
    told.value = value[0]
    told.at, told.seq, told.told = at, seq, TOLD
    return True


# Does it say more than what is there? What was told last counts, and of that the one that has a name for it.
cdef inline bint says_more(const Told* told, const Told* there) noexcept nogil:
    if not there.told or told.at > there.at or (told.at == there.at and told.seq > there.seq):
        return True
    return there.told == TOLD_LOST and told.told == TOLD and told.at == there.at and told.seq == there.seq


# The update registers as known now: what was told, else the default.
cdef void state_to_regs(Book book, const EventState* state, Reg* regs) noexcept nogil:
    cdef uint32_t i
    cdef Reg* updates = regs + book.field_count + book.derived_count
    for i in range(book.update_count):
        if state != NULL and state.told[i].told:
            updates[i] = state.told[i].value
        else:
            updates[i] = book.defaults[i]


@cython.final
cdef class Seen:
    """Event ids -> their records. O(1); one or two cache misses."""

    cdef Slab slab
    cdef Table table
    cdef uint64_t state_bytes_

    def __cinit__(self):
        slab_init(&self.slab, sizeof(IdRecord))
        if not table_init(&self.table, latest_hash, <void*>&self.slab):
            raise MemoryError

    def __dealloc__(self):
        self.clear()
        table_destroy(&self.table)
        slab_destroy(&self.slab)

    cdef inline uint64_t count(self) noexcept nogil:
        return self.table.count

    cdef inline IdRecord* find(self, Hash hash) noexcept nogil:
        cdef uint32_t handle = table_find(&self.table, hash)
        return <IdRecord*>slab_at(&self.slab, handle) if handle else NULL

    # Makes sure that the next insert can't fail.
    cdef int reserve(self) except -1:
        if not slab_reserve(&self.slab) or not table_reserve(&self.table):
            raise MemoryError
        return 0

    cdef void insert(self, Hash hash, RecordHead* record) noexcept nogil:
        cdef uint32_t handle = slab_take(&self.slab)
        cdef IdRecord* known = <IdRecord*>slab_at(&self.slab, handle)
        known.hash, known.record, known.state = hash, record, NULL
        table_insert(&self.table, hash, handle)

    # Forgets the event of that record. In a replay, which forgets later, the id may be another one's by now.
    cdef void remove(self, Hash hash, const RecordHead* record) noexcept nogil:
        cdef IdRecord* known = self.find(hash)
        cdef uint32_t handle
        if known == NULL or known.record != record:
            return
        self.drop_state(known)
        handle = table_remove(&self.table, hash)
        slab_give(&self.slab, handle)

    cdef void keep_state(self, IdRecord* known, EventState* state) noexcept nogil:
        known.state = state
        self.state_bytes_ += state_bytes(state)

    # The state becomes the caller's.
    cdef EventState* take_state(self, IdRecord* known) noexcept nogil:
        cdef EventState* state = known.state
        self.state_bytes_ -= state_bytes(state)
        known.state = NULL
        return state

    cdef void drop_state(self, IdRecord* known) noexcept nogil:
        cdef EventState* state = self.take_state(known)
        cdef EventState* before
        while state != NULL:
            before = state.before
            state_free(state)
            state = before

    cdef void clear(self) noexcept nogil:
        cdef uint64_t cursor = 0
        cdef uint32_t[64] handles
        cdef uint32_t i, count
        while self.table.count:
            count = table_scan(&self.table, &cursor, handles, 64)
            for i in range(count):
                self.drop_state(<IdRecord*>slab_at(&self.slab, handles[i]))
            if cursor == 0:
                break

    cdef uint64_t bytes_used(self) noexcept nogil:
        return table_bytes(&self.table) + self.slab.live * self.slab.record_size + self.state_bytes_
