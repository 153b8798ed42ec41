# A large ring: a B+ tree of chunks. Each slot of an inner node carries its child's first place and totals, so that any range is
# read in O(log n) plus two chunks. Appending splits off a leaf with one entry, so that leaves of events in order are full.

cdef enum:
    FAN_OUT = 16

cdef struct Node:
    uint32_t n
    uint32_t level  # of its children: 0 are leaves
    uint32_t child[FAN_OUT]
    Place first[FAN_OUT]
    uint64_t count[FAN_OUT]
    uint64_t totals[0]  # FAN_OUT times the packed totals of all columns

cdef struct Forest:  # where the trees of one group live
    Shape shape
    Slab leaves
    Slab nodes
    bint out_of_memory


cdef inline Node* node_at(const Forest* forest, uint32_t index) noexcept nogil:
    return <Node*>slab_at(&forest.nodes, index)


cdef inline Chunk* leaf_at(const Forest* forest, uint32_t index) noexcept nogil:
    return <Chunk*>slab_at(&forest.leaves, index)


cdef inline uint64_t* slot_totals(const Forest* forest, Node* node, uint32_t i) noexcept nogil:
    return node.totals + i * forest.shape.packed


cdef uint32_t leaf_new(Forest* forest) noexcept nogil:
    cdef uint32_t index = slab_take(&forest.leaves)
    if index == 0:
        forest.out_of_memory = True
        return 0
    chunk_init(&forest.shape, leaf_at(forest, index), CHUNK_MAX)
    return index


cdef uint32_t node_new(Forest* forest, uint32_t level) noexcept nogil:
    cdef uint32_t index = slab_take(&forest.nodes)
    if index == 0:
        forest.out_of_memory = True
        return 0
    node_at(forest, index).n = 0
    node_at(forest, index).level = level
    return index


# The slot whose child holds, or would hold, the place.
cdef inline uint32_t node_slot(const Node* node, Place where) noexcept nogil:
    cdef uint32_t i = node.n - 1
    while i > 0 and before(where, node.first[i]):
        i -= 1
    return i


# ---- totals ------------------------------------------------------------------------------------------------------------

cdef void add_slot(const Forest* forest, Node* node, uint32_t i, Totals* totals) noexcept nogil:
    cdef uint32_t c
    totals.count += node.count[i]
    for c in range(forest.shape.shown):
        slot_merge(forest, node, i, c, &totals.columns[c])


cdef inline void slot_merge(const Forest* forest, Node* node, uint32_t i, uint32_t c, ColumnTotals* totals) noexcept nogil:
    cdef const ColumnShape* spec = &forest.shape.column[c]
    totals_merge_packed(totals, spec.parts, slot_totals(forest, node, i) + spec.packed_at)


cdef inline void slot_pack(const Forest* forest, Node* node, uint32_t i, uint32_t c, const ColumnTotals* totals) noexcept nogil:
    cdef const ColumnShape* spec = &forest.shape.column[c]
    totals_pack(totals, spec.parts, slot_totals(forest, node, i) + spec.packed_at)


# One event's value more (or less) below the slot, and so many flags of latest occurrences.
cdef inline void slot_bump(
    const Forest* forest, Node* node, uint32_t i, uint32_t c, int64_t value, int sign, int flags
) noexcept nogil:
    cdef ColumnTotals totals
    totals_clear(&totals)
    slot_merge(forest, node, i, c, &totals)
    if sign:
        column_bump(&forest.shape, c, &totals, value, sign)
    totals.latest += <uint64_t><int64_t>flags
    slot_pack(forest, node, i, c, &totals)


# Adds the entries with lo <= place < hi; the two flags say which bounds can still cut.
cdef void tree_totals(
    const Forest* forest, uint32_t index, int level, Place lo, Place hi, bint cut_lo, bint cut_hi, Totals* totals
) noexcept nogil:
    cdef Node* node
    cdef Chunk* leaf
    cdef uint32_t i, l, r
    if level < 0:
        leaf = leaf_at(forest, index)
        l = chunk_lower(&forest.shape, leaf, lo) if cut_lo else 0
        r = chunk_lower(&forest.shape, leaf, hi) if cut_hi else leaf.n
        chunk_totals(&forest.shape, leaf, l, r, totals)
        return
    node = node_at(forest, index)
    l = node_slot(node, lo) if cut_lo else 0
    cut_lo = cut_lo and before(node.first[l], lo)  # a child that the window covers is read from its slot
    r = node_slot(node, hi) if cut_hi else node.n - 1
    for i in range(l, r + 1):
        if (cut_lo and i == l) or (cut_hi and i == r):
            tree_totals(forest, node.child[i], <int>node.level - 1, lo, hi, cut_lo and i == l, cut_hi and i == r, totals)
        else:
            add_slot(forest, node, i, totals)


cdef void slot_refresh(Forest* forest, Node* node, uint32_t i) noexcept nogil:
    cdef Totals totals
    cdef Chunk* leaf
    cdef Node* child
    cdef uint32_t j, c
    totals_start(&totals, forest.shape.shown)
    if node.level == 0:
        leaf = leaf_at(forest, node.child[i])
        node.first[i] = chunk_place(&forest.shape, leaf, 0)
        chunk_totals(&forest.shape, leaf, 0, leaf.n, &totals)
    else:
        child = node_at(forest, node.child[i])
        node.first[i] = child.first[0]
        for j in range(child.n):
            add_slot(forest, child, j, &totals)
    node.count[i] = totals.count
    for c in range(forest.shape.shown):
        slot_pack(forest, node, i, c, &totals.columns[c])


# One more event below the slot, without looking at the others.
cdef void slot_add(Forest* forest, Node* node, uint32_t i, Place where, const int64_t* values, uint32_t latest) noexcept nogil:
    cdef const Shape* shape = &forest.shape
    cdef uint32_t c, flags
    node.count[i] += 1
    if before(where, node.first[i]):
        node.first[i] = where
    for c in range(shape.shown):
        flags = 0 if shape.column[c].member == NONE else latest >> shape.column[c].member & 1
        slot_bump(forest, node, i, c, values[c], 1, <int>flags)


# ---- inserting ---------------------------------------------------------------------------------------------------------

# A tree of one entry: its root; 0: out of memory.
cdef uint32_t tree_plant(Forest* forest, Place where, const int64_t* values, uint32_t latest) noexcept nogil:
    cdef uint32_t leaf = leaf_new(forest), root = node_new(forest, 0)
    if leaf == 0 or root == 0:
        return 0
    chunk_insert(&forest.shape, leaf_at(forest, leaf), 0, where, values, latest)
    node_at(forest, root).n, node_at(forest, root).child[0] = 1, leaf
    slot_refresh(forest, node_at(forest, root), 0)
    return root


# Inserts below `index`; returns a new right sibling of it, or 0. `level` -1 is a leaf.
cdef uint32_t tree_insert(
    Forest* forest, uint32_t index, int level, Place where, const int64_t* values, uint32_t latest
) noexcept nogil:
    cdef Node* node
    cdef uint32_t i, sibling
    if level < 0:
        return leaf_insert(forest, index, where, values, latest)
    node = node_at(forest, index)
    i = node_slot(node, where)
    sibling = tree_insert(forest, node.child[i], level - 1, where, values, latest)
    if sibling == 0 and forest.shape.weight == NONE:
        slot_add(forest, node, i, where, values, latest)
        return 0
    slot_refresh(forest, node, i)  # a cell that comes from a checkpoint stands for many events
    return node_insert(forest, index, i + 1, sibling) if sibling else 0


cdef uint32_t leaf_insert(Forest* forest, uint32_t index, Place where, const int64_t* values, uint32_t latest) noexcept nogil:
    cdef const Shape* shape = &forest.shape
    cdef Chunk* leaf = leaf_at(forest, index)
    cdef Chunk* right
    cdef uint32_t at = chunk_lower(shape, leaf, where), n = leaf.n, middle, sibling
    if n < CHUNK_MAX and chunk_holds(shape, leaf, where.time):
        chunk_insert(shape, leaf, at, where, values, latest)
        return 0
    sibling = leaf_new(forest)
    if sibling == 0:
        return 0
    right = leaf_at(forest, sibling)
    if at == n:
        chunk_insert(shape, right, 0, where, values, latest)
    elif at == 0:
        chunk_append_range(shape, right, leaf, 0, n)
        chunk_init(shape, leaf, CHUNK_MAX)
        chunk_insert(shape, leaf, 0, where, values, latest)
    else:
        middle = n // 2
        chunk_append_range(shape, right, leaf, middle, n)
        chunk_cut(shape, leaf, middle)
        if at <= middle:
            chunk_insert(shape, leaf, at, where, values, latest)
        else:
            chunk_insert(shape, right, at - middle, where, values, latest)
    return sibling


cdef void chunk_cut(const Shape* shape, Chunk* chunk, uint32_t n) noexcept nogil:
    cdef uint32_t c
    for c in range(shape.members):
        chunk.latest[c] &= bits_between(0, n)
    chunk.n = <uint16_t>n


cdef uint32_t node_insert(Forest* forest, uint32_t index, uint32_t at, uint32_t child) noexcept nogil:
    cdef Node* node = node_at(forest, index)
    cdef uint32_t sibling = 0, keep
    if node.n == FAN_OUT:
        sibling = node_new(forest, node.level)
        if sibling == 0:
            return 0
        keep = FAN_OUT if at == FAN_OUT else FAN_OUT // 2
        node_move_tail(forest, node, keep, node_at(forest, sibling))
        if at >= keep:
            node, at = node_at(forest, sibling), at - keep
    node_open(forest, node, at)
    node.child[at] = child
    slot_refresh(forest, node, at)
    return sibling


cdef void node_move_tail(Forest* forest, Node* node, uint32_t keep, Node* right) noexcept nogil:
    cdef uint32_t count = node.n - keep
    memcpy(right.child, node.child + keep, count * sizeof(uint32_t))
    memcpy(right.first, node.first + keep, count * sizeof(Place))
    memcpy(right.count, node.count + keep, count * sizeof(uint64_t))
    memcpy(right.totals, slot_totals(forest, node, keep), count * forest.shape.packed * 8)
    right.n, node.n = count, keep


# Makes room for a slot at `at` (by = 1), or closes the gap after one was taken out (by = -1).
cdef void node_open(Forest* forest, Node* node, uint32_t at) noexcept nogil:
    node_shift(forest, node, at, at + 1, node.n - at)
    node.n += 1


cdef void node_close(Forest* forest, Node* node, uint32_t at) noexcept nogil:
    node_shift(forest, node, at + 1, at, node.n - at - 1)
    node.n -= 1


cdef void node_shift(Forest* forest, Node* node, uint32_t source, uint32_t target, uint32_t count) noexcept nogil:
    memmove(node.child + target, node.child + source, count * sizeof(uint32_t))
    memmove(node.first + target, node.first + source, count * sizeof(Place))
    memmove(node.count + target, node.count + source, count * sizeof(uint64_t))
    memmove(slot_totals(forest, node, target), slot_totals(forest, node, source), count * forest.shape.packed * 8)


# ---- removing ----------------------------------------------------------------------------------------------------------

# Removes the entry at exactly that place, which is there; True when nothing is left below `index` (which is then freed).
cdef bint tree_remove(Forest* forest, uint32_t index, int level, Place where) noexcept nogil:
    cdef Node* node
    cdef Chunk* leaf
    cdef uint32_t i
    if level < 0:
        leaf = leaf_at(forest, index)
        chunk_remove(&forest.shape, leaf, chunk_lower(&forest.shape, leaf, where))
        if leaf.n == 0:
            slab_give(&forest.leaves, index)
            return True
        return False
    node = node_at(forest, index)
    i = node_slot(node, where)
    if tree_remove(forest, node.child[i], level - 1, where):
        return node_drop(forest, index, i)
    slot_refresh(forest, node, i)
    return False


cdef bint node_drop(Forest* forest, uint32_t index, uint32_t i) noexcept nogil:
    cdef Node* node = node_at(forest, index)
    node_close(forest, node, i)
    if node.n == 0:
        slab_give(&forest.nodes, index)
        return True
    return False


# Takes out the first leaf, whose entries the caller has dealt with; True when nothing is left.
cdef bint tree_drop_first(Forest* forest, uint32_t index, int level) noexcept nogil:
    cdef Node* node
    if level < 0:
        slab_give(&forest.leaves, index)
        return True
    node = node_at(forest, index)
    if tree_drop_first(forest, node.child[0], level - 1):
        return node_drop(forest, index, 0)
    slot_refresh(forest, node, 0)
    return False


cdef void tree_free(Forest* forest, uint32_t index, int level) noexcept nogil:
    cdef uint32_t i
    if level < 0:
        slab_give(&forest.leaves, index)
        return
    for i in range(node_at(forest, index).n):
        tree_free(forest, node_at(forest, index).child[i], level - 1)
    slab_give(&forest.nodes, index)


# ---- finding -----------------------------------------------------------------------------------------------------------

# The leaf that holds the first entry not before `where`, and its position in it; NULL when there is none.
cdef Chunk* tree_seek(const Forest* forest, uint32_t index, int level, Place where, uint32_t* at) noexcept nogil:
    cdef Node* node
    cdef Chunk* leaf
    cdef uint32_t i
    if level < 0:
        leaf = leaf_at(forest, index)
        at[0] = chunk_lower(&forest.shape, leaf, where)
        return leaf if at[0] < leaf.n else NULL
    node = node_at(forest, index)
    for i in range(node_slot(node, where), node.n):
        leaf = tree_seek(forest, node.child[i], level - 1, where, at)
        if leaf != NULL:
            return leaf
    return NULL


# The leaf that holds the last entry before `where`, and its position in it; NULL when there is none.
cdef Chunk* tree_seek_before(const Forest* forest, uint32_t index, int level, Place where, uint32_t* at) noexcept nogil:
    cdef Node* node
    cdef Chunk* leaf
    cdef int i
    if level < 0:
        leaf = leaf_at(forest, index)
        at[0] = chunk_lower(&forest.shape, leaf, where)
        if at[0] == 0:
            return NULL
        at[0] -= 1
        return leaf
    node = node_at(forest, index)
    i = <int>node_slot(node, where)
    while i >= 0:
        leaf = tree_seek_before(forest, node.child[i], level - 1, where, at)
        if leaf != NULL:
            return leaf
        i -= 1
    return NULL


# The last entry before `where` whose column has that value: right to left, O(entries between).
cdef Chunk* tree_last_with(
    const Forest* forest, uint32_t index, int level, Place where, uint32_t c, int64_t value, uint32_t* at
) noexcept nogil:
    cdef Node* node
    cdef Chunk* leaf
    cdef int i
    if level < 0:
        leaf = leaf_at(forest, index)
        i = <int>chunk_lower(&forest.shape, leaf, where) - 1
        while i >= 0 and chunk_column(&forest.shape, leaf, c)[i] != value:
            i -= 1
        at[0] = <uint32_t>i
        return leaf if i >= 0 else NULL
    node = node_at(forest, index)
    i = <int>node_slot(node, where)
    while i >= 0:
        leaf = tree_last_with(forest, node.child[i], level - 1, where, c, value, at)
        if leaf != NULL:
            return leaf
        i -= 1
    return NULL


# Sets or clears the "latest occurrence" flag of the entry at that place.
cdef void tree_flag(Forest* forest, uint32_t index, int level, Place where, uint32_t c, bint on) noexcept nogil:
    cdef uint32_t member = <uint32_t>forest.shape.column[c].member
    cdef Chunk* leaf
    cdef Node* node
    cdef uint32_t i
    if level < 0:
        leaf = leaf_at(forest, index)
        i = chunk_lower(&forest.shape, leaf, where)
        leaf.latest[member] = (leaf.latest[member] & ~(<uint32_t>1 << i)) | (<uint32_t>on << i)
        return
    node = node_at(forest, index)
    i = node_slot(node, where)
    tree_flag(forest, node.child[i], level - 1, where, c, on)
    slot_bump(forest, node, i, c, 0, 0, 1 if on else -1)
