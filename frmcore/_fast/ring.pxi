# One ring for each key of a group: found by hash, inline in its record while small, a tree beyond. Life groups keep, beside the
# ring, totals of what has left it.

cdef enum:
    CLASSES = 8  # capacities of inline rings
    TREE = 8  # the class of a large ring's record
    CLASS_SHIFT = 28
    INDEX_MASK = (1 << 28) - 1

cdef int64_t TIME_FAR = <int64_t>1 << 62  # beyond every time, with room to add a window

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
    cdef uint64_t ring_max
    cdef Texts texts
    cdef uint64_t sweep_cursor
    cdef readonly object group

    def __cinit__(self, group, limits, Texts texts):
        cdef uint32_t k
        self.group, self.texts = group, texts
        self.life, self.span, self.every = group.life, group.span_ms, group.every_ms
        self.horizon, self.ring_max, self.given_up = limits.horizon_ms, limits.ring_events_max, -TIME_FAR
        shape_init(&self.forest.shape, group)
        if self.life:
            self.base_bytes = <uint32_t>(sizeof(Base) + self.forest.shape.shown * (sizeof(ColumnTotals) + 16))
        for k in range(CLASSES):
            slab_init(&self.slabs[k], <uint32_t>sizeof(Ring) + self.base_bytes + chunk_size(&self.forest.shape, CAPACITY[k]))
        slab_init(&self.slabs[TREE], <uint32_t>(sizeof(Ring) + self.base_bytes + sizeof(TreeHead)))
        slab_init(&self.forest.leaves, chunk_size(&self.forest.shape, CHUNK_MAX))
        slab_init(&self.forest.nodes, <uint32_t>(sizeof(Node) + FAN_OUT * self.forest.shape.shown * sizeof(ColumnTotals)))
        slab_init(&self.latest_slab, sizeof(Latest))
        if not table_init(&self.table, ring_hash, <void*>&self.slabs[0]):
            raise MemoryError
        if not table_init(&self.latest_table, latest_hash, <void*>&self.latest_slab):
            raise MemoryError

    def __dealloc__(self):
        cdef uint32_t k
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
        self.group, self.horizon, self.ring_max = group, limits.horizon_ms, limits.ring_events_max
        return 0

    # ---- finding --------------------------------------------------------------------------------------------------

    cdef inline void prefetch_bucket(self, Hash hash) noexcept nogil:
        table_prefetch(&self.table, hash)

    # The ring's record, if the bucket's tag can be trusted; touches the bucket only.
    cdef inline void prefetch_ring(self, Hash hash) noexcept nogil:
        cdef uint32_t handle = table_guess(&self.table, hash)
        if handle:
            prefetch(self.at(handle))
            prefetch(<char*>self.at(handle) + 64)

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

    # At or before this time nothing is kept in rings (it may still be there, and is not read). No window of an event up to
    # `horizon` late starts there.
    cdef inline int64_t line(self, int64_t watermark) noexcept nogil:
        if self.span < 0 or watermark == INT64_MIN:
            return self.given_up
        return max(self.given_up, floor_to(watermark - self.horizon, self.every) - self.span - 1)

    # ---- inserting ------------------------------------------------------------------------------------------------

    # Enters one event. `values`: one int64 for each column of the group. `watermark` says what may be given up on the way.
    cdef int insert(self, Hash hash, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark) except -1:
        cdef int64_t[STORED_MAX] stored
        cdef uint32_t handle
        cdef Place where = self.place_of(time, seq)
        cdef int64_t line = self.line(watermark)
        self.fill(stored, values)
        handle = table_find(&self.table, hash)
        if handle == 0:
            if where.time <= line and not self.life:
                self.release(stored)
                return 0
            handle = self.create(hash)
        if self.life and handle >> CLASS_SHIFT != TREE:
            self.trim_inline(self.at(handle), line)  # first: what is folded later may not overtake the event
        if self.life and self.into_base(self.at(handle), handle, where, stored, line):
            return 0
        if self.forest.shape.weight != NONE and self.merge_cell(handle, where, stored):
            return 0
        if handle >> CLASS_SHIFT == TREE:
            self.insert_tree(handle, where, stored, line)
        else:
            self.insert_inline(handle, where, stored, line)
        if self.forest.out_of_memory:
            raise MemoryError
        return 0

    # Where an event stands. In a merged cell it has no place of its own.
    cdef inline Place place_of(self, int64_t time, uint64_t seq) noexcept nogil:
        return place(floor_to(time, self.every), seq if self.forest.shape.weight == NONE else 0)

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

    cdef uint32_t create(self, Hash hash) except 0:
        cdef uint32_t handle = slab_take(&self.slabs[0])
        cdef Ring* ring
        if handle == 0 or not table_reserve(&self.table):
            raise MemoryError
        ring = <Ring*>slab_at(&self.slabs[0], handle)
        ring.hash = hash
        if self.life:
            self.base_clear(ring)
        chunk_init(&self.forest.shape, self.chunk(ring), CAPACITY[0])
        table_insert(&self.table, hash, handle)
        return handle

    cdef int insert_inline(self, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
        cdef const Shape* shape = &self.forest.shape
        cdef Ring* ring = self.at(handle)
        cdef Chunk* chunk = self.chunk(ring)
        cdef uint32_t at
        if chunk.n == chunk.capacity or chunk.n >= self.ring_max or not chunk_holds(shape, chunk, where.time):
            self.trim_inline(ring, line)
            if chunk.n == CHUNK_MAX or chunk.n >= self.ring_max or not chunk_holds(shape, chunk, where.time):
                return self.insert_tree(self.to_tree(handle), where, values, line)
            if chunk.n == chunk.capacity:
                handle = self.resize(handle, (handle >> CLASS_SHIFT) + 1)
                chunk = self.chunk(self.at(handle))
        at = chunk_lower(shape, chunk, where)
        chunk_insert(shape, chunk, at, where, values, inline_latest(shape, chunk, at, values))
        return 0

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

    cdef uint32_t to_tree(self, uint32_t handle) except 0:
        cdef uint32_t index = slab_take(&self.slabs[TREE])
        cdef uint32_t leaf = leaf_new(&self.forest)
        cdef uint32_t root = node_new(&self.forest, 0)
        cdef Ring* ring = self.at(handle)
        cdef Chunk* chunk = self.chunk(ring)
        cdef Ring* target
        cdef TreeHead* tree
        cdef Node* node
        if not (index and leaf and root):
            raise MemoryError
        target = <Ring*>slab_at(&self.slabs[TREE], index)
        memcpy(target, ring, sizeof(Ring) + self.base_bytes)
        chunk_append_range(&self.forest.shape, leaf_at(&self.forest, leaf), chunk, 0, chunk.n)
        node = node_at(&self.forest, root)
        node.n, node.child[0] = 1, leaf
        slot_refresh(&self.forest, node, 0)
        tree = self.tree(target)
        memset(tree, 0, sizeof(TreeHead))
        tree.root, tree.entries, tree.last = root, chunk.n, chunk_place(&self.forest.shape, chunk, chunk.n - 1)
        self.note_members(target, leaf_at(&self.forest, leaf), True)
        table_replace(&self.table, ring.hash, handle, index | <uint32_t>TREE << CLASS_SHIFT)
        slab_give(&self.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
        return index | <uint32_t>TREE << CLASS_SHIFT

    cdef int insert_tree(self, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
        cdef Ring* ring = self.at(handle)
        cdef TreeHead* tree = self.tree(ring)
        cdef uint32_t latest, sibling = 0, dropped = 0
        if tree.is_capped and not before(tree.capped, where):  # its place was given up
            if self.life:
                self.base_add(ring, where, values)
            self.release(values)
            return 0
        latest = self.member_enters(ring, where, values)
        if tree.root:
            sibling = tree_insert(&self.forest, tree.root, tree.level, where, values, latest)
        else:
            tree.root = tree_plant(&self.forest, where, values, latest)
        tree.entries += 1
        if tree.entries == 1 or before(tree.last, where):
            tree.last = where
        if sibling:
            self.grow_root(tree, sibling)
            self.trim_tree(ring, line)
        while tree.entries > self.ring_max and dropped < 2:  # two: a ring catches up with a limit that a reload lowered
            self.drop_capped(ring)
            dropped += 1
        return 0

    cdef int grow_root(self, TreeHead* tree, uint32_t sibling) except -1:
        cdef uint32_t root = node_new(&self.forest, <uint32_t>tree.level + 1)
        cdef Node* node
        if root == 0:
            raise MemoryError
        node = node_at(&self.forest, root)
        node.n, node.child[0], node.child[1] = 2, tree.root, sibling
        slot_refresh(&self.forest, node, 0)
        slot_refresh(&self.forest, node, 1)
        tree.root, tree.level = root, tree.level + 1
        return 0

    # ---- distinct values ------------------------------------------------------------------------------------------

    cdef inline Hash member_hash(self, const Ring* ring, uint32_t c, int64_t value) noexcept nogil:
        cdef Hash part
        part.lo, part.hi = <uint64_t>value, c
        return hash_join(ring.hash, part)

    # A value comes into a large ring: its flag bits, after an earlier occurrence lost its flag.
    cdef uint32_t member_enters(self, Ring* ring, Place where, const int64_t* values) except? 0xFFFFFFFF:
        cdef const Shape* shape = &self.forest.shape
        cdef TreeHead* tree = self.tree(ring)
        cdef Latest* entry
        cdef uint32_t c, bits = 0
        for c in range(shape.shown):
            if shape.column[c].member == NONE:
                continue
            entry = self.member_entry(ring, c, values[c])
            entry.count += 1
            if entry.count > 1 and before(where, entry.place):
                continue
            if entry.count > 1:
                tree_flag(&self.forest, tree.root, tree.level, entry.place, c, False)
            entry.place = where
            bits |= <uint32_t>1 << shape.column[c].member
        return bits

    # The table's entry of a value, made with count 0 where there is none.
    cdef Latest* member_entry(self, const Ring* ring, uint32_t c, int64_t value) except NULL:
        cdef Hash hash = self.member_hash(ring, c, value)
        cdef uint32_t index = table_find(&self.latest_table, hash)
        cdef Latest* entry
        if index == 0:
            index = slab_take(&self.latest_slab)
            if index == 0 or not table_reserve(&self.latest_table):
                raise MemoryError
            entry = <Latest*>slab_at(&self.latest_slab, index)
            entry.hash, entry.count = hash, 0
            table_insert(&self.latest_table, hash, index)
        return <Latest*>slab_at(&self.latest_slab, index)

    # One occurrence of a value leaves a large ring (its entry is still there). A flagged one passes its flag on.
    cdef int member_leaves(self, Ring* ring, Place where, uint32_t c, int64_t value) except -1:
        cdef TreeHead* tree = self.tree(ring)
        cdef Latest* entry = self.member_entry(ring, c, value)
        cdef Chunk* leaf
        cdef uint32_t at
        entry.count -= 1
        if entry.count == 0:
            slab_give(&self.latest_slab, table_remove(&self.latest_table, entry.hash))
        elif not before(where, entry.place):
            leaf = tree_last_with(&self.forest, tree.root, tree.level, where, c, value, &at)
            entry.place = chunk_place(&self.forest.shape, leaf, at)
            tree_flag(&self.forest, tree.root, tree.level, entry.place, c, True)
        return 0

    # All values of a chunk into the table (entering), or out of it.
    cdef int note_members(self, Ring* ring, Chunk* chunk, bint entering) except -1:
        cdef const Shape* shape = &self.forest.shape
        cdef Latest* entry
        cdef uint32_t c, i
        for c in range(shape.shown):
            if shape.column[c].member == NONE:
                continue
            for i in range(chunk.n):
                entry = self.member_entry(ring, c, chunk_column(shape, chunk, c)[i])
                if entering:
                    entry.count += 1
                    entry.place = chunk_place(shape, chunk, i)
                else:
                    entry.count -= 1
                    if entry.count == 0:
                        slab_give(&self.latest_slab, table_remove(&self.latest_table, entry.hash))
        return 0

    # ---- removing, giving up --------------------------------------------------------------------------------------

    # Retracts the event at that place; `values` are what it brought. False when it is not there any more.
    cdef bint remove(self, Hash hash, int64_t time, uint64_t seq, const int64_t* values, int64_t watermark) except -1:
        cdef Place where = self.place_of(time, seq)
        cdef uint32_t handle = table_find(&self.table, hash), at
        cdef Chunk* chunk
        cdef bint found
        if handle == 0:
            return False
        if self.life:
            self.fold_to(handle, self.line(watermark))
        chunk = self.seek(self.at(handle), handle, where, &at)
        if chunk != NULL and same_place(where, chunk_place(&self.forest.shape, chunk, at)):
            found = True
            if self.forest.shape.weight == NONE or self.unmerge_cell(handle, chunk, at, values):
                self.remove_entry(handle, chunk, at, where)
        else:
            found = self.life and self.out_of_base(self.at(handle), where, values)
        self.compact(handle)
        return found

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

    cdef int remove_entry(self, uint32_t handle, Chunk* chunk, uint32_t at, Place where) except -1:
        cdef const Shape* shape = &self.forest.shape
        cdef Ring* ring = self.at(handle)
        cdef uint32_t c
        self.release_entry(chunk, at)
        if handle >> CLASS_SHIFT != TREE:
            inline_unlatest(shape, chunk, at)
            chunk_remove(shape, chunk, at)
            return 0
        for c in range(shape.shown):
            if shape.column[c].member != NONE:
                self.member_leaves(ring, where, c, chunk_column(shape, chunk, c)[at])
        self.cut_tree(self.tree(ring), where)
        return 0

    # Takes out the entry at that place. A tree with nothing in it has no root.
    cdef void cut_tree(self, TreeHead* tree, Place where) noexcept nogil:
        tree.entries -= 1
        if tree_remove(&self.forest, tree.root, tree.level, where):
            tree.root = 0
        else:
            self.lower_root(tree)
            if same_place(where, tree.last):
                tree.last = self.last_place(tree)

    # A root with one child gives way to it.
    cdef void lower_root(self, TreeHead* tree) noexcept nogil:
        cdef Node* root = node_at(&self.forest, tree.root)
        cdef uint32_t child
        while tree.level > 0 and root.n == 1:
            child = root.child[0]
            slab_give(&self.forest.nodes, tree.root)
            tree.root, tree.level = child, tree.level - 1
            root = node_at(&self.forest, child)

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

    # A ring gives memory back: to a smaller record, or altogether when nothing is in it.
    cdef int compact(self, uint32_t handle) except -1:
        return self.shrink_tree(handle) if handle >> CLASS_SHIFT == TREE else self.shrink(handle)

    cdef int shrink(self, uint32_t handle) except -1:
        cdef Chunk* chunk = self.chunk(self.at(handle))
        cdef uint32_t k = handle >> CLASS_SHIFT, fits = 0
        if chunk.n == 0 and self.base_empty(self.at(handle)):
            return self.drop_ring(handle)
        while CAPACITY[fits] < chunk.n:
            fits += 1
        if fits + 2 <= k:
            self.resize(handle, fits + 1)
        return 0

    cdef int shrink_tree(self, uint32_t handle) except -1:
        cdef Ring* ring = self.at(handle)
        cdef TreeHead* tree = self.tree(ring)
        if tree.is_capped or tree.entries > CHUNK_MAX // 2:
            return 0
        if tree.root == 0 and self.base_empty(ring):
            return self.drop_ring(handle)
        if tree.root == 0 or self.one_chunk_holds(tree):
            return self.to_inline(handle)
        return 0

    cdef Place last_place(self, TreeHead* tree) noexcept nogil:
        cdef uint32_t at
        cdef Chunk* leaf = tree_seek_before(&self.forest, tree.root, tree.level, place(TIME_FAR, 0), &at)
        return chunk_place(&self.forest.shape, leaf, at)

    cdef bint one_chunk_holds(self, TreeHead* tree) noexcept nogil:
        cdef Place first = node_at(&self.forest, tree.root).first[0]
        return tree.level == 0 and <uint64_t>tree.last.time - <uint64_t>first.time <= UINT32_MAX

    cdef int to_inline(self, uint32_t handle) except -1:
        cdef Ring* ring = self.at(handle)
        cdef TreeHead* tree = self.tree(ring)
        cdef uint32_t k = 0, index, i
        cdef Ring* target
        cdef Node* root
        while CAPACITY[k] < tree.entries:
            k += 1
        index = slab_take(&self.slabs[k])
        if index == 0:
            raise MemoryError
        target = <Ring*>slab_at(&self.slabs[k], index)
        memcpy(target, ring, sizeof(Ring) + self.base_bytes)
        chunk_init(&self.forest.shape, self.chunk(target), CAPACITY[k])
        if tree.root:
            root = node_at(&self.forest, tree.root)
            for i in range(root.n):
                self.note_members(ring, leaf_at(&self.forest, root.child[i]), False)
                chunk_append_range(
                    &self.forest.shape, self.chunk(target), leaf_at(&self.forest, root.child[i]), 0,
                    leaf_at(&self.forest, root.child[i]).n,
                )
            tree_free(&self.forest, tree.root, tree.level)
        table_replace(&self.table, ring.hash, handle, index | k << CLASS_SHIFT)
        slab_give(&self.slabs[TREE], handle & INDEX_MASK)
        return 0

    cdef int drop_ring(self, uint32_t handle) except -1:
        table_remove(&self.table, self.at(handle).hash)
        slab_give(&self.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
        return 0

    # Gives up entries at or before the line, folding those of a life group into its base.
    cdef int trim_inline(self, Ring* ring, int64_t line) except -1:
        cdef Chunk* chunk = self.chunk(ring)
        while chunk.n and chunk_time(&self.forest.shape, chunk, 0) <= line:
            self.fold(ring, chunk, 0)
            inline_unlatest(&self.forest.shape, chunk, 0)
            chunk_remove(&self.forest.shape, chunk, 0)
        return 0

    # Whole leaves only: when the second leaf begins at or before the line, the first has nothing to keep.
    cdef int trim_tree(self, Ring* ring, int64_t line) except -1:
        cdef TreeHead* tree = self.tree(ring)
        cdef uint32_t dropped = 0
        while dropped < 2 and tree.root and self.first_leaf_until(tree) <= line:
            self.drop_first_leaf(ring)
            dropped += 1
        return 0

    # When the second leaf begins, or the only one ends.
    cdef int64_t first_leaf_until(self, TreeHead* tree) noexcept nogil:
        cdef Node* node = node_at(&self.forest, tree.root)
        cdef int64_t time = tree.last.time
        while True:
            if node.n > 1:
                time = node.first[1].time
            if node.level == 0:
                return time
            node = node_at(&self.forest, node.child[0])

    cdef int drop_first_leaf(self, Ring* ring) except -1:
        cdef const Shape* shape = &self.forest.shape
        cdef TreeHead* tree = self.tree(ring)
        cdef Node* node = node_at(&self.forest, tree.root)
        cdef Chunk* leaf
        cdef uint32_t i, c
        while node.level > 0:
            node = node_at(&self.forest, node.child[0])
        leaf = leaf_at(&self.forest, node.child[0])
        for i in range(leaf.n):
            self.fold(ring, leaf, i)
            for c in range(shape.shown):
                if shape.column[c].member != NONE:
                    self.member_dropped(ring, c, chunk_column(shape, leaf, c)[i])
        tree.entries -= leaf.n
        if tree_drop_first(&self.forest, tree.root, tree.level):
            tree.root = 0
        else:
            self.lower_root(tree)
        return 0

    # The oldest occurrence of a value goes: if it was the only one, so does the value.
    cdef int member_dropped(self, Ring* ring, uint32_t c, int64_t value) except -1:
        cdef Latest* entry = self.member_entry(ring, c, value)
        entry.count -= 1
        if entry.count == 0:
            slab_give(&self.latest_slab, table_remove(&self.latest_table, entry.hash))
        return 0

    # A ring beyond ring_events_max: its oldest entry goes, and every window that would reach it reads absent from now on.
    cdef int drop_capped(self, Ring* ring) except -1:
        self.tree(ring).capped, self.tree(ring).is_capped = self.drop_first(ring), True
        return 0

    # Gives up the oldest entry of a tree; its place.
    cdef Place drop_first(self, Ring* ring) except *:
        cdef const Shape* shape = &self.forest.shape
        cdef TreeHead* tree = self.tree(ring)
        cdef uint32_t at, c
        cdef Chunk* leaf = tree_seek(&self.forest, tree.root, tree.level, place(-TIME_FAR, 0), &at)
        cdef Place first = chunk_place(shape, leaf, 0)
        self.fold(ring, leaf, 0)
        for c in range(shape.shown):
            if shape.column[c].member != NONE:
                self.member_dropped(ring, c, chunk_column(shape, leaf, c)[0])
        self.cut_tree(tree, first)
        return first

    # ---- life groups: what left the ring --------------------------------------------------------------------------

    cdef inline ColumnTotals* base_totals(self, Ring* ring) noexcept nogil:
        return <ColumnTotals*>(self.base(ring) + 1)

    cdef inline int64_t* base_first(self, Ring* ring) noexcept nogil:
        return <int64_t*>(self.base_totals(ring) + self.forest.shape.shown)

    cdef inline int64_t* base_last(self, Ring* ring) noexcept nogil:
        return self.base_first(ring) + self.forest.shape.shown

    cdef inline bint base_empty(self, Ring* ring) noexcept nogil:
        return not self.life or self.base(ring).count == 0

    cdef void base_clear(self, Ring* ring) noexcept nogil:
        cdef uint32_t c
        memset(self.base(ring), 0, self.base_bytes)
        for c in range(self.forest.shape.shown):
            totals_clear(self.base_totals(ring) + c)

    # Everything at or before the line into the base: what a retraction finds there must not depend on who trimmed when.
    cdef int fold_to(self, uint32_t handle, int64_t line) except -1:
        cdef Ring* ring = self.at(handle)
        cdef TreeHead* tree
        if handle >> CLASS_SHIFT != TREE:
            return self.trim_inline(ring, line)
        tree = self.tree(ring)
        while tree.root and self.first_leaf_until(tree) <= line:
            self.drop_first_leaf(ring)
        while tree.root and self.first_time(tree) <= line:
            self.drop_first(ring)
        return 0

    cdef inline int64_t first_time(self, TreeHead* tree) noexcept nogil:
        return node_at(&self.forest, tree.root).first[0].time

    # An event at or before the line, or before what is in the base, belongs there; its elders in the ring go first.
    cdef bint into_base(self, Ring* ring, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
        cdef Base* base = self.base(ring)
        if where.time <= line:
            self.fold_to(handle, line)
        elif not base.count or not before(where, base.last):
            return False
        self.base_add(ring, where, values)
        self.release(values)
        return True

    # Adds an entry (as stored) to the base.
    cdef void base_add(self, Ring* ring, Place where, const int64_t* values) noexcept:
        cdef const Shape* shape = &self.forest.shape
        cdef Base* base = self.base(ring)
        cdef uint32_t c
        for c in range(shape.shown):
            column_bump(shape, c, self.base_totals(ring) + c, values[c], 1)
        if base.count == 0 or not before(base.first, where):  # at the same place: it was retracted and told anew
            self.keep_values(self.base_first(ring), values, base.count > 0)
            base.first, base.first_lost = where, False
        if base.count == 0 or not before(where, base.last):
            self.keep_values(self.base_last(ring), values, base.count > 0)
            base.last, base.last_lost = where, False
        base.count += 1

    cdef void keep_values(self, int64_t* kept, const int64_t* values, bint replaces) noexcept:
        cdef uint32_t c
        for c in range(self.forest.shape.shown):
            if self.forest.shape.column[c].kind == COLUMN_TEXT:
                self.texts.retain(values[c])
                if replaces:
                    self.texts.release(kept[c])
            kept[c] = values[c]

    cdef bint out_of_base(self, Ring* ring, Place where, const int64_t* values) noexcept:
        cdef Base* base = self.base(ring)
        cdef uint32_t c
        if base.count == 0:
            return False
        for c in range(self.forest.shape.shown):
            column_bump(&self.forest.shape, c, self.base_totals(ring) + c, values[c], -1)
        base.count -= 1
        base.first_lost |= same_place(where, base.first)
        base.last_lost |= same_place(where, base.last)
        if base.count == 0:
            self.release(self.base_first(ring))
            self.release(self.base_last(ring))
            self.base_clear(ring)
        return True

    # An entry leaves the ring for good; a life group keeps it in its base.
    cdef void fold(self, Ring* ring, Chunk* chunk, uint32_t at) noexcept:
        cdef int64_t[COLUMNS_MAX] values
        cdef uint32_t c
        if self.life:
            for c in range(self.forest.shape.shown):
                values[c] = chunk_column(&self.forest.shape, chunk, c)[at]
            self.base_add(ring, chunk_place(&self.forest.shape, chunk, at), values)
        self.release_entry(chunk, at)

    # ---- cells ----------------------------------------------------------------------------------------------------

    # Adds an event to the entry of its cell; False when there is none.
    cdef bint merge_cell(self, uint32_t handle, Place where, const int64_t* values) noexcept:
        cdef uint32_t at
        cdef Chunk* chunk = self.seek(self.at(handle), handle, where, &at)
        if chunk == NULL or not same_place(where, chunk_place(&self.forest.shape, chunk, at)):
            return False
        self.bump_cell(handle, chunk, at, values, 1)
        return True

    # Takes an event out of its cell's entry; True when that leaves it empty.
    cdef bint unmerge_cell(self, uint32_t handle, Chunk* chunk, uint32_t at, const int64_t* values) noexcept:
        self.bump_cell(handle, chunk, at, values, -1)
        return chunk_column(&self.forest.shape, chunk, <uint32_t>self.forest.shape.weight)[at] == 0

    cdef void bump_cell(self, uint32_t handle, Chunk* chunk, uint32_t at, const int64_t* values, int sign) noexcept:
        cdef const Shape* shape = &self.forest.shape
        cdef TreeHead* tree
        entry_bump(shape, chunk, at, values, sign)
        if handle >> CLASS_SHIFT == TREE:
            tree = self.tree(self.at(handle))
            tree_bump(&self.forest, tree.root, tree.level, chunk_place(shape, chunk, at), values, sign)

    # ---- housekeeping ---------------------------------------------------------------------------------------------

    # Looks at one bucket: rings that hold nothing after the line are freed. Constant work.
    cdef int sweep_step(self, int64_t watermark) except -1:
        cdef uint32_t[64] handles
        cdef uint32_t i, count = table_scan(&self.table, &self.sweep_cursor, handles, 64)
        cdef int64_t line = self.line(watermark)
        for i in range(count):
            self.sweep_ring(handles[i], line)
        return 0

    cdef int sweep_ring(self, uint32_t handle, int64_t line) except -1:
        cdef Ring* ring = self.at(handle)
        cdef TreeHead* tree = self.tree(ring)
        if handle >> CLASS_SHIFT != TREE:
            self.trim_inline(ring, line)
        else:
            self.trim_tree(ring, line)
            if tree.is_capped and tree.capped.time <= line:
                tree.is_capped = False
        return self.compact(handle)

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

    cdef uint64_t bytes_used(self) noexcept nogil:
        cdef uint64_t total = self.table.bytes + self.latest_table.bytes
        cdef uint32_t k
        for k in range(CLASSES + 1):
            total += self.slabs[k].live * self.slabs[k].record_size
        total += self.forest.leaves.live * self.forest.leaves.record_size
        total += self.forest.nodes.live * self.forest.nodes.record_size
        return total + self.latest_slab.live * self.latest_slab.record_size


cdef const Hash* ring_hash(void* owner, uint32_t handle) noexcept nogil:
    return <const Hash*>slab_at(<Slab*>owner + (handle >> CLASS_SHIFT), handle & INDEX_MASK)


cdef const Hash* latest_hash(void* owner, uint32_t handle) noexcept nogil:
    return <const Hash*>slab_at(<Slab*>owner, handle)


cdef inline bint same_place(Place a, Place b) noexcept nogil:
    return a.time == b.time and a.seq == b.seq


cdef inline int64_t floor_to(int64_t time, int64_t every) noexcept nogil:
    cdef int64_t rest
    if every == 0:
        return time
    rest = time % every
    return time - rest if rest >= 0 else time - rest - every


# How a group's columns are stored. Cells (`every`) merge when all that is asked of them are totals.
cdef int shape_init(Shape* shape, object group) except -1:
    cdef uint32_t c
    memset(shape, 0, sizeof(Shape))
    shape.weight = NONE
    shape.columns = shape.shown = len(group.columns)
    if shape.shown > COLUMNS_MAX:
        raise ValueError(f"the features by {group.entity} look at too many different values: {COLUMNS_MAX} at most share a ring")
    merges = group.every_ms > 0 and not group.life and all([column.sums and not column.extremes for column in group.columns])
    for c, column in enumerate(group.columns):
        spec = &shape.column[c]
        spec.kind, spec.sums, spec.squares, spec.extremes = column.kind, column.sums, column.squares, column.extremes
        spec.member = spec.wide_at = NONE
        if column.kind == COLUMN_MEMBER:
            spec.member = shape.members
            shape.members += 1
        if merges:
            spec.wide_at = shape.columns
            shape.columns += 4 if column.squares else 1
    if merges:
        shape.weight = shape.columns
        shape.columns += 1
    shape.head = <uint32_t>(sizeof(int64_t) + 4 + 4 * shape.members + 7) & ~<uint32_t>7
    return 0


# The flags of a value that comes into an inline ring at `at`; an earlier occurrence loses its own.
cdef inline uint32_t inline_latest(const Shape* shape, Chunk* chunk, uint32_t at, const int64_t* values) noexcept nogil:
    cdef const int64_t* column
    cdef uint32_t c, i, bits = 0
    cdef bint later
    if shape.members == 0:
        return 0
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        column = chunk_column(shape, chunk, c)
        later = False
        for i in range(at, chunk.n):
            later |= column[i] == values[c]
        if later:
            continue
        bits |= <uint32_t>1 << shape.column[c].member
        for i in range(at):
            if column[i] == values[c]:
                chunk.latest[shape.column[c].member] &= ~(<uint32_t>1 << i)
    return bits


# Before the entry at `at` leaves an inline ring: its flag goes to the occurrence before it.
cdef inline void inline_unlatest(const Shape* shape, Chunk* chunk, uint32_t at) noexcept nogil:
    cdef const int64_t* column
    cdef uint32_t c, member
    cdef int i
    for c in range(shape.shown):
        if shape.column[c].member == NONE:
            continue
        member = <uint32_t>shape.column[c].member
        if not chunk.latest[member] >> at & 1:
            continue
        column = chunk_column(shape, chunk, c)
        i = <int>at - 1
        while i >= 0 and column[i] != column[at]:
            i -= 1
        if i >= 0:
            chunk.latest[member] |= <uint32_t>1 << i


cdef extern from *:
    """
    /* Wide numbers in several columns: *low, *high (128 bits) and, for squares, *top (192), plus or minus `by`. */
    static inline void frm_bump_sum(int64_t *low, int64_t *high, int64_t by, int sign) {
        frm_u128 s = ((frm_u128)(uint64_t)*high << 64) | (uint64_t)*low, wide = (frm_u128)(frm_i128)by;
        s = sign > 0 ? s + wide : s - wide;
        *low = (int64_t)(uint64_t)s; *high = (int64_t)(uint64_t)(s >> 64);
    }
    static inline void frm_bump_squares(int64_t *low, int64_t *high, int64_t *top, int64_t by, int sign) {
        frm_u128 q = ((frm_u128)(uint64_t)*high << 64) | (uint64_t)*low, old = q, square = (frm_u128)((frm_i128)by * by);
        q = sign > 0 ? q + square : q - square;
        if (sign > 0 ? q < old : q > old) *top += sign;
        *low = (int64_t)(uint64_t)q; *high = (int64_t)(uint64_t)(q >> 64);
    }
    """
    void bump_sum "frm_bump_sum"(int64_t* low, int64_t* high, int64_t by, int sign) noexcept nogil
    void bump_squares "frm_bump_squares"(int64_t* low, int64_t* high, int64_t* top, int64_t by, int sign) noexcept nogil


# Adds an event to a cell's entry, or takes it away.
cdef void entry_bump(const Shape* shape, Chunk* chunk, uint32_t at, const int64_t* values, int sign) noexcept nogil:
    cdef int64_t* cell[5]
    cdef uint32_t c, i
    for c in range(shape.shown):
        cell[0] = chunk_column(shape, chunk, c) + at
        for i in range(4 if shape.column[c].squares else 1):
            cell[1 + i] = chunk_column(shape, chunk, <uint32_t>shape.column[c].wide_at + i) + at
        bump_sum(cell[0], cell[1], values[c], sign)
        if shape.column[c].squares:
            bump_squares(cell[2], cell[3], cell[4], values[c], sign)
    chunk_column(shape, chunk, <uint32_t>shape.weight)[at] += sign


# The totals above an entry of a tree, after it changed by these values.
cdef void tree_bump(Forest* forest, uint32_t index, int level, Place where, const int64_t* values, int sign) noexcept nogil:
    cdef Node* node
    cdef uint32_t i, c
    if level < 0:
        return
    node = node_at(forest, index)
    i = node_slot(node, where)
    tree_bump(forest, node.child[i], level - 1, where, values, sign)
    node.count[i] += <uint64_t><int64_t>sign
    for c in range(forest.shape.shown):
        column_bump(&forest.shape, c, slot_totals(forest, node, i) + c, values[c], sign)
