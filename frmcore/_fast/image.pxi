# The rings of one group as bytes, piece by piece, for checkpoints: a piece holds the rings whose hash ends in the same bits. A
# piece is written between two operations, so it is whole as of one sequence number; pieces of different sequence numbers make
# one state, because replay leaves out for each ring what its piece already holds (`already_holds`).
#
#   piece   int64 evicted, uint32 rings, then for each: hash, flags, count of entries, [capped], [since], [base], entries
#   entry   time and sequence as differences from the one before, then the columns
#
# Ints are zigzag varints; floats and hashes are eight bytes; texts a varint length and their bytes.

cdef enum:
    IMAGE_CAPPED = 1
    IMAGE_BASE = 2
    IMAGE_FIRST_LOST = 4
    IMAGE_LAST_LOST = 8
    IMAGE_SINCE = 16
    IMAGE_DEPTH_MAX = 24  # bits that choose a piece

cdef struct Ink:  # bytes being written
    uint8_t* data
    uint64_t used
    uint64_t room


cdef inline int ink_need(Ink* ink, uint64_t more) except -1:
    return 0 if likely(ink.used + more <= ink.room) else ink_grow(ink, more)


cdef int ink_grow(Ink* ink, uint64_t more) except -1:
    cdef uint64_t room
    cdef uint8_t* data
    room = max(2 * ink.room, ink.used + more, <uint64_t>4096)
    data = <uint8_t*>realloc(ink.data, room)
    if data == NULL:
        raise MemoryError
    ink.data, ink.room = data, room
    return 0


cdef inline void ink_raw(Ink* ink, const void* data, uint64_t size) noexcept nogil:
    memcpy(ink.data + ink.used, data, size)
    ink.used += size


cdef inline void ink_number(Ink* ink, uint64_t value) noexcept nogil:
    ink.used = <uint64_t>(put_varint(ink.data + ink.used, value) - ink.data)


cdef inline void ink_signed(Ink* ink, int64_t value) noexcept nogil:
    ink_number(ink, (<uint64_t>value << 1) ^ <uint64_t>(value >> 63))


cdef int ink_value(Ink* ink, RingStore store, uint32_t c, int64_t value) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef const KeptText* text
    if c < shape.shown and shape.column[c].kind == COLUMN_TEXT:
        text = store.texts.at(value)
        ink_need(ink, text.n + 16)
        ink_number(ink, text.n)
        ink_raw(ink, text.s, text.n)
    elif c < shape.shown and shape.column[c].kind in (COLUMN_FLOAT, COLUMN_MEMBER):
        ink_raw(ink, &value, 8)
    else:
        ink_signed(ink, value)
    return 0


cdef int ink_entries(Ink* ink, RingStore store, const Chunk* chunk, Place* last) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef uint32_t i, c
    cdef Place where
    for i in range(chunk.n):
        ink_need(ink, 32 + 10 * <uint64_t>shape.columns)
        where = chunk_place(shape, chunk, i)
        ink_signed(ink, where.time - last.time)
        ink_signed(ink, <int64_t>(where.seq - last.seq))
        last[0] = where
        for c in range(shape.columns):
            ink_value(ink, store, c, chunk_column(shape, chunk, c)[i])
            ink_need(ink, 10 * <uint64_t>shape.columns)
    return 0


cdef int ink_tree(Ink* ink, RingStore store, uint32_t index, int level, Place* last) except -1:
    cdef uint32_t i
    if level < 0:
        return ink_entries(ink, store, leaf_at(&store.forest, index), last)
    for i in range(node_at(&store.forest, index).n):
        ink_tree(ink, store, node_at(&store.forest, index).child[i], level - 1, last)
    return 0


cdef int ink_base(Ink* ink, RingStore store, Ring* ring) except -1:
    cdef Base* base = store.base(ring)
    cdef uint32_t c, shown = store.forest.shape.shown
    ink_need(ink, 64 + shown * (sizeof(ColumnTotals) + 32))
    ink_number(ink, base.count)
    ink_raw(ink, &base.first, sizeof(Place))
    ink_raw(ink, &base.last, sizeof(Place))
    ink_raw(ink, store.base_totals(ring), shown * sizeof(ColumnTotals))
    for c in range(shown):
        ink_value(ink, store, c, store.base_first(ring)[c])
        ink_need(ink, 32 * <uint64_t>(shown + 1))
    for c in range(shown):
        ink_value(ink, store, c, store.base_last(ring)[c])
        ink_need(ink, 32 * <uint64_t>(shown + 1))
    return 0


cdef int ink_ring(Ink* ink, RingStore store, uint32_t handle) except -1:
    cdef Ring* ring = store.at(handle)
    cdef TreeHead* tree = store.tree(ring) if handle >> CLASS_SHIFT == TREE else NULL
    cdef Place last = place(0, 0)
    cdef uint8_t flags = 0
    ink_need(ink, 128)
    if tree != NULL and tree.is_capped:
        flags |= IMAGE_CAPPED
    if ring.since != NEVER:
        flags |= IMAGE_SINCE
    if not store.base_empty(ring):
        flags |= IMAGE_BASE
        flags |= IMAGE_FIRST_LOST if store.base(ring).first_lost else 0
        flags |= IMAGE_LAST_LOST if store.base(ring).last_lost else 0
    ink_raw(ink, &ring.hash, sizeof(Hash))
    ink_raw(ink, &flags, 1)
    ink_number(ink, tree.entries if tree != NULL else store.chunk(ring).n)
    if flags & IMAGE_CAPPED:
        ink_raw(ink, &tree.capped, sizeof(Place))
    if flags & IMAGE_SINCE:
        ink_raw(ink, &ring.since, sizeof(int64_t))
    if flags & IMAGE_BASE:
        ink_base(ink, store, ring)
    if tree == NULL:
        ink_entries(ink, store, store.chunk(ring), &last)
    elif tree.root:
        ink_tree(ink, store, tree.root, tree.level, &last)
    return 0


# The piece `prefix` of `depth` bits. O(its rings); the GIL is held, so the caller keeps pieces small.
cdef bytes image_piece(RingStore store, uint32_t depth, uint64_t prefix, int64_t watermark):
    cdef uint64_t stride = 1, mask = (<uint64_t>1 << depth) - 1, cursor, bucket
    cdef uint32_t[64] handles
    cdef uint32_t i, count, rings = 0
    cdef Ink ink
    while 2 * stride <= store.table.buckets and stride <= mask:
        stride *= 2  # buckets are chosen by the last bits of the hash: a piece's lie `stride` apart
    memset(&ink, 0, sizeof(Ink))
    try:
        ink_need(&ink, 4096)
        ink_raw(&ink, &store.evicted, sizeof(int64_t))
        ink.used += sizeof(uint32_t)
        bucket = prefix & (stride - 1)
        while bucket < store.table.buckets:
            cursor = bucket
            count = table_scan(&store.table, &cursor, handles, 64)
            for i in range(count):
                if store.at(handles[i]).hash.lo & mask == prefix and store.living(handles[i], watermark):
                    ink_ring(&ink, store, handles[i])
                    rings += 1
            bucket += stride
        memcpy(ink.data + sizeof(int64_t), &rings, sizeof(uint32_t))
        return (<const char*>ink.data)[: ink.used]
    finally:
        free(ink.data)


# ---- reading -----------------------------------------------------------------------------------------------------------

cdef struct Quill:  # bytes being read; whatever they say, nothing beyond `end` is touched
    const uint8_t* at
    const uint8_t* end
    bint failed


cdef inline bint quill_raw(Quill* quill, void* out, uint64_t size) noexcept nogil:
    if quill.failed or <uint64_t>(quill.end - quill.at) < size:
        quill.failed = True
        memset(out, 0, size)
        return False
    memcpy(out, quill.at, size)
    quill.at += size
    return True


cdef inline uint64_t quill_number(Quill* quill) noexcept nogil:
    cdef uint64_t value = 0
    cdef int shift = 0
    while not quill.failed:
        if quill.at == quill.end or shift > 63:
            quill.failed = True
            return 0
        value |= <uint64_t>(quill.at[0] & 0x7F) << shift
        quill.at += 1
        if quill.at[-1] < 0x80:
            return value
        shift += 7
    return 0


cdef inline int64_t quill_signed(Quill* quill) noexcept nogil:
    cdef uint64_t raw = quill_number(quill)
    return <int64_t>(raw >> 1) ^ -<int64_t>(raw & 1)


cdef int quill_value(Quill* quill, RingStore store, uint32_t c, int64_t* out) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef uint64_t size
    out[0] = 0
    if c < shape.shown and shape.column[c].kind == COLUMN_TEXT:
        size = quill_number(quill)
        if quill.failed or size > <uint64_t>(quill.end - quill.at):
            quill.failed, size = True, 0
        out[0] = store.texts.intern(<const char*>quill.at, <uint32_t>size)
        quill.at += size
    elif c < shape.shown and shape.column[c].kind in (COLUMN_FLOAT, COLUMN_MEMBER):
        quill_raw(quill, out, 8)
    else:
        out[0] = quill_signed(quill)
    return 0


cdef inline bint place_sound(Place where) noexcept nogil:
    return -TIME_FAR < where.time < TIME_FAR


# May an entry of that place follow the base? The last one of it may be lost, and another one stand there.
cdef bint follows_base(RingStore store, uint32_t handle, Place where) noexcept nogil:
    cdef const Base* base = store.base(store.at(handle))
    return before(base.last, where) or (base.last_lost and same_place(base.last, where))


cdef int quill_base(Quill* quill, RingStore store, Ring* ring, uint8_t flags) except -1:
    cdef Base* base = store.base(ring)
    cdef uint32_t c, shown = store.forest.shape.shown
    base.count = quill_number(quill)
    quill_raw(quill, &base.first, sizeof(Place))
    quill_raw(quill, &base.last, sizeof(Place))
    quill_raw(quill, store.base_totals(ring), shown * sizeof(ColumnTotals))
    base.first_lost, base.last_lost = bool(flags & IMAGE_FIRST_LOST), bool(flags & IMAGE_LAST_LOST)
    if base.count == 0 or before(base.last, base.first) or not place_sound(base.first) or not place_sound(base.last):
        quill.failed, base.count = True, max(base.count, <uint64_t>1)  # its texts are there to be let go
    for c in range(shown):
        quill_value(quill, store, c, store.base_first(ring) + c)
    for c in range(shown):
        quill_value(quill, store, c, store.base_last(ring) + c)
    return 0


cdef uint32_t ring_of_class(RingStore store, Hash hash, uint32_t k) except 0:
    cdef uint32_t index = slab_take(&store.slabs[k])
    cdef Ring* ring
    if index == 0 or not table_reserve(&store.table):
        raise MemoryError
    ring = <Ring*>slab_at(&store.slabs[k], index)
    ring.hash, ring.since = hash, NEVER
    if store.life:
        store.base_clear(ring)
    chunk_init(&store.forest.shape, store.chunk(ring), CAPACITY[k])
    table_insert(&store.table, hash, index | k << CLASS_SHIFT)
    return index | k << CLASS_SHIFT


# One entry behind all others of its ring. The handle, which changes when the ring becomes a tree.
cdef uint32_t append_entry(RingStore store, uint32_t handle, Place where, const int64_t* values) except 0:
    cdef const Shape* shape = &store.forest.shape
    cdef Chunk* chunk
    if handle >> CLASS_SHIFT != TREE:
        chunk = store.chunk(store.at(handle))
        if chunk.n < chunk.capacity and chunk_holds(shape, chunk, where.time):
            chunk_insert(shape, chunk, chunk.n, where, values, inline_latest(shape, chunk, chunk.n, values))
            return handle
        handle = to_tree(store, handle)
    insert_tree(store, handle, where, values, -TIME_FAR)
    if store.forest.out_of_memory:
        raise MemoryError
    return handle


cdef int quill_ring(Quill* quill, RingStore store, uint64_t mask, uint64_t prefix, uint64_t last_seq) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef int64_t[STORED_MAX] values
    cdef Place last = place(0, 0), where, capped
    cdef uint64_t count, i
    cdef uint32_t handle, c, k = 0
    cdef uint8_t flags
    cdef Hash hash
    quill_raw(quill, &hash, sizeof(Hash))
    quill_raw(quill, &flags, 1)
    count = quill_number(quill)
    if quill.failed or hash.lo & mask != prefix or table_find(&store.table, hash) or (flags & IMAGE_BASE and not store.life):
        quill.failed = True
        return 0
    if count == 0 and not flags & (IMAGE_BASE | IMAGE_CAPPED):
        quill.failed = True  # an empty ring is none
        return 0
    while k < CLASSES - 1 and CAPACITY[k] < count:
        k += 1
    handle = ring_of_class(store, hash, k)
    if flags & IMAGE_CAPPED:
        quill_raw(quill, &capped, sizeof(Place))
    if flags & IMAGE_SINCE:
        quill_raw(quill, &store.at(handle).since, sizeof(int64_t))
        quill.failed |= not -TIME_FAR < store.at(handle).since < TIME_FAR
    if flags & IMAGE_BASE:
        quill_base(quill, store, store.at(handle), flags)
    for i in range(count):
        where.time = last.time + quill_signed(quill)
        where.seq = last.seq + <uint64_t>quill_signed(quill)
        if quill.failed or (i and not before(last, where)) or where.seq > last_seq or not place_sound(where):
            quill.failed = True
            return 0
        if i == 0 and flags & IMAGE_BASE and not follows_base(store, handle, where):
            quill.failed = True
            return 0
        for c in range(shape.columns):
            quill_value(quill, store, c, values + c)
        handle = append_entry(store, handle, where, values)
        last = where
    if flags & IMAGE_CAPPED and not quill.failed:
        if handle >> CLASS_SHIFT != TREE:
            handle = empty_tree(store, handle) if count == 0 else to_tree(store, handle)
        store.tree(store.at(handle)).capped, store.tree(store.at(handle)).is_capped = capped, True
    return 0


# A capped ring that holds nothing any more.
cdef uint32_t empty_tree(RingStore store, uint32_t handle) except 0:
    cdef uint32_t index = slab_take(&store.slabs[TREE])
    cdef Ring* ring = store.at(handle)
    cdef Ring* target
    if index == 0:
        raise MemoryError
    target = <Ring*>slab_at(&store.slabs[TREE], index)
    memcpy(target, ring, sizeof(Ring) + store.base_bytes)
    memset(store.tree(target), 0, sizeof(TreeHead))
    table_replace(&store.table, ring.hash, handle, index | <uint32_t>TREE << CLASS_SHIFT)
    slab_give(&store.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
    return index | <uint32_t>TREE << CLASS_SHIFT


# The rings of a piece, as of the sequence number `seq`, into a store that has none of them. False: the bytes are no such piece.
cdef bint read_piece(RingStore store, uint32_t depth, uint64_t prefix, uint64_t seq, bytes piece) except -1:
    cdef Quill quill
    cdef int64_t evicted
    cdef uint32_t rings = 0, i
    quill.at = <const uint8_t*><const char*>piece
    quill.end = quill.at + len(piece)
    quill.failed = False
    quill_raw(&quill, &evicted, sizeof(int64_t))
    quill.failed |= evicted != NEVER and not -TIME_FAR < evicted < TIME_FAR
    quill_raw(&quill, &rings, sizeof(uint32_t))
    store.evicted = min(store.evicted, evicted)  # where replay of this group starts
    for i in range(rings):
        if quill.failed:
            return False
        quill_ring(&quill, store, (<uint64_t>1 << depth) - 1, prefix, seq)
    return not quill.failed and quill.at == quill.end


@cython.final
cdef class Recovered:
    """What a checkpoint holds beside the journal, to start a Core from."""

    cdef readonly uint32_t book  # index of the policy that replay starts with
    cdef readonly object watermark  # where replay starts
    cdef readonly uint64_t covered_until
    cdef readonly dict origins  # signature -> (generation, given_up, gap)
    cdef Texts texts  # of the Core that its rings will move to; None: its own
    cdef readonly dict pieces  # (signature, generation) -> its pieces (recovery.Pieces), at least one

    def __init__(self, uint32_t book, watermark, uint64_t covered_until, dict origins, dict pieces):
        self.book, self.watermark, self.covered_until = book, watermark, covered_until
        self.origins, self.pieces = origins, pieces


# The pieces of one group into its new store, and for each ring the sequence number up to which it is complete.
cdef int load_pieces(RingStore store, object pieces) except -1:
    cdef uint32_t deepest = 0, depth
    cdef uint64_t prefix, at, seq, held = 0, ring_max = store.ring_max
    for depth in pieces.depths:
        if depth > IMAGE_DEPTH_MAX:
            raise ValueError("a checkpoint's piece is of no possible depth")
        deepest = max(deepest, depth)
    free(store.covered)
    store.covered = <uint64_t*>take(<uint64_t>1 << deepest, sizeof(uint64_t))
    store.covered_mask = (<uint64_t>1 << deepest) - 1
    store.evicted = TIME_FAR
    store.ring_max = <uint64_t>-1  # what a reload's lower limit has not taken away yet is still there
    for depth, prefix, seq, piece in pieces:
        if prefix >> depth or not read_piece(store, depth, prefix, seq, piece):
            raise ValueError(f"a checkpoint's piece of the windows by {store.group.entity} is damaged")
        at = prefix
        held += <uint64_t>1 << (deepest - depth)
        while at <= store.covered_mask:
            store.covered[at] = seq
            at += <uint64_t>1 << depth
    store.ring_max = ring_max
    if held <= store.covered_mask:  # the others are replayed from the group's making, before any eviction
        store.evicted = NEVER
    return 0
