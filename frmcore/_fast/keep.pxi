# The life of a ring: an event enters it or is retracted, what the watermark passed is given up, memory is given back.

# Enters one event; a ring that evictions took begins anew. `values`: one int64 for each column of the group. `watermark` says
# what may be given up on the way. `handle`: of the key's ring, 0 where that was not looked up.
cdef int ring_insert(
    RingStore store, uint32_t handle, Hash hash, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark
) except -1:
    cdef Place where = store.place_of(time, seq)
    cdef int64_t line = store.line(watermark)
    if where.time <= line and not store.life:
        store.release(values)
        return 0
    if handle == 0:
        handle = table_find(&store.table, hash)
    if unlikely(store.evicted != NEVER):
        if handle and store.is_void(handle, line):
            void_ring(store, handle, line)
            handle = 0
        if where.time <= (store.at(handle).since if handle else store.evicted):
            store.release(values)
            return 0
    if handle == 0:
        handle = store.create(hash)
    return ring_enter(store, handle, where, values, line)


# The usual event comes after all that is in a small ring with room for it: that is tried before anything is asked in general. A
# fifth of what entering five rings took.
cdef inline int ring_enter(RingStore store, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Ring* ring = store.at(handle)
    cdef Chunk* chunk
    if store.life and into_base(store, ring, handle, where, values, line):
        return 0
    if handle >> CLASS_SHIFT != TREE and shape.weight == NONE:
        chunk = store.chunk(ring)
        if chunk.n < store.ring_max and chunk_follows(shape, chunk, where) and not store.forest.out_of_memory:
            chunk_append(shape, chunk, where, values, inline_latest(shape, chunk, chunk.n, values))
            return 0
    return ring_enter_any(store, handle, where, values, line)


cdef int ring_enter_any(RingStore store, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
    cdef int64_t[STORED_MAX] stored
    if store.forest.shape.weight != NONE:
        store.fill(stored, values)
        values = stored
        if merge_cell(store, handle, where, values):
            return 0
    if handle >> CLASS_SHIFT == TREE:
        insert_tree(store, handle, where, values, line)
    else:
        insert_inline(store, handle, where, values, line)
    if store.forest.out_of_memory:
        raise MemoryError
    return 0


# An event at or before the line, or before what is in the base, belongs there; its elders in the ring go first.
cdef inline bint into_base(
    RingStore store, Ring* ring, uint32_t handle, Place where, const int64_t* values, int64_t line
) except -1:
    cdef Base* base = store.base(ring)
    if where.time <= line:
        fold_to(store, handle, line)
    elif base.count == 0 or not before(where, base.last):
        return False
    base_add(store, ring, where, values)
    store.release(values)
    return True


# Everything at or before the line into the base: what a retraction finds there must not depend on who trimmed when.
cdef int fold_to(RingStore store, uint32_t handle, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    return fold_tree(store, ring, line) if handle >> CLASS_SHIFT == TREE else trim_inline(store, ring, line)


cdef int insert_inline(RingStore store, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Ring* ring = store.at(handle)
    cdef Chunk* chunk = store.chunk(ring)
    cdef uint32_t at
    if chunk.n == chunk.capacity or chunk.n >= store.ring_max or not chunk_holds(shape, chunk, where.time):
        trim_inline(store, ring, line)
        if chunk.n == CHUNK_MAX or chunk.n >= store.ring_max or not chunk_holds(shape, chunk, where.time):
            return insert_tree(store, to_tree(store, handle), where, values, line)
        if chunk.n == chunk.capacity:
            handle = store.resize(handle, (handle >> CLASS_SHIFT) + 1)
            chunk = store.chunk(store.at(handle))
    if chunk_follows(shape, chunk, where):
        chunk_append(shape, chunk, where, values, inline_latest(shape, chunk, chunk.n, values))
        return 0
    at = chunk_lower(shape, chunk, where)
    chunk_insert(shape, chunk, at, where, values, inline_latest(shape, chunk, at, values))
    return 0


# Gives up entries at or before the line, folding those of a life group into its base.
cdef int trim_inline(RingStore store, Ring* ring, int64_t line) except -1:
    cdef Chunk* chunk = store.chunk(ring)
    while chunk.n and chunk_time(&store.forest.shape, chunk, 0) <= line:
        fold_entry(store, ring, chunk, 0)
        inline_unlatest(&store.forest.shape, chunk, 0)
        chunk_remove(&store.forest.shape, chunk, 0)
    return 0


# Retracts the event at that place; `values` are what it brought. False when it is not there any more.
cdef bint ring_remove(RingStore store, Hash hash, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark) except -1:
    cdef uint32_t handle = ring_take(store, hash, time, seq, values, watermark)
    if handle:
        ring_compact(store, handle)
    return handle != 0


# Takes the event out of a ring that stays, even with nothing in it: until `ring_put`, or `ring_compact` of the handle, which is 0
# where the event is not there any more.
cdef uint32_t ring_take(RingStore store, Hash hash, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark) except? 0:
    cdef Place where = store.place_of(time, seq)
    cdef uint32_t handle = store.living(table_find(&store.table, hash), watermark), at
    cdef Chunk* chunk
    cdef bint found
    if handle == 0 or where.time <= store.at(handle).since:
        return 0
    if store.life:
        fold_to(store, handle, store.line(watermark))
    chunk = store.seek(store.at(handle), handle, where, &at)
    if chunk != NULL and same_place(where, chunk_place(&store.forest.shape, chunk, at)):
        found = True
        if store.forest.shape.weight == NONE or unmerge_cell(store, handle, chunk, at, values):
            remove_entry(store, handle, chunk, at, where)
    else:
        found = store.life and out_of_base(store, store.at(handle), where, values)
    return handle if found else 0


# An event that was taken out goes back, with these values: it was there all the time, so no eviction is judged anew.
cdef int ring_put(RingStore store, uint32_t handle, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark) except -1:
    return ring_enter(store, handle, store.place_of(time, seq), values, store.line(watermark))


cdef int remove_entry(RingStore store, uint32_t handle, Chunk* chunk, uint32_t at, Place where) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Ring* ring = store.at(handle)
    cdef uint32_t c
    store.release_entry(chunk, at)
    if handle >> CLASS_SHIFT != TREE:
        inline_unlatest(shape, chunk, at)
        chunk_remove(shape, chunk, at)
        return 0
    for c in range(shape.shown):
        if shape.column[c].member != NONE:
            member_leaves(store, ring, where, c, chunk_column(shape, chunk, c)[at])
    cut_tree(store, store.tree(ring), where)
    return 0


# A ring gives memory back: to a smaller record, or altogether when nothing is in it.
cdef int ring_compact(RingStore store, uint32_t handle) except -1:
    return shrink_tree(store, handle) if handle >> CLASS_SHIFT == TREE else shrink_inline(store, handle)


cdef int shrink_inline(RingStore store, uint32_t handle) except -1:
    cdef Chunk* chunk = store.chunk(store.at(handle))
    cdef uint32_t k = handle >> CLASS_SHIFT, fits = 0
    if chunk.n == 0 and store.base_empty(store.at(handle)):
        return store.drop_ring(handle)
    while CAPACITY[fits] < chunk.n:
        fits += 1
    if fits + 2 <= k:
        store.resize(handle, fits + 1)
    return 0


# Looks at one bucket: rings that hold nothing after the line are freed. Constant work.
cdef int rings_sweep(RingStore store, int64_t watermark) except -1:
    cdef uint32_t[64] handles
    cdef uint32_t i, count = table_scan(&store.table, &store.sweep_cursor, handles, 64)
    cdef int64_t line = store.line(watermark)
    for i in range(count):
        ring_sweep(store, handles[i], line)
    prefetch_sweep(store)
    return 0


# What the next sweep looks at is cold: without this it waits for one ring after the other.
cdef inline void prefetch_sweep(RingStore store) noexcept nogil:
    cdef uint32_t[64] handles
    cdef uint64_t cursor = store.sweep_cursor
    cdef uint32_t i, count = table_scan(&store.table, &cursor, handles, 64)
    for i in range(count):
        prefetch(store.at(handles[i]))
        prefetch(store.chunk(store.at(handles[i])))
    prefetch(table_bucket(&store.table, cursor if cursor < store.table.buckets else 0))


cdef int ring_sweep(RingStore store, uint32_t handle, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    cdef TreeHead* tree = store.tree(ring)
    if store.evicted != NEVER and store.is_void(handle, line):
        return void_ring(store, handle, line)
    if handle >> CLASS_SHIFT != TREE:
        trim_inline(store, ring, line)
    else:
        trim_tree(store, ring, line)
        if tree.is_capped and tree.capped.time <= line:
            tree.is_capped = False
    return ring_compact(store, handle)


# What evictions took goes, with all that is in it. O(its entries).
cdef int void_ring(RingStore store, uint32_t handle, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    store.rings_evicted += line < store.last_time(handle, line)
    if handle >> CLASS_SHIFT == TREE:
        while store.tree(ring).root:
            drop_first_leaf(store, ring)
    store.release_ring(handle)
    return store.drop_ring(handle)
