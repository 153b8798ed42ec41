# Linear hashing (Litwin: "Linear hashing: a new tool for file and table addressing", 1980) from 128-bit hashes to
# 32-bit handles. A bucket is one cache line; an insert splits at most one bucket and a removal merges at most one, so
# no operation ever rehashes the table. The record behind a handle begins with its hash; a slot's tag must match before
# the record is touched.

ctypedef const Hash* (*HashOf)(void* owner, uint32_t handle) noexcept nogil

cdef extern from *:
    """
    #if defined(__SSE2__)
    #include <emmintrin.h>
    /* Two compares of four tags, 25 instructions less than one by one; the eighth, the first handle, is masked off. */
    static inline uint32_t frm_tags_equal(const uint32_t *tags, uint32_t tag) {
        __m128i wanted = _mm_set1_epi32((int)tag), low, high;
        low = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)tags), wanted);
        high = _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i *)(tags + 4)), wanted);
        return (uint32_t)(_mm_movemask_ps(_mm_castsi128_ps(low)) | _mm_movemask_ps(_mm_castsi128_ps(high)) << 4) & 0x7F;
    }
    #else
    static inline uint32_t frm_tags_equal(const uint32_t *tags, uint32_t tag) {
        uint32_t equal = 0;
        for (int i = 0; i < 7; i++) equal |= (uint32_t)(tags[i] == tag) << i;
        return equal;
    }
    #endif
    """
    # Bit i: tags[i] is the tag, for a whole bucket at once: no branch to mispredict.
    uint32_t tags_equal "frm_tags_equal"(const uint32_t* tags, uint32_t tag) noexcept nogil
    uint32_t lowest_bit "__builtin_ctz"(uint32_t x) noexcept nogil
    uint32_t lowest_bit_64 "__builtin_ctzll"(uint64_t x) noexcept nogil

cdef enum:
    BUCKET_SLOTS = 7
    BUCKET_BYTES = 64
    BUCKETS_FIRST = 64  # fill one 4 KiB page and are never merged, so the 6 bits that choose among them are in no tag
    BUCKETS_FIRST_BITS = 6
    BUCKET_PAGE_BITS = 15  # PAGE_BYTES // BUCKET_BYTES buckets
    BUCKETS_HUGE = 16384  # that make the first page a huge one: half of it, so that a key's share of what it commits stays small
    BUCKET_ENTRIES_MAX = 5  # mean entries that make a bucket split: 71 % of the slots
    BUCKET_ENTRIES_MIN = 3  # mean entries below which two merge: 43 %, far enough off not to swing

# Slots are filled from the first, buckets of a chain too: only a chain's last bucket has empty slots.
cdef struct Bucket:
    uint32_t tags[BUCKET_SLOTS]
    uint32_t handles[BUCKET_SLOTS]
    uint32_t overflow  # the chain's next bucket, in the slab; 0: none
    uint32_t size

cdef struct Table:
    Bucket** pages
    uint64_t buckets
    uint64_t mask  # the least 2**n - 1 that reaches the last bucket
    uint64_t count  # entries
    HashOf hash_of
    void* owner
    Slab overflow
    uint32_t page_count
    uint32_t page_room  # allocated length of `pages`

cdef struct Spot:
    Bucket* bucket  # NULL: not there
    uint32_t slot


# False: out of memory; table_destroy is then allowed, not needed.
cdef bint table_init(Table* table, HashOf hash_of, void* owner) noexcept nogil:
    memset(table, 0, sizeof(Table))
    slab_init(&table.overflow, sizeof(Bucket))
    table.hash_of = hash_of
    table.owner = owner
    if not table_open_page(table):
        table_destroy(table)
        return False
    table.buckets = BUCKETS_FIRST  # the page is zeroed: empty buckets
    table.mask = BUCKETS_FIRST - 1
    return True


cdef void table_destroy(Table* table) noexcept nogil:
    cdef uint32_t number
    for number in range(table.page_count):
        page_unmap(table.pages[number], PAGE_BYTES)
    free(table.pages)
    slab_destroy(&table.overflow)
    memset(table, 0, sizeof(Table))


cdef inline Bucket* table_bucket(const Table* table, uint64_t number) noexcept nogil:
    return &table.pages[number >> BUCKET_PAGE_BITS][number & ((1 << BUCKET_PAGE_BITS) - 1)]


# Buckets beyond the last one are not split off yet: their entries are where one bit less leads.
cdef inline Bucket* table_home(const Table* table, uint64_t bits) noexcept nogil:
    cdef uint64_t number = bits & table.mask
    if number >= table.buckets:
        number &= table.mask >> 1
    return table_bucket(table, number)


# Holds every bit of hash.lo that a split will ever look at, so a split touches no record. At a million entries 14 of
# them also chose the bucket; the other 18 let one in 30 000 look-ups touch a wrong record.
cdef inline uint32_t table_tag(Hash hash) noexcept nogil:
    return <uint32_t>(hash.lo >> BUCKETS_FIRST_BITS)


cdef inline void table_prefetch(const Table* table, Hash hash) noexcept nogil:
    prefetch(table_home(table, hash.lo))


# The handle of the record with this hash, 0: not there.
cdef uint32_t table_find(const Table* table, Hash hash) noexcept nogil:
    cdef Spot spot = table_spot(table, hash, 0)
    return spot.bucket.handles[spot.slot] if spot.bucket != NULL else 0


# The handle that table_find likely returns, for prefetching its record: no record is touched. 0: surely not there.
cdef uint32_t table_guess(const Table* table, Hash hash) noexcept nogil:
    cdef const Bucket* bucket = table_home(table, hash.lo)
    cdef uint32_t equal
    while True:
        equal = bucket_matches(bucket, table_tag(hash))
        if equal:
            return bucket.handles[lowest_bit(equal)]
        if not bucket.overflow:
            return 0
        bucket = <const Bucket*>slab_at(&table.overflow, bucket.overflow)


# With handle 0 the record's hash decides, otherwise the handle's value, and no record is touched.
cdef inline Spot table_spot(const Table* table, Hash hash, uint32_t handle) noexcept nogil:
    cdef Spot spot
    cdef uint32_t equal, found
    spot.bucket = table_home(table, hash.lo)
    while True:
        equal = bucket_matches(spot.bucket, table_tag(hash))
        while equal:
            spot.slot = lowest_bit(equal)
            found = spot.bucket.handles[spot.slot]
            if found == handle if handle else hash_equal(table.hash_of(table.owner, found)[0], hash):
                return spot
            equal &= equal - 1
        if not spot.bucket.overflow:
            spot.bucket = NULL
            return spot
        spot.bucket = <Bucket*>slab_at(&table.overflow, spot.bucket.overflow)


cdef inline uint32_t bucket_matches(const Bucket* bucket, uint32_t tag) noexcept nogil:
    return tags_equal(bucket.tags, tag) & ((<uint32_t>1 << bucket.size) - 1)


# Makes sure that the next insert can't fail; False: out of memory.
cdef bint table_reserve(Table* table) noexcept nogil:
    return slab_reserve(&table.overflow)


# The hash must not be there yet. False: out of memory, nothing changed.
cdef bint table_insert(Table* table, Hash hash, uint32_t handle) noexcept nogil:
    if not table_append(table, table_home(table, hash.lo), table_tag(hash), handle):
        return False
    table.count += 1
    if table.count > BUCKET_ENTRIES_MAX * table.buckets:
        table_split(table)
    return True


# The removed handle, 0: was not there. The record must still be readable.
cdef uint32_t table_remove(Table* table, Hash hash) noexcept nogil:
    cdef Spot spot = table_spot(table, hash, 0)
    cdef uint32_t handle
    if spot.bucket == NULL:
        return 0
    handle = spot.bucket.handles[spot.slot]
    table_fill_hole(table, table_home(table, hash.lo), spot)
    table.count -= 1
    if table.buckets > BUCKETS_FIRST and table.count < BUCKET_ENTRIES_MIN * table.buckets:
        table_merge(table)
    return handle


# The record of a key moved from handle `before` to `after`; neither is dereferenced. False: was not there.
cdef bint table_replace(Table* table, Hash hash, uint32_t before, uint32_t after) noexcept nogil:
    cdef Spot spot = table_spot(table, hash, before)
    if spot.bucket == NULL:
        return False
    spot.bucket.handles[spot.slot] = after
    return True


# The handles of the cursor's bucket, at most `room`; the cursor moves to the next bucket, from the last to 0. Entries
# that a split or merge moves during a round may be seen twice or not at all in that round.
cdef uint32_t table_scan(const Table* table, uint64_t* cursor, uint32_t* handles, uint32_t room) noexcept nogil:
    cdef uint64_t number = cursor[0] if cursor[0] < table.buckets else 0
    cdef const Bucket* bucket = table_bucket(table, number)
    cdef uint32_t total = 0, slot
    cursor[0] = number + 1 if number + 1 < table.buckets else 0
    while True:
        for slot in range(bucket.size):
            if total == room:
                return total
            handles[total] = bucket.handles[slot]
            total += 1
        if not bucket.overflow:
            return total
        bucket = <const Bucket*>slab_at(&table.overflow, bucket.overflow)


cdef inline bint table_append(Table* table, Bucket* bucket, uint32_t tag, uint32_t handle) noexcept nogil:
    while bucket.overflow:
        bucket = <Bucket*>slab_at(&table.overflow, bucket.overflow)
    if bucket.size == BUCKET_SLOTS:
        bucket.overflow = slab_take(&table.overflow)
        if not bucket.overflow:
            return False
        bucket = <Bucket*>slab_at(&table.overflow, bucket.overflow)
        bucket.size = bucket.overflow = 0
    bucket.tags[bucket.size] = tag
    bucket.handles[bucket.size] = handle
    bucket.size += 1
    return True


# The chain's last entry moves into the hole.
cdef inline void table_fill_hole(Table* table, Bucket* last, Spot hole) noexcept nogil:
    cdef Bucket* before = NULL
    while last.overflow:
        before = last
        last = <Bucket*>slab_at(&table.overflow, last.overflow)
    last.size -= 1
    hole.bucket.tags[hole.slot] = last.tags[last.size]
    hole.bucket.handles[hole.slot] = last.handles[last.size]
    if last.size == 0 and before != NULL:
        slab_give(&table.overflow, before.overflow)
        before.overflow = 0


# Out of memory only means longer chains: the next insert tries again.
cdef void table_split(Table* table) noexcept nogil:
    cdef uint64_t number = table.buckets
    cdef Bucket* source
    cdef Bucket moving
    if number >> BUCKET_PAGE_BITS == table.page_count and not table_open_page(table):
        return
    if number == BUCKETS_HUGE:
        page_make_huge(table.pages[0], BUCKETS_HUGE * BUCKET_BYTES)
    table.buckets = number + 1
    if number > table.mask:
        table.mask = 2 * table.mask + 1
    source = table_bucket(table, number & (table.mask >> 1))
    moving = source[0]
    source.size = source.overflow = 0
    source = table_bucket(table, number)
    source.size = source.overflow = 0
    table_scatter(table, &moving, number)


# The last bucket's entries go back to the bucket it was split from.
cdef void table_merge(Table* table) noexcept nogil:
    cdef uint64_t number = table.buckets - 1
    cdef Bucket moving
    if not slab_reserve(&table.overflow):
        return
    moving = table_bucket(table, number)[0]
    table.buckets = number
    if number == (table.mask + 1) >> 1:
        table.mask >>= 1
    table_release(table, number)
    table_scatter(table, &moving, number)


# Each overflow bucket is given back before its entries need room. Chains are dense, so a split never needs more buckets
# than it gave back and a merge at most one more, which is reserved: no append here can fail.
cdef void table_scatter(Table* table, Bucket* moving, uint64_t number) noexcept nogil:
    cdef uint64_t low = number & (BUCKETS_FIRST - 1)
    cdef uint32_t slot, following
    while True:
        for slot in range(moving.size):
            table_append(table, table_home(table, <uint64_t>moving.tags[slot] << BUCKETS_FIRST_BITS | low),
                         moving.tags[slot], moving.handles[slot])
        following = moving.overflow
        if not following:
            return
        moving[0] = (<Bucket*>slab_at(&table.overflow, following))[0]
        slab_give(&table.overflow, following)


cdef bint table_open_page(Table* table) noexcept nogil:
    cdef uint32_t room = 2 * table.page_room if table.page_room else 4
    cdef Bucket** pages
    if table.page_count == table.page_room:
        pages = <Bucket**>realloc(table.pages, room * sizeof(Bucket*))
        if pages == NULL:
            return False
        table.pages = pages
        table.page_room = room
    table.pages[table.page_count] = <Bucket*>page_map(PAGE_BYTES, table.page_count > 0)
    if table.pages[table.page_count] == NULL:
        return False
    table.page_count += 1
    return True


# Bucket `number` and those after it are not used any more.
cdef void table_release(Table* table, uint64_t number) noexcept nogil:
    if number & ((1 << BUCKET_PAGE_BITS) - 1) == 0:
        table.page_count -= 1
        page_unmap(table.pages[table.page_count], PAGE_BYTES)
    elif table.page_count == 1 and number * BUCKET_BYTES % PAGE_GRAIN == 0:
        page_forget(table_bucket(table, number), PAGE_GRAIN)


# Allocated. The first page is committed as it is touched; once it is a huge one it is committed whole, as later ones are.
cdef inline uint64_t table_bytes(const Table* table) noexcept nogil:
    cdef bint is_small = table.buckets <= BUCKETS_HUGE
    cdef uint64_t first = round_up(table.buckets * BUCKET_BYTES, PAGE_GRAIN) if is_small else PAGE_BYTES
    cdef uint64_t pages = first if table.page_count == 1 else <uint64_t>table.page_count * PAGE_BYTES
    return pages + table.page_room * sizeof(Bucket*) + table.overflow.reserved


cdef const Hash* _door_hash_of(void* owner, uint32_t handle) noexcept nogil:
    return <const Hash*>slab_at(<Slab*>owner, handle)


@cython.final
cdef class _TableDoor:
    """A table whose records are bare hashes, for tests. A hash is given as its two 64-bit halves."""

    cdef Slab records
    cdef Table table

    def __cinit__(self):
        slab_init(&self.records, sizeof(Hash))
        if not table_init(&self.table, _door_hash_of, &self.records):
            raise MemoryError

    def __dealloc__(self):
        table_destroy(&self.table)
        slab_destroy(&self.records)

    cdef uint32_t make(self, Hash hash) except 0:
        cdef uint32_t handle = slab_take(&self.records)
        if handle == 0:
            raise MemoryError
        (<Hash*>slab_at(&self.records, handle))[0] = hash
        return handle

    def insert(self, lo: int, hi: int) -> int:
        cdef Hash hash = Hash(lo, hi)
        cdef uint32_t handle = self.make(hash)
        if not table_reserve(&self.table) or not table_insert(&self.table, hash, handle):
            raise MemoryError
        return handle

    def find(self, lo: int, hi: int) -> int:
        table_prefetch(&self.table, Hash(lo, hi))
        return table_find(&self.table, Hash(lo, hi))

    def guess(self, lo: int, hi: int) -> int:
        return table_guess(&self.table, Hash(lo, hi))

    def count_found(self, hashes: bytes) -> int:
        """How many of the hashes (16 little-endian bytes each) are there, looked up one after the other."""
        cdef const Hash* hash = <const Hash*><const char*>hashes
        cdef uint64_t total = len(hashes) // sizeof(Hash), found = 0, i
        with nogil:
            for i in range(total):
                found += table_find(&self.table, hash[i]) != 0
        return found

    def remove(self, lo: int, hi: int) -> int:
        cdef uint32_t handle = table_remove(&self.table, Hash(lo, hi))
        if handle:
            slab_give(&self.records, handle)
        return handle

    def move(self, lo: int, hi: int, before: int) -> int:
        """Gives a key's record a new handle and frees `before`. 0: `before` was not there."""
        cdef uint32_t after = self.make(Hash(lo, hi))
        if not table_replace(&self.table, Hash(lo, hi), before, after):
            slab_give(&self.records, after)
            return 0
        slab_give(&self.records, before)
        return after

    def scan(self, cursor: int, room: int = 64) -> tuple[list[int], int]:
        """The handles of one bucket and the next cursor."""
        cdef uint32_t handles[64]
        cdef uint64_t position = cursor
        cdef uint32_t total = table_scan(&self.table, &position, handles, min(room, 64))
        return [handles[i] for i in range(total)], position

    @property
    def count(self) -> int:
        return self.table.count

    @property
    def bytes(self) -> int:
        return table_bytes(&self.table)

    @property
    def buckets(self) -> int:
        return self.table.buckets
