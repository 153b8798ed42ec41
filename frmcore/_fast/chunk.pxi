# A chunk: up to 32 entries in order of place (time, sequence), as a structure of arrays. Times are 32-bit offsets from a base, so
# that sixteen of them are one cache line. A chunk lies inline in a small ring's record, or is a leaf of a large ring's tree.

cdef enum:
    CHUNK_MAX = 32
    NONE = -1

cdef struct Place:  # in the order of events
    int64_t time
    uint64_t seq

cdef struct ColumnShape:
    uint8_t kind
    uint8_t sums
    uint8_t squares
    uint8_t extremes
    int32_t member  # index among the MEMBER columns, or NONE
    uint32_t parts  # of its totals
    uint32_t packed_at  # where they begin among the words of all columns
    int32_t wide_at  # cells: the hidden column with the sum's high half, then three with the squares; or NONE

cdef struct Shape:  # how the entries of one group are stored
    uint32_t columns  # hidden ones included
    uint32_t shown  # without the hidden ones
    uint32_t members
    int32_t weight  # cells: the hidden column that counts events, or NONE
    uint32_t packed  # words of the packed totals of all columns
    uint32_t head  # bytes before the arrays
    ColumnShape column[COLUMNS_MAX]

cdef struct Chunk:
    int64_t base
    uint16_t n
    uint16_t capacity
    uint32_t latest[1]  # per MEMBER column, one bit an entry: no later entry of the ring has its value


cdef inline bint before(Place a, Place b) noexcept nogil:
    return a.time < b.time or (a.time == b.time and a.seq < b.seq)


cdef inline Place place(int64_t time, uint64_t seq) noexcept nogil:
    cdef Place result
    result.time, result.seq = time, seq
    return result


cdef inline bint same_place(Place a, Place b) noexcept nogil:
    return a.time == b.time and a.seq == b.seq


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
        spec.parts = parts_of(column)
        spec.packed_at = shape.packed
        shape.packed += packed_words(spec.parts)
        if merges:
            spec.wide_at = shape.columns
            shape.columns += 4 if column.squares else 1
    if merges:
        shape.weight = shape.columns
        shape.columns += 1
    shape.head = <uint32_t>(sizeof(int64_t) + 4 + 4 * shape.members + 7) & ~<uint32_t>7
    return 0


# A text's handle has no order, and an erasure changes it.
cdef uint32_t parts_of(object column) except? 0:
    extremes = column.extremes and column.kind != COLUMN_TEXT
    return (
        (PART_SUM if column.sums else 0) | (PART_SQUARES if column.squares else 0)
        | (PART_EXTREMES if extremes else 0) | (PART_LATEST if column.kind == COLUMN_MEMBER else 0)
    )


cdef inline uint32_t* chunk_times(const Shape* shape, const Chunk* chunk) noexcept nogil:
    return <uint32_t*>(<char*>chunk + shape.head)


cdef inline uint64_t* chunk_seqs(const Shape* shape, const Chunk* chunk) noexcept nogil:
    return <uint64_t*>(<char*>chunk + shape.head + 4 * chunk.capacity)


cdef inline int64_t* chunk_column(const Shape* shape, const Chunk* chunk, uint32_t c) noexcept nogil:
    return <int64_t*>(<char*>chunk + shape.head + 12 * chunk.capacity + 8 * chunk.capacity * c)


cdef inline uint32_t chunk_size(const Shape* shape, uint32_t capacity) noexcept nogil:
    return shape.head + capacity * (12 + 8 * shape.columns)


cdef inline void chunk_init(const Shape* shape, Chunk* chunk, uint32_t capacity) noexcept nogil:
    memset(chunk, 0, shape.head)
    chunk.capacity = <uint16_t>capacity


cdef inline int64_t chunk_time(const Shape* shape, const Chunk* chunk, uint32_t i) noexcept nogil:
    return chunk.base + chunk_times(shape, chunk)[i]


cdef inline Place chunk_place(const Shape* shape, const Chunk* chunk, uint32_t i) noexcept nogil:
    return place(chunk_time(shape, chunk, i), chunk_seqs(shape, chunk)[i])


# The first entry that is not before `at`. Linear: 32 compares of 32 bits in vector registers beat a branching search.
cdef inline uint32_t chunk_lower(const Shape* shape, const Chunk* chunk, Place at) noexcept nogil:
    cdef const uint32_t* times = chunk_times(shape, chunk)
    cdef const uint64_t* seqs
    cdef uint64_t offset = <uint64_t>at.time - <uint64_t>chunk.base
    cdef uint32_t delta, i, found = 0
    cdef uint32_t n = chunk.n
    if at.time < chunk.base:
        return 0
    if offset > UINT32_MAX:
        return n
    delta = <uint32_t>offset
    for i in range(n):
        found += times[i] < delta
    if found < n and times[found] == delta:
        seqs = chunk_seqs(shape, chunk)
        while found < n and times[found] == delta and seqs[found] < at.seq:
            found += 1
    return found


# Can an entry of that time be stored, after a shift of the base if need be?
cdef inline bint chunk_holds(const Shape* shape, const Chunk* chunk, int64_t time) noexcept nogil:
    cdef int64_t first, last
    if chunk.n == 0:
        return True
    first, last = chunk_time(shape, chunk, 0), chunk_time(shape, chunk, chunk.n - 1)
    return max(last, time) - min(first, time) <= <int64_t>UINT32_MAX


# The base may lie long before the first entry, once older ones are gone.
cdef inline void chunk_shift_base(const Shape* shape, Chunk* chunk, int64_t time) noexcept nogil:
    cdef uint32_t* times = chunk_times(shape, chunk)
    cdef int64_t base
    cdef uint32_t i, shift
    if chunk.n == 0:
        chunk.base = time
    elif time < chunk.base or time - chunk.base > <int64_t>UINT32_MAX:
        base = min(time, chunk_time(shape, chunk, 0))
        shift = <uint32_t>(<uint64_t>chunk.base - <uint64_t>base)  # modulo 2**32, upwards too
        for i in range(chunk.n):
            times[i] += shift
        chunk.base = base


# The usual entry of a ring comes after every other, into a chunk with room and near enough to its base.
cdef inline bint chunk_follows(const Shape* shape, const Chunk* chunk, Place where) noexcept nogil:
    cdef uint64_t offset = <uint64_t>where.time - <uint64_t>chunk.base
    cdef uint32_t last
    if chunk.n == chunk.capacity:
        return False
    if chunk.n == 0:
        return True
    last = chunk_times(shape, chunk)[chunk.n - 1]
    return last < offset <= UINT32_MAX or (offset == last and chunk_seqs(shape, chunk)[chunk.n - 1] < where.seq)


cdef inline void chunk_append(
    const Shape* shape, Chunk* chunk, Place where, const int64_t* values, uint32_t latest
) noexcept nogil:
    cdef uint32_t c, n = chunk.n
    cdef int64_t* column = chunk_column(shape, chunk, 0) + n
    if n == 0:
        chunk.base = where.time
    chunk_times(shape, chunk)[n] = <uint32_t>(<uint64_t>where.time - <uint64_t>chunk.base)
    chunk_seqs(shape, chunk)[n] = where.seq
    for c in range(shape.columns):
        column[0] = values[c]
        column += chunk.capacity
    for c in range(shape.members):
        chunk.latest[c] |= (latest >> c & 1) << n
    chunk.n = <uint16_t>(n + 1)


# Inserts at `at`; there is room, and the time can be held.
cdef void chunk_insert(
    const Shape* shape, Chunk* chunk, uint32_t at, Place where, const int64_t* values, uint32_t latest
) noexcept nogil:
    cdef uint32_t* times
    cdef uint64_t* seqs
    cdef int64_t* column
    cdef uint32_t c, low = (<uint32_t>1 << at) - 1, tail = chunk.n - at
    chunk_shift_base(shape, chunk, where.time)
    times, seqs = chunk_times(shape, chunk), chunk_seqs(shape, chunk)
    if tail:
        memmove(times + at + 1, times + at, 4 * tail)
        memmove(seqs + at + 1, seqs + at, 8 * tail)
    times[at] = <uint32_t>(<uint64_t>where.time - <uint64_t>chunk.base)
    seqs[at] = where.seq
    for c in range(shape.columns):
        column = chunk_column(shape, chunk, c)
        if tail:
            memmove(column + at + 1, column + at, 8 * tail)
        column[at] = values[c]
    for c in range(shape.members):
        chunk.latest[c] = (chunk.latest[c] & low) | ((chunk.latest[c] & ~low) << 1) | ((latest >> c & 1) << at)
    chunk.n += 1


cdef void chunk_remove(const Shape* shape, Chunk* chunk, uint32_t at) noexcept nogil:
    cdef uint32_t* times = chunk_times(shape, chunk)
    cdef uint64_t* seqs = chunk_seqs(shape, chunk)
    cdef int64_t* column
    cdef uint32_t c, low = (<uint32_t>1 << at) - 1, tail = chunk.n - at - 1
    memmove(times + at, times + at + 1, 4 * tail)
    memmove(seqs + at, seqs + at + 1, 8 * tail)
    for c in range(shape.columns):
        column = chunk_column(shape, chunk, c)
        memmove(column + at, column + at + 1, 8 * tail)
    for c in range(shape.members):
        chunk.latest[c] = (chunk.latest[c] & low) | ((chunk.latest[c] >> 1) & ~low)
    chunk.n -= 1


# Appends entries first..last of another chunk of the same group; there is room, and the times can be held.
cdef void chunk_append_range(const Shape* shape, Chunk* chunk, const Chunk* source, uint32_t first, uint32_t last) noexcept nogil:
    cdef uint32_t i, c, n = chunk.n, count = last - first
    cdef uint32_t* times
    if count == 0:
        return
    chunk_shift_base(shape, chunk, chunk_time(shape, source, first))
    times = chunk_times(shape, chunk)
    for i in range(count):
        times[n + i] = <uint32_t>(<uint64_t>chunk_time(shape, source, first + i) - <uint64_t>chunk.base)
    memcpy(chunk_seqs(shape, chunk) + n, chunk_seqs(shape, source) + first, 8 * count)
    for c in range(shape.columns):
        memcpy(chunk_column(shape, chunk, c) + n, chunk_column(shape, source, c) + first, 8 * count)
    for c in range(shape.members):
        chunk.latest[c] |= <uint32_t>((<uint64_t>(source.latest[c] >> first) & ((<uint64_t>1 << count) - 1)) << n)
    chunk.n = <uint16_t>(n + count)


# Adds entries l..r to the totals.
cdef void chunk_totals(const Shape* shape, const Chunk* chunk, uint32_t l, uint32_t r, Totals* totals) noexcept nogil:
    cdef const ColumnShape* spec
    cdef const int64_t* column
    cdef ColumnTotals* out
    cdef uint32_t c, i
    if l >= r:
        return
    if shape.weight == NONE:
        totals.count += r - l
    else:
        column = chunk_column(shape, chunk, <uint32_t>shape.weight)
        for i in range(l, r):
            totals.count += <uint64_t>column[i]
    for c in range(shape.shown):
        spec = &shape.column[c]
        out, column = &totals.columns[c], chunk_column(shape, chunk, c)
        if spec.wide_at != NONE:
            chunk_cells(shape, chunk, c, l, r, out)
            continue
        if spec.parts & ~<uint32_t>PART_LATEST:
            add_run(out, spec.parts, column + l, r - l)
        if spec.member != NONE:
            out.latest += popcount32(chunk.latest[spec.member] & bits_between(l, r))


cdef inline uint32_t bits_between(uint32_t l, uint32_t r) noexcept nogil:
    return <uint32_t>(((<uint64_t>1 << r) - 1) & ~((<uint64_t>1 << l) - 1))


# A merged cell's sum is 128 bits wide, its squares are 192: no cell is ever full.
cdef void chunk_cells(const Shape* shape, const Chunk* chunk, uint32_t c, uint32_t l, uint32_t r, ColumnTotals* out) noexcept nogil:
    cdef const int64_t* low = chunk_column(shape, chunk, c)
    cdef const int64_t* high = chunk_column(shape, chunk, <uint32_t>shape.column[c].wide_at)
    cdef const int64_t* squares[3]
    cdef uint32_t i
    for i in range(l, r):
        add_wide_sum(out, low[i], high[i])
    if shape.column[c].squares:
        for i in range(3):
            squares[i] = chunk_column(shape, chunk, <uint32_t>shape.column[c].wide_at + 1 + i)
        for i in range(l, r):
            add_squares(out, <uint64_t>squares[0][i], <uint64_t>squares[1][i], <uint64_t>squares[2][i])


# Adds (or takes away) one event's value of a column.
cdef inline void column_bump(const Shape* shape, uint32_t c, ColumnTotals* totals, int64_t value, int sign) noexcept nogil:
    cdef const ColumnShape* spec = &shape.column[c]
    cdef uint64_t low, high
    if spec.sums:
        if sign > 0:
            add_sum(totals, value)
        else:
            sub_sum(totals, value)
    if spec.squares:
        square_of(value, &low, &high)
        if sign > 0:
            add_squares(totals, low, high, 0)
        else:
            sub_squares(totals, low, high, 0)
    if spec.extremes and sign > 0:
        add_extreme(totals, value)
