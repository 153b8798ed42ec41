# Looking at the state: what is known of an entity or an event, a decision run once more, the events in its windows.

cdef dict features_of(Core core, Frame* frame, dict given, int64_t at):
    cdef Book book = core.book
    cdef uint32_t i
    try:
        place_entities(core, frame, given)
        frame.time, frame.kind_bit = at, 0
        hash_keys(core, book, frame)
        find_rings(core, book, frame)
        read_windows(core, frame, <uint64_t>-1)
        found = {}
        for i, spec in enumerate(book.plan.features):  # other features are not computed: their registers hold what was there
            if spec.group >= 0 and all([frame.regs[<uint32_t>reg].present for reg in spec.keys]):
                raw = reg_object(&frame.regs[book.features[i].reg], book.features[i].rep)
                found[spec.name] = _feature_value(spec, raw)
        return found
    finally:
        core.give_frame(frame)


cdef int place_entities(Core core, Frame* frame, dict given) except -1:
    cdef Book book = core.book
    cdef uint32_t i
    for i in range(book.fact_count):
        frame.regs[i].present = 0
    for i, field in enumerate((*book.policy.fields, *book.policy.derived)):
        if field.entity in given:
            value = given[field.entity]
            if not quick_value(book, &book.specs[i], <PyObject*>value, &frame.regs[i], &frame.arena, True):
                slow_value(book, i, value, &frame.regs[i], &frame.arena)
            if book.specs[i].is_private:
                hide(core, book, &frame.regs[i], &frame.arena)
    return 0


cdef dict facts_of(Core core, Frame* frame, object event_id):
    cdef IdRecord* known
    try:
        known = core.known_id(event_id)
        load_event(core, core.book, frame, known)
        final = core.book.plan.outcomes[frame.regs[core.book.final_reg].v.i]
        erased = erased_names(core, known.record)
        facts = named_facts(core.book, frame.regs, NULL)
        return {**facts, **{name: _ERASED for name in facts if name in erased}, "final": final}
    finally:
        core.give_frame(frame)


# What an erasure took of a record's facts, by name.
cdef set erased_names(Core core, const RecordHead* record):
    if not record.flags & FLAG_ERASED:
        return set()
    facts = recorded_facts(core.books[record.book], (<const char*>record)[: record.size])
    return {name for name, value in facts.items() if value is _ERASED}


# Every register of the decision's program, run once more on what was recorded: raw values by register.
cdef list trace_of(Core core, Decision decision):
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
        list_time = max(decision.time, core.list_line)
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
        raw = [reg_object(&frame.regs[i], reps[i]) if reps[i] is not None else None for i in range(book.register_count)]
        show_erased(book, record, raw, True, True)
        return raw
    finally:
        frame_free(frame)


@cython.final
cdef class WhatIf:
    """The program of one decision, run once more with another value put in place: which outcome it would have had.

    Rules are live, in shadow or off as the record tells; those that it does not tell about are as the policy says.
    """

    cdef Core core
    cdef Decision decision
    cdef Layout layout
    cdef Frame* frame
    cdef RuleControl* controls
    cdef set hits

    def __cinit__(self, Core core not None, Decision decision not None):
        cdef Book book = decision.book
        self.core, self.decision, self.layout = core, decision, Layout(book)
        self.hits = set(decision.verdict()[4])
        self.frame = frame_new(book, self.layout)
        self.controls = <RuleControl*>take(book.rule_count, sizeof(RuleControl))
        self._as_planned()
        self._as_recorded()

    def __dealloc__(self):
        free(self.controls)
        if self.frame != NULL:
            frame_free(self.frame)

    cdef int _as_planned(self) except -1:
        cdef uint32_t i
        plan = self.decision.book.plan
        disabled = {group.name for group in plan.rule_groups if not group.enabled}
        for i, rule in enumerate(plan.rules):
            self.controls[i].from_time = INT64_MIN if rule.from_ms is None else rule.from_ms
            self.controls[i].until_time = INT64_MAX if rule.until_ms is None else rule.until_ms
            self.controls[i].mode = MODE_OFF if rule.group in disabled else rule.mode
        return 0

    cdef int _as_recorded(self) except -1:
        cdef uint32_t i
        fired, shadow, unknown, exempted, _, notes = self.decision.verdict()
        noted = {notes[i + 1] for i in range(0, len(notes), 2) if notes[i] > NOTE_EVICTED}
        for i in (*fired, *exempted):
            self.controls[i].mode = MODE_LIVE
        for i in noted:
            self.controls[i].mode = MODE_SHADOW
        heard = {*fired, *shadow, *unknown, *exempted}
        self.run(-1, None)
        for i in range(self.decision.book.rule_count):
            result = &self.frame.regs[<uint32_t>self.decision.book.plan.rules[i].result]
            if i not in heard and not (result.present and result.v.i == 0):
                self.controls[i].mode = MODE_OFF
        return 0

    cdef int run(self, int64_t reg, object value) except -1:
        cdef Book book = self.decision.book
        cdef Frame* frame = self.frame
        cdef const RecordHead* head = self.decision.head()
        cdef const PointSpec* point = &book.points[head.point]
        cdef Machine* machine = &book.program.machine
        cdef int64_t list_time = max(head.time, self.core.list_line)
        cdef uint32_t i
        arena_reset(&frame.arena)
        get_facts(<const uint8_t*>head, book, frame.regs)
        get_features(<const uint8_t*>head, book, frame.regs)
        weakest(book, frame.regs)
        place_event(book, frame, head)
        if reg >= 0:
            reg_set(&frame.regs[reg], book.program.reps[reg], value)
        program_run(machine, frame.regs, book.keys_start, book.keys_end, &frame.arena, list_time, True)
        for i in range(book.probe_count):
            frame.regs[book.probes[i].dst].present = frame.regs[book.probes[i].key].present
            frame.regs[book.probes[i].dst].v.i = i in self.hits
        program_run(machine, frame.regs, book.compute_start, book.compute_end, &frame.arena, list_time, True)
        program_run(machine, frame.regs, point.start, point.end, &frame.arena, list_time, True)
        frame.verdict.note_count = 0
        judge(self.core, self.controls, book, frame, point)
        return 0

    def ask(self, int64_t reg=-1, value=None, int64_t rule=-1):
        """(index of the outcome, is that rule's condition true), with the value in the register; -1: none."""
        cdef Reg* result
        self.run(reg, value)
        if rule < 0:
            return self.frame.verdict.outcome, False
        result = &self.frame.regs[<uint32_t>self.decision.book.plan.rules[rule].result]
        return self.frame.verdict.outcome, bool(result.present and result.v.i)


cdef dict evidence_of(Core core, Frame* frame, Decision decision, int room):
    cdef IdRecord* known
    cdef uint32_t i
    try:
        event_id, found = decision.event_id, {}
        known = core.known_id(event_id)
        load_event(core, core.book, frame, known)
        find_rings(core, core.book, frame)
        for i in range(core.layout.lookup_count):
            if frame.looked[i].present:
                lookup_evidence(core, frame, i, known.record.seq, event_id, room, found)
        return found
    finally:
        core.give_frame(frame)


# The bounds and the ids of one lookup's windows, for an event of that place, of which the registers tell.
cdef int lookup_evidence(Core core, Frame* frame, uint32_t i, uint64_t seq, str itself, int room, dict found) except -1:
    cdef RingStore store = <RingStore>core.stores[core.layout.lookups[i].group]
    cdef WindowSet wanted = <WindowSet>core.layout.window_sets[i]
    cdef uint32_t handle = store.living(frame.looked[i].handle, core.watermark_), w, o
    cdef Ring* ring = store.at(handle) if handle else NULL
    cdef int64_t line = store.line(core.watermark_)
    cdef Reading reading
    cdef Range range_
    start_reading(core, frame, seq, &reading)
    aim_reading(core, frame, i, &reading)
    for w in range(wanted.window_count):
        range_ = window_range(store, ring, handle, &wanted.windows[w], &reading)
        start = range_.lo.time if range_.lo.time > -TIME_FAR else None
        if range_.lo.time <= line:  # what was given up is no evidence, whether it was swept already or not
            range_.lo = place(line + 1, 0)
        places = window_places(store, handle, &range_, room) if handle else []
        ids = [id_of(core, entry) for _, entry in places if entry != seq]  # its own cell may hold the event itself
        if range_.with_itself:
            ids.insert(0, itself)
        end = range_.hi.time + (range_.hi.seq > 0)  # events of that last millisecond count, if they came before
        for o in range(wanted.windows[w].output_count):
            dst = wanted.outputs[wanted.windows[w].output_first + o].dst
            for spec in core.book.plan.features:
                if spec.reg == dst:
                    found[spec.name] = (start, end, [ident for ident in ids if ident is not None][:room])
    return 0


# Records that wait for the disk, each where it is: an event's in the log, others with the journal. None where the log has
# forgotten one.
cdef bytes waiting_frames(Core core, uint64_t most):
    cdef JournalRing journal = core.journal
    cdef const Segment* segment = NULL
    cdef const RecordHead* head = log_from(&core.log, journal.waiting_from, &segment)
    cdef uint64_t size = 0
    records = []
    if journal.broken:
        return None
    if journal.spilled_bytes > journal.taken_bytes:  # there was room again meanwhile: these are older than what waits now
        return b""
    while journal.waiting and size < most:
        if head != NULL and head.seq == journal.waiting_from:
            record = (<const char*>head)[: head.size]
            head = log_next(&segment, head)
        elif journal.others and head_in(journal.others[0]).seq == journal.waiting_from:
            record = journal.others.popleft()
            journal.others_bytes -= <uint64_t>len(record)
        else:
            journal.broken = True
            return None
        records.append(record)
        size += <uint64_t>len(record)
        journal.waiting_from += 1
        journal.waiting -= 1
    return frames_of(records, journal.epoch)


cdef object id_of(Core core, uint64_t seq):
    cdef const RecordHead* head = log_find(&core.log, seq)
    if head == NULL:
        return None
    return id_text(head)
