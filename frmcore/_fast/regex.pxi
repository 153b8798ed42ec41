# The DFA runner: one dependent load a byte, and no more bytes once the answer is known. policy/regex builds the tables.

from libc.string cimport memchr

from frmcore import limits as _limits

# A state is the offset of its row, so that a step needs no multiplication: 0 is dead, `width` has matched for good. A
# row has a next state for each class of bytes, and last whether the text may end here.
cdef struct DfaTable:
    uint32_t* table  # owned
    uint32_t width
    uint32_t start
    int skip  # the only byte that leaves the start, -1 for several: the search begins at its first occurrence
    uint8_t class_of[256]


cdef inline bint dfa_search(const DfaTable* dfa, const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t width = dfa.width
    cdef uint32_t state = dfa.start
    cdef const uint32_t* table = dfa.table
    cdef const uint8_t* p = <const uint8_t*>s
    cdef const uint8_t* end = p + n
    if dfa.skip >= 0:
        return dfa_leaps(dfa, p, end)
    while p != end and state > width:
        state = table[state + dfa.class_of[p[0]]]
        p += 1
    return table[state + width - 1] != 0


# The same, past all that can't lead out of the start: here each byte waits for two loads, there memchr takes many at once.
cdef bint dfa_leaps(const DfaTable* dfa, const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef uint32_t width = dfa.width
    cdef uint32_t start = dfa.start
    cdef uint32_t state = start
    while p != end and state > width:
        if state == start:
            p = <const uint8_t*>memchr(p, dfa.skip, end - p)
            if p == NULL:
                break
        state = dfa.table[state + dfa.class_of[p[0]]]
        p += 1
    return dfa.table[state + width - 1] != 0


cdef inline void dfa_free(DfaTable* dfa) noexcept nogil:
    free(dfa.table)
    dfa.table = NULL


# Copies a plan.Dfa, and refuses with ValueError one that could lead a search astray: tables are data, and data may be
# damaged.
cdef int dfa_load(DfaTable* dfa, object plan) except -1:
    cdef bytes table = plan.table
    cdef bytes ends = plan.accept_end
    cdef bytes class_of = plan.class_of
    cdef uint32_t classes = plan.classes
    cdef uint32_t states = <uint32_t>len(ends)
    cdef uint32_t start = plan.start
    dfa.table = NULL
    if not (
        1 <= classes <= 256
        and 2 <= states <= <uint32_t>_limits.REGEX_STATES_MAX
        and start < states
        and len(table) == 2 * states * classes
        and len(class_of) == 256
        and max(class_of) < classes
    ):
        raise ValueError(f"damaged table of the pattern {plan.pattern!r}")
    dfa.width = classes + 1
    dfa.start = start * dfa.width
    memcpy(dfa.class_of, <const char*>class_of, 256)
    dfa.table = <uint32_t*>malloc(<size_t>states * dfa.width * sizeof(uint32_t))
    if dfa.table == NULL:
        raise MemoryError()
    if not dfa_fill(dfa, <const uint8_t*><const char*>table, <const uint8_t*><const char*>ends, states):
        dfa_free(dfa)
        raise ValueError(f"damaged table of the pattern {plan.pattern!r}")
    dfa.skip = dfa_skip(dfa)
    return 0


# False when a target is no state, or when state 0 or 1, where a search stops, could go anywhere else.
cdef bint dfa_fill(DfaTable* dfa, const uint8_t* table, const uint8_t* ends, uint32_t states) noexcept nogil:
    cdef uint32_t classes = dfa.width - 1
    cdef uint32_t state, index, target
    for state in range(states):
        for index in range(classes):
            target = table[2 * (state * classes + index)] | <uint32_t>table[2 * (state * classes + index) + 1] << 8
            if target >= states or (state <= 1 and target != state):
                return False
            dfa.table[state * dfa.width + index] = target * dfa.width
        dfa.table[state * dfa.width + classes] = ends[state] != 0
    return ends[0] == 0 and ends[1] != 0


cdef int dfa_skip(const DfaTable* dfa) noexcept nogil:
    cdef int byte, skip = -1
    if dfa.start <= dfa.width:
        return -1
    for byte in range(256):
        if dfa.table[dfa.start + dfa.class_of[byte]] != dfa.start:
            if skip >= 0:
                return -1
            skip = byte
    return skip


# The door for tests.
@cython.final
cdef class Regex:
    cdef DfaTable dfa

    def __cinit__(self, plan):
        dfa_load(&self.dfa, plan)

    def __dealloc__(self):
        dfa_free(&self.dfa)

    def search(self, bytes text):
        return bool(dfa_search(&self.dfa, text, <uint32_t>len(text)))

    # Nanoseconds belong into benchmarks, without the call from Python: how often the text matches in `times` searches.
    def search_many(self, bytes text, uint32_t times):
        cdef const char* s = text
        cdef uint32_t n = <uint32_t>len(text), i, found = 0
        for i in range(times):
            found += dfa_search(&self.dfa, s, n)
        return found
