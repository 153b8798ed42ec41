# The quick way through an owner: `decide` and `decide_many` from the bytes of a frame to the bytes of its answer, without a
# Python object for request, event or answer. What is out of the ordinary is left to serve/calls.py, which says the same.

cdef enum:
    BATCH_EVENTS_MAX = 256  # limits.BATCH_EVENTS_MAX

cdef struct Asked:  # a request that the gate takes
    uint64_t id
    bint many
    uint64_t count  # events
    const uint8_t* events  # the first
    const uint8_t* end
    const char* point  # NULL: none is named
    uint32_t point_size


@cython.final
cdef class Gate:
    """Decides what comes through channels. `has_room`: asked before each batch; where it says no, the batch is left alone.

    asked, op: the request that an exception was about. decisions, batches: requests answered; the caller's to set back.
    """

    cdef Core core
    cdef object has_room
    cdef PackedEvent event
    cdef readonly uint64_t asked
    cdef readonly str op
    cdef public uint64_t decisions
    cdef public uint64_t batches

    def __cinit__(self, Core core not None, has_room):
        self.core, self.has_room, self.event = core, has_room, PackedEvent()

    def serve(self, Channel channel not None):
        """Answers the requests in front that it takes; the payload of the next one, which it does not take. None: no whole
        frame is left. Raises what a request was refused with, which is taken then; ProtocolError, with `asked` 0, for bytes
        that are no frame."""
        cdef Asked asked
        cdef const uint8_t* payload
        cdef uint32_t size = 0
        self.asked = 0
        while True:
            payload = channel.whole(&size)
            if payload == NULL:
                return None
            if not (read_asked(payload, payload + size, &asked) and phrases_of(self.core.book).is_flat):
                return channel.take()
            if asked.many and not self.has_room():
                return channel.take()
            self.asked, self.op = asked.id, "decide_many" if asked.many else "decide"
            if not self.answered(channel, &asked, size):
                return channel.take()
            self.asked = 0

    # False: the answer is longer than a frame; nothing is written. The request is taken, unless that is so.
    cdef bint answered(self, Channel channel, const Asked* asked, uint32_t size) except -1:
        cdef Ink* out = &channel.out
        cdef uint64_t begin = begin_frame(out)
        cdef bint fits
        try:
            pack_byte_and(out, 0x92, 0, 0)
            pack_unsigned(out, asked.id)
            self.decide(out, asked)
        except BaseException:
            out.used = begin
            channel.taken += HEAD_BYTES + size
            raise
        fits = out.used - begin - HEAD_BYTES <= FRAME_BYTES_MAX
        if not fits:
            out.used = begin
            return False
        end_frame(out, begin)
        channel.taken += HEAD_BYTES + size
        self.batches += asked.many
        self.decisions += not asked.many
        return True

    cdef int decide(self, Ink* out, const Asked* asked) except -1:
        cdef const uint8_t* p = asked.events
        cdef uint64_t i
        point = asked.point[: asked.point_size].decode() if asked.point != NULL else None
        if asked.many:
            pack_byte_and(out, 0x81, 0, 0)
            pack_text(out, b"decisions", 9)
            pack_head(out, 0xDC, asked.count)
        for i in range(asked.count):
            self.event.start = p
            p = skip_packed(p, asked.end)
            self.event.end = p
            pack_decision(out, decide_packed(self.core, self.event, point))
        return 0


cdef Decision decide_packed(Core core, PackedEvent event, object point):
    cdef Frame* frame
    cdef Decision decision = None
    while decision is None:  # again where another policy was put in force meanwhile
        frame = core.enter(event, False)
        try:
            decision = core.decide_frame(frame, point)
        finally:
            core.give_frame(frame)
    return decision


# Is it `decide` of a map, or `decide_many` of an array of maps, with no option but a point? All of it is skipped whole, so that
# what is read later is there.
cdef bint read_asked(const uint8_t* p, const uint8_t* end, Asked* asked) noexcept nogil:
    cdef const char* op = NULL
    cdef uint32_t size = 0
    cdef int64_t ident = 0
    cdef const uint8_t* options
    if (p[0] != 0x93 and p[0] != 0x94) or skip_packed(p, end) != end:
        return False
    asked.end, asked.point, options = end, NULL, NULL
    if not get_whole(p + 1, &ident) or ident < 1:
        return False
    asked.id = <uint64_t>ident
    p = get_text(skip_packed(p + 1, end), &op, &size)
    if p == NULL:
        return False
    asked.many = size == 11 and memcmp(op, b"decide_many", 11) == 0
    if not asked.many and not (size == 6 and memcmp(op, b"decide", 6) == 0):
        return False
    asked.events = read_events(p, end, asked)
    if asked.events == NULL:
        return False
    options = skip_packed(p, end)
    return options == end or read_point(options, end, asked)


# The first event at `p`; NULL: not what the gate takes.
cdef const uint8_t* read_events(const uint8_t* p, const uint8_t* end, Asked* asked) noexcept nogil:
    cdef const uint8_t* first
    cdef uint64_t pairs, i
    asked.count = 1
    if asked.many:
        p = get_array(p, &asked.count)
        if p == NULL or asked.count > BATCH_EVENTS_MAX:
            return NULL
    first = p
    for i in range(asked.count):
        if get_map(p, &pairs) == NULL:
            return NULL
        p = skip_packed(p, end)
    return first


# Options: nil, or a map with no more than a point, and strict=False.
cdef bint read_point(const uint8_t* p, const uint8_t* end, Asked* asked) noexcept nogil:
    cdef const char* key = NULL
    cdef uint32_t size = 0
    cdef uint64_t pairs = 0
    if p[0] == 0xC0:
        return True
    p = get_map(p, &pairs)
    while p != NULL and pairs:
        p = get_text(p, &key, &size)
        if p == NULL:
            return False
        if size == 5 and memcmp(key, b"point", 5) == 0:
            asked.point = NULL
            if p[0] != 0xC0 and (get_text(p, &asked.point, &asked.point_size) == NULL or not utf8_valid(asked.point, asked.point_size)):
                return False
        elif not (size == 6 and memcmp(key, b"strict", 6) == 0 and p[0] == 0xC2):
            return False
        p = skip_packed(p, end)
        pairs -= 1
    return p != NULL
