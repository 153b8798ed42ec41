# Lists: who is a member at an event's time. A Bloom filter answers most probes from one cache line; what passes it is
# confirmed in an exact table of 16-byte entries.
#
# The table hashes linearly: it grows and shrinks by one bucket at a time. A bucket is an array of its own, about 32 entries
# in the order of their hashes, so that a probe guesses the place of a key (hashes are spread evenly) and is two or three
# entries off; arrays fit their entries to four, which buckets of fixed size (a third of it empty) can't.

cdef enum:
    BUCKET_ENTRIES = 32  # on average, when the table is about to grow
    BUCKET_STEP = 4  # arrays grow by four entries
    BUCKET_PAGE = 256  # buckets of one directory page
    BUCKETS_MAX = 1 << 26  # 2**31 entries
    ENTRY_NEVER = 0x3FFFFFFFFFFFFF  # 54 bits

# `expires` shares its word with the key's ten low bits. Times are biased by 2**53, which holds every time an event can have
# (limits.TIME_MS_MAX); ENTRY_NEVER is above all of them.
cdef struct ListEntry:
    uint64_t hi
    uint64_t time_low

cdef struct ListBucket:
    ListEntry* entries
    uint32_t count
    uint32_t capacity

cdef struct HashList:
    HashKey key
    ListBucket** pages
    uint32_t page_capacity
    uint32_t buckets
    uint32_t round  # the power of two at or below `buckets`: bucket b was split off b - round
    uint64_t entries
    uint64_t expiring  # entries that will expire: without any, nothing is swept
    uint64_t bytes
    Bloom bloom
    Bloom next  # the filter that will follow, while it is built
    Bloom former  # the filter before, while it is given back
    uint32_t walked  # buckets whose entries `next` holds
    uint32_t swept  # the bucket to be swept next
    uint64_t probes
    uint64_t passed  # the filter said "maybe"
    uint64_t confirmed  # ... and the table had the key, expired or not


# ---- entries ----------------------------------------------------------------------------------------------------------
cdef inline uint64_t entry_time(int64_t expires) noexcept nogil:
    return ENTRY_NEVER if expires == INT64_MAX else <uint64_t>(expires + (<int64_t>1 << 53))


cdef inline void entry_set(ListEntry* entry, ListKey key, int64_t expires) noexcept nogil:
    entry.hi = key.hi
    entry.time_low = entry_time(expires) << KEY_LOW_BITS | key.low


cdef inline ListKey entry_key(const ListEntry* entry) noexcept nogil:
    cdef ListKey key
    key.hi = entry.hi
    key.low = <uint32_t>(entry.time_low & ((1 << KEY_LOW_BITS) - 1))
    return key


cdef inline bint entry_listed(const ListEntry* entry, int64_t time) noexcept nogil:
    return entry_time(time) < entry.time_low >> KEY_LOW_BITS


cdef inline bint entry_expires(const ListEntry* entry) noexcept nogil:
    return entry.time_low >> KEY_LOW_BITS != <uint64_t>ENTRY_NEVER


# ---- buckets ----------------------------------------------------------------------------------------------------------
cdef inline ListBucket* list_bucket(const HashList* table, uint32_t index) noexcept nogil:
    return table.pages[index // BUCKET_PAGE] + index % BUCKET_PAGE


# By the low bits of `hi`: the high ones order the entries of a bucket.
cdef inline uint32_t list_index(const HashList* table, ListKey key) noexcept nogil:
    cdef uint32_t index = <uint32_t>(key.hi & (2 * table.round - 1))
    return index if index < table.buckets else index & (table.round - 1)


# Bytes that an array of entries takes from the heap: its own, and the allocator's eight, rounded to sixteen.
cdef inline uint64_t bucket_bytes(uint32_t capacity) noexcept nogil:
    return (capacity * <uint64_t>sizeof(ListEntry) + 23) & ~<uint64_t>15 if capacity > 0 else 0


cdef int bucket_resize(HashList* table, ListBucket* bucket, uint32_t capacity) except -1:
    cdef void* entries = NULL
    if capacity > 0:
        entries = realloc(bucket.entries, capacity * sizeof(ListEntry))
        if entries == NULL:
            raise MemoryError
    else:
        free(bucket.entries)
    table.bytes += bucket_bytes(capacity) - bucket_bytes(bucket.capacity)
    bucket.entries = <ListEntry*>entries
    bucket.capacity = capacity
    return 0


cdef inline uint32_t bucket_fit(uint32_t count) noexcept nogil:
    return (count + BUCKET_STEP - 1) // BUCKET_STEP * BUCKET_STEP


cdef int bucket_reserve(HashList* table, ListBucket* bucket, uint32_t count) except -1:
    return bucket_resize(table, bucket, bucket_fit(count)) if count > bucket.capacity else 0


# One step is kept in reserve, so that a bucket which loses and gains an entry in turn stays where it is.
cdef int bucket_trim(HashList* table, ListBucket* bucket) except -1:
    return bucket_resize(table, bucket, bucket_fit(bucket.count)) if bucket.capacity - bucket.count > 2 * BUCKET_STEP else 0


# The first entry at or above `hi`.
cdef inline uint32_t bucket_place(const ListBucket* bucket, uint64_t hi) noexcept nogil:
    cdef uint32_t place = <uint32_t>scale(hi, bucket.count)
    while place > 0 and bucket.entries[place - 1].hi >= hi:
        place -= 1
    while place < bucket.count and bucket.entries[place].hi < hi:
        place += 1
    return place


cdef inline ListEntry* bucket_find(const ListBucket* bucket, ListKey key) noexcept nogil:
    cdef uint32_t place = bucket_place(bucket, key.hi)
    while place < bucket.count and bucket.entries[place].hi == key.hi:
        if entry_key(bucket.entries + place).low == key.low:
            return bucket.entries + place
        place += 1
    return NULL


cdef void bucket_remove(HashList* table, ListBucket* bucket, ListEntry* entry) noexcept nogil:
    table.entries -= 1
    table.expiring -= entry_expires(entry)
    bucket.count -= 1
    memmove(entry, entry + 1, <char*>(bucket.entries + bucket.count) - <char*>entry)


# ---- growing and shrinking ----------------------------------------------------------------------------------------------
cdef int list_page(HashList* table) except -1:
    cdef uint32_t page = table.buckets // BUCKET_PAGE
    cdef void* pages
    if page == table.page_capacity:
        pages = realloc(table.pages, (2 * <size_t>page + 1) * sizeof(ListBucket*))
        if pages == NULL:
            raise MemoryError
        table.pages = <ListBucket**>pages
        table.page_capacity = 2 * page + 1
    table.pages[page] = <ListBucket*>calloc(BUCKET_PAGE, sizeof(ListBucket))
    if table.pages[page] == NULL:
        raise MemoryError
    table.bytes += BUCKET_PAGE * sizeof(ListBucket)
    return 0


# Splits bucket `buckets - round`: the entries whose next bit is set move to a new bucket. Both stay in order.
cdef int list_split(HashList* table) except -1:
    cdef ListBucket* source = list_bucket(table, table.buckets - table.round)
    cdef ListBucket* target
    cdef uint32_t kept = 0
    cdef uint32_t moved = 0
    cdef uint32_t i
    for i in range(source.count):
        moved += (source.entries[i].hi & table.round) != 0
    if table.buckets % BUCKET_PAGE == 0:
        list_page(table)
    target = list_bucket(table, table.buckets)
    bucket_reserve(table, target, moved)
    for i in range(source.count):
        if source.entries[i].hi & table.round:
            target.entries[target.count] = source.entries[i]
            target.count += 1
        else:
            source.entries[kept] = source.entries[i]
            kept += 1
    source.count = kept
    table.buckets += 1
    if table.buckets == 2 * table.round:
        table.round *= 2
    return bucket_trim(table, source)


# The last bucket's entries go back to the bucket they were split off. A filter under way may have passed that one already.
cdef int list_merge(HashList* table) except -1:
    cdef uint32_t last = table.buckets - 1
    cdef uint32_t power = table.round if last >= table.round else table.round // 2
    cdef ListBucket* source = list_bucket(table, last)
    cdef ListBucket* target = list_bucket(table, last - power)
    cdef uint32_t a, b, to
    bucket_reserve(table, target, target.count + source.count)
    if table.next.lines > 0:
        bloom_add_bucket(&table.next, source)
    a, b, to = target.count, source.count, target.count + source.count
    target.count = to
    while b > 0:
        to -= 1
        if a > 0 and target.entries[a - 1].hi > source.entries[b - 1].hi:
            a -= 1
            target.entries[to] = target.entries[a]
        else:
            b -= 1
            target.entries[to] = source.entries[b]
    source.count = 0
    table.buckets, table.round = last, power
    bucket_resize(table, source, 0)
    if last % BUCKET_PAGE == 0:
        free(table.pages[last // BUCKET_PAGE])
        table.bytes -= BUCKET_PAGE * sizeof(ListBucket)
    return 0


# ---- the filter ---------------------------------------------------------------------------------------------------------
cdef void bloom_add_bucket(Bloom* bloom, const ListBucket* bucket) noexcept nogil:
    cdef uint32_t i
    for i in range(bucket.count):
        bloom_add(bloom, entry_key(bucket.entries + i))


# A filter is due when the present one is full, of members or of bits that removed ones left, or twice too large.
cdef inline bint list_filter_due(const HashList* table) noexcept nogil:
    cdef uint64_t full = table.bloom.lines * BLOOM_LINE_KEYS
    return table.bloom.keys > full or (table.bloom.lines > BLOOM_LINES_MIN and table.bloom.keys > 2 * table.entries)


# One step of whatever is under way; every change of the list takes one. The present filter answers until the next one
# holds every entry: those of the buckets walked, and those added meanwhile.
cdef int list_tend(HashList* table) except -1:
    if table.former.lines > 0:
        bloom_shed(&table.former)
    elif table.next.lines > 0:
        if table.walked < table.buckets:
            bloom_add_bucket(&table.next, list_bucket(table, table.walked))
            table.walked += 1
        else:
            table.former, table.bloom = table.bloom, table.next
            table.next.lines = 0
    elif list_filter_due(table):
        bloom_open(&table.next, table.entries + table.entries // 2)
        table.walked = 0
    return 0


# ---- the door for the hot path ------------------------------------------------------------------------------------------
cdef int list_open(HashList* table, HashKey key) except -1:
    memset(table, 0, sizeof(HashList))
    table.key = key
    bloom_open(&table.bloom, 0)
    list_page(table)
    table.buckets = 1
    table.round = 1
    return 0


cdef void list_close(HashList* table) noexcept:
    cdef uint32_t i
    for i in range(table.buckets):
        free(list_bucket(table, i).entries)
    for i in range((table.buckets + BUCKET_PAGE - 1) // BUCKET_PAGE):
        free(table.pages[i])
    free(table.pages)
    bloom_close(&table.bloom)
    bloom_close(&table.next)
    bloom_close(&table.former)


# NULL where the key is not on the list; an expired entry is found until it is swept.
cdef inline ListEntry* list_find(const HashList* table, ListKey key) noexcept nogil:
    return bucket_find(list_bucket(table, list_index(table, key)), key)


cdef inline void list_prefetch(const HashList* table, Hash hash) noexcept nogil:
    cdef ListKey key = list_key(hash)
    prefetch(bloom_line(&table.bloom, key))


cdef inline bint list_probe(HashList* table, Hash hash, int64_t time) noexcept nogil:
    cdef ListKey key = list_key(hash)
    table.probes += 1
    if likely(not bloom_has(&table.bloom, key)):
        return False
    return list_confirm(table, key, time)


# A "maybe" of the filter never decides: the table does.
cdef bint list_confirm(HashList* table, ListKey key, int64_t time) noexcept nogil:
    cdef ListEntry* entry = list_find(table, key)
    table.passed += 1
    if entry == NULL:
        return False
    table.confirmed += 1
    return entry_listed(entry, time)


# 1 where the key is new, 0 where its expiry was replaced. O(1), about 40 entries moved at most.
cdef int list_add(HashList* table, Hash hash, int64_t expires) except -1:
    cdef ListKey key = list_key(hash)
    cdef ListBucket* bucket = list_bucket(table, list_index(table, key))
    cdef ListEntry* entry = bucket_find(bucket, key)
    cdef uint32_t place
    if entry != NULL:
        table.expiring -= entry_expires(entry)
        entry_set(entry, key, expires)
        table.expiring += entry_expires(entry)
        return 0
    bucket_reserve(table, bucket, bucket.count + 1)
    place = bucket_place(bucket, key.hi)
    entry = bucket.entries + place
    memmove(entry + 1, entry, (bucket.count - place) * sizeof(ListEntry))
    entry_set(entry, key, expires)
    bucket.count += 1
    table.entries += 1
    table.expiring += entry_expires(entry)
    bloom_add(&table.bloom, key)
    if table.next.lines > 0:
        bloom_add(&table.next, key)
    if table.entries > <uint64_t>table.buckets * BUCKET_ENTRIES and table.buckets < BUCKETS_MAX:
        list_split(table)
    list_tend(table)
    return 1


# After entries left a bucket.
cdef int list_shrink(HashList* table, ListBucket* bucket) except -1:
    bucket_trim(table, bucket)
    if table.buckets > 1 and table.entries < <uint64_t>table.buckets * (BUCKET_ENTRIES // 2):
        list_merge(table)
    return list_tend(table)


# Whether the key was on the list. The filter keeps its bits until it is built anew.
cdef int list_remove(HashList* table, Hash hash) except -1:
    cdef ListKey key = list_key(hash)
    cdef ListBucket* bucket = list_bucket(table, list_index(table, key))
    cdef ListEntry* entry = bucket_find(bucket, key)
    if entry == NULL:
        return 0
    bucket_remove(table, bucket, entry)
    list_shrink(table, bucket)
    return 1


# Removes what expired at or before `time` from one bucket, the next in turn: constant work. Returns how many. The caller
# passes a time that no later event precedes, or an event that is late would miss an entry that was still valid.
cdef int list_expire(HashList* table, int64_t time) except -1:
    cdef ListBucket* bucket
    cdef uint32_t i
    cdef int removed
    if table.expiring == 0:
        return 0
    table.swept = table.swept + 1 if table.swept + 1 < table.buckets else 0
    bucket = list_bucket(table, table.swept)
    i = bucket.count
    removed = 0
    while i > 0:
        i -= 1
        if not entry_listed(bucket.entries + i, time):
            bucket_remove(table, bucket, bucket.entries + i)
            removed += 1
    if removed > 0:
        list_shrink(table, bucket)
    return removed


cdef inline uint64_t list_bytes(const HashList* table) noexcept nogil:
    return table.bytes + bloom_bytes(&table.bloom) + bloom_bytes(&table.next) + bloom_bytes(&table.former)
