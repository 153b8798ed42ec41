# Every aggregate as a query over one ring. A window is a half-open range of places [lo, hi); windows that share their end are
# read in one pass from the newest entry backwards, each adding to what the shorter one has seen.

cdef enum Agg:
    AGG_COUNT = 0
    AGG_SUM = 1
    AGG_MEAN = 2
    AGG_MIN = 3
    AGG_MAX = 4
    AGG_STD = 5
    AGG_DISTINCT = 6
    AGG_SHARE = 7
    AGG_FIRST = 8
    AGG_LAST = 9
    AGG_SINCE_LAST = 10
    AGG_SINCE_FIRST = 11

cdef enum SpanKind:
    SPAN_DURATION = 0
    SPAN_CALENDAR = 1
    SPAN_LIFE = 2
    SPAN_SINCE = 3

cdef struct Output:  # one feature that a window fills
    uint32_t dst
    uint32_t feature
    int32_t column
    uint8_t agg
    uint8_t ddof
    int64_t divisor

cdef struct Window:
    uint8_t span
    uint8_t left
    uint8_t right
    uint8_t unit
    uint32_t zone
    int64_t over
    int64_t delay
    uint32_t output_first
    uint32_t output_count
    uint8_t needs_totals  # something else than first, last, since_*

cdef struct Reading:  # what a lookup's windows are read with
    Place at  # the event's place
    int64_t watermark
    int64_t oldest  # of all events ever recorded
    int64_t gap  # up to this time entries or marks may lack
    bint counts_itself  # the event belongs to the group, under the key that is looked up
    const int64_t* values  # then: its columns
    bint has_mark
    Place mark  # since: the last mark before the event
    uint8_t mark_problem  # a Note: why it can't be told
    const ZoneTable* zones

cdef struct Range:  # a window on a ring
    Place lo
    Place hi
    uint8_t problem  # a Note, or 0
    bint with_itself

cdef struct LastRead:  # the totals of the window read last, and where it lay
    Totals totals
    uint32_t l
    uint32_t r
    bint valid
    bint with_itself


@cython.final
cdef class WindowSet:
    """The windows of one lookup, unpacked. Windows with one end stand together, shortest first."""

    cdef Window* windows
    cdef Output* outputs
    cdef uint32_t window_count
    cdef uint32_t output_count
    cdef bint is_plain  # only windows that end with the event; of its key's life only what came last
    cdef int64_t reach  # of the longest one; TIME_FAR where one is of life

    def __cinit__(self, lookup, dict feature_of):
        cdef uint32_t w, o = 0
        self.is_plain = True
        by_window = {}
        for query in lookup.queries:
            shape = (query.delay_ms, not query.right, query.span, query.over_ms, query.unit, query.zone, query.left)
            by_window.setdefault(shape, []).append(query)
        self.window_count, self.output_count = len(by_window), len(lookup.queries)
        self.windows = <Window*>take(len(by_window), sizeof(Window))
        self.outputs = <Output*>take(len(lookup.queries), sizeof(Output))
        for w, shape in enumerate(sorted(by_window)):
            window = &self.windows[w]
            query = by_window[shape][0]
            window.span, window.left, window.right = query.span, query.left, query.right
            window.unit, window.zone = query.unit, query.zone
            window.over, window.delay = query.over_ms, query.delay_ms
            window.output_first, window.output_count = o, len(by_window[shape])
            for query in by_window[shape]:
                out = &self.outputs[o]
                out.dst, out.column, out.agg, out.ddof = query.dst, query.column, query.agg, query.ddof
                out.divisor, out.feature = query.divisor, feature_of[query.dst]
                window.needs_totals |= query.agg < AGG_FIRST
                self.is_plain &= window.span == SPAN_DURATION or query.agg in (AGG_LAST, AGG_SINCE_LAST)
                o += 1
            self.is_plain &= window.span in (SPAN_DURATION, SPAN_LIFE) and window.delay == 0 and window.right
            self.reach = max(self.reach, TIME_FAR if window.span == SPAN_LIFE else window.over)

    def __dealloc__(self):
        free(self.windows)
        free(self.outputs)


# ---- bounds ------------------------------------------------------------------------------------------------------------

cdef Range window_range(RingStore store, Ring* ring, uint32_t handle, const Window* window, const Reading* reading) noexcept nogil:
    cdef Range result
    cdef int64_t t = floor_to(reading.at.time, store.every)
    cdef int64_t end = t - window.delay
    result.problem = 0
    result.with_itself = reading.counts_itself and window.right and window.delay == 0
    if not window.right:
        result.hi = place(end, 0)
    elif window.delay or store.every:
        result.hi = place(end + 1, 0)
    else:
        result.hi = reading.at
    if window.span == SPAN_DURATION:
        result.lo = place(end - window.over + (0 if window.left else 1), 0)
    elif window.span == SPAN_CALENDAR:
        result.lo = place(calendar_start(&reading.zones[window.zone], t, window.unit, window.over) + (0 if window.left else 1), 0)
    elif window.span == SPAN_LIFE:
        result.lo = place(-TIME_FAR, 0)
    else:
        since_range(window, reading, t, &result)
    if result.problem == 0:
        result.problem = range_problem(store, ring, handle, window, reading, &result)
    return result


cdef void since_range(const Window* window, const Reading* reading, int64_t t, Range* result) noexcept nogil:
    cdef Place bound
    cdef bint is_cut
    result.lo = place(-TIME_FAR, 0)
    if reading.has_mark:
        result.lo = reading.mark
        result.lo.seq += 0 if window.left else 1
    bound = place(t - window.over + (0 if window.left else 1), 0)
    is_cut = window.over != 0 and before(result.lo, bound)
    if is_cut:
        result.lo = bound
    if reading.mark_problem not in (NOTE_LOST, NOTE_EVICTED) or not is_cut or before(bound, reading.mark):
        result.problem = reading.mark_problem


# Does the window reach what was given up? Judged by the line, never by what happens to be there still: the answer is a function
# of what was recorded.
cdef uint8_t range_problem(
    RingStore store, Ring* ring, uint32_t handle, const Window* window, const Reading* reading, const Range* range_
) noexcept nogil:
    cdef TreeHead* tree
    if window.span == SPAN_LIFE:
        return life_problem(store, ring, handle, range_, store.line(reading.watermark))
    if reading.at.time < reading.watermark and late_problem(store, reading, range_):
        return NOTE_LATE
    if ring != NULL and handle >> CLASS_SHIFT == TREE:
        tree = store.tree(ring)
        if tree.is_capped and not before(tree.capped, range_.lo):
            return NOTE_CAPPED
    return 0


cdef inline bint late_problem(RingStore store, const Reading* reading, const Range* range_) noexcept nogil:
    cdef int64_t line = store.line(reading.watermark)
    return range_.lo.time <= line and floor_to(reading.oldest, store.every) <= line


# Totals of what was given up can't be split: they serve windows that end after all of it.
cdef uint8_t life_problem(
    RingStore store, Ring* ring, uint32_t handle, const Range* range_, int64_t line
) noexcept nogil:
    cdef Base* base
    cdef uint32_t at
    if ring == NULL:
        return 0
    base = store.base(ring)
    if range_.hi.time <= line and (
        (base.count and base.first.time <= line) or store.seek_before(ring, handle, place(line + 1, 0), &at) != NULL
    ):
        return NOTE_LATE
    return NOTE_CAPPED if base.count and not before(base.last, range_.hi) else 0


# ---- reading -----------------------------------------------------------------------------------------------------------

# Any reading: windows wherever they end, late events, rings of any size. As `read_lookup`, which is faster at the common ones.
cdef uint32_t read_general(
    RingStore store, WindowSet wanted, uint32_t handle, const Reading* reading, Reg* regs, uint32_t* notes, uint64_t* overflows
) noexcept:
    cdef Ring* ring
    cdef LastRead seen
    cdef Range range_
    cdef Window* window
    cdef const Output* output
    cdef int64_t since
    cdef uint32_t w, i, noted, count = 0
    seen.valid = False
    ring = store.at(handle) if handle else NULL
    since = ring.since if handle else store.evicted
    for w in range(wanted.window_count):
        window = &wanted.windows[w]
        range_ = window_range(store, ring, handle, window, reading)
        if range_.problem:
            for i in range(window.output_count):
                count += put_note(notes + 2 * count, range_.problem, &wanted.outputs[window.output_first + i], regs)
            continue
        if window.needs_totals:
            read_totals(store, ring, handle, reading, &range_, &seen)
        for i in range(window.output_count):
            output = &wanted.outputs[window.output_first + i]
            if range_.lo.time <= since and lacks(store, ring, handle, window, output, &range_, since):
                count += put_note(notes + 2 * count, NOTE_EVICTED, output, regs)
                continue
            noted = put_output(
                store, ring, handle, window, output, reading, &range_, &seen, regs, notes + 2 * count, overflows
            )
            if not noted and range_.lo.time <= reading.gap and lacks(store, ring, handle, window, output, &range_, reading.gap):
                notes[2 * count], notes[2 * count + 1], noted = NOTE_INCOMPLETE, output.feature, 1
            count += noted
    return count


cdef inline uint32_t put_note(uint32_t* notes, uint32_t note, const Output* output, Reg* regs) noexcept nogil:
    regs[output.dst].present = 0
    notes[0], notes[1] = note, output.feature
    return 1


# Of a window that starts at or before `until`, up to which entries may lack: may what this output tells be another than what is
# there? A last entry behind it is the last one, whatever lacks before it.
cdef bint lacks(
    RingStore store, Ring* ring, uint32_t handle, const Window* window, const Output* output, const Range* range_, int64_t until
) noexcept nogil:
    cdef Chunk* chunk
    cdef uint32_t at
    if ring == NULL or (output.agg != AGG_LAST and output.agg != AGG_SINCE_LAST):
        return True
    chunk = store.seek_before(ring, handle, range_.hi, &at)
    if chunk != NULL:
        return chunk_time(&store.forest.shape, chunk, at) <= until
    return window.span != SPAN_LIFE or not store.base(ring).count or store.base(ring).last.time <= until


# The totals of the window, from those of the last one where that lies inside it.
cdef void read_totals(
    RingStore store, Ring* ring, uint32_t handle, const Reading* reading, const Range* range_, LastRead* seen
) noexcept nogil:
    cdef const Shape* shape = &store.forest.shape
    cdef Chunk* chunk
    cdef uint32_t l = 0, r = 0
    cdef bint inline_ring = ring != NULL and handle >> CLASS_SHIFT != TREE
    if inline_ring:
        chunk = store.chunk(ring)
        l, r = chunk_lower(shape, chunk, range_.lo), chunk_lower(shape, chunk, range_.hi)
        if l > r:
            l = r
        if seen.valid and r == seen.r and l <= seen.l and range_.with_itself == seen.with_itself:
            chunk_totals(shape, chunk, l, seen.l, &seen.totals)
            seen.l = l
            return
    totals_start(&seen.totals, shape.shown)
    seen.valid, seen.l, seen.r, seen.with_itself = inline_ring, l, r, range_.with_itself
    if range_.with_itself:
        add_itself(shape, reading.values, &seen.totals)
    if inline_ring:
        chunk_totals(shape, chunk, l, r, &seen.totals)
    elif ring != NULL and store.tree(ring).root and before(range_.lo, range_.hi):
        window_totals(&store.forest, store.tree(ring), range_, &seen.totals)


# An end of the ring that the window covers is not searched: all of it is read from the root's slots.
cdef inline void window_totals(const Forest* forest, const TreeHead* tree, const Range* range_, Totals* totals) noexcept nogil:
    cdef bint cut_hi = not before(tree.last, range_.hi)
    tree_totals(forest, tree.root, tree.level, range_.lo, range_.hi, True, cut_hi, totals)


cdef inline void add_itself(const Shape* shape, const int64_t* values, Totals* totals) noexcept nogil:
    cdef uint32_t c
    totals.count += 1
    for c in range(shape.shown):
        if shape.column[c].sums:
            add_sum(&totals.columns[c], values[c])
        if shape.column[c].squares:
            add_square(&totals.columns[c], values[c])
        if shape.column[c].extremes:
            add_extreme(&totals.columns[c], values[c])


# One feature's value. Returns how many notes it wrote.
cdef uint32_t put_output(
    RingStore store, Ring* ring, uint32_t handle, const Window* window, const Output* output, const Reading* reading,
    const Range* range_, LastRead* seen, Reg* regs, uint32_t* notes, uint64_t* overflows,
) noexcept:
    cdef Reg* dst = &regs[output.dst]
    cdef const ColumnTotals* totals = &seen.totals.columns[output.column if output.column >= 0 else 0]
    cdef ColumnTotals whole
    cdef uint64_t count
    if output.agg >= AGG_FIRST:
        return put_single(store, ring, handle, window, output, reading, range_, regs, notes)
    if output.agg == AGG_DISTINCT:
        reg_set_int(dst, <int64_t>count_distinct(store, ring, handle, <uint32_t>output.column, reading, range_, seen))
        return 0
    count = seen.totals.count
    if window.span == SPAN_LIFE and ring != NULL:
        count += store.base(ring).count
        if output.column >= 0:
            whole = totals[0]
            totals_merge(&whole, store.base_totals(ring) + output.column)
            totals = &whole
    if not put_total(dst, output, totals, count, store.forest.shape.column[output.column if output.column >= 0 else 0].kind):
        overflows[0] += 1
        return put_note(notes, NOTE_OVERFLOW, output, regs)
    return 0


# False when the value does not fit into 64 bits.
cdef bint put_total(Reg* dst, const Output* output, const ColumnTotals* totals, uint64_t count, uint8_t kind) noexcept nogil:
    dst.present = 1
    if output.agg == AGG_COUNT:
        dst.v.i = <int64_t>count
    elif output.agg == AGG_SUM:
        return sum_fits(totals, &dst.v.i)
    elif count <= (1 if output.agg == AGG_STD and output.ddof else 0):
        dst.present = 0
    elif output.agg == AGG_MEAN or output.agg == AGG_SHARE:
        dst.v.f = mean_of(totals, count)
    elif output.agg == AGG_STD:
        dst.v.f = deviation_of(totals, count, output.ddof)
    else:
        dst.v.i = totals.least if output.agg == AGG_MIN else totals.greatest
        if kind == COLUMN_FLOAT:
            dst.v.f = order_float(dst.v.i)
    if output.divisor != 1:
        dst.v.f = dst.v.f / <double>output.divisor
    return True


# first, last, since_first, since_last: one entry before the event.
cdef uint32_t put_single(
    RingStore store, Ring* ring, uint32_t handle, const Window* window, const Output* output, const Reading* reading,
    const Range* range_, Reg* regs, uint32_t* notes,
) noexcept:
    cdef bint first = output.agg == AGG_FIRST or output.agg == AGG_SINCE_FIRST
    cdef bint life = window.span == SPAN_LIFE
    cdef Reg* dst = &regs[output.dst]
    cdef Base* base
    cdef Chunk* chunk
    cdef uint32_t at
    dst.present = 0
    if ring == NULL:
        return 0
    base = store.base(ring)
    if life and first and base.count:
        if base.first_lost:
            return put_note(notes, NOTE_LOST, output, regs)
        put_entry(store, dst, output, reading, base.first.time, store.base_first(ring))
        return 0
    chunk = store.seek(ring, handle, range_.lo, &at) if first else store.seek_before(ring, handle, range_.hi, &at)
    if chunk != NULL and in_range(chunk_place(&store.forest.shape, chunk, at), range_):
        put_chunk_entry(store, dst, output, reading, chunk, at)
    elif life and not first and base.count:
        if base.last_lost:
            return put_note(notes, NOTE_LOST, output, regs)
        put_entry(store, dst, output, reading, base.last.time, store.base_last(ring))
    return 0


cdef inline bint in_range(Place where, const Range* range_) noexcept nogil:
    return not before(where, range_.lo) and before(where, range_.hi)


cdef void put_chunk_entry(
    RingStore store, Reg* dst, const Output* output, const Reading* reading, Chunk* chunk, uint32_t at
) noexcept:
    cdef int64_t[COLUMNS_MAX] values
    cdef uint32_t c
    for c in range(store.forest.shape.shown):
        values[c] = chunk_column(&store.forest.shape, chunk, c)[at]
    put_entry(store, dst, output, reading, chunk_time(&store.forest.shape, chunk, at), values)


cdef void put_entry(
    RingStore store, Reg* dst, const Output* output, const Reading* reading, int64_t time, const int64_t* values
) noexcept:
    cdef uint8_t kind
    cdef KeptText* text
    dst.present = 1
    if output.agg == AGG_SINCE_LAST or output.agg == AGG_SINCE_FIRST:
        dst.v.i = floor_to(reading.at.time, store.every) - time
        return
    kind = store.forest.shape.column[output.column].kind
    if kind == COLUMN_TEXT:
        text = store.texts.at(values[output.column])
        reg_set_text(dst, text.s, text.n)
    elif kind == COLUMN_FLOAT:
        dst.v.f = order_float(values[output.column])
    else:
        dst.v.i = values[output.column]


# ---- distinct values ---------------------------------------------------------------------------------------------------

cdef uint64_t count_distinct(
    RingStore store, Ring* ring, uint32_t handle, uint32_t c, const Reading* reading, const Range* range_, const LastRead* seen
) noexcept:
    cdef const Shape* shape = &store.forest.shape
    cdef TreeHead* tree
    if ring == NULL or not before(range_.lo, range_.hi):
        return range_.with_itself
    if handle >> CLASS_SHIFT != TREE:
        return distinct_inline(shape, store.chunk(ring), c, reading, range_, seen)
    tree = store.tree(ring)
    if tree.root == 0 or before(tree.last, range_.hi):
        return seen.totals.columns[c].latest + (range_.with_itself and not seen_in_tree(store, ring, c, reading, range_))
    return distinct_in_tree(store, tree, c, reading, range_)


# Windows that end at the ring's end count flags; the others compare.
cdef uint64_t distinct_inline(
    const Shape* shape, const Chunk* chunk, uint32_t c, const Reading* reading, const Range* range_, const LastRead* seen
) noexcept nogil:
    cdef const int64_t* column = chunk_column(shape, chunk, c)
    cdef uint32_t l = chunk_lower(shape, chunk, range_.lo), r = chunk_lower(shape, chunk, range_.hi), i, j
    cdef uint64_t count = 0
    cdef bint again
    if r == chunk.n:
        count = seen.totals.columns[c].latest
    else:
        for i in range(l, r):
            again = False
            for j in range(i + 1, r):
                again |= column[j] == column[i]
            count += not again
    if range_.with_itself:
        again = False
        for i in range(l, r):
            again |= column[i] == reading.values[c]
        count += not again
    return count


cdef bint seen_in_tree(RingStore store, Ring* ring, uint32_t c, const Reading* reading, const Range* range_) noexcept nogil:
    cdef uint32_t index = table_find(&store.latest_table, member_hash(store, ring, c, reading.values[c]))
    return index != 0 and not before((<Latest*>slab_at(&store.latest_slab, index)).place, range_.lo)


cdef extern from *:
    """
    static int frm_compare(const void *a, const void *b) {
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
    }
    static uint64_t frm_different(int64_t *values, uint64_t count) {
        uint64_t different = count > 0;
        qsort(values, count, sizeof(int64_t), frm_compare);
        for (uint64_t i = 1; i < count; i++) different += values[i] != values[i - 1];
        return different;
    }
    """
    uint64_t different "frm_different"(int64_t* values, uint64_t count) noexcept nogil


# A window that ends before the ring does: its values are collected. O(n log n) of the entries in the window. Without Python's set:
# to make one may collect garbage, which may run anybody's code in the middle of a decision.
cdef uint64_t distinct_in_tree(
    RingStore store, TreeHead* tree, uint32_t c, const Reading* reading, const Range* range_
) noexcept nogil:
    cdef uint64_t room = tree.entries + 1, count = 0, result
    cdef int64_t* values = <int64_t*>malloc(room * sizeof(int64_t))
    if values == NULL:
        store.forest.out_of_memory = True  # whoever enters the next event says so
        return 0
    if range_.with_itself:
        values[0] = reading.values[c]
        count = 1
    count = collect_values(store, tree, c, range_, values, count)
    result = different(values, count)
    free(values)
    return result


cdef uint64_t collect_values(
    RingStore store, TreeHead* tree, uint32_t c, const Range* range_, int64_t* values, uint64_t count
) noexcept nogil:
    cdef const Shape* shape = &store.forest.shape
    cdef Place where = range_.lo
    cdef uint32_t at
    cdef Chunk* leaf
    while True:
        leaf = tree_seek(&store.forest, tree.root, tree.level, where, &at)
        if leaf == NULL:
            return count
        while at < leaf.n:
            where = chunk_place(shape, leaf, at)
            if not before(where, range_.hi):
                return count
            values[count] = chunk_column(shape, leaf, c)[at]
            count += 1
            at += 1
        where.seq += 1


# ---- marks -------------------------------------------------------------------------------------------------------------

# The last mark before the reading's place.
cdef void find_mark(RingStore marks, uint32_t handle, Reading* reading) noexcept nogil:
    cdef Ring* ring
    cdef Chunk* chunk
    cdef Base* base
    cdef uint32_t at
    cdef Range range_
    reading.has_mark, reading.mark_problem = False, 0
    handle = marks.living(handle, reading.watermark)
    if handle == 0:
        mark_evicted(marks.evicted, reading)
        return
    ring = marks.at(handle)
    range_.lo, range_.hi = place(-TIME_FAR, 0), reading.at
    reading.mark_problem = life_problem(marks, ring, handle, &range_, marks.line(reading.watermark))
    if reading.mark_problem:
        return
    chunk = marks.seek_before(ring, handle, reading.at, &at)
    base = marks.base(ring)
    if chunk != NULL:
        reading.mark, reading.has_mark = chunk_place(&marks.forest.shape, chunk, at), True
    elif base.count:
        reading.mark, reading.has_mark = base.last, not base.last_lost
        reading.mark_problem = NOTE_LOST if base.last_lost else 0
    else:
        mark_evicted(ring.since, reading)


# No mark is there, but up to that time there may have been one.
cdef void mark_evicted(int64_t since, Reading* reading) noexcept nogil:
    if since != NEVER:
        reading.mark, reading.mark_problem = place(since, UINT64_MAX), NOTE_EVICTED


# ---- evidence ----------------------------------------------------------------------------------------------------------

# The places of a window's entries, newest first, at most `room`: for `explain`.
cdef list window_places(RingStore store, uint32_t handle, const Range* range_, int room):
    cdef Ring* ring = store.at(handle)
    cdef Place where = range_.hi
    cdef uint32_t at
    cdef Chunk* chunk
    places = []
    while len(places) < room:
        chunk = store.seek_before(ring, handle, where, &at)
        if chunk == NULL:
            break
        where = chunk_place(&store.forest.shape, chunk, at)
        if before(where, range_.lo):
            break
        places.append((where.time, where.seq))
    return places
