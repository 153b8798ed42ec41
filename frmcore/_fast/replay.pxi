# Recorded operations applied anew: what decide, observe, update and decide_again did to the state, without deciding again. The
# caller hands the records in their order; a ring whose checkpoint piece already holds an operation is left alone
# (`already_holds`).

# ---- may a record from outside be trusted? -----------------------------------------------------------------------------

cdef bint value_sound(Quill* quill, uint8_t rep, uint8_t kind, const FieldSpec* spec) noexcept nogil:
    cdef uint64_t raw
    if rep == REP_FLOAT:
        quill.failed |= quill.end - quill.at < 8
        quill.at += 8 if not quill.failed else 0
        return not quill.failed
    raw = quill_number(quill)
    if rep == REP_TEXT:
        quill.failed |= raw > <uint64_t>(quill.end - quill.at) or not text_sound(<const char*>quill.at, raw, kind, spec)
        quill.at += raw if not quill.failed else 0
    elif spec != NULL and spec.kind == KIND_ENUM:
        quill.failed |= (raw & 1) != 0 or raw >> 1 >= spec.label_count
    return not quill.failed


# Whoever reads texts trusts that they are UTF-8, and addresses that they are of some kind.
cdef inline bint text_sound(const char* s, uint64_t n, uint8_t kind, const FieldSpec* spec) noexcept nogil:
    if spec != NULL and spec.is_private:
        return True
    if kind == KIND_IP:
        return n in (4, 16)
    return kind != KIND_STRING or utf8_valid(s, <uint32_t>n)


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


# Texts that were overwritten are none; they are not read (`get_facts`, `get_features`).
cdef void facts_sound(Quill* quill, Book book, bint erased) noexcept nogil:
    cdef uint32_t i, specs = book.field_count + book.derived_count + book.update_count
    cdef const uint8_t* bits = bits_sound(quill, book.fact_count)
    cdef uint8_t kind
    for i in range(book.fact_count):
        if quill.failed:
            return
        if bits[i >> 3] >> (i & 7) & 1:
            if i < specs:
                kind = KIND_INT if erased and book.erasable[i] else book.specs[i].kind
                value_sound(quill, book.fact_rep[i], kind, &book.specs[i])
            else:
                value_sound(quill, book.fact_rep[i], KIND_INT, NULL)
        elif i == book.id_reg:
            quill.failed = True


cdef void verdict_sound(Quill* quill, Book book) noexcept nogil:
    cdef uint64_t notes, note, about
    cdef int part
    for part in range(4):
        numbers_sound(quill, book.rule_count, book.rule_count)
    numbers_sound(quill, book.probe_count, book.probe_count)
    notes = quill_number(quill)
    quill.failed |= (notes & 1) != 0 or notes > 2 * <uint64_t>(book.feature_count + book.rule_count)
    while not quill.failed and notes:
        note, about = quill_number(quill), quill_number(quill)
        quill.failed |= not NOTE_LATE <= note <= NOTE_SWITCHED
        quill.failed |= about >= (book.feature_count if note <= NOTE_EVICTED else book.rule_count)
        notes -= 2


cdef void tail_sound(Quill* quill, Book book, uint8_t flags) noexcept nogil:
    cdef uint64_t alerts = 0, ids
    if flags & FLAG_HOLDOUT:
        quill.failed |= quill_number(quill) >= book.outcome_count
    if flags & FLAG_ALERTS:
        alerts = quill_number(quill)
    quill.failed |= alerts > book.rule_count
    while not quill.failed and alerts:
        quill.failed |= quill_number(quill) >= book.rule_count
        ids = quill_number(quill)
        while not quill.failed and ids:
            value_sound(quill, REP_TEXT, KIND_STRING, NULL)
            ids -= 1
        alerts -= 1


# Whether an event's record is whole, and means something under the policy it names. Nothing beyond its bytes is touched.
cdef bint record_sound(Book book, const uint8_t* record, uint64_t size) noexcept nogil:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef const uint8_t* bits
    cdef Quill quill
    cdef Reg ident
    cdef uint32_t i
    cdef uint8_t kind
    if size < sizeof(RecordHead) or head.size != size or head.outcome >= book.outcome_count or head.point >= book.point_count:
        return False
    if not sizeof(RecordHead) <= head.features_at <= head.verdict_at <= size:
        return False
    quill.at, quill.end, quill.failed = record + sizeof(RecordHead), record + size, False
    facts_sound(&quill, book, head.flags & FLAG_ERASED)
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
                kind = KIND_INT if head.flags & FLAG_SHOWN else book.features[i].kind
                value_sound(&quill, book.features[i].rep, kind, NULL)
        if quill.failed or quill.at != record + head.verdict_at:
            return False
        verdict_sound(&quill, book)
        tail_sound(&quill, book, head.flags)
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
    cdef IdRecord* known
    cdef uint32_t told
    frame.id_hash = hash_text(core.key, <const char*>record + source.id_at, source.id_size)
    known = core.seen.find(frame.id_hash)
    if known != NULL:
        if core.is_settled:
            raise ValueError(f"record {source.seq} is about an event that an earlier one is about")
        core.seen.remove(frame.id_hash, known.record)  # it had been forgotten by then
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
    get_facts(<const uint8_t*>head, book, frame.regs)
    place_event(book, frame, head)
    hash_keys(core, book, frame)
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
    for name in content.get("erased", ()):
        frame.tellings[count].index = update_named(core.book, name) - core.book.field_count - core.book.derived_count
        frame.tellings[count].value.present = frame.tellings[count].value.n = 0
        count += 1
    return core.tell(known, frame, count, head.time, head.seq)


# Is there anything of this operation that the ring's checkpoint piece does not hold?
cdef inline bint already_holds(Core core, RingStore store, Hash key) noexcept nogil:
    if likely(core.replay_seq == 0) or store.covered == NULL:
        return False
    return store.covered[key.lo & store.covered_mask] >= core.replay_seq


cdef int replay_one(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef const RecordHead* head = <const RecordHead*>record
    if head.seq <= core.seq:
        return 0
    core.replay_seq = head.seq
    if head.type == RECORD_UPDATE:
        replay_update(core, frame, record, size)
    elif head.type == RECORD_EVICT:
        obey_eviction(core, plain_content((<const char*>record)[:size]))
    else:
        if head.book != core.book.index or not record_sound(core.book, record, size):
            raise ValueError(f"record {head.seq} does not fit the policy that was in force")
        if head.type == RECORD_AGAIN:
            replay_again(core, frame, record, size)
        elif head.type in (RECORD_DECISION, RECORD_OBSERVED):
            replay_event(core, frame, record, size)
        else:
            raise ValueError(f"record {head.seq} is of an unknown type")
    core.seq = head.seq
    if core.is_settled:
        count_replayed(core, head)
        if head.type in (RECORD_DECISION, RECORD_AGAIN):
            follow_decision(core, head, frame.kind_bit)
        if has_facts(head):
            core.finish(frame)
    return 0


cdef void count_replayed(Core core, const RecordHead* head) noexcept:
    if head.type == RECORD_DECISION:
        core.counters.decided += 1
        core.decided_by_outcome[head.outcome] += 1
    elif head.type == RECORD_AGAIN:
        core.counters.again += 1
    elif head.type == RECORD_OBSERVED:
        core.counters.observed += 1
    elif head.type == RECORD_UPDATE:
        core.counters.updated += 1


# Events and updates up to the first other record: that record (None: there is none) and the frames behind it.
cdef tuple replay_frames(Core core, bytes frames):
    cdef const char* start = <const char*>frames
    cdef uint64_t at = 0, size = <uint64_t>len(frames)
    cdef const FrameHead* head
    cdef Frame* frame = core.take_frame()
    try:
        while at < size:
            head = <const FrameHead*>(start + at)
            if not frame_sound(start + at, size - at) or head.mark != FRAME_RECORD:
                raise ValueError(f"a record at byte {at} of its stretch is damaged")
            at += frame_size(head.size)
            if is_kept((<const RecordHead*>(head + 1)).type):
                return (<const char*>(head + 1))[: head.size], frames[at:]
            replay_one(core, frame, <const uint8_t*>(head + 1), head.size)
            arena_reset(&frame.arena)
        return None, b""
    finally:
        core.replay_seq = 0
        core.give_frame(frame)


# The state stands where `cut` was taken: what had been forgotten by then is forgotten.
cdef int settle_at(Core core, dict cut) except -1:
    cdef const RecordHead* head = log_head(&core.log)
    if core.seq != cut["seq"]:
        raise ValueError(f"the journal ends at {core.seq}, the state at {cut['seq']}")
    while head != NULL and head.seq < <uint64_t>cut["head"]:
        if head.type != RECORD_AGAIN:
            core.forget(head)
        log_drop_head(&core.log)
        head = log_head(&core.log)
    core.any_recorded = cut["watermark"] is not None
    if core.any_recorded:
        core.watermark_, core.oldest, core.list_line = cut["watermark"], cut["oldest"], cut["list_line"]
    core.any_forgotten = cut["floor"] is not None
    core.floor_ = cut["floor"] if core.any_forgotten else INT64_MIN
    core.counters, core.ids_limit = cut["counters"], cut["ids_limit"]
    set_outcomes(core, cut.get("outcomes", {}))
    core.is_settled, core.covered_until, core.pieces = True, 0, {}
    restore_controls(core, cut["controls"])
    return 0
