# The records in memory, in recorded order: appended at the end, given up at the head. Segments of one huge page, so that neither
# end ever copies anything: a record's address is good for as long as the record is kept. The first one is of small pages, for
# engines that decide little; with small pages only, every tenth decision waits for the kernel to clear one.

cdef enum:
    SEGMENT_SIZE = PAGE_BYTES - 32  # and the head: one huge page

cdef struct Segment:
    Segment* next
    uint64_t first_seq
    uint32_t capacity  # SEGMENT_SIZE, or more for one giant record
    uint32_t used
    uint64_t unused  # heads of records are aligned to 16 bytes

cdef struct Log:
    Segment* first
    Segment* last
    uint32_t head  # offset of the oldest record in the first segment
    uint64_t records
    uint64_t bytes  # allocated


cdef void log_free(Log* log) noexcept nogil:
    cdef Segment* following
    while log.first != NULL:
        following = log.first.next
        page_unmap(log.first, sizeof(Segment) + log.first.capacity)
        log.first = following
    memset(log, 0, sizeof(Log))


# Room for a record of at most `bound` bytes; NULL when the machine is out of memory. Nothing is used before log_commit.
cdef inline uint8_t* log_reserve(Log* log, uint64_t bound) noexcept nogil:
    if log.last != NULL and bound <= log.last.capacity - log.last.used:
        return <uint8_t*>(log.last + 1) + log.last.used
    return log_extend(log, bound)


cdef uint8_t* log_extend(Log* log, uint64_t bound) noexcept nogil:
    cdef uint32_t capacity = SEGMENT_SIZE if bound <= SEGMENT_SIZE else <uint32_t>(round_up(bound + 32, PAGE_GRAIN) - 32)
    cdef Segment* segment
    if log.last != NULL and log.last.used == 0 and log.last.capacity >= bound:
        return <uint8_t*>(log.last + 1)
    segment = <Segment*>page_map(sizeof(Segment) + capacity, log.last != NULL)
    if segment == NULL:
        return NULL
    segment.next, segment.capacity, segment.used = NULL, capacity, 0
    if log.last != NULL:
        log.last.next = segment
    else:
        log.first, log.head = segment, 0
    log.last = segment
    log.bytes += sizeof(Segment) + capacity
    return <uint8_t*>(segment + 1)


cdef inline void log_commit(Log* log, const RecordHead* head) noexcept nogil:
    if log.last.used == 0:
        log.last.first_seq = head.seq
    log.last.used += (head.size + 7) & ~<uint32_t>7  # heads stay aligned
    log.records += 1


# The oldest record, or NULL.
cdef inline RecordHead* log_head(const Log* log) noexcept nogil:
    return <RecordHead*>(<uint8_t*>(log.first + 1) + log.head) if log.records else NULL


cdef inline RecordHead* log_next(const Segment** segment, const RecordHead* head) noexcept nogil:
    cdef uint32_t offset = <uint32_t>(<const uint8_t*>head - <const uint8_t*>(segment[0] + 1))
    offset += (head.size + 7) & ~<uint32_t>7
    if offset < segment[0].used:
        return <RecordHead*>(<uint8_t*>(segment[0] + 1) + offset)
    segment[0] = segment[0].next
    while segment[0] != NULL and not segment[0].used:  # reserved and not used, before a giant record
        segment[0] = segment[0].next
    return <RecordHead*>(segment[0] + 1) if segment[0] != NULL else NULL


cdef void log_drop_head(Log* log) noexcept nogil:
    cdef Segment* emptied = log.first
    log.head += (log_head(log).size + 7) & ~<uint32_t>7
    log.records -= 1
    if log.head < emptied.used:
        return
    log.head = emptied.used = 0
    while log.first.next != NULL and not log.first.used:
        emptied = log.first
        log.first = emptied.next
        log.bytes -= sizeof(Segment) + emptied.capacity
        page_unmap(emptied, sizeof(Segment) + emptied.capacity)


# The record of that sequence number, or NULL.
cdef const RecordHead* log_find(const Log* log, uint64_t seq) noexcept nogil:
    cdef const Segment* segment
    cdef const RecordHead* head = log_from(log, seq, &segment)
    return head if head != NULL and head.seq == seq else NULL


# The first record that is not before that sequence number, or NULL; its segment. A walk over segments, then inside one.
cdef const RecordHead* log_from(const Log* log, uint64_t seq, const Segment** found) noexcept nogil:
    cdef const Segment* segment = log.first
    cdef const RecordHead* head
    if not log.records:
        return NULL
    while segment.next != NULL and segment.next.used and segment.next.first_seq <= seq:
        segment = segment.next  # log.first always holds a record here
    head = <const RecordHead*>(<const uint8_t*>(segment + 1) + (log.head if segment == log.first else 0))
    while head != NULL and head.seq < seq:
        head = log_next(&segment, head)
    found[0] = segment
    return head
