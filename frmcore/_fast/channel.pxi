# Frames over a stream socket, at both of its ends: four bytes of length, big-endian, then as many of MessagePack. Reading takes
# what there is, sending what the other side takes; only `answer` waits.

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno

cdef extern from *:
    """
    #include <errno.h>
    #include <poll.h>
    #include <sys/socket.h>
    #include <time.h>
    static inline int64_t frm_steady_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    static inline int frm_poll(int number, short events, int64_t ns) {
        struct pollfd one = {.fd = number, .events = events};
        struct timespec left = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        return ppoll(&one, 1, &left, NULL);
    }
    """
    int64_t steady_ns "frm_steady_ns"() noexcept nogil
    int poll_ns "frm_poll"(int number, short events, int64_t ns) noexcept nogil
    ssize_t socket_recv "recv"(int number, void* data, size_t size, int flags) noexcept nogil
    ssize_t socket_send "send"(int number, const void* data, size_t size, int flags) noexcept nogil
    int errno
    const int EAGAIN, EINTR, EPIPE, EBADF, MSG_DONTWAIT, MSG_NOSIGNAL
    const short POLLIN, POLLOUT

cdef enum:
    HEAD_BYTES = 4
    FRAME_BYTES_MAX = 4194304  # limits.FRAME_BYTES_MAX
    KEPT_BYTES = 262144  # of a buffer that nothing is in
    SOON_NS = 50000  # what comes this soon, an answer or the next request, is looked for without sleeping
    SLEEPS = 32  # calls that sleep at once, after one that looked in vain

cdef enum Carried:
    CARRIED_FRAME  # a whole one was read
    CARRIED_FULL  # there is no room for more
    CARRIED_LATE
    CARRIED_END  # the other side closed
    CARRIED_SIGNAL
    CARRIED_ERROR  # errno says which


@cython.final
cdef class Channel:
    """One connected socket, which stays the caller's, by its descriptor. For one thread at a time.

    read_bytes: taken at most by one `read`.
    """

    cdef int number
    cdef uint64_t read_bytes
    cdef Ink seen  # what was read
    cdef uint64_t taken  # up to here it was taken
    cdef Ink out  # what is to be sent
    cdef uint64_t sent
    cdef uint32_t sleeps  # of `answer`, still to come

    def __cinit__(self, int number, uint64_t read_bytes):
        self.number, self.read_bytes = number, read_bytes

    def __dealloc__(self):
        free(self.seen.data)
        free(self.out.data)

    def close(self):
        """The descriptor may be somebody else's from now on: every later call that needs it raises OSError."""
        self.number = -1

    @property
    def unsent(self) -> int:
        """Bytes that the other side has not taken yet."""
        return self.out.used - self.sent

    @property
    def untaken(self) -> int:
        """Bytes that were read, and not taken yet."""
        return self.seen.used - self.taken

    # Room behind what was read; what was taken makes way.
    cdef int make_room(self) except -1:
        if self.taken == self.seen.used:
            self.taken = self.seen.used = 0
            shrink(&self.seen)
        if self.taken and self.seen.used + self.read_bytes > self.seen.room:
            memmove(self.seen.data, self.seen.data + self.taken, self.seen.used - self.taken)
            self.seen.used -= self.taken
            self.taken = 0
        return ink_need(&self.seen, self.read_bytes)

    def read(self) -> bool:
        """Takes in what has come. False: the other side closed. Raises OSError."""
        return self.receive() != 0

    # How many bytes came; 0: the other side closed; -1: nothing.
    cdef ssize_t receive(self) except -2:
        cdef ssize_t got
        self.make_room()
        got = socket_recv(self.number, self.seen.data + self.seen.used, self.read_bytes, MSG_DONTWAIT)
        if got > 0:
            self.seen.used += <uint64_t>got
        elif got < 0 and errno != EAGAIN and errno != EINTR:
            PyErr_SetFromErrno(OSError)
        return got

    # The next frame's payload, where all of it is there. Raises ProtocolError for what is none.
    cdef const uint8_t* whole(self, uint32_t* size) except? NULL:
        cdef uint64_t there = self.seen.used - self.taken
        if there < HEAD_BYTES:
            return NULL
        size[0] = <uint32_t>big_endian(self.seen.data + self.taken, HEAD_BYTES)
        if not 0 < size[0] <= FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {size[0]:,} bytes: expected 1 to {FRAME_BYTES_MAX:,}")
        if there < HEAD_BYTES + size[0]:
            return NULL
        return self.seen.data + self.taken + HEAD_BYTES

    def take(self):
        """The payload of the next frame, as bytes; None where none is there whole. Raises ProtocolError."""
        cdef uint32_t size = 0
        cdef const uint8_t* payload = self.whole(&size)
        if payload == NULL:
            return None
        self.taken += HEAD_BYTES + size
        return (<const char*>payload)[:size]

    def put(self, bytes payload not None):
        """A frame to be sent. The caller has seen that its size fits."""
        cdef uint64_t begin = begin_frame(&self.out)
        ink_need(&self.out, <uint64_t>len(payload))
        ink_raw(&self.out, <const char*>payload, <uint64_t>len(payload))
        end_frame(&self.out, begin)

    def flush(self) -> int:
        """Sends what the other side takes; how many bytes those were. Raises OSError."""
        cdef ssize_t gone = 0
        if self.out.used > self.sent:
            gone = socket_send(self.number, self.out.data + self.sent, self.out.used - self.sent, MSG_DONTWAIT | MSG_NOSIGNAL)
            if gone < 0 and errno != EAGAIN and errno != EINTR:
                PyErr_SetFromErrno(OSError)
            self.was_sent(gone)
        return max(gone, 0)

    cdef void was_sent(self, ssize_t gone) noexcept nogil:
        if gone > 0:
            self.sent += <uint64_t>gone
        if self.sent == self.out.used:
            self.sent = self.out.used = 0
            shrink(&self.out)
        elif self.sent > KEPT_BYTES:  # who takes a little at a time, and never all, must not make it grow
            self.out.used -= self.sent
            memmove(self.out.data, self.out.data + self.sent, self.out.used)
            self.sent = 0

    def ask(self, bytes payload not None, uint64_t number, double deadline) -> bytes:
        """Sends the request of that id; the payload of its answer, or of one with id 0. Answers that came too late for earlier
        requests are let go. Waits, and raises, as `answer`."""
        cdef uint64_t answered
        self.put(payload)
        while True:
            answer = self.answer(deadline)
            answered = <uint64_t>packed_id(answer)
            if answered == number or answered == 0:
                return answer

    def answer(self, double deadline) -> bytes:
        """The payload of the next frame, once it is there; meanwhile sends what is to be sent. Other threads go on.

        deadline: by time.monotonic(). Raises TimeoutError, OSError, ProtocolError.
        """
        cdef int64_t until = <int64_t>(deadline * 1e9)
        cdef Carried carried
        cdef uint32_t size = 0
        self.make_room()
        while self.whole(&size) == NULL:
            with nogil:
                carried = self.carry(until)
            if carried == CARRIED_FULL:
                self.make_room()
            elif carried == CARRIED_SIGNAL:
                PyErr_CheckSignals()
            elif carried == CARRIED_LATE:
                raise TimeoutError
            elif carried == CARRIED_END:
                raise ConnectionResetError("the owner closed the connection")
            elif carried == CARRIED_ERROR:
                PyErr_SetFromErrno(OSError)
        return self.take()

    # Sends and reads until there is a whole frame, or a reason to stop.
    cdef Carried carry(self, int64_t until) noexcept nogil:
        cdef int64_t left
        cdef ssize_t moved
        while True:
            if self.out.used > self.sent:
                moved = socket_send(
                    self.number, self.out.data + self.sent, self.out.used - self.sent, MSG_DONTWAIT | MSG_NOSIGNAL
                )
                if moved < 0 and errno == EPIPE:
                    moved = <ssize_t>(self.out.used - self.sent)  # what was said before it hung up is still to be read
                elif moved < 0 and errno != EAGAIN and errno != EINTR:
                    return CARRIED_ERROR
                self.was_sent(moved)
            if self.seen.used == self.seen.room:
                return CARRIED_FULL
            moved = self.look(until)
            if moved < 0 and (errno == EAGAIN or errno == EINTR):
                left = until - steady_ns()
                moved = poll_ns(self.number, POLLIN | (POLLOUT if self.out.used > self.sent else 0), left if left > 0 else 0)
                if moved <= 0:
                    return CARRIED_LATE if moved == 0 else CARRIED_SIGNAL if errno == EINTR else CARRIED_ERROR
                continue
            if moved < 0:
                return CARRIED_ERROR
            self.seen.used += <uint64_t>moved
            return CARRIED_FRAME if moved else CARRIED_END

    # Reads what is there; -1: nothing is. An answer often comes sooner than a thread that sleeps would be woken up, so it is looked
    # for some time, unless that was in vain lately.
    cdef ssize_t look(self, int64_t until) noexcept nogil:
        cdef int64_t soon = min(until, steady_ns() + SOON_NS)
        cdef ssize_t moved
        while True:
            moved = socket_recv(self.number, self.seen.data + self.seen.used, self.seen.room - self.seen.used, MSG_DONTWAIT)
            if moved >= 0 or errno != EAGAIN or self.out.used > self.sent:
                return moved
            if self.sleeps or steady_ns() >= soon:
                self.sleeps = self.sleeps - 1 if self.sleeps else SLEEPS
                return moved


# A large buffer that nothing is in is given back.
cdef inline void shrink(Ink* ink) noexcept nogil:
    if ink.room > KEPT_BYTES:
        free(ink.data)
        ink.data, ink.room = NULL, 0


# Room for a frame's length; where the frame begins.
cdef inline uint64_t begin_frame(Ink* ink) except? 0xFFFFFFFFFFFFFFFF:
    ink_need(ink, HEAD_BYTES)
    ink.used += HEAD_BYTES
    return ink.used - HEAD_BYTES


cdef inline void end_frame(Ink* ink, uint64_t begin) noexcept:
    cdef uint64_t size = ink.used - begin - HEAD_BYTES
    cdef uint32_t i
    for i in range(HEAD_BYTES):
        ink.data[begin + i] = <uint8_t>(size >> (8 * (HEAD_BYTES - 1 - i)))
