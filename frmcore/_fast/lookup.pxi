# Reference data: the keys of a table as a set, and the value of each. Made once, never changed.

cdef struct LookupTable:
    IntSet ints  # one of the two
    TextSet texts
    Reg* values
    uint32_t count
    uint8_t by_text


cdef void run_lookup(Reg* dst, const Reg* key, const LookupTable* table) noexcept nogil:
    cdef int64_t at = -1
    if key.present:
        at = text_set_find(&table.texts, key.v.s, key.n) if table.by_text else int_set_find(&table.ints, key.v.i)
    if at < 0:
        dst.present = 0
    else:
        dst[0] = table.values[at]


# `keys` and `values`: texts as bytes, which the caller keeps alive.
cdef int lookup_load(LookupTable* table, plan, keys, values) except -1:
    cdef uint32_t i
    table.by_text = plan.key == _Rep.TEXT
    table.values = <Reg*>calloc(<size_t>len(values) + 1, sizeof(Reg))
    if table.values == NULL:
        raise MemoryError
    table.count = <uint32_t>len(values)
    for i, value in enumerate(values):
        reg_set(table.values + i, plan.value, value)
    if table.by_text:
        return text_set_load(&table.texts, list(keys))
    return int_set_load(&table.ints, keys)


cdef void lookup_free(LookupTable* table) noexcept:
    free(table.ints.items)
    free(table.texts.items)
    free(table.texts.slots)
    free(table.values)


# What a table takes, its texts aside.
cdef uint64_t lookup_bytes(const LookupTable* table) noexcept nogil:
    return <uint64_t>table.count * (sizeof(Reg) + (sizeof(SetText) + 12 if table.by_text else sizeof(int64_t)))
