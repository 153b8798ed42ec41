# The floor: what a decision of R1 can't do without on this machine, and nothing else. It crosses the same Python boundary (a
# method of an extension class that takes the Struct), reads the same 12 fields at their offsets, touches as many cache lines as
# a decision that knows where everything is, in the same depth of dependence, and returns an object of five fields.
#
#     depth 1   one bucket of ids, one bucket for each of five entities, one line of each of four filters     10 lines
#     depth 2   one record an entity, whose place the bucket tells                                            5 lines
#     depth 3   three lines a ring (times, values, totals), whose place the record tells                     15 lines
#
# Thirty lines; one of each ring and the ids' are written, as the event's entry is. Every level is prefetched before it is read.
# No window is computed, no rule evaluated, no record kept.

cdef extern from *:
    """
    #include <stdlib.h>
    #include <sys/mman.h>
    #include <structmember.h>
    #define BENCH_PREFETCH(p) __builtin_prefetch((p), 0, 3)
    static int64_t bench_member_offset(PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        return (int64_t)((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    /* Zeroed memory in 2 MiB pages where the kernel has them, as the engine takes it. */
    static void *bench_lines(size_t lines) {
        size_t size = (lines * 64 + (2u << 20) - 1) & ~(size_t)((2u << 20) - 1);
        void *p = NULL;
        if (posix_memalign(&p, 2u << 20, size)) return NULL;
        madvise(p, size, MADV_HUGEPAGE);
        memset(p, 0, size);
        return p;
    }
    static inline uint64_t bench_mix(uint64_t a, uint64_t b) {
        unsigned __int128 m = (unsigned __int128)(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD6E8FEB86659FD93u);
        return (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    static inline uint64_t bench_scale(uint64_t x, uint64_t n) { return (uint64_t)(((unsigned __int128)x * n) >> 64); }
    """
    void prefetch "BENCH_PREFETCH"(const void* p) noexcept nogil
    int64_t member_offset "bench_member_offset"(object descriptor) noexcept
    void* take_lines "bench_lines"(size_t lines) noexcept
    uint64_t mix "bench_mix"(uint64_t a, uint64_t b) noexcept nogil
    uint64_t scale "bench_scale"(uint64_t x, uint64_t n) noexcept nogil

cdef extern from "Python.h":
    const char* ascii_data "PyUnicode_DATA"(PyObject* text) noexcept
    Py_ssize_t text_size "PyUnicode_GET_LENGTH"(PyObject* text) noexcept
    bint is_str "PyUnicode_CheckExact"(PyObject* text) noexcept
    PyObject* type_of "(PyObject *)Py_TYPE"(PyObject* value) noexcept

cdef enum:
    FIELDS = 12
    ENTITIES = 5
    LISTS = 4
    RING_LINES = 3
    WORDS = 8  # of a line

# In the order of R1's Struct; which of them are hashed: the id, the five entities, the e-mail.
FIELD_NAMES = ("id", "ts", "account_id", "card_id", "device_id", "ip", "merchant_id", "country", "currency", "amount", "email", "channel")

cdef enum:
    AT_ID = 0
    AT_TS = 1
    AT_ENTITY = 2
    AT_AMOUNT = 9
    AT_EMAIL = 10

cdef struct Kept:
    uint64_t count
    uint64_t* buckets  # a word an entity: the number of its record
    uint64_t* records  # a line an entity: the number of its ring
    uint64_t* rings  # RING_LINES lines an entity


@cython.final
@cython.freelist(8)
cdef class Answer:
    """As many fields as a decision has that a caller always reads."""

    cdef readonly object event_id, outcome, fired
    cdef readonly int64_t score, seq


@cython.final
cdef class Floor:
    """entities: how many accounts, cards, devices, addresses, merchants there are; ids: how many are remembered; listed: values
    of each list."""

    cdef Kept[ENTITIES] kept
    cdef uint64_t* ids
    cdef uint64_t* filters
    cdef uint64_t id_lines
    cdef uint64_t[LISTS] filter_first
    cdef uint64_t[LISTS] filter_lines
    cdef int64_t[FIELDS] offsets
    cdef PyObject* event_type
    cdef object event_class
    cdef int64_t seq

    def __cinit__(self, event_class, tuple entities not None, tuple listed not None, uint64_t ids):
        cdef uint64_t lines = 0
        cdef uint32_t i
        self.event_class, self.event_type = event_class, <PyObject*>event_class
        for i in range(FIELDS):
            self.offsets[i] = member_offset(getattr(event_class, FIELD_NAMES[i]))
            if self.offsets[i] <= 0:
                raise ValueError("the event is no Struct of R1")
        for i in range(ENTITIES):
            keep(&self.kept[i], entities[i], i + 1)
        for i in range(LISTS):
            self.filter_first[i], self.filter_lines[i] = lines, max(1, <uint64_t>listed[i] // 32)
            lines += self.filter_lines[i]
        self.filters = <uint64_t*>taken(lines)
        self.id_lines = max(1, ids // 4)
        self.ids = <uint64_t*>taken(self.id_lines)

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(ENTITIES):
            free(self.kept[i].buckets)
            free(self.kept[i].records)
            free(self.kept[i].rings)
        free(self.filters)
        free(self.ids)

    def decide(self, event):
        cdef PyObject* fields[FIELDS]
        cdef uint64_t[FIELDS] hashes
        cdef uint64_t read
        cdef int64_t time, amount
        cdef Answer answer
        if type_of(<PyObject*>event) != self.event_type:
            raise TypeError("the floor takes the Struct that it was made for")
        read_fields(<PyObject*>event, self.offsets, fields, hashes)
        time, amount = PyLong_AsLongLong(<object>fields[AT_TS]), PyLong_AsLongLong(<object>fields[AT_AMOUNT])
        read = self.touch(hashes, time, amount)
        self.seq += 1
        answer = Answer.__new__(Answer)
        answer.event_id, answer.outcome, answer.fired = <object>fields[AT_ID], "allow", ()
        answer.score, answer.seq = <int64_t>read, self.seq
        return answer

    cdef uint64_t touch(self, const uint64_t* hashes, int64_t time, int64_t amount) noexcept nogil:
        cdef uint64_t[ENTITIES] at
        cdef uint64_t* filters[LISTS]
        cdef uint64_t* id_line = self.ids + scale(hashes[AT_ID], self.id_lines) * WORDS
        cdef uint64_t* ring
        cdef uint64_t read = 0
        cdef uint32_t i, line
        prefetch(id_line)
        for i in range(ENTITIES):
            at[i] = scale(hashes[AT_ENTITY + i], self.kept[i].count)
            prefetch(self.kept[i].buckets + at[i])
        for i in range(LISTS):  # card, device, address, e-mail
            line = AT_EMAIL if i == 3 else AT_ENTITY + 1 + i
            filters[i] = self.filters + (self.filter_first[i] + scale(hashes[line], self.filter_lines[i])) * WORDS
            prefetch(filters[i])
        for i in range(ENTITIES):
            at[i] = self.kept[i].buckets[at[i]]
            prefetch(self.kept[i].records + at[i] * WORDS)
        for i in range(ENTITIES):
            at[i] = self.kept[i].records[at[i] * WORDS]
            for line in range(RING_LINES):
                prefetch(self.kept[i].rings + (at[i] * RING_LINES + line) * WORDS)
        for i in range(LISTS):
            read += filters[i][0]
        for i in range(ENTITIES):
            ring = self.kept[i].rings + at[i] * RING_LINES * WORDS
            read += ring[0] + ring[WORDS] + ring[2 * WORDS]
            ring[0], ring[1] = <uint64_t>time, <uint64_t>amount
        read += id_line[0]
        id_line[0] = hashes[AT_ID]
        return read


# The twelve fields: texts hashed to their last byte where they are keys, looked at where they are not.
cdef int read_fields(PyObject* event, const int64_t* offsets, PyObject** fields, uint64_t* hashes) except -1:
    cdef uint32_t i
    for i in range(FIELDS):
        fields[i] = (<PyObject**>(<char*>event + offsets[i]))[0]
        if i != AT_TS and i != AT_AMOUNT:
            if not is_str(fields[i]):
                raise TypeError(FIELD_NAMES[i])
            hashes[i] = text_hash(ascii_data(fields[i]), text_size(fields[i]))
    return 0


cdef inline uint64_t text_hash(const char* text, Py_ssize_t size) noexcept nogil:
    cdef uint64_t hash = <uint64_t>size
    cdef uint64_t word
    while size > 0:
        word = 0
        memcpy(&word, text, size if size < 8 else 8)
        hash = mix(hash, word)
        text += 8
        size -= 8
    return hash


cdef void* taken(uint64_t lines) except NULL:
    cdef void* memory = take_lines(lines)
    if memory == NULL:
        raise MemoryError
    return memory


# Records and rings lie in an order of their own, so that nothing but the line before tells where the next one is.
cdef int keep(Kept* kept, uint64_t count, uint64_t seed) except -1:
    cdef uint64_t i
    kept.count = max(1, count)
    kept.buckets = <uint64_t*>taken((kept.count + WORDS - 1) // WORDS)
    kept.records = <uint64_t*>taken(kept.count)
    kept.rings = <uint64_t*>taken(kept.count * RING_LINES)
    shuffle(kept.buckets, 1, kept.count, seed)
    shuffle(kept.records, WORDS, kept.count, seed + 100)
    return 0


# 0 to count - 1 in random order (Fisher and Yates), `step` words apart.
cdef void shuffle(uint64_t* words, uint64_t step, uint64_t count, uint64_t seed) noexcept nogil:
    cdef uint64_t i, j
    for i in range(count):
        j = scale(mix(i, seed), i + 1)
        words[i * step] = words[j * step]
        words[j * step] = i
