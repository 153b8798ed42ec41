# Lists of networks: CIDR ranges flattened into sorted spans that touch nowhere, each with the latest expiry of the ranges
# that hold it. A probe is one binary search. IPv4 and IPv6 are apart: `::/0` holds no IPv4 address.

from libc.stdlib cimport qsort

cdef extern from *:
    """
    #define FRM_BIG64(x) __builtin_bswap64(x)
    #define FRM_BIG32(x) __builtin_bswap32(x)
    """
    uint64_t big64 "FRM_BIG64"(uint64_t x) noexcept nogil
    uint32_t big32 "FRM_BIG32"(uint32_t x) noexcept nogil

cdef struct Address:
    uint64_t hi
    uint64_t lo

cdef struct Span:
    Address first
    Address last
    int64_t expires  # INT64_MAX: never

cdef struct Spans:
    Span* items
    uint32_t count

cdef struct Networks:
    Spans v4
    Spans v6


cdef inline bint address_below(Address a, Address b) noexcept nogil:
    return a.hi < b.hi or (a.hi == b.hi and a.lo < b.lo)


cdef inline Address address_step(Address a, int64_t step) noexcept nogil:
    cdef Address result
    result.lo = a.lo + <uint64_t>step
    result.hi = a.hi
    if step > 0 and result.lo == 0:
        result.hi += 1
    elif step < 0 and a.lo == 0:
        result.hi -= 1
    return result


# An ip register's 4 or 16 bytes.
cdef inline Address address_of(const char* ip, uint32_t n) noexcept nogil:
    cdef Address result
    cdef uint32_t small
    if n == 4:
        memcpy(&small, ip, 4)
        result.hi = 0
        result.lo = big32(small)
    else:
        memcpy(&result, ip, 16)
        result.hi = big64(result.hi)
        result.lo = big64(result.lo)
    return result


# O(log spans). Bytes of another length are no address and in no network.
cdef bint networks_probe(const Networks* networks, const char* ip, uint32_t n, int64_t time) noexcept nogil:
    cdef const Spans* spans = &networks.v4 if n == 4 else &networks.v6
    cdef uint32_t low = 0
    cdef uint32_t high = spans.count
    cdef uint32_t middle
    cdef Address address
    if n != 4 and n != 16:
        return False
    address = address_of(ip, n)
    while low < high:
        middle = (low + high) >> 1
        if address_below(address, spans.items[middle].first):
            high = middle
        else:
            low = middle + 1
    if low == 0:
        return False
    return not address_below(spans.items[low - 1].last, address) and time < spans.items[low - 1].expires


# Outer ranges before the ranges they hold.
cdef int span_order(const void* left, const void* right) noexcept nogil:
    cdef const Span* a = <const Span*>left
    cdef const Span* b = <const Span*>right
    if address_below(a.first, b.first):
        return -1
    if address_below(b.first, a.first):
        return 1
    return <int>address_below(a.last, b.last) - <int>address_below(b.last, a.last)


# Appends first..last unless it is empty; a span that goes on where the one before it ends, with its expiry, becomes part of it.
cdef void spans_append(Spans* spans, Address first, Address last, int64_t expires) noexcept nogil:
    cdef Span* before = spans.items + spans.count - 1
    cdef Address next
    if address_below(last, first):
        return
    if spans.count > 0 and before.expires == expires:
        next = address_step(before.last, 1)
        if next.hi == first.hi and next.lo == first.lo:
            before.last = last
            return
    spans.items[spans.count].first = first
    spans.items[spans.count].last = last
    spans.items[spans.count].expires = expires
    spans.count += 1


# Flattens `count` sorted ranges, each two of which are nested or apart. `open` are the ranges around the current address,
# innermost last; `at` is the first address not yet spoken for.
cdef int spans_flatten(const Span* ranges, uint32_t count, Span* open, Spans* spans) except -1:
    cdef uint32_t depth = 0
    cdef uint32_t i = 0
    cdef Address at
    cdef bint over  # the last address of all was reached, nothing follows it
    memset(&at, 0, sizeof(Address))
    while i < count or depth > 0:
        if i < count and (depth == 0 or not address_below(open[depth - 1].last, ranges[i].first)):
            if depth > 0 and address_below(open[depth - 1].last, ranges[i].last):
                raise ValueError("two ranges overlap and neither holds the other: ranges must be networks")
            if depth > 0 and address_below(at, ranges[i].first):
                spans_append(spans, at, address_step(ranges[i].first, -1), open[depth - 1].expires)
            open[depth] = ranges[i]
            if depth > 0 and open[depth - 1].expires > open[depth].expires:
                open[depth].expires = open[depth - 1].expires
            at = ranges[i].first
            depth += 1
            i += 1
        else:
            depth -= 1
            over = address_below(address_step(open[depth].last, 1), open[depth].last)
            spans_append(spans, at, open[depth].last, open[depth].expires)
            if over:
                return 0
            at = address_step(open[depth].last, 1)
    return 0


cdef int spans_load(Spans* spans, Span* ranges, uint32_t count) except -1:
    cdef Spans fresh
    cdef Span* open = <Span*>malloc((count + 1) * sizeof(Span))
    fresh.items = <Span*>malloc((2 * <size_t>count + 1) * sizeof(Span))
    fresh.count = 0
    try:
        if open == NULL or fresh.items == NULL:
            raise MemoryError
        qsort(ranges, count, sizeof(Span), span_order)
        spans_flatten(ranges, count, open, &fresh)
        spans.items, fresh.items = fresh.items, spans.items
        spans.count = fresh.count
    finally:
        free(open)
        free(fresh.items)
    return 0


@cython.final
cdef class NetworkTable:
    """Networks and until when each is listed; built anew from all ranges whenever they change."""

    cdef Networks networks

    def __dealloc__(self):
        free(self.networks.v4.items)
        free(self.networks.v6.items)

    def load(self, ranges not None):
        """Replaces the content. `ranges`: (first, last, expires) with addresses of 4 or 16 bytes, in any order; each two nested
        or apart; expires in ms, None for never. Raises ValueError, and changes nothing, where that does not hold.
        O(n log n), about 0.2 us a range."""
        cdef list v4 = []
        cdef list v6 = []
        for first, last, expires in ranges:
            if len(first) != len(last) or len(first) not in (4, 16) or first > last:
                raise ValueError(f"no range of addresses: {first!r} to {last!r}")
            (v4 if len(first) == 4 else v6).append((first, last, expires))
        self.fill(v4, v6)

    cdef int fill(self, list v4, list v6) except -1:
        cdef Networks fresh
        memset(&fresh, 0, sizeof(Networks))
        try:
            spans_read(&fresh.v4, v4)
            spans_read(&fresh.v6, v6)
            self.networks, fresh = fresh, self.networks
        finally:
            free(fresh.v4.items)
            free(fresh.v6.items)
        return 0

    def contains(self, bytes address not None, int64_t time):
        """Whether a network listed at `time` (ms) holds the address of 4 or 16 bytes. O(log n)."""
        return networks_probe(&self.networks, address, <uint32_t>len(address), time)

    def __len__(self):
        return self.networks.v4.count + self.networks.v6.count

    @property
    def bytes(self):
        """Memory accounted to the list."""
        return (<size_t>self.networks.v4.count + self.networks.v6.count) * sizeof(Span)


cdef int spans_read(Spans* spans, list ranges) except -1:
    cdef Span* raw = <Span*>malloc((<size_t>len(ranges) + 1) * sizeof(Span))
    cdef uint32_t count = 0
    cdef bytes first, last
    if raw == NULL:
        raise MemoryError
    try:
        for first, last, expires in ranges:
            raw[count].first = address_of(first, <uint32_t>len(first))
            raw[count].last = address_of(last, <uint32_t>len(last))
            raw[count].expires = INT64_MAX if expires is None else expires
            count += 1
        spans_load(spans, raw, count)
    finally:
        free(raw)
    return 0
