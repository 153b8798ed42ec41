# A decision as MessagePack, for processes that asked over a socket: one map, written straight from the record, because reading
# thirty features into Python objects first costs ten times what deciding does. docs/protocol.md has its keys; what is empty,
# zero or false is left out.

cdef int pack_byte_and(Ink* ink, uint8_t code, uint64_t value, uint32_t size) except -1:
    cdef uint32_t i
    ink_need(ink, 9)
    ink.data[ink.used] = code
    for i in range(size):
        ink.data[ink.used + 1 + i] = <uint8_t>(value >> (8 * (size - 1 - i)))
    ink.used += 1 + size
    return 0


cdef int pack_int(Ink* ink, int64_t value) except -1:
    if 0 <= value < 128:
        return pack_byte_and(ink, <uint8_t>value, 0, 0)
    if -32 <= value < 0:
        return pack_byte_and(ink, <uint8_t>(256 + value), 0, 0)
    if value == <int32_t>value:
        return pack_byte_and(ink, 0xD2, <uint64_t>value, 4)
    return pack_byte_and(ink, 0xD3, <uint64_t>value, 8)


cdef int pack_float(Ink* ink, double value) except -1:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return pack_byte_and(ink, 0xCB, bits, 8)


cdef int pack_bool(Ink* ink, bint value) except -1:
    return pack_byte_and(ink, 0xC3 if value else 0xC2, 0, 0)


cdef int pack_text(Ink* ink, const char* data, uint64_t size) except -1:
    if size < 32:
        pack_byte_and(ink, <uint8_t>(0xA0 | size), 0, 0)
    elif size < 256:
        pack_byte_and(ink, 0xD9, size, 1)
    else:
        pack_byte_and(ink, 0xDB, size, 4)
    ink_need(ink, size)
    ink_raw(ink, data, size)
    return 0


cdef int pack_str(Ink* ink, object text) except -1:
    cdef Py_ssize_t size
    cdef const char* data = as_utf8(<PyObject*>text, &size)
    return pack_text(ink, data, <uint64_t>size)


# A head of 16-bit length, for maps (0xDE) and arrays (0xDC).
cdef int pack_head(Ink* ink, uint8_t code, uint64_t count) except -1:
    if count > 0xFFFF:
        raise ValueError(f"{count} parts in one decision")
    return pack_byte_and(ink, code, count, 2)


# A key with several texts, unless there are none; how many keys that made.
cdef int pack_texts(Ink* ink, bytes key, object texts) except -1:
    if not texts:
        return 0
    pack_text(ink, key, <uint64_t>len(key))
    pack_head(ink, 0xDC, <uint64_t>len(texts))
    for text in texts:
        pack_str(ink, text)
    return 1


cdef int pack_number(Ink* ink, bytes key, int64_t value) except -1:
    if value == 0:
        return 0
    pack_text(ink, key, <uint64_t>len(key))
    pack_int(ink, value)
    return 1


cdef int pack_flag(Ink* ink, bytes key, bint value) except -1:
    if not value:
        return 0
    pack_text(ink, key, <uint64_t>len(key))
    pack_bool(ink, True)
    return 1


cdef int pack_name(Ink* ink, bytes key, object name) except -1:
    pack_text(ink, key, <uint64_t>len(key))
    pack_str(ink, name)
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


cdef int pack_features(Ink* ink, Book book, const uint8_t* record) except -1:
    cdef Reg* regs
    cdef uint32_t i
    if book.feature_count == 0:
        return 0
    pack_text(ink, b"features", 8)
    pack_head(ink, 0xDE, book.feature_count)
    regs = <Reg*>take(book.register_count, sizeof(Reg))
    try:
        get_features(record, book, regs)
        for i in range(book.feature_count):
            pack_text(ink, book.feature_names[i].s, book.feature_names[i].n)
            pack_feature(ink, book, i, &regs[book.features[i].reg])
    finally:
        free(regs)
    return 1


# Ids of rules under a key, from the numbers at `p`; behind them.
cdef const uint8_t* pack_rules(Ink* ink, bytes key, Book book, const uint8_t* p, int* keys) except NULL:
    cdef uint64_t count, number
    p = get_varint(p, &count)
    if count:
        keys[0] += 1
        pack_text(ink, key, <uint64_t>len(key))
        pack_head(ink, 0xDC, count)
        while count:
            p = get_varint(p, &number)
            pack_text(ink, book.rule_names[number].s, book.rule_names[number].n)
            count -= 1
    return p


# Rules' ids straight from the record; what else the verdict has is seldom there, and takes the way over Python.
cdef int pack_verdict(Ink* ink, Decision decision) except -1:
    cdef Book book = decision.book
    cdef const uint8_t* fired = <const uint8_t*>decision.head() + decision.head().verdict_at
    cdef const uint8_t* p
    cdef uint64_t hits, skipped, notes
    cdef int keys = 0
    p = pack_rules(ink, b"fired", book, fired, &keys)
    if fired[0]:
        keys += pack_texts(ink, b"reasons", decision.reasons)
        keys += pack_texts(ink, b"actions", decision.actions)
    p = pack_rules(ink, b"shadow", book, p, &keys)
    p = pack_rules(ink, b"unknown", book, p, &keys)
    notes = p[0]
    p = pack_rules(ink, b"exempted", book, p, &keys)
    p = get_varint(p, &hits)
    if hits:
        keys += pack_texts(ink, b"lists", decision.lists)
    while hits:
        p = get_varint(p, &skipped)
        hits -= 1
    if notes or p[0]:
        keys += pack_texts(ink, b"notes", decision.notes)
    return keys


cdef bytes pack_decision(Decision decision):
    cdef const RecordHead* head = decision.head()
    cdef Book book = decision.book
    cdef Ink ink
    cdef int keys = 0
    memset(&ink, 0, sizeof(Ink))
    try:
        pack_head(&ink, 0xDE, 0)  # the number of keys is known at the end
        pack_text(&ink, b"id", 2)
        pack_text(&ink, <const char*>head + head.id_at, head.id_size)
        keys += 1 + pack_name(&ink, b"point", book.plan.points[head.point].name)
        keys += pack_name(&ink, b"outcome", book.plan.outcomes[head.outcome])
        keys += pack_name(&ink, b"policy", book.plan.hash)
        keys += pack_number(&ink, b"time", head.time)
        keys += pack_number(&ink, b"seq", <int64_t>head.seq)
        keys += pack_number(&ink, b"score", head.score)
        keys += pack_flag(&ink, b"duplicate", decision.duplicate)
        keys += pack_flag(&ink, b"late", head.flags & FLAG_LATE)
        keys += pack_flag(&ink, b"durable", decision.durable)
        keys += pack_verdict(&ink, decision)
        keys += pack_features(&ink, book, <const uint8_t*>head)
        ink.data[1], ink.data[2] = <uint8_t>(keys >> 8), <uint8_t>keys
        return (<const char*>ink.data)[: ink.used]
    finally:
        free(ink.data)
