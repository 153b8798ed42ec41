# Filling new groups from the journal: a second Core, the filler, runs the new policy over recorded operations, in their order,
# as if it had been there. Its records are translations, and only the rings of the new groups are of interest.

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
    hash_keys(core, book, frame)
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
    verdict.flags = 0
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
    known = core.seen.find(frame.id_hash)
    if known != NULL:
        core.seen.remove(frame.id_hash, known.record)  # evictions and other limits had it forgotten by then
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


cdef int fill_update(Core core, Frame* frame, const uint8_t* record, uint32_t size) except -1:
    cdef const RecordHead* head = <const RecordHead*>record
    cdef IdRecord* known
    content = plain_content((<const char*>record)[:size])
    ident = content["id"].encode()
    known = core.seen.find(hash_text(core.key, <const char*>ident, <uint32_t>len(ident)))
    if known == NULL:
        return 0
    for name, value in content["fields"].items():
        if fill_telling(core, core.books[core.filled_book], frame, name, value):
            core.tell(known, frame, 1, head.time, head.seq)
    return 0


# What was told under `old` as the new policy has it, as a reload in memory carries it over: a label that it lacks is absent, an
# outcome the weakest. False: it has no such update.
cdef bint fill_telling(Core core, Book old, Frame* frame, object name, object value) except -1:
    cdef Book book = core.book
    cdef Telling* telling = frame.tellings
    cdef uint32_t i, first = book.field_count + book.derived_count
    telling.value.present = telling.value.n = 0
    if name == "final":
        telling.index = book.update_count
        reg_set_int(&telling.value, book.plan.outcomes.index(value) if value in book.plan.outcomes else 0)
        return True
    i = <uint32_t>book.names.index(name) if name in book.names else 0
    if i < first or matching_fact(old, book, i) < 0:
        return False
    telling.index = i - first
    if value is not None and (book.specs[i].kind != KIND_ENUM or value in book.label_codes[i]):
        read_telling(book, i, value, &telling.value, &frame.arena)
    return True


# A Core for the groups which `plan` has and this one lacks, from the operations behind `seq`. Events up to the time `gap` are in
# the journal no more.
cdef Core make_filler(Core core, object plan, object policy, list contents, uint64_t seq, int64_t gap):
    cdef Recovered sharing = Recovered(<uint32_t>len(core.books), None, 0, {}, {})
    cdef Core filler
    cdef RingStore store
    cdef uint32_t i
    sharing.texts = core.texts
    present = {(<RingStore>store).group.signature for store in core.store_list}
    filler = Core(plan, policy, contents, core.secret, core.private_secret, None, None, sharing)
    filler.books = [*core.books, filler.book]
    filler.seq, filler.filled_book = seq, 0
    filler.book.ids_min = max(filler.book.ids_min, core.book.ids_min)
    filler.book.ids_max = max(filler.book.ids_max, core.book.ids_max)
    for i in range(filler.layout.group_count):
        store = <RingStore>filler.stores[i]
        if store.group.signature in present:
            filler.layout.groups[i].kinds = 0  # it is warm: no event belongs to it here
        elif gap > INT64_MIN:
            store.gap = floor_to(gap, store.every)
    return filler


# Recorded operations up to the sequence number `last`, of whatever policy.
cdef int fill_frames(Core filler, bytes frames, uint64_t last) except -1:
    cdef const char* start = <const char*>frames
    cdef uint64_t at = 0, size = <uint64_t>len(frames)
    cdef const RecordHead* head
    cdef Frame* frame = filler.take_frame()
    try:
        while at < size:
            head = <const RecordHead*>(start + at + sizeof(FrameHead))
            if not frame_sound(start + at, size - at):
                raise ValueError(f"a record at byte {at} of its stretch is damaged")
            at += frame_size(head.size)
            if filler.seq < head.seq <= last:
                fill_one(filler, frame, head)
                filler.seq = head.seq
                arena_reset(&frame.arena)
    finally:
        filler.give_frame(frame)
    return 0


cdef int fill_one(Core filler, Frame* frame, const RecordHead* head) except -1:
    cdef Book old
    if head.type == RECORD_UPDATE:
        return fill_update(filler, frame, <const uint8_t*>head, head.size)
    filler.filled_book += head.type == RECORD_POLICY
    if not has_facts(head):
        return 0
    old = filler.books[head.book] if head.book < <uint64_t>len(filler.books) - 1 else None
    if old is None or not record_sound(old, <const uint8_t*>head, head.size):
        raise ValueError(f"record {head.seq} does not fit the policy it names")
    filler.filled_book = head.book
    if head.flags & FLAG_ERASED:
        note_erased(filler, head, filled_groups(filler))
    elif head.type == RECORD_AGAIN:
        fill_again(filler, frame, head)
    else:
        fill_event(filler, frame, head)
    return filler.finish(frame)


cdef list filled_groups(Core filler):
    cdef uint32_t i
    return [i for i in range(filler.layout.group_count) if filler.layout.groups[i].kinds]


# Signature -> rings of every group that is filled.
cdef dict filled_stores(Core filler):
    return {(<RingStore>filler.stores[<uint32_t>i]).group.signature: filler.store_list[i] for i in filled_groups(filler)}
