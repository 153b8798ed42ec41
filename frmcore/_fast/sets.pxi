# The constant sets of `in (...)`. Small ones are scanned; larger ints are searched in order, larger texts in a hash table.

cdef enum:
    SCANNED_MAX = 8  # beyond it a scan costs more than the hash of a short text

cdef struct IntSet:
    int64_t* items  # ascending
    uint32_t count

cdef struct SetText:
    uint64_t head  # the first eight bytes, padded with zeros: with the length, all that most comparisons need
    const char* s
    uint32_t n

cdef struct TextSet:
    SetText* items
    uint32_t count
    uint32_t* slots  # open addressing: index + 1 of an item, 0 is empty; NULL for a scanned set
    uint32_t mask


# The place of an item, -1 where it is none.
cdef inline int64_t int_set_find(const IntSet* ints, int64_t x) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = ints.count
    cdef uint32_t middle
    while high - low > SCANNED_MAX:
        middle = (low + high) >> 1
        if ints.items[middle] <= x:
            low = middle
        else:
            high = middle
    while low < high:
        if ints.items[low] == x:
            return low
        low += 1
    return -1


cdef inline bint int_set_has(const IntSet* ints, int64_t x) noexcept nogil:
    return int_set_find(ints, x) >= 0


cdef inline SetText set_text(const char* s, uint32_t n) noexcept nogil:
    cdef SetText text
    text.head = head_of(s, n)
    text.s = s
    text.n = n
    return text


cdef inline bint set_text_equal(SetText a, SetText b) noexcept nogil:
    return a.n == b.n and a.head == b.head and (a.n <= 8 or memcmp(a.s + 8, b.s + 8, a.n - 8) == 0)


# Unkeyed: the items are the policy's, and a text from outside meets at most the longest run that these leave.
cdef inline uint32_t set_text_hash(SetText text) noexcept nogil:
    cdef uint64_t lo, hi
    siphash13(text.s, text.n, 0, 0, &lo, &hi)
    return <uint32_t>lo


# The place of an item, as it was loaded; -1 where it is none.
cdef int64_t text_set_find(const TextSet* texts, const char* s, uint32_t n) noexcept nogil:
    cdef SetText text = set_text(s, n)
    cdef uint32_t i
    if texts.slots == NULL:
        for i in range(texts.count):
            if set_text_equal(texts.items[i], text):
                return i
        return -1
    i = set_text_hash(text) & texts.mask
    while texts.slots[i] != 0:
        if set_text_equal(texts.items[texts.slots[i] - 1], text):
            return texts.slots[i] - 1
        i = (i + 1) & texts.mask
    return -1


cdef inline bint text_set_has(const TextSet* texts, const char* s, uint32_t n) noexcept nogil:
    return text_set_find(texts, s, n) >= 0


cdef int int_set_load(IntSet* ints, values) except -1:
    cdef list items = sorted(values)
    ints.items = <int64_t*>malloc((<size_t>len(items) + 1) * sizeof(int64_t))
    if ints.items == NULL:
        raise MemoryError
    for item in items:
        ints.items[ints.count] = item
        ints.count += 1
    return 0


# `texts` are kept alive by the caller.
cdef int text_set_load(TextSet* texts, list values) except -1:
    cdef bytes value
    texts.items = <SetText*>malloc((<size_t>len(values) + 1) * sizeof(SetText))
    if texts.items == NULL:
        raise MemoryError
    for value in values:
        texts.items[texts.count] = set_text(value, <uint32_t>len(value))
        texts.count += 1
    return text_set_index(texts) if texts.count > SCANNED_MAX else 0


cdef int text_set_index(TextSet* texts) except -1:
    cdef uint32_t i, slot
    cdef uint32_t size = 16
    while size < 2 * texts.count:
        size *= 2
    texts.slots = <uint32_t*>calloc(size, sizeof(uint32_t))
    if texts.slots == NULL:
        raise MemoryError
    texts.mask = size - 1
    for i in range(texts.count):
        slot = set_text_hash(texts.items[i]) & texts.mask
        while texts.slots[slot] != 0:
            slot = (slot + 1) & texts.mask
        texts.slots[slot] = i + 1
    return 0
