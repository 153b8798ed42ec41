# A blocked Bloom filter: one cache line and eight bits a key, one bit in each of the line's eight words (the split-block
# filter of Putze, Sanders, Singler: "Cache-, hash- and space-efficient Bloom filters", 2007). It says "no" or "maybe";
# a "maybe" never decides. At the design fill of 16 bits a key about one "maybe" in a thousand is wrong.

cdef extern from *:
    """
    #include <sys/mman.h>
    /* Zeroed pages that the kernel hands out one by one as they are touched, and takes back in slices: a filter of any
       size begins and ends without a pause. */
    static inline void *frm_map(size_t size) {
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return p == MAP_FAILED ? NULL : p;
    }
    /* The place of x, spread evenly over 64 bits, among n. */
    static inline uint64_t frm_scale(uint64_t x, uint64_t n) { return (uint64_t)(((frm_u128)x * n) >> 64); }
    """
    void* map_pages "frm_map"(size_t size) noexcept nogil
    int munmap(void* p, size_t size) noexcept nogil
    uint64_t scale "frm_scale"(uint64_t x, uint64_t n) noexcept nogil

cdef enum:
    BLOOM_LINE_KEYS = 32  # 512 bits / 16
    BLOOM_LINES_MIN = 64  # one page
    BLOOM_SLICE = 65536  # bytes given back in one step: about 3 us

# What lists keep of a 128-bit hash: 74 bits. Among 100 million entries a foreign value matches one with probability 5e-15.
cdef struct ListKey:
    uint64_t hi
    uint32_t low

cdef enum:
    KEY_LOW_BITS = 10

cdef struct Bloom:
    uint64_t* words
    uint64_t lines  # 0: no filter
    uint64_t keys  # added since it began; a key taken off the list leaves its bits behind
    uint64_t ones


cdef inline ListKey list_key(Hash hash) noexcept nogil:
    cdef ListKey key
    key.hi = hash.hi
    key.low = <uint32_t>(hash.lo & ((1 << KEY_LOW_BITS) - 1))
    return key


cdef inline uint64_t bloom_bytes(const Bloom* bloom) noexcept nogil:
    return (bloom.lines * 64 + 4095) & ~<uint64_t>4095


cdef int bloom_open(Bloom* bloom, uint64_t keys) except -1:
    memset(bloom, 0, sizeof(Bloom))
    bloom.lines = max(<uint64_t>BLOOM_LINES_MIN, (keys + BLOOM_LINE_KEYS - 1) // BLOOM_LINE_KEYS)
    bloom.words = <uint64_t*>map_pages(bloom_bytes(bloom))
    if bloom.words == NULL:
        bloom.lines = 0
        raise MemoryError
    return 0


# Gives back the filter's last slice; it is gone when `lines` is 0. Nothing may read it any more.
cdef void bloom_shed(Bloom* bloom) noexcept nogil:
    cdef uint64_t size = bloom_bytes(bloom)
    cdef uint64_t kept = (size - 1) // BLOOM_SLICE * BLOOM_SLICE
    munmap(<char*>bloom.words + kept, size - kept)
    bloom.lines = kept // 64


cdef inline void bloom_close(Bloom* bloom) noexcept nogil:
    if bloom.lines > 0:
        munmap(bloom.words, bloom_bytes(bloom))
    bloom.lines = 0


cdef inline uint64_t* bloom_line(const Bloom* bloom, ListKey key) noexcept nogil:
    return bloom.words + scale(key.hi, bloom.lines) * 8


# Six bits for each of the eight words, from the lowest. The line was chosen by the key's highest 26 bits at most.
cdef inline uint64_t bloom_pattern(ListKey key) noexcept nogil:
    return key.hi << KEY_LOW_BITS | key.low


cdef inline bint bloom_has(const Bloom* bloom, ListKey key) noexcept nogil:
    cdef const uint64_t* line = bloom_line(bloom, key)
    cdef uint64_t pattern = bloom_pattern(key)
    cdef uint64_t every = 1
    cdef int word
    for word in range(8):
        every &= line[word] >> (pattern >> 6 * word & 63)
    return every


cdef void bloom_add(Bloom* bloom, ListKey key) noexcept nogil:
    cdef uint64_t* line = bloom_line(bloom, key)
    cdef uint64_t pattern = bloom_pattern(key)
    cdef uint64_t bit
    cdef int word
    for word in range(8):
        bit = <uint64_t>1 << (pattern >> 6 * word & 63)
        bloom.ones += (line[word] & bit) == 0
        line[word] |= bit
    bloom.keys += 1
