# The quick way through an owner: from the poll and the bytes of a frame to the bytes of its answer, for `decide` and
# `decide_many`, without a Python object for request, event or answer. What is out of the ordinary is left to serve/server.py and
# serve/calls.py, which say the same.

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_wait(int poll, epoll_event* events, int most, int milliseconds)
    const uint32_t EPOLLIN

cdef enum:
    BATCH_EVENTS_MAX = 256  # limits.BATCH_EVENTS_MAX
    EVENTS_AT_ONCE = 64  # of a poll
    SHORTEST_ASKED = 16  # bytes; what is shorter has no event that is one

cdef struct Asked:  # a request that the gate takes
    uint64_t id
    bint many
    uint64_t count  # events
    const uint8_t* starts[BATCH_EVENTS_MAX + 1]  # of the events, and where the last one ends
    const char* point  # NULL: none is named
    uint32_t point_size


@cython.final
cdef class Gate:
    """Decides what comes through channels. `has_room`: asked before each batch; where it says no, the batch is left alone.
    `refused`: makes the payload of an answer from a request's id and the exception it was refused with.
    `settled`: told when answers have gone out, and since when, by time.perf_counter_ns, they were worked on.

    channels: by descriptor, those that `attend` serves. decisions, batches: requests answered; the caller's to set back.
    """

    cdef Core core
    cdef object has_room
    cdef object refused
    cdef object settled
    cdef PackedEvent event
    cdef bint is_busy  # the last wait was short
    cdef readonly dict channels
    cdef public uint64_t decisions
    cdef public uint64_t batches

    def __cinit__(self, Core core not None, has_room, refused, settled):
        self.core, self.has_room, self.refused, self.settled = core, has_room, refused, settled
        self.event, self.channels = PackedEvent(), {}

    def attend(self, int poll, double seconds):
        """Answers what comes through `channels` for so many seconds, or until something else comes: that, as an epoll object
        tells it, without an event where it was read already. poll: its descriptor. Waits off the GIL. Raises what handlers of
        signals raise."""
        cdef epoll_event events[EVENTS_AT_ONCE]
        cdef int64_t until = steady_ns() + <int64_t>(seconds * 1e9)
        cdef int count = 1, i
        others = []
        while count > 0 and not others and steady_ns() < until:
            with nogil:
                count = self.wait(poll, events, until)
            for i in range(count):
                if not self.is_done(&events[i]):
                    others.append((events[i].data.fd, events[i].events))
            PyErr_CheckSignals()
        return others

    # How many events there are; -1: a signal came. Under load the next request comes sooner than a thread that sleeps would be
    # woken up.
    cdef int wait(self, int poll, epoll_event* events, int64_t until) noexcept nogil:
        cdef int64_t now = steady_ns(), soon = now + SOON_NS
        cdef int count = 0
        while self.is_busy and count == 0 and now < min(soon, until):
            count = epoll_wait(poll, events, EVENTS_AT_ONCE, 0)
            now = steady_ns()
        if count == 0 and now < until:
            count = epoll_wait(poll, events, EVENTS_AT_ONCE, <int>((until - now + 999999) / 1000000))
        self.is_busy = steady_ns() < soon
        return count

    # Was all that came answered? If not the caller sees why: a request of another kind, a part of a frame, bytes that are none,
    # answers that nobody takes, an end. What was read is no event any more, lest the caller reads again and finds the end first.
    cdef bint is_done(self, epoll_event* event) except -1:
        cdef int64_t started = steady_ns()
        cdef Channel channel = self.channels.get(event.data.fd)
        cdef bint is_clear = False
        if channel is None or event.events != EPOLLIN or channel.taken < channel.seen.used or channel.out.used:
            return False
        try:
            if channel.receive() <= 0:
                return False
            event.events = 0
            is_clear = self.answer_all(channel)
            channel.flush()
        except (ProtocolError, OSError):
            return False
        if self.decisions or self.batches:
            self.settled(started)
        return is_clear and channel.taken == channel.seen.used and channel.out.used == 0

    def serve(self, Channel channel not None):
        """Answers the requests in front that it takes; the payload of the next one, which it does not take. None: no whole
        frame is left. Raises ProtocolError for bytes that are no frame."""
        return None if self.answer_all(channel) else channel.take()

    # False: in front is a request that the gate does not take.
    cdef bint answer_all(self, Channel channel) except -1:
        cdef Asked asked
        cdef const uint8_t* payload
        cdef uint32_t size = 0
        while True:
            payload = channel.whole(&size)
            if payload == NULL:
                return True
            if not (read_asked(payload, payload + size, &asked) and phrases_of(self.core.book).is_flat):
                return False
            if asked.many and not self.has_room():
                return False
            if not self.is_answered(channel, &asked, size):
                return False
            self.batches += asked.many
            self.decisions += not asked.many

    # False: the answer is longer than a frame; nothing is written, and the request not taken.
    cdef bint is_answered(self, Channel channel, const Asked* asked, uint32_t size) except -1:
        cdef Ink* out = &channel.out
        cdef uint64_t begin = begin_frame(out)
        try:
            pack_byte_and(out, 0x92, 0, 0)
            pack_unsigned(out, asked.id)
            self.decide(out, asked)
            if out.used - begin - HEAD_BYTES > FRAME_BYTES_MAX:
                out.used = begin
                return False
            end_frame(out, begin)
        except BaseException as error:
            out.used = begin
            if not isinstance(error, Exception):
                raise
            channel.put(self.refused(asked.id, error))
        channel.taken += HEAD_BYTES + size
        return True

    cdef int decide(self, Ink* out, const Asked* asked) except -1:
        cdef uint64_t i
        point = asked.point[: asked.point_size].decode() if asked.point != NULL else None
        if asked.many:
            pack_byte_and(out, 0x81, 0, 0)
            pack_text(out, b"decisions", 9)
            pack_head(out, 0xDC, asked.count)
        for i in range(asked.count):
            self.event.start, self.event.end = asked.starts[i], asked.starts[i + 1]
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


# Is it `decide` of a map, or `decide_many` of an array of maps, with no option but a point? It is gone through once to its end,
# so that what is read later is there.
cdef bint read_asked(const uint8_t* p, const uint8_t* end, Asked* asked) noexcept nogil:
    cdef const char* op = NULL
    cdef uint32_t size = 0
    cdef int64_t ident = 0
    cdef bint has_options = p[0] == 0x94
    if end - p < SHORTEST_ASKED or not (has_options or p[0] == 0x93) or not get_whole(p + 1, &ident) or ident < 1:
        return False
    asked.id, asked.point = <uint64_t>ident, NULL
    p = get_text(behind(p + 1, end), &op, &size)
    if p == NULL or end - p < PACK_HEAD_BYTES:
        return False
    asked.many = size == 11 and memcmp(op, b"decide_many", 11) == 0
    if not asked.many and not (size == 6 and memcmp(op, b"decide", 6) == 0):
        return False
    p = read_events(p, end, asked)
    if p == NULL or not has_options:
        return p == end
    return skip_packed(p, end) == end and read_point(p, end, asked)


# Behind the events at `p`; NULL: not what the gate takes.
cdef const uint8_t* read_events(const uint8_t* p, const uint8_t* end, Asked* asked) noexcept nogil:
    cdef uint64_t i
    asked.count = 1
    if asked.many:
        p = get_array(p, &asked.count)
        if p == NULL or asked.count > BATCH_EVENTS_MAX:
            return NULL
    for i in range(asked.count):
        if p == end or not (0x80 <= p[0] < 0x90 or p[0] == 0xDE or p[0] == 0xDF):  # maps
            return NULL
        asked.starts[i] = p
        p = skip_packed(p, end)
        if p == NULL:
            return NULL
    asked.starts[asked.count] = p
    return p


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
