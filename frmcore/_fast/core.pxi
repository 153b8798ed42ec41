# The route itself. Every call: read the event into a frame (may run Python code, touches nothing of the engine), then decide
# and record without running any (so that it is atomic under the GIL), then give back a Decision.

from threading import RLock as _RLock

from frmcore.durations import format_timestamp as _format_timestamp
from frmcore.names import nearest

cdef extern from *:
    """
    #define FRM_SECONDS_MAX 100000000000LL
    #define FRM_YEAR_SECONDS 31536000LL
    #include <pthread.h>
    #include <time.h>
    static uint64_t frm_forks = 0;
    static void frm_forked(void) { frm_forks++; }
    static void frm_watch_forks(void) { pthread_atfork(NULL, NULL, frm_forked); }
    static inline int64_t frm_system_ms(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }
    """
    uint64_t forks "frm_forks"
    void watch_forks "frm_watch_forks"() noexcept
    int64_t system_ms "frm_system_ms"() noexcept
    const int64_t SECONDS_MAX "FRM_SECONDS_MAX"  # limits.SECONDS_MAX
    const int64_t YEAR_SECONDS "FRM_YEAR_SECONDS"

cdef extern from "Python.h":
    int gc_pause "PyGC_Disable"() noexcept  # whether it was enabled
    int gc_resume "PyGC_Enable"() noexcept

watch_forks()

cdef enum:
    FORGET_MAX = 4  # records given up for each one recorded: constant work, and the head always catches up
    SWITCH_BYTES = 1 << 19  # of journal that a reload may still fill in while everything waits: some milliseconds
    SWEEP_EVERY = 4  # events recorded for each bucket that is swept


def system_clock():
    """Milliseconds since the epoch."""
    return system_ms()


cdef struct Counters:
    uint64_t decided, again, observed, updated, duplicates, conflicts, too_old, ahead, late, forgotten, overflows


@cython.final
@cython.no_gc_clear
cdef class Core:
    """The state of an engine and the calls that change it. `frmcore.Engine` is its public face."""

    cdef readonly Book book
    cdef Layout layout
    cdef list books
    cdef list store_list
    cdef PyObject** stores
    cdef readonly Lists lists
    cdef Seen seen
    cdef Log log
    cdef Frame* pool
    cdef HashKey key
    cdef HashKey private_key
    cdef bytes secret
    cdef bytes private_secret
    cdef Texts texts
    cdef dict list_tables
    cdef readonly uint64_t seq
    cdef int64_t watermark_, oldest, floor_, guard
    cdef int64_t list_line  # entries of lists that expired at or before it are gone
    cdef bint any_recorded, any_forgotten
    cdef object clock
    cdef int64_t max_ahead
    cdef readonly bint is_open
    cdef uint64_t born  # forks when it was opened
    cdef Counters counters
    cdef dict invalid_by_field
    cdef uint64_t* decided_by_outcome
    cdef object lock  # google-re2 lets go of the GIL while it searches; then this keeps calls apart
    cdef uint32_t sweep_at, sweep_list_at, list_count
    cdef list hooks
    cdef object keeper
    cdef JournalRing journal  # None: nothing outlives the process
    cdef bint survives  # what the journal holds survives the process
    cdef dict pieces  # recovery: (signature, generation) -> the checkpoint's pieces of a group that no policy brought yet
    cdef dict origins  # recovery: signature -> (generation, given_up, gap) under the policy that replay starts with
    cdef uint64_t replay_seq  # of the operation that is being replayed; 0: none is
    cdef uint64_t covered_until  # every piece holds at least the operations up to here
    cdef uint64_t back_fill_from  # replaying a reload: what was remembered then
    cdef uint32_t filled_book  # of a filler: the policy that was in force at the operation
    cdef bint is_settled  # replay has reached the state's own sequence number
    cdef uint64_t ids_limit  # what max_memory leaves of ids_max
    cdef uint32_t unchecked  # events recorded since memory was looked at
    cdef bint is_pressed  # something is to be evicted
    cdef bint is_sweeping  # what was evicted goes in larger steps
    cdef RuleControl* controls  # by rule; NULL: nothing is controlled
    cdef uint32_t control_count
    cdef Breaker* breakers
    cdef uint32_t breaker_count
    cdef list breaker_keys  # (rule, digest) of each
    cdef dict switches  # ("rule" or "group", name) -> what was said
    cdef dict snoozes  # (rule, field, value) -> what was said
    cdef dict tripped  # rule -> when and why its breaker tripped
    cdef dict alerted  # (rule, field) -> value -> time of the last alert
    cdef list owed  # (type, time, content) of operations that follow from a decision, to be recorded behind it
    cdef bytes alert_bytes  # alerts of the decision that is being made, as its record has them

    def __cinit__(self, plan, policy, list contents, bytes key, bytes private_key, clock, max_ahead, Recovered recovered=None):
        memset(&self.log, 0, sizeof(Log))
        self.key = hash_key(key)
        self.private_key = hash_key(private_key)
        self.list_tables = {}
        self.clock, self.max_ahead = clock, plan.limits.max_ahead_ms if max_ahead is None else max_ahead
        self.lock = _RLock()
        self.books, self.store_list, self.hooks, self.invalid_by_field = [], [], [], {}
        self.watermark_ = self.oldest = self.floor_ = self.guard = self.list_line = INT64_MIN
        self.born, self.is_open, self.ids_limit = forks, True, UINT64_MAX
        self.seen, self.texts = Seen(), Texts(key)
        self.secret, self.private_secret = key, private_key
        self.pieces, self.origins = {}, {}
        self.breaker_keys, self.owed = [], []
        self.switches, self.snoozes, self.tripped, self.alerted = {}, {}, {}, {}
        if recovered is not None:
            self.recover_from(recovered)
        put_in_force(self, prepare_policy(self, plan, policy, contents, {}))
        self.origins = {}

    def __dealloc__(self):
        self.drop_frames()
        log_free(&self.log)
        free_controls(self)
        free(self.breakers)
        free(self.stores)
        free(self.decided_by_outcome)

    # ---- opening, closing, policies -------------------------------------------------------------------------------

    cdef int check_open(self) except -1:
        if not self.is_open:
            raise EngineClosed("the engine is closed: open a new one")
        if self.born != forks:
            raise EngineForked(
                "the engine was opened before this process was forked, and two processes may not share one state: "
                "open it in the child (gunicorn: in post_fork, without --preload)"
            )
        return 0

    def close(self):
        """Frees the state; every later call raises EngineClosed."""
        with self.lock:
            self.is_open = False
            self.drop_frames()
            self.seen.clear()
            log_free(&self.log)
            self.store_list = []

    def reload(self, plan, policy, list contents, dict files):
        """Puts another policy in force between two operations; lowered with `keep=groups()`. `files`: name -> digest."""
        with self.lock:
            now = self.reload_time()
            self.switch(prepare_policy(self, plan, policy, contents, {}), files, now, None, 0)

    def reload_filled(self, plan, policy, list contents, dict files, Core filler not None, uint64_t filled_from):
        """`reload`, with the rings of new groups taken from a filler, after what the ring still has was filled in too.

        False, and nothing is done, where that is more than a short stop of the other threads can take in.
        """
        with self.lock:
            now = self.reload_time()
            prepared = prepare_policy(self, plan, policy, contents, filled_stores(filler))
            return self.switch(prepared, files, now, filler, filled_from)

    cdef int64_t reload_time(self) except? -1:
        self.check_open()
        if len(self.books) > 0xFFFF:
            raise ValueError("65,536 policies were loaded into one engine: open a new one")
        return self.now_ms()

    cdef bint switch(self, tuple prepared, dict files, int64_t now, Core filler, uint64_t filled_from) except -1:
        cdef bint was_on = gc_pause()
        try:
            if filler is not None and not self.catches_up(filler):
                return False
            put_in_force(self, prepared)
            self.seq += 1
            record = policy_record(self, files, now, filled_from)
            self.write(record)
        finally:
            if was_on:
                gc_resume()
        self.tell_hooks(record)
        return True

    # The filler up to the last operation, if little is left.
    cdef bint catches_up(self, Core filler) except -1:
        if self.journal.spilling or self.journal.used > SWITCH_BYTES:
            return False
        fill_frames(filler, self.journal.pending(), self.seq)
        return filler.seq == self.seq

    def filler(self, plan, policy, list contents, uint64_t seq, int64_t gap):
        """A Core that fills the groups which `plan` has and this one lacks, from the operations behind `seq`. Events up to
        the time `gap` are in the journal no more."""
        return make_filler(self, plan, policy, contents, seq, gap)

    def fill(self, bytes frames not None, uint64_t last):
        """A filler: applies recorded operations up to the sequence number `last`, of whatever policy. Raises ValueError."""
        fill_frames(self, frames, last)

    def policy_record(self, dict files):
        """The record of the policy in force, as the first operation of a store."""
        return policy_record(self, files, self.now_ms(), 0)

    # The sequence number of the oldest event that is remembered.
    cdef uint64_t log_start(self) noexcept:
        cdef const RecordHead* head = log_head(&self.log)
        return head.seq if head != NULL else self.seq + 1

    def groups(self):
        """The groups whose rings a reload may keep."""
        return tuple([(<RingStore>store).group for store in self.store_list])

    cdef void drop_frames(self) noexcept:
        cdef Frame* following
        while self.pool != NULL:
            following = self.pool.next
            frame_free(self.pool)
            self.pool = following

    # ---- frames ---------------------------------------------------------------------------------------------------

    cdef Frame* take_frame(self) except NULL:
        cdef Frame* frame = self.pool
        if frame == NULL:
            return frame_new(self.book, self.layout)
        self.pool = frame.next
        frame.told_count, frame.is_hashed = 0, False
        return frame

    # A frame of an older policy goes; it would not fit the next call.
    cdef void give_frame(self, Frame* frame) noexcept:
        if frame.pauses_gc:
            frame.pauses_gc = False
            gc_resume()
        if frame.holds_lock:
            frame.holds_lock = False
            self.lock.release()
        if frame.book != self.book.index or not self.is_open:
            frame_free(frame)
            return
        arena_reset(&frame.arena)
        frame.next = self.pool
        self.pool = frame

    # An event in a frame: read, checked, derived, private values hashed. The one stage that may run Python code; if that
    # code reloaded the policy, the event is read again under the new one.
    cdef Frame* enter(self, object event, bint strict) except NULL:
        cdef Frame* frame
        while True:
            self.check_open()
            book = self.book
            frame = self.take_frame()
            try:
                read_event(book, frame, event, strict)
                self.check_time(frame.time)
                convert_money(book, frame)
                self.hold(frame)
                if book is self.book:
                    derive(self, book, frame)
                    return frame
            except InvalidEvent as error:
                self.count_invalid(error.field)
                self.give_frame(frame)
                raise
            except BaseException:
                self.give_frame(frame)
                raise
            self.give_frame(frame)

    # A frame that was read ahead, now that its turn has come. Of one that is refused nothing remains.
    cdef Frame* admit(self, Frame* frame) except NULL:
        try:
            self.check_open()
            self.check_time(frame.time)
            self.hold(frame)
            return frame
        except BaseException as error:
            if isinstance(error, InvalidEvent):
                self.count_invalid(error.field)
            self.give_frame(frame)
            raise

    # All that may run Python code is done: from here on, until it gives the frame back, the call is alone with the state. Under
    # the GIL it is so by itself, unless google-re2 lets go of it, or garbage is collected: any list, tuple or dict that is
    # made may start that, and finalizers run Python code.
    cdef int hold(self, Frame* frame) except -1:
        if self.book.program.runs_python and not frame.holds_lock:
            self.lock.acquire()
            frame.holds_lock = True
        frame.pauses_gc |= gc_pause()
        return self.check_open()

    # A frame for looking: nothing of the caller's has to be read into it.
    cdef Frame* take_held(self) except NULL:
        cdef Frame* frame = self.take_frame()
        try:
            self.hold(frame)
        except BaseException:
            self.give_frame(frame)
            raise
        return frame

    # Updates in a frame, as `enter` has an event. `content`: of the record that is to tell them (None: nobody wants one).
    cdef Frame* enter_told(self, dict fields, uint32_t* count, dict content) except NULL:
        cdef Frame* frame
        while True:
            self.check_open()
            frame = self.take_frame()
            try:
                count[0] = read_tellings(self.book, frame, fields)
                if content is not None and frame.book == self.book.index:
                    content["fields"] = told_content(self.book, frame, count[0])
                self.hold(frame)
                if frame.book == self.book.index:
                    return frame
            except BaseException:
                self.give_frame(frame)
                raise
            self.give_frame(frame)

    # By the clock, where there is one: neither of the future, nor in seconds.
    cdef int check_time(self, int64_t time) except -1:
        cdef int64_t now
        if self.clock is None or SECONDS_MAX < time <= self.guard:
            return 0
        now = self.now_ms()
        self.guard = now + self.max_ahead
        name = self.book.names[self.book.time_reg]
        if now > SECONDS_MAX and -YEAR_SECONDS < time - now // 1_000 < YEAR_SECONDS:
            raise InvalidEvent(
                f"{name}: {time} is of {_format_timestamp(time)}: is it in seconds? A time is in epoch milliseconds, or RFC 3339; to "
                "replay history as old as that open the engine with clock=None", name
            )
        if time > self.guard:
            self.counters.ahead += 1
            raise InvalidEvent(
                f"{name}: the event is {time - self.guard + self.max_ahead} ms ahead of the clock, more than max_ahead "
                f"({self.max_ahead} ms) allows: one such event would empty every window. Check the sender's clock, and that "
                "the time is in milliseconds; to replay history open the engine with clock=None", name
            )
        return 0

    def unreadable(self, message):
        """The error for an event that can't even be read, counted like every other."""
        self.check_open()
        self.count_invalid(None)
        return InvalidEvent(message)

    cdef int64_t now_ms(self) except? -1:
        if self.clock is None:
            return self.watermark_ if self.any_recorded else 0
        return system_ms() if self.clock is system_clock else self.clock()

    def now(self):
        """Epoch milliseconds by the engine's clock; without a clock, the watermark, and None before the first event."""
        self.check_open()
        return None if self.clock is None and not self.any_recorded else self.now_ms()

    # By field of the policy; other names come from outside and must not fill the memory.
    cdef int count_invalid(self, object field) except -1:
        field = field if field in self.book.names else None
        self.invalid_by_field[field] = self.invalid_by_field.get(field, 0) + 1
        return 0

    # ---- decide ---------------------------------------------------------------------------------------------------

    def decide(self, event, point=None, *, strict=False):
        cdef Frame* frame
        cdef Decision decision = None
        while decision is None:
            frame = self.enter(event, strict)
            try:
                decision = self.decide_frame(frame, point)
            finally:
                self.give_frame(frame)
        return decision

    def decide_many(self, events, int64_t first, int64_t last, point=None):
        """Decides events[first:last] of a list, or these rows of an ArrowRows' batch; the decisions. As `decide` for each."""
        decisions = []
        run_span(self, events, first, last, point, decisions)
        return decisions

    def decide_columns(self, events, int64_t first, int64_t last, object point, int64_t tag, Columns columns not None):
        """The same into columns; row `first` is tagged `tag`, and so on. Raises as `decide` for a row that is refused: `columns.row`
        is its index, those before it are decided, and the others may be asked for."""
        columns.origin, columns.observes = tag - first, False
        run_span(self, events, first, last, point, columns)

    def observe_columns(self, events, int64_t first, int64_t last, Columns columns not None):
        """Observes them; into the columns goes the index alone of a row that is refused."""
        columns.observes = True
        run_span(self, events, first, last, None, columns)

    def observe_many(self, events, int64_t first, int64_t last):
        """Observes them."""
        run_span(self, events, first, last, None, None)

    # None where another policy was put in force meanwhile: the event is read again.
    cdef Decision decide_frame(self, Frame* frame, object point_name):
        cdef IdRecord* known = self.find_id(frame)
        cdef uint32_t point = self.point_for(frame, point_name)
        cdef const RecordHead* record
        cdef Decision decision
        if known != NULL:
            record = self.decided_before(known, frame, point)
            if record != NULL:
                return self.duplicate(record)
            return self.later(frame, point)
        record = self.decide_new(frame, point)
        followers = self.follow(frame, record)
        decision = self.recorded(record, False)
        self.finish(frame)
        self.tell_event(decision.record, followers)
        return decision

    # The same, into columns: no Decision is made of a new event. False where another policy was put in force meanwhile.
    cdef bint decide_into(self, Frame* frame, object point_name, Columns columns) except -1:
        cdef const RecordHead* record
        if self.find_id(frame) != NULL:
            decision = self.decide_frame(frame, point_name)
            if decision is None:
                return False
            columns.add(decision, columns.origin + columns.row)
            return True
        record = self.decide_new(frame, self.point_for(frame, point_name))
        followers = self.follow(frame, record)
        columns.put(record, columns.origin + columns.row)
        said = (<const char*>record)[: record.size] if self.hooks else None
        self.finish(frame)
        self.tell_event(said, followers)
        return True

    # Decides an event that is not known, and records it.
    cdef inline const RecordHead* decide_new(self, Frame* frame, uint32_t point) except NULL:
        cdef const RecordHead* record
        self.check_age(frame)
        decide_route(self, self.book, frame, point, self.seq + 1)
        record = self.record_event(frame, RECORD_DECISION, point)
        self.decided_by_outcome[record.outcome] += 1
        self.counters.decided += 1
        count_verdict(self.book, &frame.verdict, point)
        return record

    # What follows from a decision: alerts remembered, breakers that trip; the records of that, behind its own.
    cdef inline list follow(self, Frame* frame, const RecordHead* record):
        if likely(self.breaker_count == 0 and not record.flags & FLAG_ALERTS):
            return None
        follow_decision(self, record, frame.kind_bit)
        return self.pay() if self.owed else None

    # The records of operations that are owed.
    cdef list pay(self):
        records = []
        for type_, time, content in self.owed:
            self.seq += 1
            record = plain_record(type_, self.seq, time, content)
            self.write(record)
            records.append(record)
        self.owed = []
        return records

    cdef int tell_followers(self, list records) except -1:
        if records is not None:
            for record in records:
                tell_of(record)
                self.tell_hooks(record)
        return 0

    # The decision that a record is.
    cdef inline Decision recorded(self, const RecordHead* record, bint duplicate):
        cdef Decision decision = new_decision(<Book>self.books[record.book], <const uint8_t*>record, duplicate)
        decision.durable = self.survives and self.journal.holds(record.seq)
        return decision

    # A known event at another point. The clock may be the caller's code: the event may be forgotten meanwhile.
    cdef Decision later(self, Frame* frame, uint32_t point):
        cdef int64_t now = self.now_ms()
        if frame.book != self.book.index:
            return None
        return self.again(self.known_id(self.event_id(frame)), frame, point, NULL, 0, now)

    def evaluate(self, event, point=None, *, strict=False):
        cdef Frame* frame = self.enter(event, strict)
        cdef IdRecord* known
        cdef const RecordHead* earlier
        cdef uint32_t at
        try:
            known = self.find_id(frame)
            at = self.point_for(frame, point)
            if known == NULL:
                self.check_age(frame)
                decide_route(self, self.book, frame, at, self.seq + 1)
                return self.unrecorded(frame, at)
            earlier = self.decided_before(known, frame, at)
            if earlier != NULL:
                return self.duplicate(earlier)
            return self.evaluate_again(known, frame, at)
        finally:
            self.give_frame(frame)

    cdef Decision evaluate_again(self, IdRecord* known, Frame* frame, uint32_t point):
        self.check_erased(known)
        load_event(self, self.book, frame, known)
        lift_cells(self, self.book, frame, known.record)
        try:
            self.route_again(known, frame, point)
            return self.unrecorded(frame, point)
        finally:
            load_event(self, self.book, frame, known)
            lower_cells(self, self.book, frame, known.record)

    cdef Decision unrecorded(self, Frame* frame, uint32_t point):
        cdef uint8_t* out = <uint8_t*>take(record_bound(self.book, frame.regs, &frame.verdict), 1)
        try:
            put_record(out, self.book, frame, RECORD_DECISION, point, 0)
            return new_decision(self.book, out, False)
        finally:
            free(out)

    # ---- decide again ---------------------------------------------------------------------------------------------

    def decide_again(self, event_id, point, at, dict fields):
        cdef IdRecord* known
        cdef uint32_t count
        self.check_open()
        told_at = self.told_at(at)
        cdef Frame* frame = self.enter_told(fields, &count, None)
        try:
            known = self.known_id(event_id)
            return self.again(known, frame, self.point_named(point), frame.tellings, count, told_at)
        finally:
            self.give_frame(frame)

    # A further decision about a known event, as of the event's own place, with everything known now.
    cdef Decision again(self, IdRecord* known, Frame* frame, uint32_t point, Telling* tellings, uint32_t count, int64_t at):
        cdef Book book = self.book
        cdef const RecordHead* earlier = self.decided_at(known, point)
        cdef const RecordHead* record
        cdef Decision decision
        if earlier != NULL:
            decision = self.recorded(earlier, True)
            if not known.record.flags & FLAG_ERASED and told_anew(self, book, known, tellings, count):
                raise EventConflict(
                    f"event {decision.event_id!r} was already decided at {decision.point!r}, with other updates: "
                    "send later facts with update()", decision
                )
            self.counters.duplicates += 1
            return decision
        self.check_erased(known)
        self.check_order(known, point)
        state = state_of(self, book, known)
        load_event(self, book, frame, known)
        lift_cells(self, book, frame, known.record)
        weigh_groups(self, book, frame, True, frame.members_before, frame.columns_before)
        apply_tellings(state, tellings, count, at, self.seq + 1)
        self.route_again(known, frame, point)
        frame.told_at, frame.told_count = at, count
        record = append_record(self, frame, RECORD_AGAIN, point, self.seq + 1)
        self.seq += 1
        state.points[point] = state.latest = record
        tell_outcome(state, record, at)
        load_event(self, book, frame, known)
        mend_groups(self, book, frame, known.record, True)
        lower_cells(self, book, frame, known.record)
        self.counters.again += 1
        count_verdict(self.book, &frame.verdict, point)
        followers = self.follow(frame, record)
        decision = self.recorded(record, False)
        self.finish(frame)
        self.tell_event(decision.record, followers)
        return decision

    cdef int route_again(self, IdRecord* known, Frame* frame, uint32_t point) except -1:
        load_event(self, self.book, frame, known)
        return decide_route(self, self.book, frame, point, known.record.seq)

    cdef int check_order(self, IdRecord* known, uint32_t point) except -1:
        cdef int32_t after = self.book.points[point].after
        if after >= 0 and self.decided_at(known, after) == NULL:
            names = self.book.plan.points
            raise InvalidEvent(f"point {names[point].name!r} comes after {names[after].name!r}, which has not decided this event")
        return 0

    # The record of the decision that was made about the event at that point, or NULL.
    cdef const RecordHead* decided_at(self, IdRecord* known, uint32_t point) except? NULL:
        cdef EventState* state
        if known.record.type == RECORD_DECISION and translate_point(self, known.record) == <int32_t>point:
            return known.record
        if known.state == NULL:
            return NULL
        state = state_of(self, self.book, known)
        return state.points[point]

    # ---- observe, update ------------------------------------------------------------------------------------------

    def observe(self, event):
        cdef Frame* frame
        cdef bint done = False
        while not done:
            frame = self.enter(event, False)
            try:
                done = self.observe_frame(frame, event)
            finally:
                self.give_frame(frame)

    # False where another policy was loaded while the event's updates were read: all of it is read again.
    cdef bint observe_frame(self, Frame* frame, object event) except -1:
        cdef Telling* tellings = frame.tellings
        cdef Book book = self.book
        cdef IdRecord* known
        cdef uint32_t count, i
        if frame.book != book.index:
            return False
        count = read_tellings(book, frame, told_fields(book, event))
        self.hold(frame)
        if book is not self.book:
            return False
        known = self.find_id(frame)
        if known != NULL:
            self.check_content(known, frame)
            self.counters.duplicates += 1
            return True
        self.check_age(frame)
        frame.verdict.outcome = frame.verdict.score = frame.verdict.flags = 0
        weakest(book, frame.regs)
        for i in range(count):
            if tellings[i].index == book.update_count:
                frame.verdict.outcome = <int32_t>tellings[i].value.v.i
            else:
                frame.regs[book.field_count + book.derived_count + tellings[i].index] = tellings[i].value
        if count:
            hash_keys(self, book, frame)  # anew: an update may be a key
        find_rings(self, book, frame)
        frame.told_at, frame.told_count = frame.time, count
        self.record_event(frame, RECORD_OBSERVED, 0)
        known = self.seen.find(frame.id_hash)
        if count:
            apply_tellings(state_of(self, book, known), tellings, count, frame.time, self.seq)
        self.counters.observed += 1
        record = (<const char*>known.record)[: known.record.size] if self.hooks else None
        self.finish(frame)
        self.tell_event(record, None)
        return True

    def update(self, event_id, at, by, source, dict fields):
        cdef IdRecord* known
        cdef uint32_t count
        self.check_open()
        if not fields:
            raise InvalidEvent("an update tells at least one field")
        told_at = self.told_at(at)
        notes = {"by": checked_note("by", by), "source": checked_note("source", source)}
        content = notes if self.is_recorded() else None
        cdef Frame* frame = self.enter_told(fields, &count, content)
        try:
            known = self.known_id(event_id)
            self.check_erased(known)
            self.seq += 1
            record = None
            if content is not None:
                record = plain_record(RECORD_UPDATE, self.seq, told_at, {"id": str.__str__(event_id), **content})
                self.write(record)
            self.tell(known, frame, count, told_at, self.seq)
            self.counters.updated += 1
            self.tell_hooks(record)
        finally:
            self.give_frame(frame)

    def is_told(self, event_id, at, dict fields, bint later):
        cdef uint32_t count
        self.check_open()
        told_at = self.told_at(at)
        cdef Frame* frame = self.enter_told(fields, &count, None)
        try:
            return told_then(self, self.book, self.known_id(event_id), frame.tellings, count, told_at, later)
        finally:
            self.give_frame(frame)

    cdef int tell(self, IdRecord* known, Frame* frame, uint32_t count, int64_t at, uint64_t seq) except -1:
        cdef Book book = self.book
        cdef EventState* state = state_of(self, book, known)
        load_event(self, book, frame, known)
        weigh_groups(self, book, frame, True, frame.members_before, frame.columns_before)
        apply_tellings(state, frame.tellings, count, at, seq)
        load_event(self, book, frame, known)
        return mend_groups(self, book, frame, known.record, False)

    cdef int64_t told_at(self, object at) except? -1:
        cdef int64_t now = self.now_ms()
        if at is None:
            return now
        told = self.told_time(at)
        if self.clock is not None and told > now + self.max_ahead:
            raise InvalidEvent(f"at: {told} is {told - now} ms ahead of the clock, more than max_ahead ({self.max_ahead} ms) allows", "at")
        return told

    # ---- ids ------------------------------------------------------------------------------------------------------

    cdef object event_id(self, const Frame* frame):
        cdef const Reg* ident = &frame.regs[self.book.id_reg]
        return ident.v.s[: ident.n].decode()

    # What is known of the event's id. Its keys are hashed meanwhile: their buckets are on the way when they are wanted.
    cdef IdRecord* find_id(self, Frame* frame) noexcept:
        if not frame.is_hashed:
            hash_event(self, frame)
        return self.seen.find(frame.id_hash)

    cdef IdRecord* known_id(self, object event_id) except NULL:
        cdef IdRecord* known = NULL
        cdef Py_ssize_t size
        cdef const char* data
        if isinstance(event_id, str):
            plain = str.__str__(event_id)
            data = utf8_or_null(<PyObject*>plain, &size)
            if data != NULL and size <= ID_BYTES_MAX:
                known = self.seen.find(hash_text(self.key, data, <uint32_t>size))
        if known == NULL:
            raise UnknownEvent(
                f"event {shorten(event_id)} is not known: it was never decided or observed here, or it is older than what "
                "limits.horizon and the policy's windows keep"
            )
        return known

    # What windows count of an erased event stays as it was: to mend them its facts would be needed.
    cdef int check_erased(self, IdRecord* known) except -1:
        if known.record.flags & FLAG_ERASED:
            raise EventErased(
                f"event {shorten(id_text(known.record))} was erased: it takes no further updates or decisions. What is still to "
                "be told about a subject's events needs a hold until then (Engine.holds)"
            )
        return 0

    cdef uint32_t point_for(self, Frame* frame, object name) except? 0xFFFFFFFF:
        cdef uint32_t i
        if name is not None:
            i = self.point_named(name)
            if self.book.points[i].after >= 0:
                raise InvalidEvent(f"point {name!r} decides again: call decide_again(event_id, {name!r})")
            self.check_kind(frame, i)
            return i
        for i in range(self.book.point_count):
            if self.book.points[i].after < 0 and self.book.points[i].kinds & frame.kind_bit:
                return i
        return 0

    # A point may be asked for by name, but not for kinds that it does not decide.
    cdef int check_kind(self, Frame* frame, uint32_t point) except -1:
        plan = self.book.plan
        kinds = plan.points[point].kinds
        if kinds is None or self.book.points[point].kinds & frame.kind_bit:
            return 0
        kind = plan.kinds[frame.regs[self.book.kind_reg].v.i]
        decided = ", ".join([plan.kinds[index] for index in kinds])
        raise InvalidEvent(
            f"point {plan.points[point].name!r} decides events of kind {decided}, and this one is of kind {kind}: leave the "
            "point out, or name one that decides it", self.book.names[self.book.kind_reg]
        )

    cdef uint32_t point_named(self, object name) except? 0xFFFFFFFF:
        names = [point.name for point in self.book.plan.points]
        plain = str.__str__(name) if isinstance(name, str) else ""
        if plain in names:
            return <uint32_t>names.index(plain)
        hint = nearest(plain, names) or f"its points: {', '.join(names)}"
        raise UnknownName(f"the policy has no point {shorten(name)}; {hint}")

    cdef int check_age(self, Frame* frame) except -1:
        frame.late = self.any_recorded and frame.time < self.watermark_
        if self.any_forgotten and frame.time <= self.floor_:
            self.counters.too_old += 1
            name = self.book.names[self.book.time_reg]
            raise EventTooOld(
                f"{name}: {frame.time} is not after {self.floor_}, the time up to which ids were forgotten: the event can't be "
                "told from a duplicate. Raise limits.horizon or limits.ids_max to remember ids longer", name
            )
        return 0

    # The decision that a known event got at the point, or NULL. It must have come with the same content.
    cdef const RecordHead* decided_before(self, IdRecord* known, Frame* frame, uint32_t point) except? NULL:
        self.check_content(known, frame)
        if known.record.type == RECORD_OBSERVED:
            self.counters.conflicts += 1
            raise EventConflict(
                f"event {self.event_id(frame)!r} was observed, not decided: its windows already count it. Send an event "
                "either to observe() or to decide()", None
            )
        return self.decided_at(known, point)

    cdef Decision duplicate(self, const RecordHead* record):
        self.counters.duplicates += 1
        return self.recorded(record, True)

    cdef int check_content(self, IdRecord* known, Frame* frame) except -1:
        cdef Book book = self.book
        cdef Reg* before
        cdef int64_t differs
        if known.record.flags & FLAG_ERASED:
            return 0
        before = <Reg*>take(book.register_count, sizeof(Reg))
        try:
            load_facts(self, book, before, known.record)
            differs = first_difference(self.books[known.record.book], book, frame.regs, before)
        finally:
            free(before)
        if differs < 0:
            return 0
        self.counters.conflicts += 1
        decision = None
        if known.record.type == RECORD_DECISION:
            decision = new_decision(<Book>self.books[known.record.book], <const uint8_t*>known.record, True)
        raise EventConflict(
            f"event {self.event_id(frame)!r} is known, but {book.names[differs]} differs from the first time. An id names one "
            "immutable event: send later facts with update(), or list the field under retry_may_change", decision
        )

    # ---- recording ------------------------------------------------------------------------------------------------

    # The event enters the log, the ids and the rings. Nothing changes unless all of it can.
    cdef const RecordHead* record_event(self, Frame* frame, uint8_t type, uint32_t point) except NULL:
        cdef const RecordHead* record
        self.seen.reserve()
        record = append_record(self, frame, type, point, self.seq + 1)
        self.seq += 1
        self.seen.insert(frame.id_hash, <RecordHead*>record)
        self.counters.late += frame.late
        self.note_time(frame.time)
        enter_rings(self, self.book, frame, record)
        return record

    cdef inline void note_time(self, int64_t time) noexcept:
        if not self.any_recorded or time > self.watermark_:
            self.watermark_ = time
        if not self.any_recorded or time < self.oldest:
            self.oldest = time
        self.any_recorded = True
        self.list_line = max(self.list_line, self.watermark_ - self.book.horizon)

    # The constant bit of housekeeping that follows every recorded event.
    cdef int finish(self, Frame* frame) except -1:
        cdef RecordHead* head
        cdef int given_up = 0
        while given_up < FORGET_MAX:
            head = log_head(&self.log)
            if head == NULL or not self.may_forget(head):
                break
            if head.type != RECORD_AGAIN:
                self.forget(head)
            log_drop_head(&self.log)
            given_up += 1
        if self.layout.group_count:
            self.sweep_at = (self.sweep_at + 1) % (SWEEP_EVERY * self.layout.group_count)
            if self.sweep_at % SWEEP_EVERY == 0:
                rings_sweep(<RingStore>self.stores[self.sweep_at // SWEEP_EVERY], self.watermark_)
        if self.is_sweeping:
            sweep_evicted(self)
        self.unchecked += 1
        if self.unchecked >= CHECK_EVERY:
            self.unchecked, self.is_pressed = 0, presses(self)
        return self.sweep_list()

    # One bucket of one list an event, the lists in turn.
    cdef int sweep_list(self) except -1:
        cdef HashList* values
        if self.list_count == 0:
            return 0
        self.sweep_list_at = (self.sweep_list_at + 1) % self.list_count
        values = self.lists.refs[self.sweep_list_at].values
        if values != NULL:
            list_expire(values, self.list_line)
        return 0

    cdef bint may_forget(self, const RecordHead* head) noexcept:
        if self.seen.count() > min(self.book.ids_max, self.ids_limit):
            return True
        return self.seen.count() > self.book.ids_min and self.book.facts_ms >= 0 and head.time < self.watermark_ - self.book.facts_ms

    cdef void forget(self, const RecordHead* head) noexcept:
        cdef const char* ident = <const char*>head + head.id_at
        self.seen.remove(hash_text(self.key, ident, head.id_size), head)
        if not self.any_forgotten or head.time > self.floor_:
            self.floor_ = head.time
        self.any_forgotten = True
        self.counters.forgotten += 1

    # Does anybody want the records of operations that are no events?
    cdef inline bint is_recorded(self) noexcept:
        return self.journal is not None or len(self.hooks) > 0

    # The record of such an operation into the journal, before anything else can get there.
    cdef int write(self, bytes record) except -1:
        return self.journal.put(<const char*>record, <uint32_t>len(record)) if self.journal is not None else 0

    def evict(self, dict windows, ids=None):
        """Gives up what is idle, as if memory were over its limit: group's signature -> up to which time (epoch ms); `ids`: how
        many are remembered at most."""
        cdef bint was_on
        with self.lock:
            self.check_open()
            was_on = gc_pause()
            try:
                record = record_eviction(self, {"windows": windows, "ids": ids})
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)

    # An event's record is told; then memory is given up where it is over its limit, as an operation of its own.
    cdef int tell_event(self, object record, list followers) except -1:
        self.tell_hooks(record)
        self.tell_followers(followers)
        if not self.is_pressed or not self.is_open or self.born != forks:  # hooks may have closed it, or forked
            return 0
        self.is_pressed = False
        cdef bint was_on = gc_pause()
        try:
            record = relieve(self)
        finally:
            if was_on:
                gc_resume()
        return self.tell_hooks(record)

    cdef int tell_hooks(self, object record) except -1:
        if record is not None:
            for hook in self.hooks:
                hook(record)
        return 0

    def on_operation(self, hook):
        """Calls `hook(record: bytes)` after every recorded operation, in recorded order."""
        self.check_open()
        self.hooks.append(hook)

    # ---- lists ----------------------------------------------------------------------------------------------------

    # By what it is, not by where: a list that somebody held on to over a reload must not change another.
    cdef uint32_t list_index(self, object spec) except? 0xFFFFFFFF:
        self.check_open()
        lists = self.book.plan.lists
        if spec not in lists:
            raise UnknownName(f"list {spec.name} is not in force: a policy was loaded that has none like it; see Engine.lists")
        return <uint32_t>lists.index(spec)

    def change_list(self, spec, action, list values, content):
        """Adds or removes the values (`(bytes, expires)` each) of a list, recorded as one operation. How many changed."""
        cdef uint64_t changed = 0
        cdef bint was_on
        cdef ListTable table
        with self.lock:
            table, now = self.lists.tables[self.list_index(spec)], self.now_ms()
            was_on = gc_pause()
            try:
                record = self.record_list(content, now)
                for value, expires in values:
                    changed += table.add(value, expires) if action == "add" else table.remove(value)
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)
        return changed

    def change_networks(self, spec, list ranges, content):
        """Replaces the ranges of a network list, recorded as one operation."""
        cdef bint was_on
        with self.lock:
            table, now = self.lists.tables[self.list_index(spec)], self.now_ms()
            was_on = gc_pause()
            try:
                table.load(ranges)
                record = self.record_list(content, now)
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)

    # The operation's number, and its record where one is wanted.
    cdef bytes record_list(self, object content, int64_t now):
        self.seq += 1
        if not self.is_recorded():
            return None
        record = plain_record(RECORD_LIST, self.seq, now, content)
        self.write(record)
        return record

    # ---- controls -------------------------------------------------------------------------------------------------

    def control(self, dict content not None):
        """Puts in force what a control says (see frmcore/controls.py), recorded as one operation."""
        cdef bint was_on
        with self.lock:
            self.check_open()
            now = self.now_ms()
            was_on = gc_pause()
            try:
                apply_control(self, content, now)
                self.seq += 1
                record = None
                if self.is_recorded():
                    record = plain_record(RECORD_CONTROL, self.seq, now, content)
                    self.write(record)
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)

    def control_state(self):
        """What was switched, snoozed and tripped, and what breakers have counted, as plain data."""
        self.check_open()
        return control_state(self)

    def entity_raw(self, name, value):
        """The value of a field that names an entity, as a snooze keeps it. Raises InvalidEvent."""
        cdef Frame* frame = self.take_frame()
        try:
            return entity_raw(self, frame, name, value)
        finally:
            self.give_frame(frame)

    def replay_operation(self, uint64_t seq, int64_t at, dict content not None):
        """A recorded control or alert, put in force anew."""
        del self.owed[:1]  # what its decision's replay has already done; a crash may have cut off the rest
        if "control" in content and self.is_settled:
            apply_control(self, content, at)
        self.seq = max(self.seq, seq)

    def restore_alerts(self, contents):
        """What recorded alerts say, whom they were about, when; and which of them erasures took that are not complete, in order."""
        for content in contents:
            if "forms" in content:
                erase_alerts(self, content)
            for alert in content.get("alerts", ()):
                remember_alert(self, alert)

    def restore_controls(self, dict state not None):
        """The state of controls as `cut` had it, to look at; what is replayed from here on is behind it."""
        restore_controls(self, state)
        self.is_settled = True

    def record_owed(self):
        """Records what follows from the last decision, where a crash came in between."""
        self.tell_followers(self.pay())

    def restore_list(self, spec, values):
        """The recorded values of a list, not recorded again."""
        table = self.lists.tables[self.list_index(spec)]
        for value, expires in values:
            table.add(value, expires)

    def restore_networks(self, spec, ranges):
        self.lists.tables[self.list_index(spec)].load(ranges)

    def list_contains(self, spec, bytes value, int64_t time):
        """Whether a list holds the value (an ip: its bytes) at that time."""
        self.check_open()
        return lists_probe(self.lists.refs, self.list_index(spec), <const char*>value, <uint32_t>len(value), max(time, self.list_line))

    def lists_line(self):
        """Entries of lists that expired at or before this time (epoch ms) are gone: the horizon is past."""
        return self.list_line

    def hide(self, value):
        """The form in which private values are kept: 16 bytes, a hash under the private key."""
        return private_text(self.private_key, value)

    # ---- erasing --------------------------------------------------------------------------------------------------

    def erase(self, Erasure found not None, dict said):
        """Erases what was found, with what was recorded since, as one operation; `said`: what its record says beside that. Its
        sequence number; 0, and nothing was done, where too much was recorded since."""
        cdef bint was_on
        with self.lock:
            self.check_open()
            now = self.now_ms()
            was_on = gc_pause()
            try:
                if not found.reaches_end():
                    return 0
                content = {**said, **found.content()}
                record = plain_record(RECORD_ERASE, self.seq + 1, now, content)
                self.seq += 1
                self.write(record)
                erase_named(self, content)
                seq = self.seq
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)
        return seq

    def replay_erase(self, bytes record not None):
        """Subjects were erased here, as the record says; where it only says that all was done, nothing is left to do."""
        content = plain_content(record)
        self.replay_seq = head_in(record).seq
        try:
            if "keys" in content:
                erase_named(self, content)
        finally:
            self.seq, self.replay_seq = max(self.seq, self.replay_seq), 0

    def erased(self, bytes record not None, bint whole):
        """An event's record without its texts and identifiers; not `whole`: without the texts among its features."""
        return erased_copy(self, record, whole)

    def erased_update(self, bytes record not None, uint32_t book):
        """An update's record without its texts; `book`: index of the policy that was in force."""
        return record_with(record, erased_update(self.books[book], plain_content(record)))

    def record_hold(self, dict content not None):
        """Records that a hold was added or removed."""
        cdef bint was_on
        with self.lock:
            self.check_open()
            now = self.now_ms()
            was_on = gc_pause()
            try:
                record = plain_record(RECORD_HOLD, self.seq + 1, now, content)
                self.seq += 1
                self.write(record)
            finally:
                if was_on:
                    gc_resume()
            self.tell_hooks(record)

    def policies(self):
        """Those at hand whose events are, the running one last."""
        return [(<Book>book).policy for book in self.books if book is not None]

    def policy_at(self, uint32_t book):
        """The policy of an index that is at hand."""
        return (<Book>self.books[book]).policy

    # ---- looking --------------------------------------------------------------------------------------------------
    # What is read of the state is copied before anything can run Python code: in between another thread may decide.

    def features(self, dict given, at):
        """Feature name -> value of every aggregate whose lookup key is given (entity type -> value), as of `at` ms."""
        with self.lock:
            self.check_open()
            return features_of(self, self.take_held(), given, at)

    def find(self, event_id, point=None):
        """The decision that was made about an event, at the point or the latest. Raises UnknownEvent, UnknownName."""
        cdef IdRecord* known
        cdef const RecordHead* record
        self.check_open()
        known = self.known_id(event_id)
        if point is not None:
            record = self.decided_at(known, self.point_named(point))
        else:
            record = known.state.latest if known.state != NULL else known.record
        if record == NULL or record.type == RECORD_OBSERVED:
            raise UnknownEvent(f"event {shorten(event_id)} was not decided" + (f" at {point!r}" if point else ": it was observed"))
        return self.recorded(record, False)

    def known_now(self, event_id):
        """What is known of an event now: field -> value, with its updates and `final`."""
        with self.lock:
            self.check_open()
            return facts_of(self, self.take_held(), event_id)

    def trace(self, Decision decision not None):
        """Every register of the decision's program, run once more on what was recorded: raw values by register."""
        return trace_of(self, decision)

    def what_if(self, Decision decision not None):
        """The decision's program, to be asked for outcomes under other values."""
        return WhatIf(self, decision)

    def evidence(self, Decision decision, int room):
        """Feature name -> (from ms, until ms, ids of the events in its window, newest first) for each aggregate.

        By what is known now: events that came late or were told about since are seen as they are.
        """
        with self.lock:
            self.check_open()
            return evidence_of(self, self.take_held(), decision, room) if decision.book is self.book else {}

    def told_time(self, at):
        """A time as epoch ms: from an int, an aware datetime or RFC 3339 text. Raises InvalidEvent."""
        told = epoch_ms(at)
        if told is INVALID or not -TIME_MAX <= told <= TIME_MAX:
            raise InvalidEvent(f"at: expected {EXPECTED[KIND_TIMESTAMP]}, got {shorten(at)}", "at")
        return told

    # ---- what outlives the process --------------------------------------------------------------------------------

    def attach(self, JournalRing journal, bint survives, keeper=None):
        """From here on every record is put into the journal before its call returns. `survives`: the process, there. `keeper`:
        what takes records out of it, which lives for as long as anybody can decide here."""
        self.journal, self.survives, self.keeper = journal, survives, keeper

    def cut(self, take_spilled=False):
        """Where the state stands: what a store keeps beside the journal up to here. As of one sequence number.

        `take_spilled`: with the records that wait in memory because the ring is full.
        """
        cdef bint was_on
        with self.lock:
            self.check_open()
            was_on = gc_pause()  # all of it as of one sequence number
            try:
                return {
                    "seq": self.seq, "head": self.log_start(), "book": self.book.index,
                    "position": self.journal.position if self.journal is not None else 0,
                    "waiting": self.journal.waiting if self.journal is not None else 0,
                    "spilled": self.journal.take_spilled() if take_spilled else [],
                    "watermark": self.watermark, "oldest": self.oldest, "list_line": self.list_line, "floor": self.floor,
                    "counters": self.counters, "outcomes": outcome_counts(self), "ids_limit": self.ids_limit,
                    "controls": control_state(self),
                }
            finally:
                if was_on:
                    gc_resume()

    def waiting(self, uint64_t most):
        """The frames of records that found no room in ring or spill, in order, some `most` bytes of them; b'' when there are no
        more, or spilled ones go first. None where some of them are gone."""
        cdef bint was_on
        with self.lock:
            self.check_open()
            was_on = gc_pause()
            try:
                return waiting_frames(self, most)
            finally:
                if was_on:
                    gc_resume()

    def image(self, str signature, uint32_t depth, uint64_t prefix):
        """(sequence number, watermark, head, rings as bytes) of one piece of a group; None: no such group any more."""
        cdef RingStore store
        with self.lock:
            self.check_open()
            for each in self.store_list:
                store = each
                if store.group.signature == signature:
                    piece = image_piece(store, depth, prefix, self.watermark_)
                    return self.seq, self.watermark, self.log_start(), piece
        return None

    def check_rings(self):
        """Everything that the rings promise about themselves, for tests. Raises AssertionError. O(entries)."""
        seen = _Seen()
        for store in self.store_list:
            check_store(store, <uint64_t>-1, seen)
        check_texts(self.texts, seen.texts)

    def ring_groups(self):
        """(signature, generation, rings, bytes) of each group."""
        self.check_open()
        return [
            ((<RingStore>store).group.signature, (<RingStore>store).generation, (<RingStore>store).table.count,
             (<RingStore>store).bytes_used())
            for store in self.store_list
        ]

    cdef int recover_from(self, Recovered recovered) except -1:
        self.books = [None] * <Py_ssize_t>recovered.book
        self.pieces, self.origins = dict(recovered.pieces), dict(recovered.origins)
        if recovered.texts is not None:
            self.texts = recovered.texts
        self.covered_until = recovered.covered_until
        if recovered.watermark is not None:
            self.watermark_ = self.oldest = recovered.watermark
            self.any_recorded = True
        return 0

    def replay(self, bytes frames not None):
        """Applies recorded events and updates, in order; gives back the first other record it meets, and what follows it.

        Raises ValueError where a record does not fit the state it is applied to.
        """
        return replay_frames(self, frames)

    def settle(self, dict cut not None):
        """The state stands where `cut` was taken: forgets what was forgotten by then, and goes on as a running engine does."""
        settle_at(self, cut)

    def start_at(self, uint64_t seq):
        """Replay starts behind that sequence number."""
        self.seq = seq

    def skip_record(self, uint64_t seq):
        """A record that changed neither rings nor ids: a list's."""
        self.seq = max(self.seq, seq)

    def replay_policy(self, plan, policy, list contents, uint64_t seq, dict content, Core filler=None):
        """A policy was put in force here, as its record says; `filler`: with the rings that the journal filled."""
        self.replay_seq, self.back_fill_from = seq, content["head"]
        put_in_force(self, prepare_policy(self, plan, policy, contents, filled_stores(filler) if filler is not None else {}))
        self.replay_seq = self.back_fill_from = 0
        self.seq = seq
        for store in self.store_list:
            _, (<RingStore>store).given_up, (<RingStore>store).gap = content["origins"][(<RingStore>store).group.signature]

    def decision_of(self, bytes record):
        """The Decision that an old record holds; None of an observed event. Raises ValueError when it holds none."""
        cdef const RecordHead* head = <const RecordHead*><const char*>record
        cdef Book book = self.book_of(record)
        cdef Decision decision
        if head.type == RECORD_OBSERVED:
            return None
        decision = new_decision(book, <const uint8_t*>head, False)
        decision.durable = True
        return decision

    def facts_in(self, bytes record not None):
        """Field, derived field or update -> value, as an event's old record has them. Raises ValueError when it has none."""
        return recorded_facts(self.book_of(record), record)

    def entered(self, bytes record not None):
        """An event as it came in, by its old record: (when updates were told, fields, updates that came along)."""
        fields, told = entered(self.book_of(record), record)
        return (<const RecordHead*><const char*>record).at, fields, told

    # The policy of an event's record, which is sound under it.
    cdef Book book_of(self, bytes record):
        cdef const RecordHead* head = <const RecordHead*><const char*>record
        if <uint64_t>len(record) < sizeof(RecordHead) or not has_facts(head) or not self.has_book(head.book):
            raise ValueError("the record is of no policy that is at hand")
        if not record_sound(<Book>self.books[head.book], <const uint8_t*>head, <uint64_t>len(record)):
            raise ValueError("the record does not fit the policy it names")
        return self.books[head.book]

    def has_book(self, uint32_t index):
        """Is the policy of that index at hand, so that its records can be read?"""
        return index < <uint64_t>len(self.books) and self.books[index] is not None

    def add_book(self, uint32_t index, plan, policy):
        """An older policy, only for reading what was decided under it."""
        lists = Lists(tables_for(self, plan, [None if spec.values is None else [] for spec in plan.lists]), self.secret)
        self.books[index] = Book(plan, policy, index, lists, self.private_secret)

    @property
    def floor(self):
        """The greatest time of an event that was forgotten, epoch ms; None before one was."""
        return self.floor_ if self.any_forgotten else None

    @property
    def watermark(self):
        """The greatest event time recorded, epoch ms; None before the first event."""
        return self.watermark_ if self.any_recorded else None

    def stats(self):
        """Counts (of a store's engine: since it was made), and what its memory holds."""
        self.check_open()
        groups = []
        for store in self.store_list:
            groups.append({
                "signature": (<RingStore>store).group.signature, "entity": (<RingStore>store).group.entity,
                "entities": (<RingStore>store).table.count, "bytes": (<RingStore>store).bytes_used(),
                "evicted": (<RingStore>store).rings_evicted,
                "evicted_until": (<RingStore>store).evicted if (<RingStore>store).evicted != NEVER else None,
            })
        memory = {
            "rings": sum([group["bytes"] for group in groups]),
            "ids": self.seen.bytes_used(),
            "records": self.log.bytes,
            "texts": self.texts.text_bytes + self.texts.slab.live * self.texts.slab.record_size + table_bytes(&self.texts.table),
            "lists": sum([table.bytes for table in self.lists.tables]), "lookups": self.book.program.lookup_bytes(),
        }
        return {
            "decisions": self.counters.decided, "decided_again": self.counters.again, "observed": self.counters.observed,
            "updates": self.counters.updated, "duplicates": self.counters.duplicates, "conflicts": self.counters.conflicts,
            "late": self.counters.late, "too_old": self.counters.too_old, "ahead": self.counters.ahead,
            "invalid": dict(self.invalid_by_field), "overflows": self.counters.overflows + self.book.program.machine.overflows,
            "outcomes": outcome_counts(self),
            "ids": self.seen.count(), "forgotten": self.counters.forgotten, "seq": self.seq,
            "watermark": self.watermark, "policy": self.book.plan.hash, "groups": groups,
            "evicted": evicted_by_entity(groups), "tripped": sorted(self.tripped),
            "memory": {**memory, "total": sum(memory.values()), "limit": self.book.plan.limits.max_memory},
        }

    def verdicts(self):
        """({(point, outcome): decisions}, {rule: decisions in which it counted}) since the engine was opened."""
        self.check_open()
        return verdict_counts(self.books)

    def state_hash(self):
        """32 hex digits over rings, ids, updates and order; the lists are the caller's to add. O(state)."""
        cdef Fingerprint sum_
        cdef int64_t[6] order
        self.check_open()
        sum_.lo = sum_.hi = 0
        sum_.key = self.key
        for store in self.store_list:
            fingerprint_store(&sum_, <RingStore>store, self.watermark_)
        fingerprint_seen(&sum_, self)
        order[0], order[1], order[2], order[3] = self.seq, self.watermark_, self.oldest, self.floor_
        order[4], order[5] = self.list_line, <int64_t>self.ids_limit
        fingerprint_add(&sum_, order, sizeof(order))
        fingerprint_controls(&sum_, self)
        return f"{sum_.hi:016x}{sum_.lo:016x}"
