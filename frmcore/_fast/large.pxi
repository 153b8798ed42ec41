# A large ring: its tree as it grows out of a small ring, gives up its oldest entries, and shrinks back into one.

cdef enum:
    TRIM_EVERY = 16  # entries; each time two leaves at most

cdef uint32_t to_tree(RingStore store, uint32_t handle) except 0:
    cdef uint32_t index = slab_take(&store.slabs[TREE])
    cdef uint32_t leaf = leaf_new(&store.forest)
    cdef uint32_t root = node_new(&store.forest, 0)
    cdef Ring* ring = store.at(handle)
    cdef Chunk* chunk = store.chunk(ring)
    cdef Ring* target
    cdef TreeHead* tree
    cdef Node* node
    if not (index and leaf and root):
        raise MemoryError
    target = <Ring*>slab_at(&store.slabs[TREE], index)
    memcpy(target, ring, sizeof(Ring) + store.base_bytes)
    chunk_append_range(&store.forest.shape, leaf_at(&store.forest, leaf), chunk, 0, chunk.n)
    node = node_at(&store.forest, root)
    node.n, node.child[0] = 1, leaf
    slot_refresh(&store.forest, node, 0)
    tree = store.tree(target)
    memset(tree, 0, sizeof(TreeHead))
    tree.root, tree.entries, tree.last = root, chunk.n, chunk_place(&store.forest.shape, chunk, chunk.n - 1)
    members_note(store, target, leaf_at(&store.forest, leaf), True)
    table_replace(&store.table, ring.hash, handle, index | <uint32_t>TREE << CLASS_SHIFT)
    slab_give(&store.slabs[handle >> CLASS_SHIFT], handle & INDEX_MASK)
    return index | <uint32_t>TREE << CLASS_SHIFT


cdef int insert_tree(RingStore store, uint32_t handle, Place where, const int64_t* values, int64_t line) except -1:
    cdef Ring* ring = store.at(handle)
    cdef TreeHead* tree = store.tree(ring)
    cdef uint32_t latest, sibling = 0
    if tree.is_capped and not before(tree.capped, where):  # its place was given up
        if store.life:
            base_add(store, ring, where, values)
        store.release(values)
        return 0
    latest = member_enters(store, ring, where, values)
    if tree.root:
        sibling = tree_insert(&store.forest, tree.root, tree.level, where, values, latest)
    else:
        tree.root = tree_plant(&store.forest, where, values, latest)
    tree.entries += 1
    if tree.entries == 1 or before(tree.last, where):
        tree.last = where
    if sibling:
        grow_root(store, tree, sibling)
    if tree.entries % TRIM_EVERY == 0:  # a busy ring grows faster than sweeps come by, and replay does not sweep
        trim_tree(store, ring, line)
    while tree.entries > store.ring_max:  # more than one only after a reload lowered the limit
        drop_capped(store, ring)
    return 0


cdef int grow_root(RingStore store, TreeHead* tree, uint32_t sibling) except -1:
    cdef uint32_t root = node_new(&store.forest, <uint32_t>tree.level + 1)
    cdef Node* node
    if root == 0:
        raise MemoryError
    node = node_at(&store.forest, root)
    node.n, node.child[0], node.child[1] = 2, tree.root, sibling
    slot_refresh(&store.forest, node, 0)
    slot_refresh(&store.forest, node, 1)
    tree.root, tree.level = root, tree.level + 1
    return 0


# Takes out the entry at that place. A tree with nothing in it has no root.
cdef void cut_tree(RingStore store, TreeHead* tree, Place where) noexcept nogil:
    tree.entries -= 1
    if tree_remove(&store.forest, tree.root, tree.level, where):
        tree.root = 0
    else:
        lower_root(store, tree)
        if same_place(where, tree.last):
            tree.last = tree_last_place(store, tree)


# A root with one child gives way to it.
cdef void lower_root(RingStore store, TreeHead* tree) noexcept nogil:
    cdef Node* root = node_at(&store.forest, tree.root)
    cdef uint32_t child
    while tree.level > 0 and root.n == 1:
        child = root.child[0]
        slab_give(&store.forest.nodes, tree.root)
        tree.root, tree.level = child, tree.level - 1
        root = node_at(&store.forest, child)


cdef Place tree_last_place(RingStore store, TreeHead* tree) noexcept nogil:
    cdef uint32_t at
    cdef Chunk* leaf = tree_seek_before(&store.forest, tree.root, tree.level, place(TIME_FAR, 0), &at)
    return chunk_place(&store.forest.shape, leaf, at)


# A ring beyond ring_events_max: its oldest entry goes, and every window that would reach it reads absent from now on.
cdef int drop_capped(RingStore store, Ring* ring) except -1:
    cdef TreeHead* tree = store.tree(ring)
    cdef Place dropped = drop_first(store, ring)
    if not tree.is_capped or before(tree.capped, dropped):
        tree.capped, tree.is_capped = dropped, True
    return 0


# Gives up the oldest entry of a tree; its place.
cdef Place drop_first(RingStore store, Ring* ring) except *:
    cdef const Shape* shape = &store.forest.shape
    cdef TreeHead* tree = store.tree(ring)
    cdef uint32_t at, c
    cdef Chunk* leaf = tree_seek(&store.forest, tree.root, tree.level, place(-TIME_FAR, 0), &at)
    cdef Place first = chunk_place(shape, leaf, 0)
    fold_entry(store, ring, leaf, 0)
    for c in range(shape.shown):
        if shape.column[c].member != NONE:
            member_dropped(store, ring, c, chunk_column(shape, leaf, c)[0])
    cut_tree(store, tree, first)
    return first


cdef inline int64_t tree_first_time(RingStore store, TreeHead* tree) noexcept nogil:
    return node_at(&store.forest, tree.root).first[0].time


# Whole leaves only: when the second leaf begins at or before the line, the first has nothing to keep.
cdef int trim_tree(RingStore store, Ring* ring, int64_t line) except -1:
    cdef TreeHead* tree = store.tree(ring)
    cdef uint32_t dropped = 0
    while dropped < 2 and tree.root and first_leaf_until(store, tree) <= line:
        drop_first_leaf(store, ring)
        dropped += 1
    return 0


# When the second leaf begins, or the only one ends.
cdef int64_t first_leaf_until(RingStore store, TreeHead* tree) noexcept nogil:
    cdef Node* node = node_at(&store.forest, tree.root)
    cdef int64_t time = tree.last.time
    while True:
        if node.n > 1:
            time = node.first[1].time
        if node.level == 0:
            return time
        node = node_at(&store.forest, node.child[0])


cdef int drop_first_leaf(RingStore store, Ring* ring) except -1:
    cdef const Shape* shape = &store.forest.shape
    cdef TreeHead* tree = store.tree(ring)
    cdef Node* node = node_at(&store.forest, tree.root)
    cdef Chunk* leaf
    cdef uint32_t i, c
    while node.level > 0:
        node = node_at(&store.forest, node.child[0])
    leaf = leaf_at(&store.forest, node.child[0])
    for i in range(leaf.n):
        fold_entry(store, ring, leaf, i)
        for c in range(shape.shown):
            if shape.column[c].member != NONE:
                member_dropped(store, ring, c, chunk_column(shape, leaf, c)[i])
    tree.entries -= leaf.n
    if tree_drop_first(&store.forest, tree.root, tree.level):
        tree.root = 0
    else:
        lower_root(store, tree)
    return 0


# Gives up everything at or before the line.
cdef int fold_tree(RingStore store, Ring* ring, int64_t line) except -1:
    cdef TreeHead* tree = store.tree(ring)
    while tree.root and first_leaf_until(store, tree) <= line:
        drop_first_leaf(store, ring)
    while tree.root and tree_first_time(store, tree) <= line:
        drop_first(store, ring)
    return 0


cdef int shrink_tree(RingStore store, uint32_t handle) except -1:
    cdef Ring* ring = store.at(handle)
    cdef TreeHead* tree = store.tree(ring)
    if tree.is_capped or tree.entries > CHUNK_MAX // 2:
        return 0
    if tree.root == 0 and store.base_empty(ring):
        return store.drop_ring(handle)
    if tree.root == 0 or one_chunk_holds(store, tree):
        return to_inline(store, handle)
    return 0


cdef bint one_chunk_holds(RingStore store, TreeHead* tree) noexcept nogil:
    cdef Place first = node_at(&store.forest, tree.root).first[0]
    return tree.level == 0 and <uint64_t>tree.last.time - <uint64_t>first.time <= UINT32_MAX


cdef int to_inline(RingStore store, uint32_t handle) except -1:
    cdef Ring* ring = store.at(handle)
    cdef TreeHead* tree = store.tree(ring)
    cdef uint32_t k = 0, index, i
    cdef Ring* target
    cdef Node* root
    while CAPACITY[k] < tree.entries:
        k += 1
    index = slab_take(&store.slabs[k])
    if index == 0:
        raise MemoryError
    target = <Ring*>slab_at(&store.slabs[k], index)
    memcpy(target, ring, sizeof(Ring) + store.base_bytes)
    chunk_init(&store.forest.shape, store.chunk(target), CAPACITY[k])
    if tree.root:
        root = node_at(&store.forest, tree.root)
        for i in range(root.n):
            members_note(store, ring, leaf_at(&store.forest, root.child[i]), False)
            chunk_append_range(
                &store.forest.shape, store.chunk(target), leaf_at(&store.forest, root.child[i]), 0,
                leaf_at(&store.forest, root.child[i]).n,
            )
        tree_free(&store.forest, tree.root, tree.level)
    table_replace(&store.table, ring.hash, handle, index | k << CLASS_SHIFT)
    slab_give(&store.slabs[TREE], handle & INDEX_MASK)
    return 0
