# The journal's ring: a stretch of memory, mapped from a file, into which every record is copied before the call that made it
# returns. What is in it survives the process. A flusher takes the records out at the other end and gives their room back once
# they are safe elsewhere. Records stand behind a FrameHead with their checksum; one that does not fit before the area's end
# starts anew at its beginning.

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

cdef enum:
    FRAME_RECORD = 0x4A6D7246
    FRAME_SKIP = 0x536D7246  # nothing more before the area's end
    FRAME_GRAIN = 16
    SPILL_BLOCK = 65536  # bytes of frames

cdef struct FrameHead:
    uint32_t crc  # of all that follows: the rest of the head, the record
    uint32_t size  # of the record
    uint32_t epoch  # the opening that wrote it: what an earlier one left behind is never taken for a record
    uint32_t mark

cdef struct StretchHead:  # of a stretch of the journal as it is stored: frames, then IdEntry sorted by fingerprint
    uint32_t version
    uint32_t records
    uint32_t ids
    uint32_t frames_size
    uint64_t first_seq
    uint64_t last_seq
    int64_t least_time  # of its events
    int64_t greatest_time
    int64_t watermark  # no event up to here is after it

cdef struct IdEntry:
    uint64_t fingerprint
    uint64_t seq


cdef inline uint64_t frame_size(uint64_t record_size) noexcept nogil:
    return (sizeof(FrameHead) + record_size + FRAME_GRAIN - 1) & ~<uint64_t>(FRAME_GRAIN - 1)


cdef inline void put_frame(char* out, const void* record, uint32_t size, uint32_t epoch, uint32_t mark) noexcept nogil:
    cdef FrameHead* head = <FrameHead*>out
    head.size, head.epoch, head.mark = size, epoch, mark
    if size:
        memcpy(out + sizeof(FrameHead), record, size)
    head.crc = crc32c_of(0, out + 4, sizeof(FrameHead) - 4 + size)


# Is there a whole frame within `room` bytes?
cdef inline bint frame_sound(const char* at, uint64_t room) noexcept nogil:
    cdef const FrameHead* head = <const FrameHead*>at
    if room < sizeof(FrameHead) or head.mark not in (FRAME_RECORD, FRAME_SKIP):
        return False
    if head.mark == FRAME_SKIP:
        return head.size == 0 and head.crc == crc32c_of(0, at + 4, sizeof(FrameHead) - 4)
    return (
        head.size >= sizeof(RecordHead) and frame_size(head.size) <= room
        and head.crc == crc32c_of(0, at + 4, sizeof(FrameHead) - 4 + head.size)
        and (<const RecordHead*>(at + sizeof(FrameHead))).size == head.size
    )


from collections import deque as _deque


@cython.final
cdef class JournalRing:
    """The ring over a writable buffer (a mapped file). A record that finds no room in it is spilled into memory; one that finds no
    room there waits where it is, in the log of events (`waiting_records`), until the disk is back. `position` counts bytes ever written; records lie at it modulo the size."""

    cdef Py_buffer buffer
    cdef Py_buffer mark
    cdef bint attached
    cdef uint64_t* published  # where the position is told to whoever opens the file after a crash; NULL: nowhere
    cdef char* area
    cdef uint64_t capacity
    cdef readonly uint64_t position  # of the next record
    cdef readonly uint64_t taken  # up to here the flusher has taken records
    cdef uint64_t released  # up to here their room is free again
    cdef readonly uint32_t epoch
    cdef list spilled  # blocks of frames: to take them must not hold anybody up, however many there are
    cdef bytearray block  # the last of them, to which frames are added
    cdef readonly uint64_t spilled_bytes  # of those that are taken and not yet safe too
    cdef uint64_t taken_bytes
    cdef readonly uint64_t waiting  # records that found no room there either; of events the log has them
    cdef uint64_t waiting_from  # the first of them
    cdef object others  # those that are in no log
    cdef uint64_t others_bytes
    cdef readonly bint broken  # some of them are gone
    cdef uint64_t spill_max
    cdef readonly bint spilling
    cdef readonly uint64_t spilled_from  # the first record that is not in the ring

    def __cinit__(self, area, uint32_t epoch, uint64_t position, uint64_t spill_max=0, published=None):
        PyObject_GetBuffer(area, &self.buffer, PyBUF_WRITABLE)
        self.attached = True
        if published is not None:
            PyObject_GetBuffer(published, &self.mark, PyBUF_WRITABLE)
            self.published = <uint64_t*>self.mark.buf
            self.published[0] = position
        self.area, self.capacity = <char*>self.buffer.buf, <uint64_t>self.buffer.len
        if self.capacity % FRAME_GRAIN or self.capacity < 4096 or position % FRAME_GRAIN:
            self.detach()
            raise ValueError("the ring's area must be a multiple of 16 bytes, and at least 4096")
        self.epoch, self.position, self.taken, self.released = epoch, position, position, position
        self.spilled, self.block, self.spill_max, self.others = [], bytearray(), spill_max, _deque()

    def __dealloc__(self):
        self.detach()

    def detach(self):
        """Lets go of the buffer; nothing may be put after that."""
        if self.attached:
            PyBuffer_Release(&self.buffer)
        if self.published != NULL:
            PyBuffer_Release(&self.mark)
        self.attached, self.area, self.capacity, self.published = False, NULL, 0, NULL

    # Copies the record into the ring; into memory when the ring is full, until that has been drained.
    cdef int put(self, const void* record, uint32_t size) except -1:
        cdef uint64_t need = frame_size(size), at = self.position % self.capacity, rest = self.capacity - at
        cdef uint64_t total = need if need <= rest else rest + need
        if unlikely(self.spilling or need > self.capacity or self.position + total - self.released > self.capacity):
            return self.spill(record, size)
        if need > rest:
            put_frame(self.area + at, NULL, 0, self.epoch, FRAME_SKIP)
            at = 0
        put_frame(self.area + at, record, size, self.epoch, FRAME_RECORD)
        self.position += total
        if self.published != NULL:
            self.published[0] = self.position
        return 0

    cdef int spill(self, const void* record, uint32_t size) except -1:
        cdef uint64_t need = frame_size(size), at
        cdef char* out
        if not self.spilling:
            self.spilling, self.spilled_from = True, (<const RecordHead*>record).seq
        if self.waiting or self.spilled_bytes + need > self.spill_max:
            return self.wait(<const RecordHead*>record)
        at = <uint64_t>len(self.block)
        PyByteArray_Resize(self.block, <Py_ssize_t>(at + need))
        out = PyByteArray_AS_STRING(self.block) + at
        memset(out, 0, need)
        put_frame(out, record, size, self.epoch, FRAME_RECORD)
        self.spilled_bytes += need
        if at + need >= SPILL_BLOCK:
            self.end_block()
        return 0

    cdef int end_block(self) except -1:
        self.spilled.append(bytes(self.block))
        self.block = bytearray()
        return 0

    cdef int wait(self, const RecordHead* record) except -1:
        if not self.waiting:
            self.waiting_from = record.seq
        self.waiting += 1
        if has_facts(record):
            return 0
        self.broken |= self.others_bytes + record.size > self.spill_max
        if not self.broken:
            self.others.append((<const char*>record)[: record.size])
            self.others_bytes += record.size
        return 0

    # Is the record of that sequence number safe from a crash of the process?
    cdef inline bint holds(self, uint64_t seq) noexcept nogil:
        return not self.spilling or seq < self.spilled_from

    @property
    def used(self):
        """Bytes that hold records which are not released yet."""
        return self.position - self.released

    @property
    def size(self):
        return self.capacity

    def take(self, uint64_t most, uint64_t end):
        """Frames of at most `most` bytes (one at least) before the position `end`; b'' when all were taken. O(bytes), off the GIL."""
        cdef uint64_t start = self.taken, cut = start, bytes_ = 0, at
        cdef const FrameHead* head
        with nogil:
            while cut < end:
                head = <const FrameHead*>(self.area + cut % self.capacity)
                if head.mark == FRAME_SKIP:
                    cut += self.capacity - cut % self.capacity
                    continue
                if bytes_ and bytes_ + frame_size(head.size) > most:
                    break
                bytes_ += frame_size(head.size)
                cut += frame_size(head.size)
        frames = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>bytes_)
        cdef char* out = PyBytes_AS_STRING(frames)
        with nogil:
            at = start
            while at < cut:
                head = <const FrameHead*>(self.area + at % self.capacity)
                if head.mark == FRAME_SKIP:
                    at += self.capacity - at % self.capacity
                    continue
                memcpy(out, head, frame_size(head.size))
                out += frame_size(head.size)
                at += frame_size(head.size)
        self.taken = cut
        return frames

    def release(self, uint64_t position):
        """Gives room back up to `position`, once what lay there is safe elsewhere."""
        self.released = position

    def pending(self):
        """The frames that are not released yet."""
        cdef uint64_t taken = self.taken
        self.taken = self.released
        frames = self.take(<uint64_t>-1, self.position)
        self.taken = taken
        return frames

    def scrub(self, uint64_t start, uint64_t most):
        """Zeros over what old records left in the free part of the ring, from the position `start` on, in at most `most` bytes;
        where to go on, up to one `size` behind what is released."""
        cdef uint64_t end
        start = max(start, self.position)
        end = min(min(start + most, self.released + self.capacity), start + self.capacity - start % self.capacity)
        if start < end:
            memset(self.area + start % self.capacity, 0, end - start)
        return max(start, end)

    @property
    def free_until(self):
        """The position up to which the ring is free."""
        return self.released + self.capacity

    def untake(self):
        """What was taken and not released is to be taken again."""
        self.taken = self.released

    def take_spilled(self):
        """The records that found no room, as blocks of frames. The ring stays closed until `spilled_safe`."""
        if self.block:
            self.end_block()
        blocks, self.spilled, self.taken_bytes = self.spilled, [], self.spilled_bytes
        return blocks

    def spilled_safe(self):
        """What was taken is safe elsewhere: the ring takes records again, unless more were spilled meanwhile."""
        self.spilled_bytes -= self.taken_bytes
        self.taken_bytes = 0
        if self.spilling and not self.spilled_bytes and not self.waiting and self.released == self.position:
            self.spilling = False

    def recovered(self, uint64_t position, uint64_t seq):
        """(frames, position behind them): the whole records from `position` on that follow `seq` without a gap."""
        cdef uint64_t at = position, rest
        cdef const FrameHead* head
        frames = []
        while at - position < self.capacity:
            head = <const FrameHead*>(self.area + at % self.capacity)
            rest = self.capacity - at % self.capacity
            if not frame_sound(<const char*>head, rest) or head.epoch != self.epoch:
                break
            if head.mark == FRAME_SKIP:
                at += rest
                continue
            if (<const RecordHead*>(head + 1)).seq != seq + 1:
                break
            frames.append((<const char*>head)[: frame_size(head.size)])
            seq += 1
            at += frame_size(head.size)
        return b"".join(frames), at


cdef bytes frames_of(list records, uint32_t epoch):
    cdef uint64_t total = 0
    cdef char* out
    for record in records:
        total += frame_size(<uint64_t>len(record))
    frames = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>total)
    out = PyBytes_AS_STRING(frames)
    memset(out, 0, total)
    for record in records:
        put_frame(out, <const char*>(<bytes>record), <uint32_t>len(record), epoch, FRAME_RECORD)
        out += frame_size(<uint64_t>len(record))
    return frames


def record_frames(list records not None):
    """Records (bytes) as frames, as a ring would hold them."""
    return frames_of(records, 0)


# ---- stretches: frames as they are stored ------------------------------------------------------------------------------

cdef extern from "<stdlib.h>":
    void qsort(void* base, size_t count, size_t size, int (*compare)(const void*, const void*) noexcept nogil) noexcept nogil


STRETCH_HEAD = sizeof(StretchHead)


cdef int by_fingerprint(const void* a, const void* b) noexcept nogil:
    cdef const IdEntry* x = <const IdEntry*>a
    cdef const IdEntry* y = <const IdEntry*>b
    if x.fingerprint != y.fingerprint:
        return -1 if x.fingerprint < y.fingerprint else 1
    return (x.seq > y.seq) - (x.seq < y.seq)


cdef inline bint has_event(const RecordHead* record) noexcept nogil:
    return record.type in (RECORD_DECISION, RECORD_OBSERVED)


def stretch_of(bytes frames not None, bytes key not None, int64_t watermark):
    """The stored form of frames: a head, the frames, their events' fingerprints, sorted. Lets go of the GIL.

    watermark: the greatest event time of all stretches before, -2**63 for none.
    """
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), at = 0
    cdef HashKey secret = hash_key(key)
    cdef StretchHead head
    cdef const RecordHead* record
    cdef IdEntry* ids
    memset(&head, 0, sizeof(StretchHead))
    with nogil:
        head.version, head.frames_size = 1, <uint32_t>size
        head.least_time, head.greatest_time = INT64_MAX, INT64_MIN
        while at < size:
            record = <const RecordHead*>(start + at + sizeof(FrameHead))
            if head.records == 0:
                head.first_seq = record.seq
            head.last_seq = record.seq
            head.records += 1
            head.ids += has_event(record)
            if has_event(record):
                head.least_time = min(head.least_time, record.time)
                head.greatest_time = max(head.greatest_time, record.time)
            at += frame_size(record.size)
        head.watermark = max(watermark, head.greatest_time)
    value = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(sizeof(StretchHead) + size + head.ids * sizeof(IdEntry)))
    cdef char* out = PyBytes_AS_STRING(value)
    with nogil:
        memcpy(out, &head, sizeof(StretchHead))
        memcpy(out + sizeof(StretchHead), start, size)
        ids = <IdEntry*>(out + sizeof(StretchHead) + size)
        at = 0
        while at < size:
            record = <const RecordHead*>(start + at + sizeof(FrameHead))
            if has_event(record):
                ids.fingerprint = hash_text(secret, <const char*>record + record.id_at, record.id_size).lo
                ids.seq = record.seq
                ids += 1
            at += frame_size(record.size)
        qsort(out + sizeof(StretchHead) + size, head.ids, sizeof(IdEntry), by_fingerprint)
    return value


cdef const StretchHead* stretch_in(bytes value, bint whole=True) except NULL:
    cdef const StretchHead* head = <const StretchHead*><const char*>value
    cdef uint64_t size = <uint64_t>len(value)
    if size < sizeof(StretchHead) or head.version != 1 or head.ids > head.records:
        raise ValueError("a stretch of the journal is none")
    if whole and size != sizeof(StretchHead) + head.frames_size + <uint64_t>head.ids * sizeof(IdEntry):
        raise ValueError("a stretch of the journal is of another length than it says")
    return head


def stretch_head(bytes value not None, bint whole=True):
    """(records, first seq, last seq, least time, greatest time, watermark) of a stretch; not `whole`: of its first STRETCH_HEAD
    bytes. Raises ValueError when the bytes are none."""
    cdef const StretchHead* head = stretch_in(value, whole)
    return head.records, head.first_seq, head.last_seq, head.least_time, head.greatest_time, head.watermark


def stretch_frames(bytes value not None):
    """The frames of a stretch. Raises ValueError when it is none."""
    cdef const StretchHead* head = stretch_in(value)
    return (<const char*>value)[sizeof(StretchHead) : sizeof(StretchHead) + head.frames_size]


def stretch_ids(bytes value not None):
    """The fingerprints of a stretch: sorted entries of 16 bytes. Raises ValueError when it is none."""
    cdef const StretchHead* head = stretch_in(value)
    return value[sizeof(StretchHead) + head.frames_size :]


def frames_split(bytes frames not None, uint64_t most):
    """The frames in parts of at most `most` bytes (one frame at least). Raises ValueError where they end within a head."""
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), first = 0, at = 0, next_
    if size <= most:
        return [frames]
    parts = []
    while at < size:
        if size - at < sizeof(FrameHead):
            raise ValueError(f"the frames end at byte {size} within a head")
        next_ = at + frame_size((<const FrameHead*>(start + at)).size)
        if next_ - first > most and at > first:
            parts.append(frames[first:at])
            first = at
        at = next_
    parts.append(frames[first:])
    return parts


def frame_records(bytes frames not None):
    """The records of whole frames, in order. Raises ValueError where a frame is damaged, naming its offset."""
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), at = 0
    cdef const FrameHead* head
    records = []
    while at < size:
        head = <const FrameHead*>(start + at)
        if not frame_sound(start + at, size - at) or head.mark != FRAME_RECORD:
            raise ValueError(f"a record at byte {at} of its stretch is damaged")
        records.append((<const char*>(head + 1))[: head.size])
        at += frame_size(head.size)
    return records


def frame_epochs(bytes frames not None):
    """The epoch of each of the frames, which `frame_records` has found whole."""
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), at = 0
    epochs = []
    while at < size:
        epochs.append((<const FrameHead*>(start + at)).epoch)
        at += frame_size((<const FrameHead*>(start + at)).size)
    return epochs


def frames_first(bytes frames not None, uint64_t count):
    """The first `count` of the frames, which `frame_records` has found whole."""
    cdef const char* start = <const char*>frames
    cdef uint64_t at = 0
    for _ in range(count):
        at += frame_size((<const FrameHead*>(start + at)).size)
    return frames[:at]


def frames_with(bytes frames not None, dict replaced):
    """The frames with other records in place of some; `replaced`: sequence number -> record."""
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), at = 0
    cdef const FrameHead* head
    parts = []
    while at < size:
        head = <const FrameHead*>(start + at)
        record = replaced.get((<const RecordHead*>(head + 1)).seq)
        parts.append(frames_of([record], head.epoch) if record is not None else frames[at : at + frame_size(head.size)])
        at += frame_size(head.size)
    return b"".join(parts)


cdef const RecordHead* head_in(bytes record) except NULL:
    cdef const RecordHead* head = <const RecordHead*><const char*>record
    if <uint64_t>len(record) < sizeof(RecordHead) or head.size != <uint64_t>len(record):
        raise ValueError("a record is of another length than it says")
    return head


def record_head(bytes record not None):
    """(sequence number, type, time, index of the policy) of a record. Raises ValueError."""
    cdef const RecordHead* head = head_in(record)
    return head.seq, head.type, head.time, head.book


def record_event(bytes record not None):
    """The id of the event that a record is about. Raises ValueError when it is about none."""
    cdef const RecordHead* head = head_in(record)
    if not has_facts(head) or head.id_at < sizeof(RecordHead) or <uint64_t>head.id_at + head.id_size > head.size:
        raise ValueError(f"record {head.seq}: its event's id lies outside of it")
    return record[head.id_at : head.id_at + head.id_size].decode()


def record_with(bytes record not None, content):
    """A record of no event with another content."""
    cdef const RecordHead* head = head_in(record)
    return plain_record(head.type, head.seq, head.time, content)


def record_content(bytes record not None):
    """What the record of a list's change, an update or a policy says. Raises ValueError when it is none of them."""
    return plain_content(record)


def fingerprint_of(str event_id, bytes key not None):
    """The fingerprint of an event id, as stretches keep it."""
    raw = event_id.encode()
    return hash_text(hash_key(key), <const char*>raw, <uint32_t>len(raw)).lo


def ids_find(const uint8_t[::1] ids not None, uint64_t fingerprint):
    """The sequence numbers under a fingerprint. O(log n)."""
    cdef uint64_t low = 0, high = <uint64_t>ids.shape[0] // sizeof(IdEntry), count = high, middle
    cdef const IdEntry* entries = <const IdEntry*>&ids[0] if count else NULL
    while low < high:
        middle = (low + high) // 2
        if entries[middle].fingerprint < fingerprint:
            low = middle + 1
        else:
            high = middle
    found = []
    while low < count and entries[low].fingerprint == fingerprint:
        found.append(entries[low].seq)
        low += 1
    return found


def ids_merged(list runs not None, bytes prefix not None):
    """One sorted run of several, behind `prefix`. O(n log n), off the GIL."""
    cdef uint64_t total = <uint64_t>len(prefix), at = total, i, count = <uint64_t>len(runs)
    cdef const char** parts = <const char**>take(count, sizeof(void*))
    cdef uint64_t* sizes = <uint64_t*>take(count, sizeof(uint64_t))
    cdef uint64_t start = at
    try:
        for i in range(count):
            parts[i], sizes[i] = <const char*>(<bytes>runs[i]), <uint64_t>len(<bytes>runs[i])
            total += sizes[i]
        value = PyBytes_FromStringAndSize(<const char*>NULL, <Py_ssize_t>total)
        out = PyBytes_AS_STRING(value)
        memcpy(out, <const char*>prefix, start)
        with nogil:
            for i in range(count):
                memcpy(out + at, parts[i], sizes[i])
                at += sizes[i]
            qsort(out + start, (total - start) // sizeof(IdEntry), sizeof(IdEntry), by_fingerprint)
        return value
    finally:
        free(parts)
        free(sizes)


def frame_operations(bytes frames not None):
    """The records among whole frames that are kept for good: lists' changes, policies, controls, alerts, holds, erasures."""
    cdef const char* start = <const char*>frames
    cdef uint64_t size = <uint64_t>len(frames), at = 0
    cdef const RecordHead* record
    found = []
    while at < size:
        record = <const RecordHead*>(start + at + sizeof(FrameHead))
        if is_kept(record.type):
            found.append((<const char*>record)[: record.size])
        at += frame_size(record.size)
    return found


def sealed(bytes key not None, bytes value not None):
    """The value with the CRC-32C of its key and itself behind it. Lets go of the GIL."""
    cdef uint64_t size = <uint64_t>len(value), key_size = <uint64_t>len(key)
    cdef const char* source = <const char*>value
    cdef const char* name = <const char*>key
    cdef uint32_t crc
    result = PyBytes_FromStringAndSize(<const char*>NULL, <Py_ssize_t>(size + 4))
    cdef char* out = PyBytes_AS_STRING(result)
    with nogil:
        memcpy(out, source, size)
        crc = crc32c_of(crc32c_of(0, name, key_size), source, size)
        memcpy(out + size, &crc, 4)
    return result
