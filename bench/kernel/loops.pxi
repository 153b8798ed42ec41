# Every single call on its own clock. An event is made (decoded) just before it is decided, outside of the measured time,
# as in a service; freeing the decision before it belongs to the call, as it does there.

cdef extern from *:
    """
    #include <time.h>
    static inline int64_t bench_now(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static inline int64_t bench_own_time(void) {
        struct timespec t;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    /* Waits like a server does whose next request is not there yet. Spins through the last 60 us, because a sleep of the
       kernel ends that much too late. */
    static inline void bench_wait(int64_t until) {
        int64_t left;
        while ((left = until - bench_now()) > 0) {
            if (left > 120000) {
                struct timespec t = {0, left - 60000};
                if (t.tv_nsec > 900000000) t.tv_nsec = 900000000;
                nanosleep(&t, NULL);
            }
        }
    }
    """
    int64_t now "bench_now"() noexcept nogil
    int64_t own_time "bench_own_time"() noexcept nogil
    void wait_until "bench_wait"(int64_t until) noexcept nogil


def closed_loop(call, make, sources, Histogram times not None, sink=None):
    """`call(make(source))` for each of the sources, the next as soon as the last has returned; only `call` is timed.
    `sink(result)` sees every result, outside of the time."""
    cdef int64_t started
    result = None
    for source in sources:
        event = make(source)
        started = now()
        result = call(event)
        times.put(now() - started)
        if sink is not None:
            sink(result)


def open_loop(call, make, list sources not None, Histogram times not None, double per_second):
    """`call(make(source))` at fixed times, `per_second` of them. A call's time counts from when it was due, so that one which
    stalls is seen in all that had to wait behind it. Waiting lets other threads run."""
    cdef int64_t start = now() + 1_000_000
    cdef double step = 1e9 / per_second
    cdef int64_t due
    cdef Py_ssize_t i
    for i in range(len(sources)):
        event = make(sources[i])
        due = start + <int64_t>(i * step)
        with nogil:
            wait_until(due)
        call(event)
        times.put(now() - due)


def batch_ns(call, list events not None, bint wall=False):
    """Mean time in ns of `call(event)` for each of the events: this thread's own processor time, so that what else runs on the
    machine counts only by the cache it takes; or `wall` time."""
    cdef int64_t started = now() if wall else own_time()
    for event in events:
        call(event)
    return ((now() if wall else own_time()) - started) / <double>max(1, len(events))


def clock_ns(int rounds=100_000):
    """What the two readings of the clock around every call add to it, in ns."""
    cdef int64_t started = now()
    cdef int i
    for i in range(rounds):
        now()
    return (now() - started) / <double>rounds
