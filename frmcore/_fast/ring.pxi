# One ring for each key of a group: found by hash, inline in its record while small, a tree beyond. Life groups keep, beside the
# ring, totals of what has left it.

cdef enum:
    CLASSES = 8  # capacities of inline rings
    TREE = 8  # the class of a large ring's record
    CLASS_SHIFT = 28
    INDEX_MASK = (1 << 28) - 1
    PREFETCHED = 320  # bytes of a ring's record

cdef int64_t TIME_FAR = <int64_t>1 << 62  # beyond every time, with room to add a window
cdef int64_t NEVER = INT64_MIN  # before every time

cdef uint32_t[8] CAPACITY
CAPACITY[:] = [2, 4, 6, 8, 12, 16, 24, 32]

cdef struct Base:  # what left a life group's ring
    uint64_t count  # events
    Place first
    Place last
    uint8_t first_lost  # it was retracted, and nobody knows the next
    uint8_t last_lost
    # ColumnTotals of the shown columns, then the values of `first`, then those of `last`

cdef struct TreeHead:
    uint32_t root
    int32_t level
    uint64_t entries
    Place last
    Place capped  # the greatest place that ring_events_max ever dropped
    uint8_t is_capped

cdef struct Ring:
    Hash hash
    int64_t since  # up to this time entries may lack: evicted before it was born
    # Base (life groups), then a Chunk (inline) or a TreeHead

cdef struct Latest:  # large rings: where a value of a MEMBER column occurred last
    Hash hash
    Place place
    uint64_t count


@cython.final
@cython.no_gc_clear  # __dealloc__ needs `texts`
cdef class RingStore:
    """The rings of one group. Costs: find O(1), one or two cache misses; insert, remove O(log n) of the ring's entries."""

    cdef Forest forest
    cdef Slab[9] slabs  # by class
    cdef Table table
    cdef Table latest_table
    cdef Slab latest_slab
    cdef uint32_t base_bytes
    cdef bint life
    cdef int64_t span, every, horizon
    cdef int64_t given_up  # the line when a reload last changed the limits: what it took away does not come back
    cdef int64_t gap  # up to this time events may lack: their records had been forgotten when a reload filled these rings
    cdef uint64_t ring_max
    cdef int64_t evicted  # rings without an entry behind this time are gone
    cdef uint64_t rings_evicted
    cdef uint64_t unswept  # buckets that the sweep after an eviction has before it
    cdef uint64_t rings_max  # limits.entities
    cdef uint32_t lifted  # a ring that an event was taken out of for a while
    cdef Texts texts
    cdef uint64_t sweep_cursor
    cdef uint64_t* covered  # recovery: the sequence number up to which a piece held its rings, by the last bits of the hash
    cdef uint64_t covered_mask
    cdef readonly uint32_t generation  # index of the policy whose loading made it
    cdef readonly object group

    def __cinit__(self, group, limits, Texts texts):
        cdef uint32_t k
        self.group, self.texts = group, texts
        self.life, self.span, self.every = group.life, group.span_ms, group.every_ms
        self.given_up = -TIME_FAR
        self.obey(limits)
        self.gap = self.evicted = NEVER
        shape_init(&self.forest.shape, group)
        if self.life:
            self.base_bytes = <uint32_t>(sizeof(Base) + self.forest.shape.shown * (sizeof(ColumnTotals) + 16))
        for k in range(CLASSES):
            slab_init(&self.slabs[k], <uint32_t>sizeof(Ring) + self.base_bytes + chunk_size(&self.forest.shape, CAPACITY[k]))
        slab_init(&self.slabs[TREE], <uint32_t>(sizeof(Ring) + self.base_bytes + sizeof(TreeHead)))
        slab_init(&self.forest.leaves, chunk_size(&self.forest.shape, CHUNK_MAX))
        slab_init(&self.forest.nodes, <uint32_t>(sizeof(Node) + FAN_OUT * self.forest.shape.packed * 8))
        slab_init(&self.latest_slab, sizeof(Latest))
        if not table_init(&self.table, ring_hash, <void*>&self.slabs[0]):
            raise MemoryError
        if not table_init(&self.latest_table, latest_hash, <void*>&self.latest_slab):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t k
        free(self.covered)
        self.release_texts()
        table_destroy(&self.table)
        table_destroy(&self.latest_table)
        for k in range(CLASSES + 1):
            slab_destroy(&self.slabs[k])
        slab_destroy(&self.forest.leaves)
        slab_destroy(&self.forest.nodes)
        slab_destroy(&self.latest_slab)

    # A reload keeps the rings; limits and the group's other words are the new policy's.
    cdef int adopt(self, group, limits, int64_t watermark) except -1:
        self.given_up = self.line(watermark)
        self.group = group
        return self.obey(limits)

    cdef int obey(self, limits) except -1:
        self.horizon, self.ring_max = limits.horizon_ms, limits.ring_events_max
        self.rings_max = dict(limits.entities).get(self.group.entity, UINT64_MAX)
        return 0

    # ---- finding ----------------------------------------------------------------------------------------------------

    cdef inline void prefetch_bucket(self, Hash hash) noexcept nogil:
        table_prefetch(&self.table, hash)

    # The ring's handle, if the bucket's tag can be trusted; touches the bucket only. What a reading touches is on its way then:
    # the whole record, up to four lines behind the first.
    cdef inline uint32_t guess(self, Hash hash) noexcept nogil:
        cdef uint32_t handle = table_guess(&self.table, hash)
        cdef const char* ring
        cdef const char* end
        if handle:
            ring = <const char*>self.at(handle)
            end = ring + min(self.slabs[handle >> CLASS_SHIFT].record_size, <uint32_t>PREFETCHED)
            while ring < end:
                prefetch(ring)
                ring += 64
        return handle

    # What `find` returns, of a handle that was guessed: the bucket is not searched again.
    cdef inline uint32_t confirm(self, Hash hash, uint32_t handle) noexcept nogil:
        return handle if handle and hash_equal(self.at(handle).hash, hash) else table_find(&self.table, hash)

    cdef inline uint32_t find(self, Hash hash) noexcept nogil:
        return table_find(&self.table, hash)

    cdef inline Ring* at(self, uint32_t handle) noexcept nogil:
        return <Ring*>slab_at(&self.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)

    cdef inline Base* base(self, Ring* ring) noexcept nogil:
        return <Base*>(ring + 1)

    cdef inline Chunk* chunk(self, Ring* ring) noexcept nogil:
        return <Chunk*>(<char*>(ring + 1) + self.base_bytes)

    cdef inline TreeHead* tree(self, Ring* ring) noexcept nogil:
        return <TreeHead*>(<char*>(ring + 1) + self.base_bytes)

    cdef inline ColumnTotals* base_totals(self, Ring* ring) noexcept nogil:
        return <ColumnTotals*>(self.base(ring) + 1)

    cdef inline int64_t* base_first(self, Ring* ring) noexcept nogil:
        return <int64_t*>(self.base_totals(ring) + self.forest.shape.shown)

    cdef inline int64_t* base_last(self, Ring* ring) noexcept nogil:
        return self.base_first(ring) + self.forest.shape.shown

    cdef inline bint base_empty(self, Ring* ring) noexcept nogil:
        return not self.life or self.base(ring).count == 0

    # At or before this time nothing is kept in rings (it may still be there, and is not read). No window of an event up to
    # `horizon` late starts there.
    cdef inline int64_t line(self, int64_t watermark) noexcept nogil:
        if self.span < 0 or watermark == INT64_MIN:
            return self.given_up
        return max(self.given_up, floor_to(watermark - self.horizon, self.every) - self.span - 1)

    # ---- evictions --------------------------------------------------------------------------------------------------

    # Everything that is idle since `until` is given up: at once as far as anybody can tell, and swept as time goes by. Of a group
    # with cells whole ones only.
    cdef inline void evict(self, int64_t until) noexcept nogil:
        until = until if self.every == 0 else floor_to(until + 1, self.every) - 1
        self.evicted = max(self.evicted, until)

    # The last sign of life. What was retracted since is none.
    cdef inline int64_t last_time(self, uint32_t handle, int64_t line) noexcept nogil:
        cdef Ring* ring = self.at(handle)
        cdef int64_t last = self.base(ring).last.time if not self.base_empty(ring) else NEVER
        cdef Chunk* chunk
        cdef TreeHead* tree
        if handle >> CLASS_SHIFT != TREE:
            chunk = self.chunk(ring)
            return max(last, chunk_time(&self.forest.shape, chunk, chunk.n - 1)) if chunk.n else last
        tree = self.tree(ring)
        if tree.is_capped and tree.capped.time > line:  # a sweep forgets older ones
            last = max(last, tree.capped.time)
        return max(last, tree.last.time) if tree.root else last

    # Judged by the line and by evictions, never by what happens to be swept.
    cdef inline bint is_void(self, uint32_t handle, int64_t line) noexcept nogil:
        return self.last_time(handle, line) <= (self.evicted if self.life else max(self.evicted, line))

    # The ring, 0 where evictions took it.
    cdef inline uint32_t living(self, uint32_t handle, int64_t watermark) noexcept nogil:
        if likely(self.evicted == NEVER) or handle == 0 or handle == self.lifted or not self.is_void(handle, self.line(watermark)):
            return handle
        return 0

    # Where an event stands. In a merged cell it has no place of its own.
    cdef inline Place place_of(self, int64_t time, uint64_t seq) noexcept nogil:
        return place(floor_to(time, self.every), seq if self.forest.shape.weight == NONE else 0)

    # The chunk with the first entry not before `where`, or NULL.
    cdef inline Chunk* seek(self, Ring* ring, uint32_t handle, Place where, uint32_t* at) noexcept nogil:
        cdef Chunk* chunk
        if handle >> CLASS_SHIFT == TREE:
            if self.tree(ring).root == 0:
                return NULL
            return tree_seek(&self.forest, self.tree(ring).root, self.tree(ring).level, where, at)
        chunk = self.chunk(ring)
        at[0] = chunk_lower(&self.forest.shape, chunk, where)
        return chunk if at[0] < chunk.n else NULL

    # The chunk with the last entry before `where`, or NULL.
    cdef inline Chunk* seek_before(self, Ring* ring, uint32_t handle, Place where, uint32_t* at) noexcept nogil:
        cdef Chunk* chunk
        if handle >> CLASS_SHIFT == TREE:
            if self.tree(ring).root == 0:
                return NULL
            return tree_seek_before(&self.forest, self.tree(ring).root, self.tree(ring).level, where, at)
        chunk = self.chunk(ring)
        at[0] = chunk_lower(&self.forest.shape, chunk, where)
        if at[0] == 0:
            return NULL
        at[0] -= 1
        return chunk

    # ---- records ----------------------------------------------------------------------------------------------------

    cdef uint32_t create(self, Hash hash) except 0:
        cdef uint32_t handle = slab_take(&self.slabs[0])
        cdef Ring* ring
        if handle == 0 or not table_reserve(&self.table):
            raise MemoryError
        ring = <Ring*>slab_at(&self.slabs[0], handle)
        ring.hash, ring.since = hash, self.evicted
        if self.life:
            self.base_clear(ring)
        chunk_init(&self.forest.shape, self.chunk(ring), CAPACITY[0])
        table_insert(&self.table, hash, handle)
        return handle

    # The columns as stored: the group's own, then the hidden ones of cells.
    cdef inline void fill(self, int64_t* stored, const int64_t* values) noexcept nogil:
        cdef const Shape* shape = &self.forest.shape
        cdef uint32_t c, w
        for c in range(shape.shown):
            stored[c] = values[c]
            if shape.column[c].wide_at != NONE:
                w = <uint32_t>shape.column[c].wide_at
                stored[w] = -1 if values[c] < 0 else 0
                if shape.column[c].squares:
                    square_of(values[c], <uint64_t*>&stored[w + 1], <uint64_t*>&stored[w + 2])
                    stored[w + 3] = 0
        if shape.weight != NONE:
            stored[shape.weight] = 1

    cdef void base_clear(self, Ring* ring) noexcept nogil:
        cdef uint32_t c
        memset(self.base(ring), 0, self.base_bytes)
        for c in range(self.forest.shape.shown):
            totals_clear(self.base_totals(ring) + c)

    # Moves an inline ring into a record of another capacity.
    cdef uint32_t resize(self, uint32_t handle, uint32_t k) except 0:
        cdef uint32_t index = slab_take(&self.slabs[k])
        cdef uint32_t moved = index | k << CLASS_SHIFT
        cdef Ring* ring = self.at(handle)
        cdef Ring* target
        if index == 0:
            raise MemoryError
        target = <Ring*>slab_at(&self.slabs[k], index)
        memcpy(target, ring, sizeof(Ring) + self.base_bytes)
        chunk_init(&self.forest.shape, self.chunk(target), CAPACITY[k])
        chunk_append_range(&self.forest.shape, self.chunk(target), self.chunk(ring), 0, self.chunk(ring).n)
        table_replace(&self.table, ring.hash, handle, moved)
        slab_give(&self.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
        return moved

    cdef int drop_ring(self, uint32_t handle) except -1:
        table_remove(&self.table, self.at(handle).hash)
        slab_give(&self.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
        return 0

    cdef uint64_t bytes_used(self) noexcept nogil:
        cdef uint64_t total = table_bytes(&self.table) + table_bytes(&self.latest_table)
        cdef uint32_t k
        for k in range(CLASSES + 1):
            total += self.slabs[k].live * self.slabs[k].record_size
        total += self.forest.leaves.live * self.forest.leaves.record_size
        total += self.forest.nodes.live * self.forest.nodes.record_size
        return total + self.latest_slab.live * self.latest_slab.record_size

    # ---- texts ------------------------------------------------------------------------------------------------------

    # Releases what the entry's TEXT columns hold on to.
    cdef inline void release_entry(self, Chunk* chunk, uint32_t at) noexcept:
        cdef uint32_t c
        for c in range(self.forest.shape.shown):
            if self.forest.shape.column[c].kind == COLUMN_TEXT:
                self.texts.release(chunk_column(&self.forest.shape, chunk, c)[at])

    cdef void release(self, const int64_t* values) noexcept:
        cdef uint32_t c
        for c in range(self.forest.shape.shown):
            if self.forest.shape.column[c].kind == COLUMN_TEXT:
                self.texts.release(values[c])

    # Lets go of every text that the rings keep.
    cdef void release_texts(self) noexcept:
        cdef uint64_t cursor = 0
        cdef uint32_t[64] handles
        cdef uint32_t i, count
        if not self.keeps_texts():
            return
        while True:
            count = table_scan(&self.table, &cursor, handles, 64)
            for i in range(count):
                self.release_ring(handles[i])
            if cursor == 0:
                return

    cdef bint keeps_texts(self) noexcept nogil:
        cdef uint32_t c
        for c in range(self.forest.shape.shown):
            if self.forest.shape.column[c].kind == COLUMN_TEXT:
                return self.table.count > 0
        return False

    cdef void release_ring(self, uint32_t handle) noexcept:
        cdef Ring* ring = self.at(handle)
        cdef uint32_t i
        if not self.base_empty(ring):
            self.release(self.base_first(ring))
            self.release(self.base_last(ring))
        if handle >> CLASS_SHIFT == TREE:
            if self.tree(ring).root:
                self.release_tree(self.tree(ring).root, self.tree(ring).level)
            return
        for i in range(self.chunk(ring).n):
            self.release_entry(self.chunk(ring), i)

    cdef void release_tree(self, uint32_t index, int level) noexcept:
        cdef uint32_t i
        if level < 0:
            for i in range(leaf_at(&self.forest, index).n):
                self.release_entry(leaf_at(&self.forest, index), i)
            return
        for i in range(node_at(&self.forest, index).n):
            self.release_tree(node_at(&self.forest, index).child[i], level - 1)


cdef const Hash* ring_hash(void* owner, uint32_t handle) noexcept nogil:
    return <const Hash*>slab_at(<Slab*>owner + (handle >> CLASS_SHIFT), handle & INDEX_MASK)


cdef const Hash* latest_hash(void* owner, uint32_t handle) noexcept nogil:
    return <const Hash*>slab_at(<Slab*>owner, handle)


cdef inline int64_t floor_to(int64_t time, int64_t every) noexcept nogil:
    cdef int64_t rest
    if every == 0:
        return time
    rest = time % every
    return time - rest if rest >= 0 else time - rest - every
