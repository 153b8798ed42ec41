# A door to the rings of one group, for tests: a hand-made group and keys that are numbers, no policy; and the check of everything
# that a ring promises about itself.

from time import perf_counter_ns as _perf_counter_ns


@cython.final
cdef class _RingDoor:
    """Rings of a `plan.Group` under `plan.Limits`. `zones`: the plan's, for calendar windows."""

    cdef readonly RingStore store
    cdef readonly Texts texts
    cdef list lookups
    cdef ZoneTable* zones
    cdef uint32_t zone_count
    cdef Reg* regs
    cdef uint32_t* notes
    cdef uint64_t overflows, ring_max
    cdef HashKey key

    def __cinit__(self, group, limits, zones=()):
        cdef uint32_t i, outputs
        key = bytes(range(16))
        self.key, self.texts, self.ring_max = hash_key(key), Texts(key), limits.ring_events_max
        self.store = RingStore(group, limits, self.texts)
        dsts = [query.dst for lookup in group.lookups for query in lookup.queries]
        self.lookups = [WindowSet(lookup, {dst: dst for dst in dsts}) for lookup in group.lookups]
        outputs = max(dsts, default=0) + 1
        self.regs, self.notes = <Reg*>take(outputs, sizeof(Reg)), <uint32_t*>take(2 * outputs, sizeof(uint32_t))
        self.zones = <ZoneTable*>take(len(zones), sizeof(ZoneTable))
        for i in range(len(zones)):
            zone_load(&self.zones[i], zones[i])
            self.zone_count += 1

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.zone_count):
            free(self.zones[i].at)
        free(self.zones)
        free(self.regs)
        free(self.notes)

    cdef Hash hash(self, uint64_t key) noexcept:
        return hash_text(self.key, <const char*>&key, 8)

    # `keep`: texts are interned, as an entry needs them.
    cdef int columns(self, values, bint keep, int64_t* out) except -1:
        cdef uint32_t c
        for c, value in enumerate(values):
            kind = self.store.forest.shape.column[c].kind
            if kind == COLUMN_TEXT:
                text = value.encode()
                out[c] = self.texts.intern(<const char*>text, <uint32_t>len(text)) if keep else 0
            else:
                out[c] = float_order(value) if kind == COLUMN_FLOAT else value
        return 0

    def insert(self, uint64_t key, int64_t time, uint64_t seq, values, int64_t watermark):
        cdef int64_t[COLUMNS_MAX] columns
        self.columns(values, True, columns)
        ring_insert(self.store, 0, self.hash(key), time, seq, columns, watermark)

    def remove(self, uint64_t key, int64_t time, uint64_t seq, values, int64_t watermark):
        """False: it was given up."""
        cdef int64_t[COLUMNS_MAX] columns
        self.columns(values, False, columns)
        return ring_remove(self.store, self.hash(key), time, seq, columns, watermark)

    def lift(self, uint64_t key, int64_t time, uint64_t seq, values, int64_t watermark):
        """Takes an event out for a while; False: it was given up."""
        cdef int64_t[COLUMNS_MAX] columns
        self.columns(values, False, columns)
        self.store.lifted = ring_take(self.store, self.hash(key), time, seq, columns, watermark)
        return self.store.lifted != 0

    def lower(self, int64_t time, uint64_t seq, values, int64_t watermark):
        """What was lifted goes back, with these values."""
        cdef int64_t[COLUMNS_MAX] columns
        cdef uint32_t handle = self.store.lifted
        self.columns(values, True, columns)
        self.store.lifted = 0
        ring_put(self.store, handle, time, seq, columns, watermark)

    cdef Reading reading(
        self, uint64_t key, int64_t time, uint64_t seq, int64_t watermark, int64_t oldest, object itself, int64_t* columns,
        _RingDoor marks,
    ) except *:
        cdef Reading result
        memset(&result, 0, sizeof(Reading))
        result.at, result.watermark, result.oldest, result.zones = place(time, seq), watermark, oldest, self.zones
        result.gap, result.counts_itself, result.values = self.store.gap, itself is not None, columns
        if itself is not None:
            self.columns(itself, False, columns)
        if marks is not None:
            find_mark(marks.store, marks.store.find(marks.hash(key)), &result)
        return result

    def read(self, uint64_t key, int64_t time, uint64_t seq, int64_t watermark, int64_t oldest, itself=None, int lookup=0, _RingDoor marks=None):
        """({dst: value or None}, {dst: note}) of a lookup's windows. `itself`: the event's own columns where it counts."""
        cdef int64_t[COLUMNS_MAX] columns
        cdef Reading reading = self.reading(key, time, seq, watermark, oldest, itself, columns, marks)
        cdef uint32_t i, count = read_lookup(
            self.store, <WindowSet>self.lookups[lookup], self.store.find(self.hash(key)), &reading, self.regs, self.notes,
            &self.overflows,
        )
        queries = self.store.group.lookups[lookup].queries
        return (
            {query.dst: self.value(query) for query in queries},
            {self.notes[2 * i + 1]: self.notes[2 * i] for i in range(count)},
        )

    cdef object value(self, query):
        cdef Reg* reg = &self.regs[<uint32_t>query.dst]
        if not reg.present:
            return None
        if query.agg in (AGG_MEAN, AGG_STD, AGG_SHARE):
            return reg.v.f
        if query.agg in (AGG_MIN, AGG_MAX, AGG_FIRST, AGG_LAST):
            kind = self.store.group.columns[query.column].kind
            if kind == COLUMN_TEXT:
                return reg.v.s[: reg.n].decode()
            if kind == COLUMN_FLOAT:
                return reg.v.f
        return reg.v.i

    def read_ns(self, uint64_t key, int64_t time, int64_t watermark, uint32_t rounds):
        """Mean time in ns of finding a ring and reading the first lookup's windows."""
        cdef int64_t[COLUMNS_MAX] columns
        cdef Reading reading = self.reading(key, time, INT64_MAX, watermark, -TIME_FAR, None, columns, None)
        cdef WindowSet wanted = self.lookups[0]
        cdef Hash hash = self.hash(key)
        cdef uint32_t i
        started = _perf_counter_ns()
        for i in range(rounds):
            read_lookup(self.store, wanted, self.store.find(hash), &reading, self.regs, self.notes, &self.overflows)
        return (_perf_counter_ns() - started) / rounds

    def append_ns(self, uint64_t keys, int64_t time, int64_t step, uint64_t seq, uint32_t rounds):
        """Appends `rounds` events of ones, key after key, `step` ms apart; the mean time in ns."""
        cdef int64_t[COLUMNS_MAX] columns
        cdef uint32_t i
        for i in range(COLUMNS_MAX):
            columns[i] = 1
        started = _perf_counter_ns()
        for i in range(rounds):
            ring_insert(self.store, 0, self.hash(i % keys), time + i * step, seq + i, columns, time + i * step)
        return (_perf_counter_ns() - started) / rounds

    def evict(self, int64_t until):
        self.store.evict(until)

    def sweep(self, int64_t watermark, uint32_t buckets=1):
        cdef uint32_t i
        for i in range(buckets):
            rings_sweep(self.store, watermark)

    def adopt(self, limits, int64_t watermark):
        """As a reload does."""
        self.ring_max = max(self.ring_max, <uint64_t>limits.ring_events_max)  # a ring is cut when an event enters it
        self.store.adopt(self.store.group, limits, watermark)

    def recover(self, limits, uint32_t depth, int64_t watermark):
        """As recovery does: goes on with rings made of the old ones' images. `depth`: bits that choose a piece."""
        cdef RingStore old = self.store, store = RingStore(old.group, limits, self.texts)
        cdef uint64_t prefix
        store.ring_max = UINT64_MAX
        for prefix in range(<uint64_t>1 << depth):
            assert read_piece(store, depth, prefix, UINT64_MAX, image_piece(old, depth, prefix, watermark)), "an own piece"
        store.obey(limits)
        store.evicted, store.given_up, store.gap = old.evicted, old.given_up, old.gap
        self.store = store

    def line(self, int64_t watermark):
        return self.store.line(watermark)

    def fingerprint(self, int64_t watermark):
        cdef Fingerprint sum_
        sum_.lo = sum_.hi = 0
        sum_.key = self.key
        fingerprint_store(&sum_, self.store, watermark)
        return sum_.lo, sum_.hi

    def stats(self):
        cdef RingStore store = self.store
        return {
            "rings": store.table.count,
            "trees": store.slabs[TREE].live,
            "leaves": store.forest.leaves.live,
            "nodes": store.forest.nodes.live,
            "latest": store.latest_table.count,
            "bytes": store.bytes_used(),
            "texts": self.texts.table.count,
            "text_bytes": self.texts.text_bytes,
        }

    def check(self):
        """Everything that rings promise about themselves. Raises AssertionError. O(entries)."""
        seen = _Seen()
        check_store(self.store, self.ring_max, seen)
        check_texts(self.texts, seen.texts)


class _Seen:
    """What is reachable from a store's table."""

    def __init__(self):
        self.records, self.texts = [], []  # classes; a handle each time it is used
        self.leaves = self.nodes = self.latest = 0


cdef int check_store(RingStore store, uint64_t ring_max, object seen) except -1:
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, k, count
    seen.records, seen.leaves, seen.nodes, seen.latest = [], 0, 0, 0
    while True:
        count = table_scan(&store.table, &cursor, handles, 64)
        for i in range(count):
            check_ring(store, handles[i], ring_max, seen)
        if cursor == 0:
            break
    for k in range(CLASSES + 1):
        assert store.slabs[k].live == seen.records.count(k), f"records of class {k}"
    assert store.table.count == len(seen.records)
    assert store.forest.leaves.live == seen.leaves and store.forest.nodes.live == seen.nodes
    assert store.latest_table.count == store.latest_slab.live == seen.latest
    return 0


cdef int check_texts(Texts texts, list used) except -1:
    cdef uint32_t handle
    assert texts.table.count == texts.slab.live == len(set(used)), "texts that nobody uses, or used after they went"
    for handle in set(used):
        assert texts.at(handle).uses == used.count(handle), "uses of a text"
    return 0


cdef int check_ring(RingStore store, uint32_t handle, uint64_t ring_max, object seen) except -1:
    cdef Ring* ring = store.at(handle)
    cdef uint32_t k = handle >> CLASS_SHIFT
    assert store.find(ring.hash) == handle, "a ring is found under its hash"
    seen.records.append(k)
    chunks = []
    if k == TREE:
        check_tree(store, ring, ring_max, seen, chunks)
    else:
        assert store.chunk(ring).capacity == CAPACITY[k] and store.chunk(ring).n <= min(CAPACITY[k], ring_max)
        assert store.chunk(ring).n or not store.base_empty(ring), "an empty ring leaves"
        chunks.append(chunk_entries(store, store.chunk(ring)))
    entries = [entry for chunk in chunks for entry in chunk]
    places = [entry[0] for entry in entries]
    assert places == sorted(places), "entries stand in order"
    assert len(places) == len(set(places)), "no place twice"
    check_flags(store, ring, k == TREE, entries, seen)
    note_texts(store, seen, [entry[1] for entry in entries])
    return check_base(store, ring, k == TREE, places, seen) if store.life else 0


# (place, columns, flags) of each entry.
cdef list chunk_entries(RingStore store, Chunk* chunk):
    cdef const Shape* shape = &store.forest.shape
    cdef uint32_t i, c
    for c in range(shape.members):
        assert chunk.latest[c] & ~bits_between(0, chunk.n) == 0, "no flags beyond the entries"
    return [
        (
            (chunk_time(shape, chunk, i), chunk_seqs(shape, chunk)[i]),
            [chunk_column(shape, chunk, c)[i] for c in range(shape.columns)],
            [chunk.latest[c] >> i & 1 for c in range(shape.members)],
        )
        for i in range(chunk.n)
    ]


cdef int check_tree(RingStore store, Ring* ring, uint64_t ring_max, object seen, list chunks) except -1:
    cdef TreeHead* tree = store.tree(ring)
    if tree.root:
        check_node(store, tree.root, tree.level, seen, chunks)
        last = max([entry[0] for entry in chunks[len(chunks) - 1]])
        assert last == (tree.last.time, tree.last.seq), "a tree knows its last place"
        assert tree.level == 0 or node_at(&store.forest, tree.root).n > 1, "a root has children"
    else:
        assert tree.is_capped or not store.base_empty(ring) or tree.entries == 0
    assert tree.entries == sum(map(len, chunks)), "a tree knows how many entries it has"
    assert tree.entries <= ring_max, "no ring is longer than ring_events_max"
    return 0


cdef int check_node(RingStore store, uint32_t index, int level, object seen, list chunks) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef Node* node = node_at(&store.forest, index)
    cdef Totals totals
    cdef Chunk* leaf
    cdef uint32_t i
    seen.nodes += 1
    assert 0 < node.n <= FAN_OUT and <int>node.level == level
    for i in range(node.n):
        totals_start(&totals, shape.shown)
        first = len(chunks)
        if level == 0:
            leaf = leaf_at(&store.forest, node.child[i])
            assert leaf.capacity == CHUNK_MAX and 0 < leaf.n <= CHUNK_MAX
            seen.leaves += 1
            chunks.append(chunk_entries(store, leaf))
        else:
            check_node(store, node.child[i], level - 1, seen, chunks)
        tree_totals(&store.forest, node.child[i], level - 1, place(0, 0), place(0, 0), False, False, &totals)
        assert chunks[first][0][0] == (node.first[i].time, node.first[i].seq), "a slot knows its first place"
        assert node.count[i] == totals.count, "a slot's count"
        check_slot(store, node, i, &totals)
    return 0


cdef int check_slot(RingStore store, Node* node, uint32_t i, const Totals* totals) except -1:
    cdef ColumnTotals kept
    cdef uint32_t c
    for c in range(store.forest.shape.shown):
        totals_clear(&kept)
        slot_merge(&store.forest, node, i, c, &kept)
        assert memcmp(&kept, &totals.columns[c], sizeof(ColumnTotals)) == 0, "a slot's totals are those of what is below"
    return 0


# Flags are the latest occurrences; the table of a large ring knows each value's last place and number.
cdef int check_flags(RingStore store, Ring* ring, bint is_tree, list entries, object seen) except -1:
    cdef uint32_t c, m = 0, index
    cdef Latest* known
    for c in range(store.forest.shape.shown):
        if store.forest.shape.column[c].member == NONE:
            continue
        values = [entry[1][c] for entry in entries]
        last = {value: i for i, value in enumerate(values)}
        assert [entry[2][m] for entry in entries] == [last[value] == i for i, value in enumerate(values)], "latest flags"
        m += 1
        if is_tree:
            for value, i in last.items():
                index = table_find(&store.latest_table, member_hash(store, ring, c, value))
                assert index, "a value of a large ring is in the table"
                known = <Latest*>slab_at(&store.latest_slab, index)
                assert ((known.place.time, known.place.seq), known.count) == (entries[i][0], values.count(value))
            seen.latest += len(last)
    return 0


cdef int note_texts(RingStore store, object seen, list rows) except -1:
    cdef uint32_t c
    for c in range(store.forest.shape.shown):
        if store.forest.shape.column[c].kind == COLUMN_TEXT:
            seen.texts += [row[c] for row in rows]
    return 0


cdef int check_base(RingStore store, Ring* ring, bint is_tree, list places, object seen) except -1:
    cdef Base* base = store.base(ring)
    cdef uint32_t c
    if base.count == 0:
        return 0
    first, last = (base.first.time, base.first.seq), (base.last.time, base.last.seq)
    assert first <= last and (not places or last < places[0] or (base.last_lost and last == places[0])), (
        f"the base ({first} to {last}) precedes the ring ({places})"
    )
    columns = range(store.forest.shape.shown)
    note_texts(store, seen, [[store.base_first(ring)[c] for c in columns], [store.base_last(ring)[c] for c in columns]])
    return 0
