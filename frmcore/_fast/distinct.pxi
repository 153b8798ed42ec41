# The distinct values of a ring: each value's latest occurrence is flagged. A small ring is searched for it; of large ones a table
# knows the place, and how often the value is there.

# The flags of a value that comes into an inline ring at `at`; an earlier occurrence loses its own.
cdef inline uint32_t inline_latest(const Shape* shape, Chunk* chunk, uint32_t at, const int64_t* values) noexcept nogil:
    cdef const int64_t* column
    cdef uint32_t c, bits = 0
    cdef int earlier
    if shape.members == 0:
        return 0
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        column = chunk_column(shape, chunk, c)
        if last_with(column, at, chunk.n, values[c]) >= 0:
            continue
        bits |= <uint32_t>1 << shape.column[c].member
        earlier = last_with(column, 0, at, values[c])
        if earlier >= 0:  # the last one before: no other has the flag
            chunk.latest[shape.column[c].member] &= ~(<uint32_t>1 << earlier)
    return bits


# The last of column[first:end] with that value, -1 where none has it. Backwards, because what came last comes again.
cdef inline int last_with(const int64_t* column, uint32_t first, uint32_t end, int64_t value) noexcept nogil:
    while end > first:
        end -= 1
        if column[end] == value:
            return <int>end
    return -1


# Before the entry at `at` leaves an inline ring: its flag goes to the occurrence before it.
cdef inline void inline_unlatest(const Shape* shape, Chunk* chunk, uint32_t at) noexcept nogil:
    cdef uint32_t c, member
    cdef int earlier
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        member = <uint32_t>shape.column[c].member
        if not chunk.latest[member] >> at & 1:
            continue
        earlier = last_with(chunk_column(shape, chunk, c), 0, at, chunk_column(shape, chunk, c)[at])
        if earlier >= 0:
            chunk.latest[member] |= <uint32_t>1 << earlier


cdef inline Hash member_hash(RingStore store, const Ring* ring, uint32_t c, int64_t value) noexcept nogil:
    cdef Hash part
    part.lo, part.hi = <uint64_t>value, c
    return hash_join(ring.hash, part)


# The table's entry of a value, made with count 0 where there is none.
cdef Latest* member_entry(RingStore store, const Ring* ring, uint32_t c, int64_t value) except NULL:
    cdef Hash hash = member_hash(store, ring, c, value)
    cdef uint32_t index = table_find(&store.latest_table, hash)
    cdef Latest* entry
    if index == 0:
        index = slab_take(&store.latest_slab)
        if index == 0 or not table_reserve(&store.latest_table):
            raise MemoryError
        entry = <Latest*>slab_at(&store.latest_slab, index)
        entry.hash, entry.count = hash, 0
        table_insert(&store.latest_table, hash, index)
    return <Latest*>slab_at(&store.latest_slab, index)


# A value comes into a large ring: its flag bits, after an earlier occurrence lost its flag.
cdef uint32_t member_enters(RingStore store, Ring* ring, Place where, const int64_t* values) except? 0xFFFFFFFF:
    cdef const Shape* shape = &store.forest.shape
    cdef TreeHead* tree = store.tree(ring)
    cdef Latest* entry
    cdef uint32_t c, bits = 0
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        entry = member_entry(store, ring, c, values[c])
        entry.count += 1
        if entry.count > 1 and before(where, entry.place):
            continue
        if entry.count > 1:
            tree_flag(&store.forest, tree.root, tree.level, entry.place, c, False)
        entry.place = where
        bits |= <uint32_t>1 << shape.column[c].member
    return bits


# One occurrence of a value leaves a large ring (its entry is still there). A flagged one passes its flag on.
cdef int member_leaves(RingStore store, Ring* ring, Place where, uint32_t c, int64_t value) except -1:
    cdef TreeHead* tree = store.tree(ring)
    cdef Latest* entry = member_entry(store, ring, c, value)
    cdef Chunk* leaf
    cdef uint32_t at
    entry.count -= 1
    if entry.count == 0:
        slab_give(&store.latest_slab, table_remove(&store.latest_table, entry.hash))
    elif not before(where, entry.place):
        leaf = tree_last_with(&store.forest, tree.root, tree.level, where, c, value, &at)
        entry.place = chunk_place(&store.forest.shape, leaf, at)
        tree_flag(&store.forest, tree.root, tree.level, entry.place, c, True)
    return 0


# The oldest occurrence of a value goes: if it was the only one, so does the value.
cdef int member_dropped(RingStore store, Ring* ring, uint32_t c, int64_t value) except -1:
    cdef Latest* entry = member_entry(store, ring, c, value)
    entry.count -= 1
    if entry.count == 0:
        slab_give(&store.latest_slab, table_remove(&store.latest_table, entry.hash))
    return 0


# All values of a chunk into the table (entering), or out of it.
cdef int members_note(RingStore store, Ring* ring, Chunk* chunk, bint entering) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Latest* entry
    cdef uint32_t c, i
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        for i in range(chunk.n):
            entry = member_entry(store, ring, c, chunk_column(shape, chunk, c)[i])
            if entering:
                entry.count += 1
                entry.place = chunk_place(shape, chunk, i)
            else:
                entry.count -= 1
                if entry.count == 0:
                    slab_give(&store.latest_slab, table_remove(&store.latest_table, entry.hash))
    return 0
