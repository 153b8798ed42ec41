# The record: what the journal takes, what a duplicate returns, what a Decision reads. One form, written once.
#
#   head      RecordHead
#   facts     presence bits, then the values: fields, derived fields, updates as known then, original amounts and rates
#   told      the updates that came along: a count, then numbers
#   features  presence bits, then the values                                                    (decisions only)
#   verdict   fired, shadow, unknown, exempted rules; probes that hit; notes: each a count, then numbers
#   intended  of the holdout: the outcome that the rules asked for
#   alerts    where there are any: a count, then of each its rule, a count and the ids of the events that are its evidence
#
# Ints are zigzag varints, floats eight bytes, texts a varint length and their bytes.

cdef enum RecordType:
    RECORD_DECISION = 1
    RECORD_AGAIN = 2
    RECORD_OBSERVED = 3
    RECORD_UPDATE = 4
    RECORD_LIST = 5
    RECORD_POLICY = 6
    RECORD_EVICT = 7
    RECORD_CONTROL = 8
    RECORD_ALERT = 9
    RECORD_HOLD = 10
    RECORD_ERASE = 11

cdef enum Note:
    NOTE_LATE = 1  # argument: feature. The event is later than the horizon: its window reaches what was given up
    NOTE_CAPPED = 2  # feature. Its ring is longer than ring_events_max
    NOTE_LOST = 3  # feature. The entry it needs was retracted after it had left the ring
    NOTE_OVERFLOW = 4  # feature. Beyond 64 bits
    NOTE_INCOMPLETE = 5  # feature, present. Its window reaches events that were forgotten before a reload added it
    NOTE_EVICTED = 6  # feature. Its window reaches what was evicted to keep memory bounded
    NOTE_SNOOZED = 7  # rule, that would have fired; likewise:
    NOTE_TRIPPED = 8
    NOTE_SWITCHED = 9

cdef enum:
    FLAG_LATE = 1
    FLAG_DRAWN = 2  # the holdout's lot was drawn
    FLAG_HOLDOUT = 4  # ... and fell on it
    FLAG_ALERTS = 8
    FLAG_ERASED = 16  # its texts and identifiers were overwritten, all but the event's id: they read absent
    FLAG_SHOWN = 32  # the texts among its features were

cdef struct RecordHead:
    uint64_t seq
    int64_t time
    int64_t score
    int64_t at  # when what came along was told; of a plain decision the event's time
    uint32_t size
    uint32_t id_at
    uint32_t features_at
    uint32_t verdict_at
    uint16_t id_size
    uint16_t book
    uint8_t type
    uint8_t point
    uint8_t outcome
    uint8_t flags

cdef enum:
    REP_INT = 0
    REP_FLOAT = 1
    REP_TEXT = 2
    MODE_LIVE = 2

cdef uint8_t REP_OF_KIND[10]
REP_OF_KIND[:] = [REP_TEXT, REP_INT, REP_INT, REP_FLOAT, REP_INT, REP_INT, REP_INT, REP_INT, REP_TEXT, REP_INT]


# Is it an event's: facts, and of a decision features and a verdict?
cdef inline bint has_facts(const RecordHead* head) noexcept nogil:
    return head.type in (RECORD_DECISION, RECORD_AGAIN, RECORD_OBSERVED)


# Is it kept for good, beside the journal? Such records are Python's to replay.
cdef inline bint is_kept(uint8_t type) noexcept nogil:
    return RECORD_LIST <= type <= RECORD_ERASE and type != RECORD_EVICT


cdef extern from *:
    """
    /* Texts of a record are short: two copies that may overlap and no call, 25 instructions less for each. Room for eight bytes
     * more than the text, so that a short one is a single store. */
    static inline void frm_copy_text(uint8_t *to, const char *from, uint32_t n) {
        uint64_t a, b;
        if (n > 32) { __builtin_memcpy(to, from, n); return; }
        if (n > 16) {
            frm_u128 first, last;
            __builtin_memcpy(&first, from, 16); __builtin_memcpy(&last, from + n - 16, 16);
            __builtin_memcpy(to, &first, 16); __builtin_memcpy(to + n - 16, &last, 16);
        } else if (n >= 8) {
            __builtin_memcpy(&a, from, 8); __builtin_memcpy(&b, from + n - 8, 8);
            __builtin_memcpy(to, &a, 8); __builtin_memcpy(to + n - 8, &b, 8);
        } else {
            a = frm_head(from, n);
            __builtin_memcpy(to, &a, 8);
        }
    }
    static uint8_t *frm_put_long(uint8_t *p, uint64_t v) {
        for (; v >= 0x80; v >>= 7) *p++ = (uint8_t)(v | 0x80);
        *p = (uint8_t)v;
        return p + 1;
    }
    /* Most are below 128; the others are spread to seven bits a byte in three steps and stored at once, because a loop over their
     * bytes ends where nothing can predict. Room for ten bytes, whatever the length. */
    static inline uint8_t *frm_put_varint(uint8_t *p, uint64_t v) {
        if (v < 0x80) { *p = (uint8_t)v; return p + 1; }
        if (v >> 56) return frm_put_long(p, v);
        uint64_t n = (73 + 9 * (uint64_t)(63 ^ __builtin_clzll(v))) >> 6;  /* a seventh of the bits, rounded up */
        v = (v & 0x000000000FFFFFFF) | (v & 0x00FFFFFFF0000000) << 4;
        v = (v & 0x00003FFF00003FFF) | (v & 0x0FFFC0000FFFC000) << 2;
        v = (v & 0x007F007F007F007F) | (v & 0x3F803F803F803F80) << 1;
        v |= (uint64_t)0x0080808080808080 >> (-(8 * n) & 63);
        __builtin_memcpy(p, &v, 8);
        return p + n;
    }
    """
    void copy_text "frm_copy_text"(uint8_t* to, const char* source, uint32_t n) noexcept nogil
    uint8_t* put_varint "frm_put_varint"(uint8_t* p, uint64_t value) noexcept nogil


cdef inline uint8_t* put_value(uint8_t* p, const Reg* reg, uint8_t rep) noexcept nogil:
    if rep == REP_INT:
        return put_varint(p, (<uint64_t>reg.v.i << 1) ^ <uint64_t>(reg.v.i >> 63))
    if rep == REP_FLOAT:
        memcpy(p, &reg.v.f, 8)
        return p + 8
    p = put_varint(p, reg.n)
    copy_text(p, reg.v.s, reg.n)
    return p + reg.n


cdef inline const uint8_t* get_varint(const uint8_t* p, uint64_t* value) noexcept nogil:
    cdef int shift = 0
    value[0] = 0
    while True:
        value[0] |= <uint64_t>(p[0] & 0x7F) << shift
        p += 1
        if p[-1] < 0x80:
            return p
        shift += 7


# Behind one of the verdict's lists.
cdef inline const uint8_t* skip_numbers(const uint8_t* p) noexcept nogil:
    cdef uint64_t count, number
    p = get_varint(p, &count)
    while count:
        p = get_varint(p, &number)
        count -= 1
    return p


cdef inline const uint8_t* get_value(const uint8_t* p, Reg* reg, uint8_t rep) noexcept nogil:
    cdef uint64_t raw
    reg.present = 1
    if rep == REP_FLOAT:
        memcpy(&reg.v.f, p, 8)
        return p + 8
    p = get_varint(p, &raw)
    if rep == REP_INT:
        reg.v.i = <int64_t>(raw >> 1) ^ -<int64_t>(raw & 1)
        return p
    reg.v.s, reg.n = <const char*>p, <uint32_t>raw
    return p + raw


# The most that writing a record of these registers can touch.
cdef uint64_t record_bound(Book book, const Reg* regs, const Verdict* verdict) noexcept nogil:
    cdef uint64_t bound = sizeof(RecordHead) + 11 * <uint64_t>(book.fact_count + book.feature_count)
    cdef const Reg* text
    cdef uint32_t i
    for i in range(book.text_count):
        text = &regs[book.text_regs[i]]
        bound += text.n * <uint64_t>text.present
    bound += 5 * <uint64_t>(verdict.fired_count + verdict.shadow_count + verdict.unknown_count + verdict.exempted_count)
    bound += verdict.alerts_size if verdict.flags & FLAG_ALERTS else 0
    return bound + 5 * <uint64_t>(2 * verdict.note_count + book.probe_count + book.update_count + 12)


# Presence bits, then the values that are present.
cdef uint8_t* put_values(uint8_t* p, const ValueSpec* specs, uint32_t count, const Reg* regs) noexcept nogil:
    cdef uint8_t* bits = p
    cdef const Reg* reg
    cdef uint64_t present
    cdef uint32_t i, some
    p += (count + 7) >> 3
    while count:
        some, present = min(count, <uint32_t>64), 0
        for i in range(some):
            reg = &regs[specs[i].reg]
            present |= <uint64_t>reg.present << i
            if reg.present:
                p = put_value(p, reg, specs[i].rep)
        memcpy(bits, &present, (some + 7) >> 3)
        bits += 8
        specs += some
        count -= some
    return p


cdef uint8_t* put_numbers(uint8_t* p, const uint32_t* numbers, uint32_t count) noexcept nogil:
    cdef uint32_t i
    p = put_varint(p, count)
    for i in range(count):
        p = put_varint(p, numbers[i])
    return p


cdef uint8_t* put_hits(uint8_t* p, Book book, const Reg* regs) noexcept nogil:
    cdef uint32_t i, count = 0
    for i in range(book.probe_count):
        count += regs[book.probes[i].dst].present and regs[book.probes[i].dst].v.i
    p = put_varint(p, count)
    if count:
        for i in range(book.probe_count):
            if regs[book.probes[i].dst].present and regs[book.probes[i].dst].v.i:
                p = put_varint(p, i)
    return p


cdef uint8_t* put_told(uint8_t* p, const Frame* frame) noexcept nogil:
    cdef uint32_t i
    p = put_varint(p, frame.told_count)
    for i in range(frame.told_count):
        p = put_varint(p, frame.tellings[i].index)
    return p


# Writes the record at `out` (room for record_bound) and returns its size.
cdef uint32_t put_record(uint8_t* out, Book book, Frame* frame, uint8_t type, uint8_t point, uint64_t seq) noexcept nogil:
    cdef RecordHead* head = <RecordHead*>out
    cdef Verdict* verdict = &frame.verdict
    cdef uint8_t* p = out + sizeof(RecordHead)
    cdef Reg ident  # an id is never absent, which the compiler can't know
    memset(&ident, 0, sizeof(Reg))
    head.seq, head.time, head.score = seq, frame.time, verdict.score
    head.book, head.type, head.point = <uint16_t>book.index, type, point
    head.outcome, head.flags = <uint8_t>verdict.outcome, verdict.flags | (FLAG_LATE if frame.late else 0)
    head.at = frame.time if type == RECORD_DECISION else frame.told_at
    p = put_values(p, book.facts, book.fact_count, frame.regs)
    p = put_told(p, frame)
    head.features_at = <uint32_t>(p - out)
    if type != RECORD_OBSERVED:
        p = put_values(p, book.features, book.feature_count, frame.regs)
    head.verdict_at = <uint32_t>(p - out)
    if type != RECORD_OBSERVED:
        p = put_numbers(p, verdict.fired, verdict.fired_count)
        p = put_numbers(p, verdict.shadow, verdict.shadow_count)
        p = put_numbers(p, verdict.unknown, verdict.unknown_count)
        p = put_numbers(p, verdict.exempted, verdict.exempted_count)
        p = put_hits(p, book, frame.regs)
        p = put_numbers(p, verdict.notes, 2 * verdict.note_count)
        if verdict.flags & FLAG_HOLDOUT:
            p = put_varint(p, <uint64_t>verdict.intended)
        if verdict.flags & FLAG_ALERTS:
            memcpy(p, verdict.alerts, verdict.alerts_size)
            p += verdict.alerts_size
    head.size = <uint32_t>(p - out)
    get_one_fact(out, book, book.id_reg, &ident)
    head.id_at, head.id_size = <uint32_t>(<const uint8_t*>ident.v.s - out), <uint16_t>ident.n
    return head.size


cdef void get_facts(const uint8_t* record, Book book, Reg* regs) noexcept nogil:
    cdef const uint8_t* bits = record + sizeof(RecordHead)
    cdef const uint8_t* p = bits + ((book.fact_count + 7) >> 3)
    cdef uint32_t i
    for i in range(book.fact_count):
        if bits[i >> 3] >> (i & 7) & 1:
            p = get_value(p, &regs[i], book.fact_rep[i])
        else:
            regs[i].present = 0
    if (<const RecordHead*>record).flags & FLAG_ERASED:
        for i in range(book.fact_count):
            if is_blank(book, i, &regs[i]):
                regs[i].present = 0


# Of an erased record: was this fact overwritten? An empty text says nothing.
cdef inline bint is_blank(Book book, uint32_t i, const Reg* reg) noexcept nogil:
    return reg.present and book.erasable[i] and (book.fact_rep[i] != REP_TEXT or reg.n > 0)


# What stands behind the facts.
cdef const uint8_t* skip_facts(const uint8_t* record, Book book) noexcept nogil:
    cdef const uint8_t* bits = record + sizeof(RecordHead)
    cdef const uint8_t* p = bits + ((book.fact_count + 7) >> 3)
    cdef Reg unused
    cdef uint32_t i
    for i in range(book.fact_count):
        if bits[i >> 3] >> (i & 7) & 1:
            p = get_value(p, &unused, book.fact_rep[i])
    return p


cdef void get_one_fact(const uint8_t* record, Book book, uint32_t wanted, Reg* reg) noexcept nogil:
    cdef const uint8_t* bits = record + sizeof(RecordHead)
    cdef const uint8_t* p = bits + ((book.fact_count + 7) >> 3)
    cdef uint32_t i
    for i in range(wanted + 1):
        reg.present = 0
        if bits[i >> 3] >> (i & 7) & 1:
            p = get_value(p, reg, book.fact_rep[i])


# The value of feature number `i`, whose presence is in `bits`, from `p`; behind it.
cdef inline const uint8_t* get_feature(
    const uint8_t* record, Book book, uint32_t i, const uint8_t* bits, const uint8_t* p, Reg* reg
) noexcept nogil:
    reg.present = 0
    if bits[i >> 3] >> (i & 7) & 1:
        p = get_value(p, reg, book.features[i].rep)
        if (<const RecordHead*>record).flags & FLAG_SHOWN and book.features[i].rep == REP_TEXT and reg.n:
            reg.present = 0
    return p


cdef void get_features(const uint8_t* record, Book book, Reg* regs) noexcept nogil:
    cdef const uint8_t* bits = record + (<const RecordHead*>record).features_at
    cdef const uint8_t* p = bits + ((book.feature_count + 7) >> 3)
    cdef uint32_t i
    for i in range(book.feature_count):
        p = get_feature(record, book, i, bits, p, &regs[book.features[i].reg])


# The verdict's six lists of numbers: fired, shadow, unknown, exempted, hits, notes.
cdef list get_verdict(const uint8_t* record):
    cdef const uint8_t* p = record + (<const RecordHead*>record).verdict_at
    cdef uint64_t count, number
    lists = []
    for _ in range(6):
        p = get_varint(p, &count)
        numbers = []
        for _ in range(count):
            p = get_varint(p, &number)
            numbers.append(number)
        lists.append(numbers)
    return lists


# What stands behind those lists: the outcome that the rules asked for, and of each alert its rule and the ids of its evidence.
cdef tuple get_tail(const uint8_t* record):
    cdef const RecordHead* head = <const RecordHead*>record
    cdef const uint8_t* p = record + head.verdict_at
    cdef uint64_t intended = head.outcome, count, number, ids, size
    for _ in range(6):
        p = skip_numbers(p)
    if head.flags & FLAG_HOLDOUT:
        p = get_varint(p, &intended)
    alerts = []
    count = 0
    if head.flags & FLAG_ALERTS:
        p = get_varint(p, &count)
    for _ in range(count):
        p = get_varint(p, &number)
        p = get_varint(p, &ids)
        evidence = []
        for _ in range(ids):
            p = get_varint(p, &size)
            evidence.append((<const char*>p)[:size].decode())
            p += size
        alerts.append((number, tuple(evidence)))
    return intended, alerts


# Is `rule` among the fired ones.
cdef bint record_fired(const uint8_t* record, uint32_t rule) noexcept nogil:
    cdef const uint8_t* p = record + (<const RecordHead*>record).verdict_at
    cdef uint64_t count, number
    p = get_varint(p, &count)
    while count:
        p = get_varint(p, &number)
        if number == rule:
            return True
        count -= 1
    return False
