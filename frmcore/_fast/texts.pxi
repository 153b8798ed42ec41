# Texts that `first` and `last` keep: each once, counted. A ring holds a handle of eight bytes.

cdef struct KeptText:
    Hash hash
    const char* s
    uint32_t n
    uint32_t uses


@cython.final
cdef class Texts:
    """Interned texts of an engine. Every operation is O(1)."""

    cdef HashKey key
    cdef Slab slab
    cdef Table table
    cdef uint64_t text_bytes

    def __cinit__(self, bytes key):
        self.key = hash_key(key)
        slab_init(&self.slab, sizeof(KeptText))
        if not table_init(&self.table, latest_hash, <void*>&self.slab):
            raise MemoryError

    def __dealloc__(self):
        cdef uint64_t cursor = 0
        cdef uint32_t[64] handles
        cdef uint32_t i, count
        while True:
            count = table_scan(&self.table, &cursor, handles, 64)
            for i in range(count):
                free(<void*>self.at(handles[i]).s)
            if cursor == 0:
                break
        table_destroy(&self.table)
        slab_destroy(&self.slab)

    @property
    def count(self):
        return self.table.count

    cdef inline KeptText* at(self, int64_t handle) noexcept nogil:
        return <KeptText*>slab_at(&self.slab, <uint32_t>handle)

    # A handle of the text, with one use more.
    cdef int64_t intern(self, const char* s, uint32_t n) except 0:
        cdef Hash hash = hash_text(self.key, s, n)
        cdef uint32_t handle = table_find(&self.table, hash)
        cdef KeptText* text
        if handle == 0:
            handle = slab_take(&self.slab)
            if handle == 0 or not table_reserve(&self.table):
                raise MemoryError
            text = self.at(handle)
            text.hash, text.n, text.uses = hash, n, 0
            text.s = <const char*>malloc(n if n else 1)
            if text.s == NULL:
                raise MemoryError
            memcpy(<void*>text.s, s, n)
            table_insert(&self.table, hash, handle)
            self.text_bytes += n
        self.at(handle).uses += 1
        return handle

    cdef inline void retain(self, int64_t handle) noexcept nogil:
        self.at(handle).uses += 1

    cdef void release(self, int64_t handle) noexcept nogil:
        cdef KeptText* text = self.at(handle)
        text.uses -= 1
        if text.uses == 0:
            self.text_bytes -= text.n
            table_remove(&self.table, text.hash)
            free(<void*>text.s)
            slab_give(&self.slab, <uint32_t>handle)
