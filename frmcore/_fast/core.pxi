# The route itself. Every call: read the event into a frame (may run Python code, touches nothing of the engine), then decide
# and record without running any (so that it is atomic under the GIL), then give back a Decision.

from threading import RLock as _RLock

from frmcore.names import nearest

cdef extern from *:
    """
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


# What must be equal for a list that changes at run time to keep its content over a reload.
cdef tuple list_shape(object spec):
    return spec.name, int(spec.kind), spec.network, spec.private


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
    cdef size_t outcome_slots
    cdef object lock  # google-re2 lets go of the GIL while it searches; then this keeps calls apart
    cdef uint32_t sweep_at, sweep_list_at, list_count
    cdef list hooks
    cdef JournalRing journal  # None: nothing outlives the process
    cdef bint survives  # what the journal holds survives the process
    cdef dict pieces  # recovery: (signature, generation) -> the checkpoint's pieces of a group that no policy brought yet
    cdef dict origins  # recovery: signature -> (generation, given_up, gap) under the policy that replay starts with
    cdef uint64_t replay_seq  # of the operation that is being replayed; 0: none is
    cdef uint64_t covered_until  # every piece holds at least the operations up to here
    cdef uint64_t back_fill_from  # replaying a reload: what was remembered then
    cdef bint is_settled  # replay has reached the state's own sequence number

    def __cinit__(self, plan, policy, list contents, bytes key, bytes private_key, clock, max_ahead, Recovered recovered=None):
        memset(&self.log, 0, sizeof(Log))
        self.key = hash_key(key)
        self.private_key = hash_key(private_key)
        self.list_tables = {}
        self.clock, self.max_ahead = clock, plan.limits.max_ahead_ms if max_ahead is None else max_ahead
        self.lock = _RLock()
        self.books, self.store_list, self.hooks, self.invalid_by_field = [], [], [], {}
        self.watermark_ = self.oldest = self.floor_ = self.guard = self.list_line = INT64_MIN
        self.born, self.is_open = forks, True
        self.seen, self.texts = Seen(), Texts(key)
        self.secret, self.private_secret = key, private_key
        self.pieces, self.origins = {}, {}
        if recovered is not None:
            self.recover_from(recovered)
        self.install(plan, policy, contents, {})
        self.origins = {}

    def __dealloc__(self):
        self.drop_frames()
        log_free(&self.log)
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

    # Puts a policy in force: a book, its lists, its groups' rings. Rings of a group with the same signature stay as they are.
    # `filled`: rings of new groups that were filled from the journal.
    cdef int install(self, object plan, object policy, list contents, dict filled) except -1:
        cdef dict kept = {(<RingStore>store).group.signature: store for store in self.store_list}
        cdef Lists lists = Lists(self.tables_for(plan, contents), self.secret)
        cdef Book book = Book(plan, policy, <uint32_t>len(self.books), lists, self.private_secret)
        cdef Layout layout = Layout(book)
        cdef uint32_t i
        stores = [
            kept.get(group.signature) or filled.get(group.signature) or self.new_store(group, plan.limits) for group in plan.groups
        ]
        fresh = [i for i, group in enumerate(plan.groups) if group.signature not in kept and group.signature not in filled]
        pointers = <PyObject**>take(len(stores), sizeof(PyObject*))
        for i, store in enumerate(stores):
            if plan.groups[i].signature in kept:
                (<RingStore>store).adopt(plan.groups[i], plan.limits, self.watermark_)
            pointers[i] = <PyObject*>store
        free(self.stores)
        self.stores, self.store_list, self.sweep_at = pointers, stores, 0
        self.list_count, self.sweep_list_at = <uint32_t>len(lists.tables), 0
        self.book, self.layout, self.lists = book, layout, lists
        self.list_tables = {list_shape(spec): table for spec, table in zip(plan.lists, lists.tables) if spec.values is None}
        self.books.append(book)
        self.grow_outcomes(len(plan.outcomes))
        self.drop_frames()
        self.translate_states()
        return self.back_fill(fresh) if self.any_recorded else 0

    # What was told so far, by the names of the policy that is now in force.
    cdef int translate_states(self) except -1:
        cdef uint64_t cursor = 0
        cdef uint32_t[64] handles
        cdef uint32_t i, count
        cdef IdRecord* known
        while True:
            count = table_scan(&self.seen.table, &cursor, handles, 64)
            for i in range(count):
                known = <IdRecord*>slab_at(&self.seen.slab, handles[i])
                if known.state != NULL:
                    state_of(self, self.book, known)
            if cursor == 0:
                return 0

    cdef list tables_for(self, object plan, list contents):
        """A table for each list: filled with the policy's own content; of a list that changes at run time the one it had."""
        tables = []
        for spec, content in zip(plan.lists, contents, strict=True):
            table = self.list_tables.get(list_shape(spec)) if content is None else None
            if table is None:
                table = NetworkTable() if spec.network else ListTable(self.secret)
            if content and spec.network:
                table.load(content)
            elif content:
                for value in content:
                    table.add(private_text(self.private_key, value) if spec.private else value, None, 0)
            tables.append(table)
        return tables

    cdef int grow_outcomes(self, size_t count) except -1:
        """Decisions are counted by outcome's place; a policy with more outcomes widens the counts."""
        cdef uint64_t* wider = <uint64_t*>take(count, sizeof(uint64_t))
        if self.decided_by_outcome != NULL:
            memcpy(wider, self.decided_by_outcome, min(count, self.outcome_slots) * sizeof(uint64_t))
            free(self.decided_by_outcome)
        self.decided_by_outcome, self.outcome_slots = wider, count
        return 0

    # New groups after a reload: every event that is remembered, in recorded order, with what is known of it now. Every event
    # after the floor is.
    cdef int back_fill(self, list fresh) except -1:
        cdef const Segment* segment = self.log.first
        cdef const RecordHead* head = log_head(&self.log)
        cdef Frame* frame
        cdef IdRecord* known
        cdef uint32_t i
        if not fresh:
            return 0
        if self.any_forgotten:
            for i in fresh:
                (<RingStore>self.stores[i]).gap = floor_to(self.floor_, (<RingStore>self.stores[i]).every)
        frame = self.take_frame()
        try:
            while head != NULL:
                if head.type != RECORD_AGAIN and head.seq >= self.back_fill_from:
                    known = self.seen.find(hash_text(self.key, <const char*>head + head.id_at, head.id_size))
                    load_event(self, self.book, frame, known)
                    for i in fresh:
                        weigh_group(self, self.book, frame, i, frame.members, frame.columns)
                        if frame.members[i].is_member:
                            enter_ring(self, frame, i, frame.members, frame.columns, head)
                    arena_reset(&frame.arena)
                head = log_next(&segment, head)
        finally:
            self.give_frame(frame)
        return 0

    def reload(self, plan, policy, list contents, dict files):
        """Puts another policy in force between two operations; lowered with `keep=groups()`. `files`: name -> digest."""
        with self.lock:
            self.check_open()
            if len(self.books) > 0xFFFF:
                raise ValueError("65,536 policies were loaded into one engine: open a new one")
            self.install(plan, policy, contents, {})
            self.seq += 1
            self.announce(self.policy_record(files))

    def reload_filled(self, plan, policy, list contents, dict files, Core filler, uint64_t filled_from):
        """`reload`, with the rings of new groups taken from a filler, after what the ring still has was filled in too.

        False, and nothing is done, where that is more than a short stop of the other threads can take in.
        """
        with self.lock:
            self.check_open()
            if self.journal.spilling or self.journal.used > SWITCH_BYTES:
                return False
            filler.fill(self.journal.pending(), 0, <uint64_t>-1)
            if filler.seq != self.seq:
                raise ValueError(f"the filler stands at {filler.seq}, the engine at {self.seq}")
            self.install(plan, policy, contents, filler.filled_stores())
            self.seq += 1
            self.announce(self.policy_record(files, filled_from))
            return True

    # ---- a filler: the new policy over recorded operations ----------------------------------------------------------

    def filler(self, plan, policy, list contents, uint64_t seq, int64_t gap):
        """A Core that fills the groups which `plan` has and this one lacks, from the operations behind `seq`. Events up to
        the time `gap` are in the journal no more."""
        cdef Core filler
        cdef RingStore store
        cdef uint32_t i
        cdef Recovered sharing = Recovered(<uint32_t>len(self.books), None, 0, {}, {})
        sharing.texts = self.texts
        present = {(<RingStore>store).group.signature for store in self.store_list}
        filler = Core(plan, policy, contents, self.secret, self.private_secret, None, None, sharing)
        filler.books = [*self.books, filler.book]
        filler.seq = seq
        filler.book.ids_min = max(filler.book.ids_min, self.book.ids_min)
        filler.book.ids_max = max(filler.book.ids_max, self.book.ids_max)
        for i in range(filler.layout.group_count):
            store = <RingStore>filler.stores[i]
            if store.group.signature in present:
                filler.layout.groups[i].kinds = 0  # it is warm: no event belongs to it here
            elif gap > INT64_MIN:
                store.gap = floor_to(gap, store.every)
        return filler

    def fill(self, bytes frames, uint64_t first, uint64_t last):
        """Applies recorded operations with sequence numbers from `first` to `last`, of whatever policy."""
        cdef const char* start = <const char*>frames
        cdef uint64_t at = 0, size = <uint64_t>len(frames)
        cdef const RecordHead* head
        cdef Frame* frame = self.take_frame()
        try:
            while at < size:
                head = <const RecordHead*>(start + at + sizeof(FrameHead))
                if not frame_sound(start + at, size - at):
                    raise ValueError(f"a record at byte {at} of its stretch is damaged")
                at += frame_size(head.size)
                if head.seq > self.seq and first <= head.seq <= last:
                    self.fill_one(frame, head)
                    self.seq = head.seq
                    arena_reset(&frame.arena)
        finally:
            self.give_frame(frame)

    cdef int fill_one(self, Frame* frame, const RecordHead* head) except -1:
        cdef Book old
        if head.type == RECORD_UPDATE:
            return fill_update(self, frame, <const uint8_t*>head, head.size)
        if head.type not in (RECORD_DECISION, RECORD_AGAIN, RECORD_OBSERVED):
            return 0
        old = self.books[head.book] if head.book < <uint64_t>len(self.books) - 1 else None
        if old is None or not record_sound(old, <const uint8_t*>head, head.size):
            raise ValueError(f"record {head.seq} does not fit the policy it names")
        if head.type == RECORD_AGAIN:
            fill_again(self, frame, head)
        else:
            fill_event(self, frame, head)
        return self.finish(frame)

    def filled_stores(self):
        """Signature -> rings of every group that was filled."""
        cdef uint32_t i
        stores = {}
        for i in range(self.layout.group_count):
            if self.layout.groups[i].kinds:
                stores[(<RingStore>self.stores[i]).group.signature] = self.store_list[i]
        return stores

    def policy_record(self, dict files, uint64_t filled_from=0):
        """The record of the policy in force: enough to go on from it."""
        plan = self.book.plan
        return plain_record(RECORD_POLICY, self.seq, self.now_ms(), {
            "hash": plan.hash, "files": files, "groups": plan.groups, "head": self.log_start(),
            "floor": self.floor_ if self.any_forgotten else None, "watermark": self.watermark, "filled_from": filled_from,
            "origins": {(<RingStore>store).group.signature: ((<RingStore>store).generation, (<RingStore>store).given_up, (<RingStore>store).gap)
                        for store in self.store_list},
            "lists": [list_shape(spec) for spec in plan.lists if spec.values is None],
        })

    # The sequence number of the oldest event that is remembered.
    cdef uint64_t log_start(self) noexcept:
        cdef const RecordHead* head = log_head(&self.log)
        return head.seq if head != NULL else self.seq + 1

    cdef RingStore new_store(self, object group, object limits):
        cdef RingStore store = RingStore(group, limits, self.texts)
        store.generation = <uint32_t>len(self.books)
        if group.signature in self.origins:
            store.generation, store.given_up, store.gap = self.origins[group.signature]
        pieces = self.pieces.pop((group.signature, store.generation), None)
        if pieces is not None:
            load_pieces(store, pieces)
        return store

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
        frame.told_count = 0
        return frame

    # A frame of an older policy goes; it would not fit the next call.
    cdef void give_frame(self, Frame* frame) noexcept:
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
                self.check_ahead(frame.time)
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

    # All that may run the caller's code is done: from here on, until it gives the frame back, the call is alone with the
    # state. Under the GIL it is so by itself, unless google-re2 lets go of it.
    cdef int hold(self, Frame* frame) except -1:
        if self.book.program.runs_python and not frame.holds_lock:
            self.lock.acquire()
            frame.holds_lock = True
        return self.check_open()

    # Updates in a frame, as `enter` has an event.
    cdef Frame* enter_told(self, dict fields, uint32_t* count) except NULL:
        cdef Frame* frame
        while True:
            self.check_open()
            frame = self.take_frame()
            try:
                count[0] = read_tellings(self.book, frame, fields)
                self.hold(frame)
                if frame.book == self.book.index:
                    return frame
            except BaseException:
                self.give_frame(frame)
                raise
            self.give_frame(frame)

    cdef int check_ahead(self, int64_t time) except -1:
        if self.clock is None or time <= self.guard:
            return 0
        self.guard = self.now_ms() + self.max_ahead
        if time > self.guard:
            self.counters.ahead += 1
            name = self.book.names[self.book.time_reg]
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
        cdef Frame* frame = self.enter(event, strict)
        try:
            return self.decide_frame(frame, point)
        finally:
            self.give_frame(frame)

    cdef Decision decide_frame(self, Frame* frame, object point_name):
        cdef IdRecord* known = self.find_id(frame)
        cdef uint32_t point = self.point_for(frame, point_name)
        cdef const RecordHead* record
        cdef Decision decision
        if known != NULL:
            record = self.decided_before(known, frame, point)
            if record != NULL:
                return self.duplicate(record)
            return self.again(known, frame, point, NULL, 0, self.now_ms())
        self.check_age(frame)
        decide_route(self, self.book, frame, point, self.seq + 1)
        record = self.record_event(frame, RECORD_DECISION, point)
        self.decided_by_outcome[record.outcome] += 1
        self.counters.decided += 1
        decision = new_decision(self.book, <const uint8_t*>record, False)
        decision.durable = self.is_safe(record.seq)
        self.finish(frame)
        self.tell_hooks(decision.record)
        return decision

    # Does the record survive a crash of the process?
    cdef inline bint is_safe(self, uint64_t seq) noexcept:
        return self.survives and self.journal.holds(seq)

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
        cdef Frame* frame = self.enter_told(fields, &count)
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
            decision = new_decision(<Book>self.books[earlier.book], <const uint8_t*>earlier, True)
            decision.durable = self.is_safe(earlier.seq)
            if told_anew(self, book, known, tellings, count):
                raise EventConflict(
                    f"event {decision.event_id!r} was already decided at {decision.point!r}, with other updates: "
                    "send later facts with update()", decision
                )
            self.counters.duplicates += 1
            return decision
        self.check_order(known, point)
        state = state_of(self, book, known)
        load_event(self, book, frame, known)
        lift_cells(self, book, frame, known.record)
        weigh_groups(self, book, frame, True, frame.members_before, frame.columns_before)
        self.seq += 1
        apply_tellings(state, tellings, count, at, self.seq)
        self.route_again(known, frame, point)
        frame.told_at, frame.told_count = at, count
        record = append_record(self, frame, RECORD_AGAIN, point, self.seq)
        state.points[point] = state.latest = record
        tell_outcome(state, record, at)
        load_event(self, book, frame, known)
        mend_groups(self, book, frame, known.record, True)
        lower_cells(self, book, frame, known.record)
        self.counters.again += 1
        decision = new_decision(book, <const uint8_t*>record, False)
        decision.durable = self.is_safe(record.seq)
        self.finish(frame)
        self.tell_hooks(decision.record)
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
        frame.verdict.outcome = frame.verdict.score = 0
        weakest(book, frame.regs)
        for i in range(count):
            if tellings[i].index == book.update_count:
                frame.verdict.outcome = <int32_t>tellings[i].value.v.i
            else:
                frame.regs[book.field_count + book.derived_count + tellings[i].index] = tellings[i].value
        find_rings(self, book, frame)
        frame.told_at, frame.told_count = frame.time, count
        self.record_event(frame, RECORD_OBSERVED, 0)
        known = self.find_id(frame)
        if count:
            apply_tellings(state_of(self, book, known), tellings, count, frame.time, self.seq)
        self.counters.observed += 1
        self.finish(frame)
        if self.hooks:
            self.tell_hooks((<const char*>known.record)[: known.record.size])
        return True

    def update(self, event_id, at, by, source, dict fields):
        cdef IdRecord* known
        cdef uint32_t count
        self.check_open()
        if not fields:
            raise InvalidEvent("an update tells at least one field")
        told_at = self.told_at(at)
        notes = {"by": checked_note("by", by), "source": checked_note("source", source)}
        cdef Frame* frame = self.enter_told(fields, &count)
        try:
            known = self.known_id(event_id)
            self.seq += 1
            self.tell(known, frame, count, told_at, self.seq)
            self.counters.updated += 1
            if self.hooks or self.journal is not None:
                told = told_content(self.book, frame, count)
                content = {"id": str.__str__(event_id), **notes, "fields": told}
                self.announce(plain_record(RECORD_UPDATE, self.seq, told_at, content))
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

    cdef IdRecord* find_id(self, Frame* frame) noexcept:
        cdef Reg* ident = &frame.regs[self.book.id_reg]
        frame.id_hash = hash_text(self.key, ident.v.s, ident.n)
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
        cdef Decision decision = new_decision(<Book>self.books[record.book], <const uint8_t*>record, True)
        decision.durable = self.is_safe(record.seq)
        self.counters.duplicates += 1
        return decision

    cdef int check_content(self, IdRecord* known, Frame* frame) except -1:
        cdef Book book = self.book
        cdef Reg* before = <Reg*>take(book.register_count, sizeof(Reg))
        cdef int64_t differs
        try:
            load_facts(self, book, before, known.record)
            differs = first_difference(book, frame.regs, before)
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
        if self.seen.count() > self.book.ids_max:
            return True
        return self.seen.count() > self.book.ids_min and self.book.facts_ms >= 0 and head.time < self.watermark_ - self.book.facts_ms

    cdef void forget(self, const RecordHead* head) noexcept:
        cdef const char* ident = <const char*>head + head.id_at
        self.seen.remove(hash_text(self.key, ident, head.id_size))
        if not self.any_forgotten or head.time > self.floor_:
            self.floor_ = head.time
        self.any_forgotten = True
        self.counters.forgotten += 1

    # A record that is no event's goes to the journal and to the hooks.
    cdef int announce(self, bytes record) except -1:
        if self.journal is not None:
            self.journal.put(<const char*>record, <uint32_t>len(record))
        return self.tell_hooks(record)

    cdef int tell_hooks(self, object record) except -1:
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
        lists = self.book.plan.lists
        if spec not in lists:
            raise UnknownName(f"list {spec.name} is not in force: a policy was loaded that has none like it; see Engine.lists")
        return <uint32_t>lists.index(spec)

    def change_list(self, spec, action, values, content):
        """Adds or removes the values (`(bytes, expires)` each) of a list, recorded as one operation. How many changed."""
        cdef uint64_t changed = 0
        with self.lock:
            self.check_open()
            table = self.lists.tables[self.list_index(spec)]
            self.seq += 1
            for value, expires in values:
                changed += table.add(value, expires, self.seq) if action == "add" else table.remove(value)
            self.record_list(content)
        return changed

    def change_networks(self, spec, ranges, content):
        """Replaces the ranges of a network list, recorded as one operation."""
        with self.lock:
            self.check_open()
            self.lists.tables[self.list_index(spec)].load(ranges)
            self.seq += 1
            self.record_list(content)

    def restore_list(self, spec, values):
        """The recorded values of a list, not recorded again."""
        table = self.lists.tables[self.list_index(spec)]
        for value, expires in values:
            table.add(value, expires, self.seq)

    def restore_networks(self, spec, ranges):
        self.lists.tables[self.list_index(spec)].load(ranges)

    cdef int record_list(self, object content) except -1:
        if self.hooks or self.journal is not None:
            self.announce(plain_record(RECORD_LIST, self.seq, self.now_ms(), content))
        return 0

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

    # ---- looking --------------------------------------------------------------------------------------------------
    # What is read of the state is copied before anything can run Python code: a call of it, or the collection of garbage, which
    # any list, tuple or dict that is made may start. In between another thread may decide.

    def features(self, dict given, at):
        """Feature name -> value of every aggregate whose lookup key is given (entity type -> value), as of `at` ms."""
        with self.lock:
            self.check_open()
            return self.features_of(self.take_frame(), given, at)

    cdef dict features_of(self, Frame* frame, dict given, int64_t at):
        cdef Book book = self.book
        cdef list raw = [None] * book.feature_count
        cdef uint32_t i
        try:
            self.place_entities(frame, given)
            frame.time, frame.kind_bit = at, 0
            find_rings(self, book, frame)
            read_windows(self, frame, <uint64_t>-1)
            for i in range(book.feature_count):
                raw[i] = reg_object(&frame.regs[book.features[i].reg], book.features[i].rep)
            found = {}
            for i, spec in enumerate(book.plan.features):
                if spec.group >= 0 and all([frame.regs[<uint32_t>reg].present for reg in spec.keys]):
                    found[spec.name] = _feature_value(spec, raw[i])
            return found
        finally:
            self.give_frame(frame)

    cdef int place_entities(self, Frame* frame, dict given) except -1:
        cdef Book book = self.book
        cdef uint32_t i
        for i in range(book.fact_count):
            frame.regs[i].present = 0
        for i, field in enumerate((*book.policy.fields, *book.policy.derived)):
            if field.entity in given:
                value = given[field.entity]
                if not quick_value(book, i, <PyObject*>value, &frame.regs[i], &frame.arena, True):
                    slow_value(book, i, value, &frame.regs[i], &frame.arena)
                if book.specs[i].is_private:
                    hide(self, book, &frame.regs[i], &frame.arena)
        return 0

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
        return new_decision(<Book>self.books[record.book], <const uint8_t*>record, False)

    def known_now(self, event_id):
        """What is known of an event now: field -> value, with its updates and `final`."""
        with self.lock:
            self.check_open()
            return self.facts_of(self.take_frame(), event_id)

    cdef dict facts_of(self, Frame* frame, object event_id):
        cdef Book book = self.book
        cdef tuple specs = (*book.policy.fields, *book.policy.derived, *book.policy.updates)
        cdef list raw = [None] * len(specs)
        cdef uint32_t i
        try:
            load_event(self, book, frame, self.known_id(event_id))
            for i in range(len(specs)):
                raw[i] = reg_object(&frame.regs[i], book.fact_rep[i])
            facts = {}
            for i, spec in enumerate(specs):
                is_hidden = spec.type.private and raw[i] is not None
                facts[spec.name] = "private" if is_hidden else _feature_value(book.plain_spec(i), raw[i])
            facts["final"] = book.plan.outcomes[frame.regs[book.final_reg].v.i]
            return facts
        finally:
            self.give_frame(frame)

    def trace(self, Decision decision):
        """Every register of the decision's program, run once more on what was recorded: raw values by register."""
        cdef Book book = decision.book
        cdef Layout layout = Layout(book)
        cdef Frame* frame = frame_new(book, layout)
        cdef const uint8_t* record = <const uint8_t*><const char*>decision.record
        cdef int64_t list_time
        cdef uint32_t i
        try:
            get_facts(record, book, frame.regs)
            get_features(record, book, frame.regs)
            weakest(book, frame.regs)
            frame.time = decision.time
            list_time = max(decision.time, self.list_line)
            hits = set(decision.verdict()[4])
            machine = &book.program.machine
            program_run(machine, frame.regs, book.keys_start, book.keys_end, &frame.arena, list_time, True)
            for i in range(book.probe_count):
                frame.regs[book.probes[i].dst].present = frame.regs[book.probes[i].key].present
                frame.regs[book.probes[i].dst].v.i = i in hits
            program_run(machine, frame.regs, book.compute_start, book.compute_end, &frame.arena, list_time, True)
            point = &book.points[decision.head().point]
            program_run(machine, frame.regs, point.start, point.end, &frame.arena, list_time, True)
            get_features(record, book, frame.regs)
            reps = book.program.reps
            return [reg_object(&frame.regs[i], reps[i]) if reps[i] is not None else None for i in range(book.register_count)]
        finally:
            frame_free(frame)

    def evidence(self, Decision decision, int room):
        """Feature name -> (from ms, until ms, ids of the events in its window, newest first) for each aggregate.

        By what is known now: events that came late or were told about since are seen as they are.
        """
        with self.lock:
            self.check_open()
            return self.evidence_of(self.take_frame(), decision, room) if decision.book is self.book else {}

    cdef dict evidence_of(self, Frame* frame, Decision decision, int room):
        cdef IdRecord* known
        cdef uint32_t i
        cdef int was_on = 0
        try:
            event_id, found = decision.event_id, {}
            was_on = gc_pause()
            known = self.known_id(event_id)
            load_event(self, self.book, frame, known)
            find_rings(self, self.book, frame)
            for i in range(self.layout.lookup_count):
                if frame.looked[i].present:
                    self.lookup_evidence(frame, i, known, room, found)
            return found
        finally:
            if was_on:
                gc_resume()
            self.give_frame(frame)

    cdef int lookup_evidence(self, Frame* frame, uint32_t i, IdRecord* known, int room, dict found) except -1:
        cdef RingStore store = <RingStore>self.stores[self.layout.lookups[i].group]
        cdef WindowSet wanted = <WindowSet>self.layout.window_sets[i]
        cdef uint32_t handle = frame.looked[i].handle, w, o
        cdef Ring* ring = store.at(handle) if handle else NULL
        cdef Reading reading
        cdef Range range_
        prepare_reading(self, frame, i, known.record.seq, &reading)
        for w in range(wanted.window_count):
            range_ = window_range(store, ring, handle, &wanted.windows[w], &reading)
            places = window_places(store, handle, &range_, room) if handle else []
            ids = [self.id_of(seq) for _, seq in places]
            if range_.with_itself:
                ids.insert(0, self.id_of(known.record.seq))
            start = range_.lo.time if range_.lo.time > -TIME_FAR else None
            end = range_.hi.time + (range_.hi.seq > 0)  # events of that last millisecond count, if they came before
            for o in range(wanted.windows[w].output_count):
                dst = wanted.outputs[wanted.windows[w].output_first + o].dst
                for spec in self.book.plan.features:
                    if spec.reg == dst:
                        found[spec.name] = (start, end, [ident for ident in ids if ident is not None][:room])
        return 0

    cdef object id_of(self, uint64_t seq):
        cdef const RecordHead* head = log_find(&self.log, seq)
        if head == NULL:
            return None
        return (<const char*>head + head.id_at)[: head.id_size].decode()

    def told_time(self, at):
        """A time as epoch ms: from an int, an aware datetime or RFC 3339 text. Raises InvalidEvent."""
        told = epoch_ms(at)
        if told is INVALID or not -TIME_MAX <= told <= TIME_MAX:
            raise InvalidEvent(f"at: expected {EXPECTED[KIND_TIMESTAMP]}, got {shorten(at)}", "at")
        return told

    # ---- what outlives the process --------------------------------------------------------------------------------

    def attach(self, JournalRing journal, bint survives):
        """From here on every record is put into the journal before its call returns. `survives`: the process, there."""
        self.journal, self.survives = journal, survives

    def cut(self, take_spilled=False):
        """Where the state stands: what a store keeps beside the journal up to here. As of one sequence number.

        `take_spilled`: with the records that wait in memory because the ring is full.
        """
        with self.lock:
            self.check_open()
            spilled = self.journal.take_spilled() if take_spilled and self.journal is not None else b""
            return {
                "seq": self.seq, "head": self.log_start(), "book": self.book.index,
                "position": self.journal.position if self.journal is not None else 0,
                "watermark": self.watermark_ if self.any_recorded else None, "oldest": self.oldest, "spilled": spilled,
                "lost": self.journal.lost if self.journal is not None else 0,
                "list_line": self.list_line,
                "floor": self.floor_ if self.any_forgotten else None, "counters": self.counters,
            }

    def image(self, str signature, uint32_t depth, uint64_t prefix):
        """(sequence number, watermark, head, rings as bytes) of one piece of a group; None: no such group any more."""
        cdef RingStore store
        with self.lock:
            self.check_open()
            for each in self.store_list:
                store = each
                if store.group.signature == signature:
                    piece = image_piece(store, depth, prefix)
                    return self.seq, self.watermark_ if self.any_recorded else None, self.log_start(), piece
        return None

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

    def replay(self, bytes frames):
        """Applies recorded events and updates, in order; gives back the first other record it meets, and what follows it.

        Raises ValueError where a record does not fit the state it is applied to.
        """
        cdef const char* start = <const char*>frames
        cdef uint64_t at = 0, size = <uint64_t>len(frames)
        cdef const FrameHead* head
        cdef Frame* frame = self.take_frame()
        try:
            while at < size:
                head = <const FrameHead*>(start + at)
                if not frame_sound(start + at, size - at) or head.mark != FRAME_RECORD:
                    raise ValueError(f"a record at byte {at} of its stretch is damaged")
                at += frame_size(head.size)
                if (<const RecordHead*>(head + 1)).type in (RECORD_LIST, RECORD_POLICY):
                    return (<const char*>(head + 1))[: head.size], frames[at:]
                self.replay_one(frame, <const uint8_t*>(head + 1), head.size)
                arena_reset(&frame.arena)
            return None, b""
        finally:
            self.replay_seq = 0
            self.give_frame(frame)

    cdef int replay_one(self, Frame* frame, const uint8_t* record, uint32_t size) except -1:
        cdef const RecordHead* head = <const RecordHead*>record
        if head.seq <= self.seq:
            return 0
        self.replay_seq = head.seq
        if head.type == RECORD_UPDATE:
            replay_update(self, frame, record, size)
        else:
            if head.book != self.book.index or not record_sound(self.book, record, size):
                raise ValueError(f"record {head.seq} does not fit the policy that was in force")
            if head.type == RECORD_AGAIN:
                replay_again(self, frame, record, size)
            elif head.type in (RECORD_DECISION, RECORD_OBSERVED):
                replay_event(self, frame, record, size)
            else:
                raise ValueError(f"record {head.seq} is of an unknown type")
        self.seq = head.seq
        if self.is_settled:
            self.count_replayed(head)
            if head.type != RECORD_UPDATE:
                self.finish(frame)
        return 0

    cdef void count_replayed(self, const RecordHead* head) noexcept:
        if head.type == RECORD_DECISION:
            self.counters.decided += 1
            self.decided_by_outcome[head.outcome] += 1
        elif head.type == RECORD_AGAIN:
            self.counters.again += 1
        elif head.type == RECORD_OBSERVED:
            self.counters.observed += 1
        else:
            self.counters.updated += 1

    def start_at(self, uint64_t seq):
        """Replay starts behind that sequence number."""
        self.seq = seq

    def skip_record(self, uint64_t seq):
        """A record that changed neither rings nor ids: a list's."""
        self.seq = max(self.seq, seq)

    def replay_policy(self, plan, policy, list contents, uint64_t seq, dict content, Core filler=None):
        """A policy was put in force here, as its record says; `filler`: with the rings that the journal filled."""
        self.replay_seq, self.back_fill_from = seq, content["head"]
        self.install(plan, policy, contents, filler.filled_stores() if filler is not None else {})
        self.replay_seq = self.back_fill_from = 0
        self.seq = seq
        for store in self.store_list:
            _, (<RingStore>store).given_up, (<RingStore>store).gap = content["origins"][(<RingStore>store).group.signature]

    def settle(self, cut):
        """The state stands where `cut` was taken: forgets what was forgotten by then, and goes on as a running engine does."""
        cdef const RecordHead* head = log_head(&self.log)
        if self.seq != cut["seq"]:
            raise ValueError(f"the journal ends at {self.seq}, the state at {cut['seq']}")
        while head != NULL and head.seq < <uint64_t>cut["head"]:
            if head.type != RECORD_AGAIN:
                self.forget(head)
            log_drop_head(&self.log)
            head = log_head(&self.log)
        self.any_recorded = cut["watermark"] is not None
        if self.any_recorded:
            self.watermark_, self.oldest, self.list_line = cut["watermark"], cut["oldest"], cut["list_line"]
        self.any_forgotten = cut["floor"] is not None
        self.floor_ = cut["floor"] if self.any_forgotten else INT64_MIN
        self.counters = cut["counters"]
        self.is_settled, self.covered_until, self.pieces = True, 0, {}
        return None

    def decision_of(self, bytes record):
        """The Decision that an old record holds. Raises ValueError when it holds none."""
        cdef const RecordHead* head = <const RecordHead*><const char*>record
        book = self.books[head.book] if head.book < <uint64_t>len(self.books) else None
        if book is None or not record_sound(<Book>book, <const uint8_t*>head, <uint64_t>len(record)):
            raise ValueError("the record does not fit the policy it names")
        if head.type == RECORD_OBSERVED:
            return None
        decision = new_decision(<Book>book, <const uint8_t*>head, False)
        (<Decision>decision).durable = True
        return decision

    def has_book(self, uint32_t index):
        """Is the policy of that index at hand, so that its records can be read?"""
        return index < <uint64_t>len(self.books) and self.books[index] is not None

    def add_book(self, uint32_t index, plan, policy):
        """An older policy, only for reading what was decided under it."""
        lists = Lists(self.tables_for(plan, [None if spec.values is None else [] for spec in plan.lists]), self.secret)
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
        """Counts since the engine was opened, and what its memory holds."""
        self.check_open()
        outcomes = self.book.plan.outcomes
        groups = []
        for store in self.store_list:
            groups.append({
                "signature": (<RingStore>store).group.signature, "entity": (<RingStore>store).group.entity,
                "entities": (<RingStore>store).table.count, "bytes": (<RingStore>store).bytes_used(),
            })
        memory = {
            "rings": sum([group["bytes"] for group in groups]),
            "ids": self.seen.bytes_used(),
            "records": self.log.bytes,
            "texts": self.texts.text_bytes + self.texts.slab.live * self.texts.slab.record_size + self.texts.table.bytes,
            "lists": sum([table.bytes for table in self.lists.tables]),
        }
        return {
            "decisions": self.counters.decided, "decided_again": self.counters.again, "observed": self.counters.observed,
            "updates": self.counters.updated, "duplicates": self.counters.duplicates, "conflicts": self.counters.conflicts,
            "late": self.counters.late, "too_old": self.counters.too_old, "ahead": self.counters.ahead,
            "invalid": dict(self.invalid_by_field), "overflows": self.counters.overflows + self.book.program.machine.overflows,
            "outcomes": {outcomes[i]: self.decided_by_outcome[i] for i in range(len(outcomes))},
            "ids": self.seen.count(), "forgotten": self.counters.forgotten, "seq": self.seq,
            "watermark": self.watermark, "policy": self.book.plan.hash, "groups": groups,
            "memory": {**memory, "total": sum(memory.values())},
        }

    def state_hash(self):
        """32 hex digits over rings, ids, updates and order; the lists are the caller's to add. O(state)."""
        cdef Fingerprint sum_
        cdef int64_t[5] order
        self.check_open()
        sum_.lo = sum_.hi = 0
        sum_.key = self.key
        for store in self.store_list:
            fingerprint_store(&sum_, <RingStore>store, self.watermark_)
        fingerprint_seen(&sum_, self)
        order[0], order[1], order[2], order[3] = self.seq, self.watermark_, self.oldest, self.floor_
        order[4] = self.list_line
        fingerprint_add(&sum_, order, sizeof(order))
        return f"{sum_.hi:016x}{sum_.lo:016x}"
