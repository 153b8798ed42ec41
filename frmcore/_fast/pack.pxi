# A decision as MessagePack, for processes that asked over a socket: one map, written straight from the record, because reading
# thirty features into Python objects first costs ten times what deciding does. docs/protocol.md has its keys; what is empty,
# zero or false is left out.

cdef extern from *:
    """
    /* A code and the last `size` bytes of a number, big-endian: nine bytes are written, whatever the size. */
    static inline void frm_put_number(uint8_t *p, uint8_t code, uint64_t value, uint32_t size) {
        uint64_t turned = size ? __builtin_bswap64(value << (64 - 8 * size)) : 0;
        p[0] = code;
        __builtin_memcpy(p + 1, &turned, 8);
    }
    """
    void put_number "frm_put_number"(uint8_t* p, uint8_t code, uint64_t value, uint32_t size) noexcept nogil


cdef enum:
    COPY_SLACK = 8  # bytes behind a text that `copy_text` may write


cdef inline int pack_byte_and(Ink* ink, uint8_t code, uint64_t value, uint32_t size) except -1:
    ink_need(ink, 9)
    put_number(ink.data + ink.used, code, value, size)
    ink.used += 1 + size
    return 0


cdef inline int pack_int(Ink* ink, int64_t value) except -1:
    if 0 <= value < 128:
        return pack_byte_and(ink, <uint8_t>value, 0, 0)
    if -32 <= value < 0:
        return pack_byte_and(ink, <uint8_t>(256 + value), 0, 0)
    if value == <int32_t>value:
        return pack_byte_and(ink, 0xD2, <uint64_t>value, 4)
    return pack_byte_and(ink, 0xD3, <uint64_t>value, 8)


cdef inline int pack_unsigned(Ink* ink, uint64_t value) except -1:
    if value < 128:
        return pack_byte_and(ink, <uint8_t>value, 0, 0)
    if value <= 0xFF:
        return pack_byte_and(ink, 0xCC, value, 1)
    if value <= 0xFFFF:
        return pack_byte_and(ink, 0xCD, value, 2)
    if value <= 0xFFFFFFFF:
        return pack_byte_and(ink, 0xCE, value, 4)
    return pack_byte_and(ink, 0xCF, value, 8)


cdef inline int pack_float(Ink* ink, double value) except -1:
    return pack_byte_and(ink, 0xCB, <uint64_t>double_bits(value), 8)


cdef inline int pack_bool(Ink* ink, bint value) except -1:
    return pack_byte_and(ink, 0xC3 if value else 0xC2, 0, 0)


cdef int pack_text(Ink* ink, const char* data, uint32_t size) except -1:
    if size < 32:
        pack_byte_and(ink, <uint8_t>(0xA0 | size), 0, 0)
    elif size < 256:
        pack_byte_and(ink, 0xD9, size, 1)
    else:
        pack_byte_and(ink, 0xDB, size, 4)
    ink_need(ink, size + COPY_SLACK)
    copy_text(ink.data + ink.used, data, size)
    ink.used += size
    return 0


cdef int pack_str(Ink* ink, object text) except -1:
    cdef Py_ssize_t size
    cdef const char* data = as_utf8(<PyObject*>text, &size)
    return pack_text(ink, data, <uint32_t>size)


cdef inline int pack_phrase(Ink* ink, Phrases phrases, const Phrase* phrase) except -1:
    ink_need(ink, phrase.size + COPY_SLACK)
    copy_text(ink.data + ink.used, phrases.text + phrase.at, phrase.size)
    ink.used += phrase.size
    return 0


# A head of 16-bit length, for maps (0xDE) and arrays (0xDC).
cdef int pack_head(Ink* ink, uint8_t code, uint64_t count) except -1:
    if count > 0xFFFF:
        raise ValueError(f"{count} parts in one decision")
    return pack_byte_and(ink, code, count, 2)


# A key with several texts, unless there are none; how many keys that made.
cdef int pack_texts(Ink* ink, const char* key, object texts) except -1:
    if not texts:
        return 0
    pack_text(ink, key, <uint32_t>strlen(key))
    pack_head(ink, 0xDC, <uint64_t>len(texts))
    for text in texts:
        pack_str(ink, text)
    return 1


cdef int pack_number(Ink* ink, const char* key, int64_t value) except -1:
    if value == 0:
        return 0
    pack_text(ink, key, <uint32_t>strlen(key))
    pack_int(ink, value)
    return 1


cdef int pack_flag(Ink* ink, const char* key, bint value) except -1:
    if not value:
        return 0
    pack_text(ink, key, <uint32_t>strlen(key))
    pack_bool(ink, True)
    return 1


# Kinds that are what their register holds are written from there; enums, decimals and addresses as `Decision.features` shows them.
cdef int pack_feature(Ink* ink, Book book, uint32_t i, const Reg* reg) except -1:
    cdef uint8_t kind = book.features[i].kind
    if not reg.present:
        return pack_byte_and(ink, 0xC0, 0, 0)
    if book.features[i].rep == REP_FLOAT:
        return pack_float(ink, reg.v.f)
    if kind == KIND_BOOL:
        return pack_bool(ink, reg.v.i != 0)
    if kind == KIND_STRING:
        return pack_text(ink, reg.v.s, reg.n)
    if kind == KIND_ENUM or kind == KIND_DECIMAL or kind == KIND_IP:
        spec = book.plan.features[i]
        value = _feature_value(spec, reg_object(reg, spec.rep))
        return pack_float(ink, value) if isinstance(value, float) else pack_str(ink, value)
    return pack_int(ink, reg.v.i)


cdef int pack_features(Ink* ink, Book book, Phrases phrases, const uint8_t* record) except -1:
    cdef const uint8_t* bits = record + (<const RecordHead*>record).features_at
    cdef const uint8_t* p = bits + ((book.feature_count + 7) >> 3)
    cdef Reg reg
    cdef uint32_t i
    if book.feature_count == 0:
        return 0
    pack_text(ink, b"features", 8)
    pack_head(ink, 0xDE, book.feature_count)
    for i in range(book.feature_count):
        p = get_feature(record, book, i, bits, p, &reg)
        pack_phrase(ink, phrases, &phrases.features[i])
        pack_feature(ink, book, i, &reg)
    return 1


# Ids of rules under a key, from the numbers at `p`; behind them.
cdef const uint8_t* pack_rules(Ink* ink, const char* key, Phrases phrases, const uint8_t* p, int* keys) except NULL:
    cdef uint64_t count, number
    p = get_varint(p, &count)
    if count:
        keys[0] += 1
        pack_text(ink, key, <uint32_t>strlen(key))
        pack_head(ink, 0xDC, count)
        while count:
            p = get_varint(p, &number)
            pack_phrase(ink, phrases, &phrases.rules[number])
            count -= 1
    return p


# Reasons and actions of the rules that fired, whose numbers are at `p`: over Python where values stand in them.
cdef int pack_why(Ink* ink, Decision decision, Phrases phrases, const uint8_t* p) except -1:
    cdef uint64_t count, number, said = 0
    cdef const uint8_t* numbers = get_varint(p, &count)
    cdef uint64_t i
    cdef bint rendered = False, acts = False
    cdef int keys = 0
    p = numbers
    for i in range(count):
        p = get_varint(p, &number)
        rendered |= phrases.reasons[number].at == RENDERED
        acts |= phrases.acts[number]
        said += phrases.reasons[number].size > 0
    if rendered:
        keys += pack_texts(ink, b"reasons", decision.reasons)
    elif said:
        pack_text(ink, b"reasons", 7)
        pack_head(ink, 0xDC, said)
        for i in range(count):
            numbers = get_varint(numbers, &number)
            pack_phrase(ink, phrases, &phrases.reasons[number])
        keys += 1
    return keys + (pack_texts(ink, b"actions", decision.actions) if acts else 0)


# Rules' ids straight from the record; what else the verdict has is seldom there, and takes the way over Python.
cdef int pack_verdict(Ink* ink, Decision decision, Phrases phrases) except -1:
    cdef const uint8_t* fired = <const uint8_t*>decision.head() + decision.head().verdict_at
    cdef const uint8_t* p
    cdef uint64_t notes
    cdef int keys = 0
    p = pack_rules(ink, b"fired", phrases, fired, &keys)
    if fired[0]:
        keys += pack_why(ink, decision, phrases, fired)
    p = pack_rules(ink, b"shadow", phrases, p, &keys)
    p = pack_rules(ink, b"unknown", phrases, p, &keys)
    notes = p[0]
    p = pack_rules(ink, b"exempted", phrases, p, &keys)
    if p[0]:
        keys += pack_texts(ink, b"lists", decision.lists)
    p = skip_numbers(p)
    if notes or p[0] or decision.head().flags & ~FLAG_LATE:
        keys += pack_texts(ink, b"notes", decision.notes)
    return keys


# Alerts, and what the holdout did: seldom there, so over Python.
cdef int pack_steered(Ink* ink, Decision decision) except -1:
    cdef int keys = 0
    if not decision.head().flags & ~FLAG_LATE:
        return 0
    if decision.intended != decision.outcome:
        pack_text(ink, b"intended", 8)
        pack_str(ink, decision.intended)
        keys += 1
    keys += pack_flag(ink, b"holdout", decision.holdout)
    if decision.probability != 1.0:
        pack_text(ink, b"probability", 11)
        pack_float(ink, decision.probability)
        keys += 1
    alerts = decision.alerts
    if alerts:
        packed = _pack_plain([alert.to_dict() for alert in alerts])
        pack_text(ink, b"alerts", 6)
        ink_need(ink, <uint64_t>len(packed))
        ink_raw(ink, <const char*>(<bytes>packed), <uint64_t>len(packed))
        keys += 1
    return keys


cdef int pack_decision(Ink* ink, Decision decision) except -1:
    cdef const RecordHead* head = decision.head()
    cdef Phrases phrases = phrases_of(decision.book)
    cdef uint64_t begin = ink.used
    cdef int keys = 4
    pack_head(ink, 0xDE, 0)  # the number of keys is known at the end
    pack_text(ink, b"id", 2)
    pack_text(ink, <const char*>head + head.id_at, head.id_size)
    pack_phrase(ink, phrases, &phrases.points[head.point])
    pack_phrase(ink, phrases, &phrases.outcomes[head.outcome])
    pack_phrase(ink, phrases, phrases.policy)
    keys += pack_number(ink, b"time", head.time)
    keys += pack_number(ink, b"seq", <int64_t>head.seq)
    keys += pack_number(ink, b"score", head.score)
    keys += pack_flag(ink, b"duplicate", decision.duplicate)
    keys += pack_flag(ink, b"late", head.flags & FLAG_LATE)
    keys += pack_flag(ink, b"durable", decision.durable)
    keys += pack_verdict(ink, decision, phrases)
    keys += pack_steered(ink, decision)
    keys += pack_features(ink, decision.book, phrases, <const uint8_t*>head)
    ink.data[begin + 1], ink.data[begin + 2] = <uint8_t>(keys >> 8), <uint8_t>keys
    return 0


cdef bytes packed_decision(Decision decision):
    cdef Ink ink
    memset(&ink, 0, sizeof(Ink))
    try:
        pack_decision(&ink, decision)
        return (<const char*>ink.data)[: ink.used]
    finally:
        free(ink.data)
