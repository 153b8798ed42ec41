# The lists of a policy behind one door: the engine's probes and the program's IN_LIST ask here.

from frmcore.limits import TIME_MS_MAX

cdef struct ListRef:
    HashList* values  # one of the two, the other is NULL
    const Networks* networks


# What a probe needs later, made before anything is waited for. Networks are probed by the ip itself: their hash is unused.
cdef inline void lists_prefetch(const ListRef* lists, uint32_t index, Hash hash) noexcept nogil:
    if lists[index].values != NULL:
        list_prefetch(lists[index].values, hash)


# `hash` is hash_text(key of the lists, s, n).
cdef inline bint lists_probe_hashed(
    const ListRef* lists, uint32_t index, const char* s, uint32_t n, Hash hash, int64_t time
) noexcept nogil:
    if lists[index].values != NULL:
        return list_probe(lists[index].values, hash, time)
    return networks_probe(lists[index].networks, s, n, time)


cdef inline bint lists_probe(const ListRef* lists, uint32_t index, const char* s, uint32_t n, int64_t time) noexcept nogil:
    if lists[index].values != NULL:
        return list_probe(lists[index].values, hash_text(lists[index].values.key, s, n), time)
    return networks_probe(lists[index].networks, s, n, time)


@cython.final
cdef class ListTable:
    """Values, and until when each is listed, in ms; 20 to 22 bytes a value."""

    cdef HashList list

    def __cinit__(self, bytes key not None):
        """`key`: the 16 bytes that every value is hashed with, the store's secret."""
        list_open(&self.list, hash_key(key))

    def __dealloc__(self):
        list_close(&self.list)

    cpdef bint add(self, bytes value, object expires) except -1:
        """Lists `value` until `expires` (None: for good); True where it was not listed. O(1). Raises ValueError beyond
        limits.TIME_MS_MAX, MemoryError."""
        cdef int64_t until = INT64_MAX if expires is None else expires
        if expires is not None and not -TIME_MS_MAX <= until <= TIME_MS_MAX:
            raise ValueError(f"expires {expires} is out of range")
        return list_add(&self.list, self.hash(value), until) == 1

    cpdef bint remove(self, bytes value) except -1:
        """Takes `value` off the list; whether it was there. O(1)."""
        return list_remove(&self.list, self.hash(value)) == 1

    def contains(self, bytes value not None, int64_t time):
        """Whether `value` is listed at `time`: time < expires. O(1), counted as a probe."""
        return list_probe(&self.list, self.hash(value), time)

    def contains_packed(self, bytes values not None, uint32_t width, int64_t time):
        """How many of the values, packed `width` bytes each, are listed at `time`."""
        cdef const char* s = values
        cdef Py_ssize_t i
        cdef Py_ssize_t found = 0
        if width == 0:
            raise ValueError("a value has at least one byte")
        for i in range(len(values) // width):
            found += list_probe(&self.list, hash_text(self.list.key, s + i * width, width), time)
        return found

    def expiry(self, bytes value not None):
        """Until when `value` is listed, expired or not (None: for good). O(1). Raises KeyError where it is not there."""
        cdef ListEntry* entry = list_find(&self.list, list_key(self.hash(value)))
        if entry == NULL:
            raise KeyError(value)
        return <int64_t>(entry.time_low >> KEY_LOW_BITS) - (<int64_t>1 << 53) if entry_expires(entry) else None

    def expire(self, int64_t time):
        """Removes what expired at or before `time` from the next bucket in turn: constant work. Returns how many. No later
        event may be before `time`, or it would miss an entry that was valid then."""
        return list_expire(&self.list, time)

    def __len__(self):
        return self.list.entries

    @property
    def buckets(self):
        """Buckets of the table: as many calls of `expire` look at every entry once."""
        return self.list.buckets

    @property
    def bytes(self):
        """Memory accounted to the list."""
        return list_bytes(&self.list)

    def stats(self):
        """Entries, bytes and probes so far. `fill`: the part of the filter's bits that are set; `false_positives`: probes that
        passed the filter and that the table refused."""
        cdef HashList* table = &self.list
        return {
            "entries": table.entries,
            "bytes": list_bytes(table),
            "filter_bytes": bloom_bytes(&table.bloom),
            "fill": table.bloom.ones / (512.0 * table.bloom.lines),
            "probes": table.probes,
            "false_positives": table.passed - table.confirmed,
        }

    def check(self):
        """Raises AssertionError unless every invariant holds. O(entries); for tests."""
        list_check(&self.list)

    cdef Hash hash(self, bytes value) except *:
        return hash_text(self.list.key, value, <uint32_t>len(value))


cdef HashKey hash_key(bytes key) except *:
    cdef HashKey result
    if len(key) != 16:
        raise ValueError("a key has 16 bytes")
    memcpy(&result, <const char*>key, 16)
    return result


cdef int list_check(const HashList* table) except -1:
    cdef uint32_t b, i
    cdef uint64_t entries = 0
    cdef uint64_t expiring = 0
    cdef const ListBucket* bucket
    cdef ListKey key
    assert table.round <= table.buckets < 2 * table.round
    for b in range(table.buckets):
        bucket = list_bucket(table, b)
        entries += bucket.count
        assert bucket.count <= bucket.capacity <= bucket.count + 3 * BUCKET_STEP
        for i in range(bucket.count):
            key = entry_key(bucket.entries + i)
            expiring += entry_expires(bucket.entries + i)
            assert list_index(table, key) == b
            assert i == 0 or bucket.entries[i - 1].hi <= key.hi
            assert bloom_has(&table.bloom, key)
            assert table.next.lines == 0 or b >= table.walked or bloom_has(&table.next, key)
    assert entries == table.entries and expiring == table.expiring
    return 0


@cython.final
cdef class Lists:
    """The lists of one policy, by index. It shares its tables with whoever else holds them, as a reload does."""

    cdef ListRef* refs
    cdef readonly tuple tables
    cdef HashKey key

    def __cinit__(self, tables not None, bytes key not None):
        """`tables`: a ListTable or NetworkTable each; all ListTables were made with `key`."""
        self.key = hash_key(key)
        self.tables = tuple(tables)
        self.refs = <ListRef*>calloc(len(self.tables) + 1, sizeof(ListRef))
        if self.refs == NULL:
            raise MemoryError
        for index, table in enumerate(self.tables):
            self.refer(index, table)

    cdef int refer(self, uint32_t index, object table) except -1:
        cdef ListTable values
        if isinstance(table, NetworkTable):
            self.refs[index].networks = &(<NetworkTable>table).networks
            return 0
        values = table
        if values.list.key.k0 != self.key.k0 or values.list.key.k1 != self.key.k1:
            raise ValueError(f"list {index} was made with another key")
        self.refs[index].values = &values.list
        return 0

    def __dealloc__(self):
        free(self.refs)

    def contains(self, uint32_t index, bytes value not None, int64_t time):
        """Whether list `index` holds `value` at `time`; an ip is its 4 or 16 bytes."""
        if index >= len(self.tables):
            raise IndexError(f"there is no list {index}")
        return lists_probe(self.refs, index, value, <uint32_t>len(value), time)
