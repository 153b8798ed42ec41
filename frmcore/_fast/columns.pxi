# Decisions in columns: the way out for whoever decides millions of events and wants no object for each. They are filled from
# the very record that a Decision reads, as it is made, so the two can't disagree. What is taken out is in Arrow's layout:
# values, the ends of those that differ in length, a bit for each that is there.

cdef enum:
    PART_TAG
    PART_TIME
    PART_SCORE
    PART_OUTCOME
    PART_POINT
    PART_FLAGS
    PART_ID
    PART_ID_ENDS
    PART_FIRED
    PART_FIRED_ENDS
    PART_SHADOW
    PART_SHADOW_ENDS
    PART_EXEMPTED
    PART_EXEMPTED_ENDS
    PART_RECORD
    PART_RECORD_ENDS
    PARTS

_PART_NAMES = (
    "tag", "time", "score", "outcome", "point", "flags", "id", "id_ends", "fired", "fired_ends", "shadow", "shadow_ends",
    "exempted", "exempted_ends", "record", "record_ends",
)
DECISION_LATE, DECISION_DRAWN, DECISION_HOLDOUT = FLAG_LATE, FLAG_DRAWN, FLAG_HOLDOUT

cdef struct FactColumn:
    uint32_t reg
    Ink values
    Ink ends  # of texts
    Ink there  # a bit each


@cython.final
cdef class Columns:
    """Decisions under one policy, in columns. `fields`: those of an event that are wanted beside its decision.

    Raises ValueError for a field that the policy does not have, and for a decision by another policy.
    """

    cdef readonly Book book
    cdef readonly uint64_t count
    cdef readonly uint64_t duplicates  # events that were known: they are in no column
    cdef readonly int64_t row  # the one at hand
    cdef int64_t origin  # its tag is so much greater
    cdef bint observes  # rows are observed, not decided
    cdef readonly int64_t last_time  # of the event that was decided last
    cdef Ink[16] parts
    cdef FactColumn* facts
    cdef uint32_t fact_count
    cdef Reg* regs

    def __cinit__(self, Book book not None, fields=()):
        cdef uint32_t i
        self.book = book
        self.facts = <FactColumn*>take(len(fields), sizeof(FactColumn))
        self.regs = <Reg*>take(book.register_count, sizeof(Reg))
        self.fact_count = <uint32_t>len(fields)
        names = list(book.names)[: book.field_count]
        for i, name in enumerate(fields):
            self.facts[i].reg = <uint32_t>names.index(name)
        self.start()

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(PARTS):
            free(self.parts[i].data)
        for i in range(self.fact_count):
            free(self.facts[i].values.data)
            free(self.facts[i].ends.data)
            free(self.facts[i].there.data)
        free(self.facts)
        free(self.regs)

    # No decision: each column of ends begins with a 0.
    cdef int start(self) except -1:
        cdef uint32_t i
        self.count = 0
        for i in range(PARTS):
            self.parts[i].used = 0
        for i in (PART_ID_ENDS, PART_FIRED_ENDS, PART_SHADOW_ENDS, PART_EXEMPTED_ENDS, PART_RECORD_ENDS):
            ink_int64(&self.parts[<uint32_t>i], 0)
        for i in range(self.fact_count):
            self.facts[i].values.used = self.facts[i].ends.used = self.facts[i].there.used = 0
            ink_int64(&self.facts[i].ends, 0)
        return 0

    @property
    def size(self):
        """Bytes of the records that are held."""
        return self.parts[PART_RECORD].used

    def add(self, Decision decision not None, int64_t tag):
        """Adds a decision; of one that was made before (`duplicate`) only that there was one."""
        if decision.duplicate:
            self.duplicates += 1
        else:
            self.put(<const RecordHead*><const char*>decision.record, tag)

    cdef int put(self, const RecordHead* record, int64_t tag) except -1:
        cdef const uint8_t* p = <const uint8_t*>record + record.verdict_at
        cdef uint32_t i
        if record.book != self.book.index:
            raise ValueError("the decision was made under another policy than these columns")
        ink_int64(&self.parts[PART_TAG], tag)
        ink_int64(&self.parts[PART_TIME], record.time)
        ink_int64(&self.parts[PART_SCORE], record.score)
        ink_byte(&self.parts[PART_OUTCOME], record.outcome)
        ink_byte(&self.parts[PART_POINT], record.point)
        ink_byte(&self.parts[PART_FLAGS], record.flags)
        ink_text(&self.parts[PART_ID], &self.parts[PART_ID_ENDS], <const char*>record + record.id_at, record.id_size)
        ink_text(&self.parts[PART_RECORD], &self.parts[PART_RECORD_ENDS], <const char*>record, record.size)
        p = self.put_rules(PART_FIRED, p)
        p = self.put_rules(PART_SHADOW, p)
        self.put_rules(PART_EXEMPTED, skip_numbers(p))
        if self.fact_count:
            get_facts(<const uint8_t*>record, self.book, self.regs)
            for i in range(self.fact_count):
                self.put_fact(&self.facts[i])
        self.count += 1
        self.last_time = record.time
        return 0

    cdef const uint8_t* put_rules(self, uint32_t part, const uint8_t* p) except NULL:
        cdef Ink* ink = &self.parts[part]
        cdef uint64_t count, number
        p = get_varint(p, &count)
        ink_need(ink, 4 * count)
        while count:
            p = get_varint(p, &number)
            (<uint32_t*>(ink.data + ink.used))[0] = <uint32_t>number
            ink.used += 4
            count -= 1
        ink_int64(&self.parts[part + 1], <int64_t>(ink.used >> 2))
        return p

    cdef int put_fact(self, FactColumn* column) except -1:
        cdef const Reg* reg = &self.regs[column.reg]
        if self.count & 7 == 0:
            ink_byte(&column.there, 0)
        column.there.data[column.there.used - 1] |= <uint8_t>((reg.present != 0) << (self.count & 7))
        if self.book.fact_rep[column.reg] != REP_TEXT:
            return ink_int64(&column.values, reg.v.i if reg.present else 0)
        return ink_text(&column.values, &column.ends, reg.v.s, reg.n if reg.present else 0)

    def take(self):
        """All columns, by name, and the fields' (values, ends, bits) in their order; then starts anew."""
        cdef uint32_t i
        taken = {name: ink_bytes(&self.parts[<uint32_t>i]) for i, name in enumerate(_PART_NAMES)}
        facts = []
        for i in range(self.fact_count):
            facts.append((ink_bytes(&self.facts[i].values), ink_bytes(&self.facts[i].ends), ink_bytes(&self.facts[i].there)))
        self.start()
        return taken, facts


cdef inline int ink_int64(Ink* ink, int64_t value) except -1:
    ink_need(ink, 8)
    memcpy(ink.data + ink.used, &value, 8)
    ink.used += 8
    return 0


cdef inline int ink_byte(Ink* ink, uint8_t value) except -1:
    ink_need(ink, 1)
    ink.data[ink.used] = value
    ink.used += 1
    return 0


cdef inline int ink_text(Ink* ink, Ink* ends, const char* data, uint32_t size) except -1:
    ink_need(ink, size)
    ink_raw(ink, data, size)
    return ink_int64(ends, <int64_t>ink.used)


cdef inline bytes ink_bytes(const Ink* ink):
    return (<const char*>ink.data)[: ink.used] if ink.used else b""
