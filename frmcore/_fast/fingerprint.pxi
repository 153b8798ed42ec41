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
    int64_t[COLUMNS_MAX] values


# One ring: its entries after the line; of a life group also the totals of all there ever was.
cdef int fingerprint_ring(Fingerprint* sum_, RingStore store, Hash group, uint32_t handle, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    cdef EntryPrint entry
    cdef Place where = place(-TIME_FAR if store.life else line + 1, 0)
    cdef Totals totals
    cdef Chunk* chunk
    cdef uint32_t at, c
    totals_start(&totals, store.forest.shape.shown)
    chunk = store.seek(ring, handle, where, &at)
    while chunk != NULL:
        chunk_totals(&store.forest.shape, chunk, at, at + 1, &totals)
        memset(&entry, 0, sizeof(EntryPrint))
        entry.ring, entry.group, entry.place = ring.hash, group, chunk_place(&store.forest.shape, chunk, at)
        for c in range(store.forest.shape.columns):
            entry.values[c] = fingerprint_value(store, c, chunk_column(&store.forest.shape, chunk, c)[at])
        if entry.place.time > line:
            fingerprint_add(sum_, &entry, sizeof(EntryPrint))
        where = place(entry.place.time, entry.place.seq + 1)
        chunk = store.seek(ring, handle, where, &at)
    if store.life:
        fingerprint_base(sum_, store, ring, group, &totals)
    return 0


cdef int64_t fingerprint_value(RingStore store, uint32_t c, int64_t value) noexcept nogil:
    if c < store.forest.shape.shown and store.forest.shape.column[c].kind == COLUMN_TEXT:
        return <int64_t>store.texts.at(value).hash.lo
    return value


cdef void fingerprint_base(Fingerprint* sum_, RingStore store, Ring* ring, Hash group, Totals* totals) noexcept nogil:
    cdef EntryPrint entry
    cdef uint32_t c
    memset(&entry, 0, sizeof(EntryPrint))
    entry.ring, entry.group = ring.hash, group
    entry.place.seq = totals.count + store.base(ring).count
    for c in range(store.forest.shape.shown):
        totals_merge(&totals.columns[c], store.base_totals(ring) + c)
        sum_fits(&totals.columns[c], &entry.values[c])
    fingerprint_add(sum_, &entry, sizeof(EntryPrint))


cdef int fingerprint_store(Fingerprint* sum_, RingStore store, int64_t watermark) except -1:
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, count
    signature = store.group.signature.encode()
    cdef Hash group = hash_text(sum_.key, <const char*>signature, <uint32_t>len(signature))
    while True:
        count = table_scan(&store.table, &cursor, handles, 64)
        for i in range(count):
            fingerprint_ring(sum_, store, group, handles[i], store.line(watermark))
        if cursor == 0:
            return 0


# Ids: the record, and what was told about the event since.
cdef void fingerprint_seen(Fingerprint* sum_, Seen seen) noexcept nogil:
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, j, count
    cdef IdRecord* known
    while True:
        count = table_scan(&seen.table, &cursor, handles, 64)
        for i in range(count):
            known = <IdRecord*>slab_at(&seen.slab, handles[i])
            fingerprint_add(sum_, known.record, known.record.size)
            if known.state != NULL:
                fingerprint_told(sum_, known, &known.state.final, UINT32_MAX)
                for j in range(known.state.point_count):
                    if known.state.points[j] != NULL:
                        fingerprint_add(sum_, known.state.points[j], known.state.points[j].size)
                for j in range(known.state.update_count):
                    fingerprint_told(sum_, known, &known.state.told[j], j)
        if cursor == 0:
            return


cdef struct ToldPrint:
    Hash event
    Hash value
    int64_t at
    uint64_t seq
    uint64_t field


cdef void fingerprint_told(Fingerprint* sum_, IdRecord* known, const Told* told, uint32_t field) noexcept nogil:
    cdef ToldPrint entry
    if not told.told:
        return
    memset(&entry, 0, sizeof(ToldPrint))
    entry.event, entry.at, entry.seq, entry.field = known.hash, told.at, told.seq, field
    if told.value.present and told.value.n:
        entry.value = hash_text(sum_.key, told.value.v.s, told.value.n)
    elif told.value.present:
        entry.value.lo, entry.value.hi = <uint64_t>told.value.v.i, 1
    fingerprint_add(sum_, &entry, sizeof(ToldPrint))
