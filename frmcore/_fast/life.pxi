# Life groups: totals of what left the ring, with the first and the last entry of it.

# Adds an entry (as stored) to the base.
cdef void base_add(RingStore store, Ring* ring, Place where, const int64_t* values) noexcept:
    cdef const Shape* shape = &store.forest.shape
    cdef Base* base = store.base(ring)
    cdef uint32_t c
    for c in range(shape.shown):
        column_bump(shape, c, store.base_totals(ring) + c, values[c], 1)
    if base.count == 0 or not before(base.first, where):  # at the same place: it was retracted and told anew
        keep_values(store, store.base_first(ring), values, base.count > 0)
        base.first, base.first_lost = where, False
    if base.count == 0 or not before(where, base.last):
        keep_values(store, store.base_last(ring), values, base.count > 0)
        base.last, base.last_lost = where, False
    base.count += 1


cdef void keep_values(RingStore store, int64_t* kept, const int64_t* values, bint replaces) noexcept:
    cdef uint32_t c
    for c in range(store.forest.shape.shown):
        if store.forest.shape.column[c].kind == COLUMN_TEXT:
            store.texts.retain(values[c])
            if replaces:
                store.texts.release(kept[c])
        kept[c] = values[c]


cdef bint out_of_base(RingStore store, Ring* ring, Place where, const int64_t* values) noexcept:
    cdef Base* base = store.base(ring)
    cdef uint32_t c
    if base.count == 0:
        return False
    for c in range(store.forest.shape.shown):
        column_bump(&store.forest.shape, c, store.base_totals(ring) + c, values[c], -1)
    base.count -= 1
    base.first_lost |= same_place(where, base.first)
    base.last_lost |= same_place(where, base.last)
    if base.count == 0:
        store.release(store.base_first(ring))
        store.release(store.base_last(ring))
        store.base_clear(ring)
    return True


# An entry leaves the ring for good; a life group keeps it in its base.
cdef void fold_entry(RingStore store, Ring* ring, Chunk* chunk, uint32_t at) noexcept:
    cdef int64_t[COLUMNS_MAX] values
    cdef uint32_t c
    if store.life:
        for c in range(store.forest.shape.shown):
            values[c] = chunk_column(&store.forest.shape, chunk, c)[at]
        base_add(store, ring, chunk_place(&store.forest.shape, chunk, at), values)
    store.release_entry(chunk, at)
