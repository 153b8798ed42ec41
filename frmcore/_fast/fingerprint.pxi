# The hash of the logical state: what decisions can depend on, whatever way the state was reached. Sums of keyed hashes, so that
# the order in which tables are walked does not matter.

cdef struct Fingerprint:
    uint64_t lo
    uint64_t hi
    HashKey key


cdef void fingerprint_add(Fingerprint* sum_, const void* data, uint32_t size) noexcept nogil:
    cdef Hash hash = hash_text(sum_.key, <const char*>data, size)
    sum_.lo += hash.lo
    sum_.hi += hash.hi


cdef struct EntryPrint:
    Hash ring
    Hash group
    Place place
    int64_t[STORED_MAX] values

cdef struct RingPrint:  # of a life group: what was given up, whether it is folded already or not
    Hash ring
    Hash group
    uint64_t count  # of all there ever was
    Place first
    Place last
    int64_t[2] lost
    int64_t[COLUMNS_MAX] first_values
    int64_t[COLUMNS_MAX] last_values
    ColumnTotals totals[COLUMNS_MAX]


cdef struct GapPrint:  # a group, or one of its rings, that lacks events up to a time
    Hash group
    Hash ring
    int64_t gap
    int64_t evicted


# One ring: its entries after the line, the place up to which it was capped; of a life group also what was given up.
cdef int fingerprint_ring(Fingerprint* sum_, RingStore store, Hash group, uint32_t handle, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    cdef EntryPrint entry
    cdef uint32_t at
    cdef Chunk* chunk = store.seek(ring, handle, place(line + 1, 0), &at)
    memset(&entry, 0, sizeof(EntryPrint))
    entry.ring, entry.group = ring.hash, group
    while chunk != NULL:
        entry.place = chunk_place(&store.forest.shape, chunk, at)
        fingerprint_values(store, store.forest.shape.columns, chunk, at, entry.values)
        fingerprint_add(sum_, &entry, <uint32_t>(sizeof(Hash) * 2 + sizeof(Place)) + 8 * store.forest.shape.columns)
        chunk = store.seek(ring, handle, place(entry.place.time, entry.place.seq + 1), &at)
    if handle >> CLASS_SHIFT == TREE and store.tree(ring).is_capped and store.tree(ring).capped.time > line:
        entry.place = store.tree(ring).capped
        fingerprint_add(sum_, &entry, <uint32_t>(sizeof(Hash) * 2 + sizeof(Place)))
    if store.life:
        fingerprint_life(sum_, store, group, handle, line)
    return 0


cdef void fingerprint_values(RingStore store, uint32_t columns, const Chunk* chunk, uint32_t at, int64_t* values) noexcept nogil:
    cdef uint32_t c
    for c in range(columns):
        values[c] = fingerprint_value(store, c, chunk_column(&store.forest.shape, chunk, c)[at])


cdef int64_t fingerprint_value(RingStore store, uint32_t c, int64_t value) noexcept nogil:
    if c < store.forest.shape.shown and store.forest.shape.column[c].kind == COLUMN_TEXT:
        return <int64_t>store.texts.at(value).hash.lo
    return value


# The first and the last entry that were given up, and the totals of all.
cdef int fingerprint_life(Fingerprint* sum_, RingStore store, Hash group, uint32_t handle, int64_t line) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Ring* ring = store.at(handle)
    cdef Base* base = store.base(ring)
    cdef RingPrint sums
    cdef Chunk* chunk
    cdef uint32_t c, at
    memset(&sums, 0, sizeof(RingPrint))
    sums.ring, sums.group = ring.hash, group
    if base.count:
        sums.first, sums.last, sums.lost[0], sums.lost[1] = base.first, base.last, base.first_lost, base.last_lost
        for c in range(shape.shown):
            sums.first_values[c] = 0 if base.first_lost else fingerprint_value(store, c, store.base_first(ring)[c])
            sums.last_values[c] = 0 if base.last_lost else fingerprint_value(store, c, store.base_last(ring)[c])
    chunk = store.seek(ring, handle, place(-TIME_FAR, 0), &at)
    if not base.count and chunk != NULL and chunk_time(shape, chunk, at) <= line:
        sums.first = chunk_place(shape, chunk, at)
        fingerprint_values(store, shape.shown, chunk, at, sums.first_values)
    chunk = store.seek_before(ring, handle, place(line + 1, 0), &at)
    if chunk != NULL:
        sums.last, sums.lost[1] = chunk_place(shape, chunk, at), 0
        fingerprint_values(store, shape.shown, chunk, at, sums.last_values)
    fingerprint_totals(store, handle, &sums)
    fingerprint_add(sum_, &sums, sizeof(RingPrint))
    return 0


cdef void fingerprint_totals(RingStore store, uint32_t handle, RingPrint* sums) noexcept nogil:
    cdef Ring* ring = store.at(handle)
    cdef Totals totals
    cdef uint32_t c
    totals_start(&totals, store.forest.shape.shown)
    if handle >> CLASS_SHIFT != TREE:
        chunk_totals(&store.forest.shape, store.chunk(ring), 0, store.chunk(ring).n, &totals)
    elif store.tree(ring).root:
        tree_totals(&store.forest, store.tree(ring).root, store.tree(ring).level, place(0, 0), place(0, 0), False, False, &totals)
    sums.count = totals.count + store.base(ring).count
    for c in range(store.forest.shape.shown):
        totals_merge(&totals.columns[c], store.base_totals(ring) + c)
        totals.columns[c].least = totals.columns[c].greatest = 0  # of a column that is summed they are not kept exact
        totals.columns[c].latest = 0
        sums.totals[c] = totals.columns[c]


cdef int fingerprint_store(Fingerprint* sum_, RingStore store, int64_t watermark) except -1:
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, count
    cdef int64_t line = store.line(watermark)
    signature = store.group.signature.encode()
    cdef Hash group = hash_text(sum_.key, <const char*>signature, <uint32_t>len(signature))
    cdef GapPrint lacking
    memset(&lacking, 0, sizeof(GapPrint))
    lacking.group = group
    if store.gap > line or store.evicted > line:  # some window can still reach it
        lacking.gap, lacking.evicted = max(store.gap, line), max(store.evicted, line)
        fingerprint_add(sum_, &lacking, sizeof(GapPrint))
    lacking.gap = 0
    while True:
        count = table_scan(&store.table, &cursor, handles, 64)
        for i in range(count):
            if not store.living(handles[i], watermark):
                continue
            fingerprint_ring(sum_, store, group, handles[i], line)
            if store.at(handles[i]).since > line:
                lacking.ring, lacking.evicted = store.at(handles[i]).hash, store.at(handles[i]).since
                fingerprint_add(sum_, &lacking, sizeof(GapPrint))
        if cursor == 0:
            return 0


# What was switched, snoozed, tripped and counted; alerts that keep others back.
cdef int fingerprint_controls(Fingerprint* sum_, Core core) except -1:
    cdef bytes data = _msgpack.encode(control_state(core))
    fingerprint_add(sum_, <const char*>data, <uint32_t>len(data))
    for (rule, field), times in core.alerted.items():
        for value, (time, until) in times.items():
            if until > core.list_line:
                data = _msgpack.encode((rule, field, value, time))
                fingerprint_add(sum_, <const char*>data, <uint32_t>len(data))
    return 0


# Ids: the record, and what was told about the event since.
cdef int fingerprint_seen(Fingerprint* sum_, Core core) except -1:
    cdef Seen seen = core.seen
    cdef Book book
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, j, count
    cdef IdRecord* known
    cdef const EventState* state
    cdef uint8_t rep
    while True:
        count = table_scan(&seen.table, &cursor, handles, 64)
        for i in range(count):
            known = <IdRecord*>slab_at(&seen.slab, handles[i])
            fingerprint_add(sum_, known.record, known.record.size)
            state = known.state
            while state != NULL:
                book = core.books[state.book]
                fingerprint_told(sum_, known, &state.final, UINT32_MAX, REP_INT)
                for j in range(state.point_count):
                    if state.points[j] != NULL:
                        fingerprint_add(sum_, state.points[j], state.points[j].size)
                for j in range(state.update_count):
                    rep = book.fact_rep[book.field_count + book.derived_count + j]
                    fingerprint_told(sum_, known, &state.told[j], j, rep)
                state = state.before
        if cursor == 0:
            return 0


cdef struct ToldPrint:
    Hash event
    Hash value
    int64_t at
    uint64_t seq
    uint64_t field


cdef void fingerprint_told(Fingerprint* sum_, IdRecord* known, const Told* told, uint32_t field, uint8_t rep) noexcept nogil:
    cdef ToldPrint entry
    if not told.told:
        return
    memset(&entry, 0, sizeof(ToldPrint))
    entry.event, entry.at, entry.seq, entry.field = known.hash, told.at, told.seq, field
    if told.value.present and rep == REP_TEXT:
        entry.value = hash_text(sum_.key, told.value.v.s, told.value.n)
    elif told.value.present:
        entry.value.lo, entry.value.hi = <uint64_t>told.value.v.i, 1
    fingerprint_add(sum_, &entry, sizeof(ToldPrint))
