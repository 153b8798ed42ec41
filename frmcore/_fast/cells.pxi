# Cells (`every`): an event is added to the entry of its cell, or taken out of it.

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
        slot_bump(forest, node, i, c, values[c], sign, 0)


# Adds an event to the entry of its cell; False when there is none.
cdef bint merge_cell(RingStore store, uint32_t handle, Place where, const int64_t* values) noexcept:
    cdef uint32_t at
    cdef Chunk* chunk = store.seek(store.at(handle), handle, where, &at)
    if chunk == NULL or not same_place(where, chunk_place(&store.forest.shape, chunk, at)):
        return False
    bump_cell(store, handle, chunk, at, values, 1)
    return True


# Takes an event out of its cell's entry; True when that leaves it empty.
cdef bint unmerge_cell(RingStore store, uint32_t handle, Chunk* chunk, uint32_t at, const int64_t* values) noexcept:
    bump_cell(store, handle, chunk, at, values, -1)
    return chunk_column(&store.forest.shape, chunk, <uint32_t>store.forest.shape.weight)[at] == 0


cdef void bump_cell(RingStore store, uint32_t handle, Chunk* chunk, uint32_t at, const int64_t* values, int sign) noexcept:
    cdef const Shape* shape = &store.forest.shape
    cdef TreeHead* tree
    entry_bump(shape, chunk, at, values, sign)
    if handle >> CLASS_SHIFT == TREE:
        tree = store.tree(store.at(handle))
        tree_bump(&store.forest, tree.root, tree.level, chunk_place(shape, chunk, at), values, sign)
