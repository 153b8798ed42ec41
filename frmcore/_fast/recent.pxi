# The common reading: an event that nothing in the ring comes after, windows that end with it, and all of them inside one chunk:
# a small ring, or the last leaf of a large one. The chunk is walked once, from its newest entry backwards, and each window takes
# the totals as they are where it begins. Everything else is read by `read_general`, with the same results. R1's 21 features: 6,400
# instructions an event before, 1,700 so.

cdef Chunk NO_ENTRIES  # of a key without a ring
memset(&NO_ENTRIES, 0, sizeof(Chunk))


# All windows of a lookup into their registers. Returns how many notes it wrote at `notes` (a Note and a feature each).
cdef uint32_t read_lookup(
    RingStore store, WindowSet wanted, uint32_t handle, const Reading* reading, Reg* regs, uint32_t* notes, uint64_t* overflows
) noexcept:
    cdef const Chunk* chunk = recent_chunk(store, wanted, handle, reading)
    if chunk == NULL:
        return read_general(store, wanted, handle, reading, regs, notes, overflows)
    return read_recent(store, wanted, chunk, handle, reading, regs, notes, overflows)


# The chunk that holds all the windows look at; NULL where one could reach further, or was ever cut short.
cdef inline const Chunk* recent_chunk(RingStore store, WindowSet wanted, uint32_t handle, const Reading* reading) noexcept nogil:
    cdef Ring* ring
    cdef const Chunk* chunk
    if not wanted.is_plain or reading.at.time < reading.watermark or store.every:
        return NULL
    if reading.gap >= reading.at.time - (TIME_FAR if wanted.has_life else wanted.reach):
        return NULL
    if handle == 0:
        return &NO_ENTRIES
    ring = store.at(handle)
    if store.life and store.base(ring).count and not before(store.base(ring).last, reading.at):
        return NULL
    if handle >> CLASS_SHIFT == TREE:
        return last_leaf(store, store.tree(ring), reading, wanted.reach)
    chunk = store.chunk(ring)
    if chunk.n and not before(chunk_place(&store.forest.shape, chunk, chunk.n - 1), reading.at):
        return NULL
    return chunk


cdef const Chunk* last_leaf(RingStore store, const TreeHead* tree, const Reading* reading, int64_t reach) noexcept nogil:
    cdef const Node* node
    if tree.root == 0 or tree.is_capped or not before(tree.last, reading.at):
        return NULL
    node = node_at(&store.forest, tree.root)
    while node.level > 0:
        node = node_at(&store.forest, node.child[node.n - 1])
    if node.first[node.n - 1].time >= reading.at.time - reach:
        return NULL
    return leaf_at(&store.forest, node.child[node.n - 1])


cdef uint32_t read_recent(
    RingStore store, WindowSet wanted, const Chunk* chunk, uint32_t handle, const Reading* reading, Reg* regs, uint32_t* notes,
    uint64_t* overflows,
) noexcept:
    cdef const Shape* shape = &store.forest.shape
    cdef const uint32_t* times = chunk_times(shape, chunk)
    cdef const Window* window
    cdef Totals totals
    cdef int64_t lo
    cdef uint32_t w, i, l = chunk.n, seen, count = 0
    totals_start(&totals, shape.shown)
    if reading.counts_itself:
        add_itself(shape, reading.values, &totals)
    for w in range(wanted.window_count):
        window = &wanted.windows[w]
        if window.span == SPAN_DURATION:
            lo, seen = reading.at.time - window.over + (0 if window.left else 1) - chunk.base, l
            while l and <int64_t>times[l - 1] >= lo:
                l -= 1
            chunk_totals(shape, chunk, l, seen, &totals)
        for i in range(window.output_first, window.output_first + window.output_count):
            count += put_recent(
                store, chunk, handle, window, &wanted.outputs[i], reading, l, &totals, regs, notes + 2 * count, overflows
            )
    return count


# One feature's value, of the window that begins at the entry `l`. Returns how many notes it wrote.
cdef inline uint32_t put_recent(
    RingStore store, const Chunk* chunk, uint32_t handle, const Window* window, const Output* output, const Reading* reading,
    uint32_t l, const Totals* totals, Reg* regs, uint32_t* notes, uint64_t* overflows,
) noexcept:
    cdef uint32_t c = <uint32_t>output.column if output.column >= 0 else 0
    cdef Reg* dst = &regs[output.dst]
    if output.agg == AGG_COUNT:
        reg_set_int(dst, <int64_t>totals.count)
    elif output.agg >= AGG_FIRST:
        return put_recent_entry(store, chunk, handle, window, output, reading, l, regs, notes)
    elif output.agg == AGG_DISTINCT:
        reg_set_int(dst, <int64_t>(totals.columns[c].latest + (reading.counts_itself and is_new(store, chunk, c, reading, l))))
    elif not put_total(dst, output, &totals.columns[c], totals.count, store.forest.shape.column[c].kind):
        overflows[0] += 1
        return put_note(notes, NOTE_OVERFLOW, output, regs)
    return 0


cdef inline uint32_t put_recent_entry(
    RingStore store, const Chunk* chunk, uint32_t handle, const Window* window, const Output* output, const Reading* reading,
    uint32_t l, Reg* regs, uint32_t* notes,
) noexcept:
    cdef Range whole
    cdef bint first = output.agg == AGG_FIRST or output.agg == AGG_SINCE_FIRST
    cdef bint life = window.span == SPAN_LIFE
    if chunk.n if life else l < chunk.n:
        put_chunk_entry(store, &regs[output.dst], output, reading, <Chunk*>chunk, l if first else chunk.n - 1)
        return 0
    if life and handle:  # what left the ring may tell
        whole.lo, whole.hi = place(-TIME_FAR, 0), reading.at
        return put_single(store, store.at(handle), handle, window, output, reading, &whole, regs, notes)
    regs[output.dst].present = 0
    return 0


# Is the event's own value none of the window's? The window ends where the ring does, so its flags count each of its values once.
cdef inline bint is_new(RingStore store, const Chunk* chunk, uint32_t c, const Reading* reading, uint32_t l) noexcept nogil:
    cdef const int64_t* column = chunk_column(&store.forest.shape, chunk, c)
    cdef int64_t value = reading.values[c]
    cdef uint32_t i
    for i in range(l, chunk.n):
        if column[i] == value:
            return False
    return True
