# Tombstones: what an erasure leaves of a record. Texts and identifiers are overwritten in place, so that a record keeps its size
# and everything in it its offset; times, amounts, the verdict and the event's id stay. The same bytes in memory and in the journal.

from frmcore.values import ERASED as _ERASED


# Overwrites the facts of an event's record, and what its features show of texts.
cdef void erase_record(uint8_t* record, Book book) noexcept nogil:
    cdef const uint8_t* bits = record + sizeof(RecordHead)
    cdef const uint8_t* p = bits + ((book.fact_count + 7) >> 3)
    cdef const uint8_t* following
    cdef Reg reg
    cdef uint32_t i
    for i in range(book.fact_count):
        if not bits[i >> 3] >> (i & 7) & 1:
            continue
        following = get_value(p, &reg, book.fact_rep[i])
        if book.erasable[i]:
            erase_value(<uint8_t*>p, following, &reg, book.fact_rep[i])
        p = following
    (<RecordHead*>record).flags |= FLAG_ERASED
    erase_shown(record, book)


# A text becomes bytes that no text has, a number 0 in as many bytes as it took.
cdef void erase_value(uint8_t* start, const uint8_t* end, const Reg* reg, uint8_t rep) noexcept nogil:
    if rep == REP_TEXT:
        memset(<char*>reg.v.s, 0xFF, reg.n)
    elif rep == REP_INT:
        memset(start, 0x80, end - start - 1)
        start[end - start - 1] = 0


# Overwrites the texts among a decision's features.
cdef void erase_shown(uint8_t* record, Book book) noexcept nogil:
    cdef const uint8_t* bits = record + (<RecordHead*>record).features_at
    cdef const uint8_t* p = bits + ((book.feature_count + 7) >> 3)
    cdef Reg reg
    cdef uint32_t i
    (<RecordHead*>record).flags |= FLAG_SHOWN
    if (<RecordHead*>record).type == RECORD_OBSERVED:
        return
    for i in range(book.feature_count):
        if bits[i >> 3] >> (i & 7) & 1:
            p = get_value(p, &reg, book.features[i].rep)
            if book.features[i].rep == REP_TEXT:
                memset(<char*>reg.v.s, 0xFF, reg.n)


# `raw` (register -> value, of a record's facts or features) shows what was erased: it reads absent, but it was there.
cdef int show_erased(Book book, const uint8_t* record, object raw, bint facts, bint features) except -1:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef const uint8_t* bits = record + sizeof(RecordHead)
    cdef uint32_t i
    if facts and head.flags & FLAG_ERASED:
        for i in range(book.fact_count):
            if book.erasable[i] and bits[i >> 3] >> (i & 7) & 1 and raw[i] is None:
                raw[i] = _ERASED
    bits = record + head.features_at
    if features and head.flags & FLAG_SHOWN and head.type != RECORD_OBSERVED:
        for i in range(book.feature_count):
            if bits[i >> 3] >> (i & 7) & 1 and raw[book.features[i].reg] is None:
                raw[book.features[i].reg] = _ERASED
    return 0


# What was told about an erased event, without its texts.
cdef void erase_told(EventState* state, Book book) noexcept nogil:
    cdef uint32_t i, first = book.field_count + book.derived_count
    cdef Told* told
    for i in range(state.update_count):
        told = &state.told[i]
        if book.fact_rep[first + i] == REP_TEXT and told.value.present and told.value.n:
            free(<void*>told.value.v.s)
            told.value.present = told.value.n = 0


# An update's content without its texts; replay tells the fields under `erased` as absent.
cdef dict erased_update(Book book, dict content):
    names = book.names[book.field_count + book.derived_count :]
    texts = {
        name for i, name in enumerate(names) if book.fact_rep[book.field_count + book.derived_count + <uint32_t>i] == REP_TEXT
    }
    fields = {name: value for name, value in content["fields"].items() if name not in texts or not value}
    erased = [name for name in content["fields"] if name not in fields]
    return {"id": content["id"], "fields": fields, "erased": [*content.get("erased", ()), *erased]}
