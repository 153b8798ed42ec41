# Recorded operations applied anew: what decide, observe, update and decide_again did to the state, without deciding again. The caller
# hands the records in their order; a ring whose checkpoint piece already holds an operation is left alone (`already_holds`).

# ---- may a record from outside be trusted? -----------------------------------------------------------------------------

cdef bint value_sound(Quill* quill, uint8_t rep, const FieldSpec* spec) noexcept nogil:
    cdef uint64_t raw
    if rep == REP_FLOAT:
        quill.failed |= quill.end - quill.at < 8
        quill.at += 8 if not quill.failed else 0
        return not quill.failed
    raw = quill_number(quill)
    if rep == REP_TEXT:
        quill.failed |= raw > <uint64_t>(quill.end - quill.at)
        quill.at += raw if not quill.failed else 0
    elif spec != NULL and spec.kind == KIND_ENUM:
        quill.failed |= (raw & 1) != 0 or raw >> 1 >= spec.label_count
    return not quill.failed


cdef const uint8_t* bits_sound(Quill* quill, uint32_t count) noexcept nogil:
    cdef const uint8_t* bits = quill.at
    quill.failed |= <uint64_t>(quill.end - quill.at) < ((count + 7) >> 3)
    quill.at += ((count + 7) >> 3) if not quill.failed else 0
    return bits


cdef void numbers_sound(Quill* quill, uint64_t below, uint64_t most) noexcept nogil:
    cdef uint64_t count = quill_number(quill)
    quill.failed |= count > most
    while not quill.failed and count:
        quill.failed |= quill_number(quill) >= below
        count -= 1


cdef void facts_sound(Quill* quill, Book book) noexcept nogil:
    cdef uint32_t i, specs = book.field_count + book.derived_count + book.update_count
    cdef const uint8_t* bits = bits_sound(quill, book.fact_count)
    for i in range(book.fact_count):
        if quill.failed:
            return
        if bits[i >> 3] >> (i & 7) & 1:
            value_sound(quill, book.fact_rep[i], &book.specs[i] if i < specs else NULL)
        elif i == book.id_reg:
            quill.failed = True


cdef void verdict_sound(Quill* quill, Book book) noexcept nogil:
    cdef uint64_t notes, note, feature
    cdef int part
    for part in range(4):
        numbers_sound(quill, book.rule_count, book.rule_count)
    numbers_sound(quill, book.probe_count, book.probe_count)
    notes = quill_number(quill)
    quill.failed |= (notes & 1) != 0 or notes > 2 * <uint64_t>book.feature_count
    while not quill.failed and notes:
        note, feature = quill_number(quill), quill_number(quill)
        quill.failed |= not NOTE_LATE <= note <= NOTE_INCOMPLETE or feature >= book.feature_count
        notes -= 2


# Whether an event's record is whole, and means something under the policy it names. Nothing beyond its bytes is touched.
cdef bint record_sound(Book book, const uint8_t* record, uint64_t size) noexcept nogil:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef const uint8_t* bits
    cdef Quill quill
    cdef Reg ident
    cdef uint32_t i
    if size < sizeof(RecordHead) or head.size != size or head.outcome >= book.outcome_count or head.point >= book.point_count:
        return False
    if not sizeof(RecordHead) <= head.features_at <= head.verdict_at <= size:
        return False
    quill.at, quill.end, quill.failed = record + sizeof(RecordHead), record + size, False
    facts_sound(&quill, book)
    if quill.failed:
        return False
    get_one_fact(record, book, book.id_reg, &ident)
    if head.id_at != <uint64_t>(<const uint8_t*>ident.v.s - record) or head.id_size != ident.n:
        return False
    numbers_sound(&quill, book.update_count + 1, book.update_count + 1)
    if quill.failed or quill.at != record + head.features_at:
        return False
    if head.type != RECORD_OBSERVED:
        bits = bits_sound(&quill, book.feature_count)
        for i in range(book.feature_count):
            if not quill.failed and bits[i >> 3] >> (i & 7) & 1:
                value_sound(&quill, book.features[i].rep, NULL)
        if quill.failed or quill.at != record + head.verdict_at:
            return False
        verdict_sound(&quill, book)
    return not quill.failed and quill.at == quill.end


# ---- applying ----------------------------------------------------------------------------------------------------------

# The updates that a decision or an observation brought along, into the frame, with the values that hold since.
cdef uint32_t told_in_record(Book book, Frame* frame, const RecordHead* record) noexcept nogil:
    cdef const uint8_t* p = skip_facts(<const uint8_t*>record, book)
    cdef uint64_t count, number
    cdef uint32_t i, first = book.field_count + book.derived_count
    p = get_varint(p, &count)
    for i in range(<uint32_t>count):
        p = get_varint(p, &number)
        frame.tellings[i].index = <uint32_t>number
        frame.tellings[i].value.n = 0
        if number == book.update_count:
            reg_set_int(&frame.tellings[i].value, record.outcome)
        else:
            frame.tellings[i].value = frame.regs[first + number]
            if book.fact_rep[first + number] != REP_TEXT or not frame.tellings[i].value.present:
                frame.tellings[i].value.n = 0
    return <uint32_t>count


cdef RecordHead* keep_record(Core core, const uint8_t* record, uint32_t size) except NULL:
    cdef uint8_t* out = log_reserve(&core.log, size)
    if out == NULL:
        raise MemoryError
    memcpy(out, record, size)
    log_commit(&core.log, <RecordHead*>out)
    return <RecordHead*>out


# A decided or observed event: remembered, and entered into the rings that do not hold it yet.
cdef int replay_event(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef Book book = core.book
    cdef const RecordHead* source = <const RecordHead*>record
    cdef RecordHead* head
    cdef uint32_t told
    frame.id_hash = hash_text(core.key, <const char*>record + source.id_at, source.id_size)
    if core.seen.find(frame.id_hash) != NULL:
        raise ValueError(f"record {source.seq} is about an event that an earlier one is about")
    core.seen.reserve()
    head = keep_record(core, record, size)
    core.seen.insert(frame.id_hash, head)
    core.note_time(head.time)
    told = told_in_frame(core, book, frame, head)
    if core.replay_seq > core.covered_until:
        weakest(book, frame.regs)
        weigh_groups(core, book, frame, False, frame.members, frame.columns)
        enter_rings(core, book, frame, head)
    if told:
        apply_tellings(state_of(core, book, core.seen.find(frame.id_hash)), frame.tellings, told, head.at, head.seq)
    return 0


cdef uint32_t told_in_frame(Core core, Book book, Frame* frame, const RecordHead* head) noexcept:
    cdef uint32_t i
    get_facts(<const uint8_t*>head, book, frame.regs)
    place_event(book, frame, head)
    for i in range(core.layout.hash_count):
        hash_one(core, book, frame, core.layout.hash_regs[i])
    return told_in_record(book, frame, head)


# A later decision about a known event. One that was forgotten since is passed over: its rings hold what there was to know.
cdef int replay_again(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef Book book = core.book
    cdef const RecordHead* source = <const RecordHead*>record
    cdef IdRecord* known = core.seen.find(hash_text(core.key, <const char*>record + source.id_at, source.id_size))
    cdef EventState* state
    cdef RecordHead* head
    cdef uint32_t told
    head = keep_record(core, record, size)
    if known == NULL:
        return 0
    state = state_of(core, book, known)
    load_event(core, book, frame, known)
    lift_cells(core, book, frame, known.record)
    weigh_groups(core, book, frame, True, frame.members_before, frame.columns_before)
    get_facts(<const uint8_t*>head, book, frame.regs)
    told = told_in_record(book, frame, head)
    apply_tellings(state, frame.tellings, told, head.at, head.seq)
    state.points[head.point] = state.latest = head
    tell_outcome(state, head, head.at)
    load_event(core, book, frame, known)
    mend_groups(core, book, frame, known.record, True)
    return lower_cells(core, book, frame, known.record)


cdef int replay_update(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef IdRecord* known
    cdef uint32_t count
    content = plain_content((<const char*>record)[:size])
    ident = content["id"].encode()
    known = core.seen.find(hash_text(core.key, <const char*>ident, <uint32_t>len(ident)))
    if known == NULL:
        return 0
    count = read_tellings(core.book, frame, content["fields"])
    return core.tell(known, frame, count, head.time, head.seq)


# Is there anything of this operation that the ring's checkpoint piece does not hold?
cdef inline bint already_holds(Core core, RingStore store, Hash key) noexcept nogil:
    if likely(core.replay_seq == 0) or store.covered == NULL:
        return False
    return store.covered[key.lo & store.covered_mask] >= core.replay_seq


# ---- filling new groups from the journal -------------------------------------------------------------------------------
# A second Core runs the new policy over recorded operations, in their order, as if it had been there: its records are translations,
# and only the rings of the new groups are of interest.

# A record of another policy in the frame's registers and verdict, by the names of the current one.
cdef int translate_record(Core core, Book book, Frame* frame, const RecordHead* head) except -1:
    cdef Book old = core.books[head.book]
    cdef uint32_t i, first = book.field_count + book.derived_count
    translate_facts(core, book, frame.regs, head)
    reg_set_text(&frame.regs[book.id_reg], <const char*>head + head.id_at, head.id_size)
    reg_set_int(&frame.regs[book.time_reg], head.time)
    translate_told(core, book, frame, head)
    for i in range(book.update_count):
        frame.regs[first + i] = book.defaults[i]
    for i in range(frame.told_count):
        if frame.tellings[i].index < book.update_count:
            frame.regs[first + frame.tellings[i].index] = frame.tellings[i].value
    for i in range(book.feature_count):
        if book.features[i].reg >= book.fact_count:
            frame.regs[book.features[i].reg].present = 0
    place_event(book, frame, head)
    for i in range(core.layout.hash_count):
        hash_one(core, book, frame, core.layout.hash_regs[i])
    return translate_verdict(core, book, frame, head, old)


cdef int translate_told(Core core, Book book, Frame* frame, const RecordHead* head) except -1:
    cdef Book old = core.books[head.book]
    cdef const uint8_t* p = skip_facts(<const uint8_t*>head, old)
    cdef uint64_t count, number
    cdef uint32_t i, told = 0, first = book.field_count + book.derived_count
    p = get_varint(p, &count)
    for _ in range(<uint32_t>count):
        p = get_varint(p, &number)
        frame.tellings[told].value.n = 0
        if number == old.update_count:
            frame.tellings[told].index = book.update_count
            reg_set_int(&frame.tellings[told].value, translate_outcome(core, book, head.book, head.outcome))
            told += 1
            continue
        for i in range(book.update_count):
            if matching_fact(old, book, first + i) == <int64_t>(old.field_count + old.derived_count + number):
                frame.tellings[told].index = i
                frame.tellings[told].value = frame.regs[first + i]
                if book.fact_rep[first + i] != REP_TEXT or not frame.tellings[told].value.present:
                    frame.tellings[told].value.n = 0
                told += 1
    frame.told_count, frame.told_at = told, head.at
    return 0


cdef int translate_verdict(Core core, Book book, Frame* frame, const RecordHead* head, Book old) except -1:
    cdef Verdict* verdict = &frame.verdict
    cdef uint32_t i
    verdict.outcome, verdict.score = <int32_t>translate_outcome(core, book, head.book, head.outcome), head.score
    verdict.fired_count = verdict.shadow_count = verdict.unknown_count = verdict.exempted_count = verdict.note_count = 0
    for i in range(book.probe_count):
        frame.regs[book.probes[i].dst].present = 0
    if head.type == RECORD_OBSERVED or book.fired_count == 0:
        return 0
    fired = {old.plan.rules[index].id for index in get_verdict(<const uint8_t*>head)[0]}
    for i, rule in enumerate(book.plan.rules):
        if rule.id in fired:
            verdict.fired[verdict.fired_count] = i
            verdict.fired_count += 1
    return 0


cdef int fill_event(Core core, Frame* frame, const RecordHead* source) except -1:
    cdef Book book = core.book
    cdef const RecordHead* head
    cdef IdRecord* known
    frame.id_hash = hash_text(core.key, <const char*>source + source.id_at, source.id_size)
    if core.seen.find(frame.id_hash) != NULL:
        raise ValueError(f"record {source.seq} is about an event that an earlier one is about")
    translate_record(core, book, frame, source)
    core.seen.reserve()
    head = append_record(core, frame, source.type, 0, source.seq)
    core.seen.insert(frame.id_hash, <RecordHead*>head)
    core.note_time(head.time)
    weigh_with_verdict(core, book, frame)
    enter_rings(core, book, frame, head)
    if frame.told_count:
        known = core.seen.find(frame.id_hash)
        apply_tellings(state_of(core, book, known), frame.tellings, frame.told_count, source.at, source.seq)
    return 0


cdef int weigh_with_verdict(Core core, Book book, Frame* frame) except -1:
    weakest(book, frame.regs)
    weigh_groups(core, book, frame, False, frame.members, frame.columns)
    return 0


cdef int fill_again(Core core, Frame* frame, const RecordHead* source) except -1:
    cdef Book book = core.book
    cdef IdRecord* known = core.seen.find(hash_text(core.key, <const char*>source + source.id_at, source.id_size))
    cdef EventState* state
    cdef const RecordHead* head
    if known == NULL:
        return 0
    state = state_of(core, book, known)
    load_event(core, book, frame, known)
    lift_cells(core, book, frame, known.record)
    weigh_groups(core, book, frame, True, frame.members_before, frame.columns_before)
    translate_record(core, book, frame, source)
    head = append_record(core, frame, RECORD_AGAIN, 0, source.seq)
    apply_tellings(state, frame.tellings, frame.told_count, source.at, source.seq)
    state.latest = head
    tell_outcome(state, head, source.at)
    load_event(core, book, frame, known)
    mend_groups(core, book, frame, known.record, True)
    return lower_cells(core, book, frame, known.record)


# What the new policy does not know of an update is left out.
cdef int fill_update(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef IdRecord* known
    cdef uint32_t count
    content = plain_content((<const char*>record)[:size])
    ident = content["id"].encode()
    known = core.seen.find(hash_text(core.key, <const char*>ident, <uint32_t>len(ident)))
    if known == NULL:
        return 0
    for name, value in content["fields"].items():
        try:
            count = read_tellings(core.book, frame, {name: value})
        except InvalidEvent:
            continue
        core.tell(known, frame, count, head.time, head.seq)
    return 0
