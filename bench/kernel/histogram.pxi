# Latencies as HdrHistogram counts them: linear below 256 ns, then 128 buckets for every power of two. A percentile is at
# most 1/128 above the true one; the maximum is exact. Recording is a few instructions and allocates nothing.

cdef enum:
    SUB_BITS = 7
    SUB = 1 << SUB_BITS
    BUCKETS = SUB * 58  # up to 2**63 ns

cdef extern from *:
    """
    static inline int bench_top_bit(uint64_t x) { return 63 - __builtin_clzll(x | 1); }
    """
    int top_bit "bench_top_bit"(uint64_t x) noexcept nogil


cdef inline uint32_t bucket_of(uint64_t ns) noexcept nogil:
    cdef int shift = top_bit(ns) - SUB_BITS
    return <uint32_t>ns if shift <= 0 else (<uint32_t>shift << SUB_BITS) + <uint32_t>(ns >> shift)


cdef inline uint64_t bucket_end(uint32_t bucket) noexcept nogil:
    cdef uint32_t shift
    if bucket < 2 * SUB:
        return bucket
    shift = (bucket >> SUB_BITS) - 1
    return (<uint64_t>(bucket - (shift << SUB_BITS) + 1) << shift) - 1


@cython.final
cdef class Histogram:
    """Counts of durations in ns."""

    cdef uint64_t* counts
    cdef readonly uint64_t count
    cdef readonly uint64_t total_ns
    cdef readonly uint64_t max_ns

    def __cinit__(self):
        self.counts = <uint64_t*>calloc(BUCKETS, sizeof(uint64_t))
        if self.counts == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.counts)

    cdef inline void put(self, int64_t ns) noexcept nogil:
        cdef uint64_t value = <uint64_t>ns if ns > 0 else 0
        self.counts[bucket_of(value)] += 1
        self.count += 1
        self.total_ns += value
        if value > self.max_ns:
            self.max_ns = value

    def record(self, uint64_t ns):
        """Counts one duration below 2**62 ns."""
        if ns >> 62:
            raise ValueError(f"{ns} ns is no duration")
        self.put(<int64_t>ns)

    def add(self, Histogram other not None):
        """Counts everything that `other` holds."""
        cdef uint32_t bucket
        for bucket in range(BUCKETS):
            self.counts[bucket] += other.counts[bucket]
        self.count += other.count
        self.total_ns += other.total_ns
        self.max_ns = max(self.max_ns, other.max_ns)

    def percentile(self, double percent):
        """The least duration, in ns, that `percent` of all did not exceed; 0 where there are none."""
        cdef double wanted = percent / 100 * self.count
        cdef uint64_t seen = 0
        cdef uint32_t bucket
        for bucket in range(BUCKETS):
            seen += self.counts[bucket]
            if seen > 0 and seen >= wanted:
                return min(bucket_end(bucket), self.max_ns)
        return self.max_ns
