# Memory that is over its limit is given up: the least recently used rings, by recorded operations, so that replay does the same
# whatever it accounts. Which are to go is judged by a sample, and they go at once as far as anybody can tell (`RingStore.evict`);
# the sweep behind gives their memory back, a few buckets an event. So evictions begin at 7/8 of the limit: while the table is
# swept once, each event may add a ring to every group.

cdef enum:
    CHECK_EVERY = 64  # events recorded between two looks at what memory holds
    SAMPLE_BUCKETS = 64
    SAMPLE_MAX = 512  # rings
    SWEEP_EVICTED = 4  # buckets a group an event

cdef struct Idle:
    int64_t since
    uint64_t weight

cdef extern from *:
    """
    typedef struct { int64_t since; uint64_t weight; } frm_idle;
    static int frm_idle_order(const void *a, const void *b) {
        int64_t x = ((const frm_idle *)a)->since, y = ((const frm_idle *)b)->since;
        return (x > y) - (x < y);
    }
    static void frm_idle_sort(void *sample, size_t count) { qsort(sample, count, sizeof(frm_idle), frm_idle_order); }
    """
    void idle_sort "frm_idle_sort"(void* sample, size_t count) noexcept nogil


cdef uint64_t records_bytes(Core core) noexcept:
    return core.seen.bytes_used() + core.log.bytes


cdef uint64_t rings_bytes(Core core) noexcept:
    cdef uint64_t total = 0
    cdef uint32_t i
    for i in range(core.layout.group_count):
        total += (<RingStore>core.stores[i]).bytes_used()
    return total


cdef uint64_t other_bytes(Core core) noexcept:
    cdef uint64_t total = core.texts.text_bytes + core.texts.slab.live * core.texts.slab.record_size + table_bytes(&core.texts.table)
    cdef uint32_t i
    for i in range(core.list_count):
        if core.lists.refs[i].values != NULL:
            total += list_bytes(core.lists.refs[i].values)
    return total + records_bytes(core)


# Records of events may take half of the memory; the limit that was set last has been reached before there is another.
cdef bint records_press(Core core) noexcept:
    return records_bytes(core) > core.book.max_memory // 2 and core.seen.count() <= min(core.ids_limit, core.book.ids_max)


# Rings can only give way while there are any to speak of.
cdef bint rings_press(Core core) noexcept:
    cdef uint64_t rings = rings_bytes(core), most = core.book.max_memory
    return rings > most // 16 and rings + other_bytes(core) > most - most // 8


cdef bint entities_press(RingStore store) noexcept:
    return store.table.count > store.rings_max - store.rings_max // 8


cdef bint presses(Core core) noexcept:
    cdef uint32_t i
    if records_press(core):
        return True
    if core.is_sweeping or core.layout.group_count == 0:
        return False
    for i in range(core.layout.group_count):
        if entities_press(<RingStore>core.stores[i]):
            return True
    return rings_press(core)


# Gives up what is over the limits. The record of that, None where nothing was.
cdef bytes relieve(Core core):
    windows = idle_windows(core) if not core.is_sweeping else {}
    ids = max(core.seen.count() // 4 * 3, 1) if records_press(core) else None
    return record_eviction(core, {"windows": windows, "ids": ids}) if windows or ids is not None else None


cdef bytes record_eviction(Core core, dict content):
    record = plain_record(RECORD_EVICT, core.seq + 1, core.watermark_, content)
    core.seq += 1
    core.write(record)
    obey_eviction(core, content)
    return record


# Signature -> time up to which a group's idle rings are to go. A group whose rings expired by themselves is only swept.
cdef dict idle_windows(Core core):
    cdef bint press = rings_press(core)
    cdef int64_t common = idle_in_all(core) if press else NEVER, until
    cdef RingStore store
    cdef uint32_t i
    found = {}
    for i in range(core.layout.group_count):
        store = <RingStore>core.stores[i]
        until = common if press and has_its_share(core, store) else NEVER
        if entities_press(store):
            until = max(until, idle_in_one(store))
        if until == NEVER:
            continue
        if until > max(store.evicted, store.line(core.watermark_)):
            found[store.group.signature] = until
        store.unswept, core.is_sweeping = store.table.buckets, True
    return found


# Groups of less than half the mean's bytes are left alone: who fills one window with keys does not empty the others.
cdef bint has_its_share(Core core, RingStore store) noexcept:
    return 2 * store.bytes_used() * core.layout.group_count >= rings_bytes(core)


# What an eviction's record says.
cdef int obey_eviction(Core core, object content) except -1:
    cdef uint32_t i
    windows, ids = content["windows"], content["ids"]
    if not all([-TIME_FAR < until < TIME_FAR for until in windows.values()]):
        raise ValueError("a record of an eviction names no time")
    for i in range(core.layout.group_count):
        until = windows.get((<RingStore>core.stores[i]).group.signature)
        if until is not None:
            (<RingStore>core.stores[i]).evict(until)
    if ids is not None:
        core.ids_limit = ids
    return 0


# The time up to which the least recently used eighth of the rings of those groups is idle, by bytes: by a sample.
cdef int64_t idle_in_all(Core core) except? -1:
    cdef Idle* sample = <Idle*>take(SAMPLE_MAX * <size_t>core.layout.group_count, sizeof(Idle))
    cdef RingStore store
    cdef uint32_t count = 0, i
    try:
        for i in range(core.layout.group_count):
            store = <RingStore>core.stores[i]
            if has_its_share(core, store):
                count += sample_idle(store, sample + count, store.bytes_used())
        return least_eighth(sample, count)
    finally:
        free(sample)


# The same of one group, by number.
cdef int64_t idle_in_one(RingStore store) noexcept:
    cdef Idle[SAMPLE_MAX] sample
    return least_eighth(sample, sample_idle(store, sample, 0))


# `bytes_`: what the sample stands for, in all; 0: each ring for itself. How many rings there are in it.
cdef uint32_t sample_idle(RingStore store, Idle* sample, uint64_t bytes_) noexcept:
    cdef uint32_t[64] handles
    cdef uint64_t cursor = store.sweep_cursor, total = 0
    cdef uint32_t scanned = 0, count = 0, found, i
    while scanned < SAMPLE_BUCKETS and scanned < store.table.buckets:
        found = table_scan(&store.table, &cursor, handles, 64)
        scanned += 1
        for i in range(min(found, SAMPLE_MAX - count)):
            sample[count].since = store.last_time(handles[i], -TIME_FAR) + (store.every - 1 if store.every else 0)
            sample[count].weight = ring_bytes(store, handles[i]) if bytes_ else 1
            total += sample[count].weight
            count += 1
    for i in range(count if bytes_ else 0):
        sample[i].weight = sample[i].weight * (1 + bytes_ // total)
    return count


cdef int64_t least_eighth(Idle* sample, uint32_t count) noexcept:
    cdef uint64_t total = 0, least = 0
    cdef uint32_t i
    idle_sort(sample, count)
    for i in range(count):
        total += sample[i].weight
    for i in range(count):
        least += sample[i].weight
        if 8 * least >= total:
            return sample[i].since
    return NEVER


cdef uint64_t ring_bytes(RingStore store, uint32_t handle) noexcept nogil:
    cdef uint64_t own = store.slabs[handle >> CLASS_SHIFT].record_size
    if handle >> CLASS_SHIFT != TREE:
        return own
    return own + store.tree(store.at(handle)).entries * store.forest.leaves.record_size // CHUNK_MAX


cdef int sweep_evicted(Core core) except -1:
    cdef uint32_t room = SWEEP_EVICTED * core.layout.group_count, i
    cdef RingStore store
    for i in range(core.layout.group_count):
        store = <RingStore>core.stores[i]
        while store.unswept and room:
            rings_sweep(store, core.watermark_)
            store.unswept -= 1
            room -= 1
    core.is_sweeping = room == 0
    return 0


cdef dict evicted_by_entity(list groups):
    found = {}
    for group in groups:
        found[group["entity"]] = found.get(group["entity"], 0) + group["evicted"]
    return found
