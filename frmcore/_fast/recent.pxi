# The common reading: an event that nothing in the ring comes after, and windows that end with it. The last chunk, all of a small
# ring, is walked once, from its newest entry backwards, and each window takes the totals as they are where it begins; in a large
# ring those that begin before its last leaf add what the tree knows of the rest. Everything else is read by `read_general`, with
# the same results. R1's 21 features took 6,400 instructions an event there.

cdef struct Recent:  # what was read so far: the totals of the window, and where it begins
    Totals totals
    const Chunk* chunk  # the last one of the ring
    Ring* ring
    uint32_t handle
    uint32_t l
    Place lo

cdef Chunk NO_ENTRIES  # of a key without a ring
memset(&NO_ENTRIES, 0, sizeof(Chunk))


# All windows of a lookup into their registers. Returns how many notes it wrote at `notes` (a Note and a feature each).
cdef uint32_t read_lookup(
    RingStore store, WindowSet wanted, uint32_t handle, const Reading* reading, Reg* regs, uint32_t* notes, uint64_t* overflows
) noexcept:
    cdef Recent seen
    seen.handle = store.living(handle, reading.watermark)
    seen.ring = store.at(seen.handle) if seen.handle else NULL
    seen.chunk = recent_chunk(store, wanted, seen.ring, seen.handle, reading)
    if seen.chunk == NULL:
        return read_general(store, wanted, seen.handle, reading, regs, notes, overflows)
    return read_recent(store, wanted, &seen, reading, regs, notes, overflows)


# The last chunk of the ring; NULL where the reading is not a common one.
cdef inline const Chunk* recent_chunk(
    RingStore store, WindowSet wanted, Ring* ring, uint32_t handle, const Reading* reading
) noexcept nogil:
    cdef const Chunk* chunk
    cdef int64_t whole = reading.at.time - wanted.reach  # from here on nothing may lack
    if not wanted.is_plain or reading.at.time < reading.watermark or store.every:
        return NULL
    if reading.gap >= whole or (ring.since if ring != NULL else store.evicted) >= whole:
        return NULL
    if ring == NULL:
        return &NO_ENTRIES
    if store.life and store.base(ring).count and not before(store.base(ring).last, reading.at):
        return NULL
    if handle >> CLASS_SHIFT == TREE:
        return last_leaf(store, store.tree(ring), reading)
    chunk = store.chunk(ring)
    if chunk.n and not before(chunk_place(&store.forest.shape, chunk, chunk.n - 1), reading.at):
        return NULL
    return chunk


cdef const Chunk* last_leaf(RingStore store, const TreeHead* tree, const Reading* reading) noexcept nogil:
    cdef const Node* node
    if tree.root == 0 or tree.is_capped or not before(tree.last, reading.at):
        return NULL
    node = node_at(&store.forest, tree.root)
    while node.level > 0:
        node = node_at(&store.forest, node.child[node.n - 1])
    return leaf_at(&store.forest, node.child[node.n - 1])


cdef inline uint32_t read_recent(
    RingStore store, WindowSet wanted, Recent* seen, const Reading* reading, Reg* regs, uint32_t* notes, uint64_t* overflows
) noexcept:
    cdef const Shape* shape = &store.forest.shape
    cdef const Chunk* chunk = seen.chunk
    cdef const uint32_t* times = chunk_times(shape, chunk)
    cdef const TreeHead* tree = store.tree(seen.ring) if seen.handle >> CLASS_SHIFT == TREE else NULL
    cdef const Window* window = wanted.windows
    cdef const Window* end = window + wanted.window_count
    cdef Place begun = reading.at
    cdef int64_t first
    cdef uint32_t newer, l = chunk.n, count = 0
    totals_start(&seen.totals, shape.shown)
    if reading.counts_itself:
        add_itself(shape, reading.values, &seen.totals)
    while window != end:
        seen.lo = place(-TIME_FAR, 0)
        if window.span == SPAN_DURATION:
            seen.lo.time, newer = reading.at.time - window.over + (0 if window.left else 1), l
            first = seen.lo.time - chunk.base
            while l and <int64_t>times[l - 1] >= first:
                l -= 1
            if l < newer:
                chunk_totals(shape, chunk, l, newer, &seen.totals)
            if tree != NULL and l == 0 and tree.entries > chunk.n:
                begun = chunk_place(shape, chunk, 0) if newer else begun
                tree_totals(&store.forest, tree.root, tree.level, seen.lo, begun, True, True, &seen.totals)
                begun = seen.lo
        seen.l = l
        count += put_window(store, window, wanted.outputs, reading, seen, regs, notes + 2 * count, overflows)
        window += 1
    return count


# The features of a window. Counts and sums are most of them: those take no call. Returns how many notes it wrote.
cdef inline uint32_t put_window(
    RingStore store, const Window* window, const Output* outputs, const Reading* reading, const Recent* seen, Reg* regs,
    uint32_t* notes, uint64_t* overflows,
) noexcept:
    cdef const Output* output = outputs + window.output_first
    cdef const Output* end = output + window.output_count
    cdef uint32_t count = 0
    while output != end:
        if output.agg == AGG_COUNT:
            reg_set_int(&regs[output.dst], <int64_t>seen.totals.count)
        elif output.agg == AGG_SUM and sum_fits(&seen.totals.columns[output.column], &regs[output.dst].v.i):
            regs[output.dst].present = 1
        else:
            count += put_recent(store, window, output, reading, seen, regs, notes + 2 * count, overflows)
        output += 1
    return count


# One feature's value. Returns how many notes it wrote.
cdef uint32_t put_recent(
    RingStore store, const Window* window, const Output* output, const Reading* reading, const Recent* seen, Reg* regs,
    uint32_t* notes, uint64_t* overflows,
) noexcept:
    cdef Reg* dst = &regs[output.dst]
    cdef uint32_t c = <uint32_t>output.column
    if output.agg >= AGG_FIRST:
        return put_recent_entry(store, window, output, reading, seen, regs, notes)
    if output.agg == AGG_DISTINCT:
        reg_set_int(dst, <int64_t>seen.totals.columns[c].latest)
        dst.v.i += reading.counts_itself and is_new(store, c, reading, seen)
    elif not put_total(dst, output, &seen.totals.columns[c], seen.totals.count, store.forest.shape.column[c].kind):
        overflows[0] += 1
        return put_note(notes, NOTE_OVERFLOW, output, regs)
    return 0


cdef inline uint32_t put_recent_entry(
    RingStore store, const Window* window, const Output* output, const Reading* reading, const Recent* seen, Reg* regs,
    uint32_t* notes,
) noexcept:
    cdef Range range_
    cdef bint first = output.agg == AGG_FIRST or output.agg == AGG_SINCE_FIRST
    cdef bint is_elsewhere = first and seen.l == 0 and seen.handle >> CLASS_SHIFT == TREE
    if window.span == SPAN_LIFE and seen.chunk.n or seen.l < seen.chunk.n and not is_elsewhere:
        put_chunk_entry(store, &regs[output.dst], output, reading, <Chunk*>seen.chunk, seen.l if first else seen.chunk.n - 1)
        return 0
    if seen.handle and (window.span == SPAN_LIFE or is_elsewhere):  # what left the ring may tell, or an older leaf
        range_.lo, range_.hi = seen.lo, reading.at
        return put_single(store, seen.ring, seen.handle, window, output, reading, &range_, regs, notes)
    regs[output.dst].present = 0
    return 0


# Is the event's own value none of the window's? The window ends where the ring does, so its flags count each of its values once.
cdef inline bint is_new(RingStore store, uint32_t c, const Reading* reading, const Recent* seen) noexcept nogil:
    cdef Range range_
    if last_with(chunk_column(&store.forest.shape, seen.chunk, c), seen.l, seen.chunk.n, reading.values[c]) >= 0:
        return False
    if seen.l or seen.handle >> CLASS_SHIFT != TREE:
        return True
    range_.lo = seen.lo
    return not seen_in_tree(store, seen.ring, c, reading, &range_)
