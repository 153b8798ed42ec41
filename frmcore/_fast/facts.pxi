# What is known of an event, brought back into registers: its record, what was told since, the latest decision about it. Records
# of an older policy are translated by name.

import msgspec.msgpack as _msgpack


# ---- facts -------------------------------------------------------------------------------------------------------------

cdef int load_facts(Core core, Book book, Reg* regs, const RecordHead* record) except -1:
    if record.book == book.index:
        get_facts(<const uint8_t*>record, book, regs)
        return 0
    return translate_facts(core, book, regs, record)


# A field of the same name and kind keeps its value; an enum's label keeps its meaning; what the record lacks is absent.
cdef int translate_facts(Core core, Book book, Reg* regs, const RecordHead* record) except -1:
    cdef Book old = core.books[record.book]
    cdef Reg* before = <Reg*>take(old.register_count, sizeof(Reg))
    cdef uint32_t i
    cdef int64_t source
    try:
        get_facts(<const uint8_t*>record, old, before)
        for i in range(book.fact_count):
            source = matching_fact(old, book, i)
            regs[i].present = 0
            if source >= 0:
                regs[i] = before[source]
                if regs[i].present and book.specs[i].kind == KIND_ENUM:
                    translate_label(old, book, <uint32_t>source, i, &regs[i])
    finally:
        free(before)
    return 0


# The fact of `old` that is this one; -1: it has none. Found once for two policies, as a reload asks for every event.
cdef int64_t matching_fact(Book old, Book book, uint32_t i) except? -2:
    cdef list found = book.matches.get(old)
    cdef uint32_t k
    if found is None:
        found = book.matches[old] = [find_matching(old, book, k) for k in range(book.fact_count)]
    return found[i]


cdef int64_t find_matching(Book old, Book book, uint32_t i) except? -2:
    if i >= book.field_count + book.derived_count + book.update_count:
        return matching_original(old, book, i)
    name = book.names[i]
    if name not in old.names:
        return -1
    source = old.names.index(name)
    same = old.specs[<uint32_t>source].kind == book.specs[i].kind and old.specs[<uint32_t>source].scale == book.specs[i].scale
    same &= old.field_plan(<uint32_t>source).currency == book.field_plan(i).currency
    return source if same and old.specs[<uint32_t>source].is_private == book.specs[i].is_private else -1


# The same for what a money field in several currencies was before its conversion.
cdef int64_t matching_original(Book old, Book book, uint32_t i) except? -2:
    cdef uint32_t j, k
    for j in range(book.currency_count):
        for k in range(old.currency_count):
            if book.names[book.currencies[j].amount] == old.names[old.currencies[k].amount]:
                if book.currencies[j].original == i:
                    return old.currencies[k].original
                if book.currencies[j].rate == i:
                    return old.currencies[k].rate
    return -1


cdef int translate_label(Book old, Book book, uint32_t source, uint32_t i, Reg* reg) except -1:
    label = list(old.label_codes[source])[reg.v.i]
    code = book.label_codes[i].get(label)
    reg.present = code is not None
    if code is not None:
        reg.v.i = code
    return 0


# The frame's time and kind, from a record whose facts are in the registers. What asks for no kind takes those that the policy has
# not any more too.
cdef void place_event(Book book, Frame* frame, const RecordHead* record) noexcept nogil:
    frame.time, frame.late = record.time, record.flags & FLAG_LATE
    frame.kind_bit = <uint64_t>-1
    if book.kind_reg >= 0:
        frame.kind_bit = <uint64_t>1 << frame.regs[book.kind_reg].v.i if frame.regs[book.kind_reg].present else KIND_GONE


# The event's registers as known now, ready for filters: facts, updates, final, score, fired; the frame's time and kind.
cdef int load_event(Core core, Book book, Frame* frame, IdRecord* known) except -1:
    cdef const RecordHead* record = known.record
    cdef const RecordHead* latest = known.state.latest if known.state != NULL else record
    cdef uint32_t i
    load_facts(core, book, frame.regs, record)
    state_to_regs(book, known.state, frame.regs)
    place_event(book, frame, record)
    reg_set_int(&frame.regs[book.final_reg], record.outcome)
    if known.state != NULL:
        frame.regs[book.final_reg] = known.state.final.value
    elif record.book != book.index:
        reg_set_int(&frame.regs[book.final_reg], translate_outcome(core, book, record.book, record.outcome))
    reg_set_int(&frame.regs[book.score_reg], latest.score)
    for i in range(book.fired_count):
        reg_set_int(&frame.regs[book.fired[i].reg], was_fired(core, book, latest, i))
    hash_keys(core, book, frame)
    return 0


cdef int64_t translate_outcome(Core core, Book book, uint32_t old, int64_t outcome) except? -1:
    label = (<Book>core.books[old]).plan.outcomes[outcome]
    outcomes = book.plan.outcomes
    return outcomes.index(label) if label in outcomes else 0


# Did the rule that the i-th `fired` asks about fire in that record?
cdef bint was_fired(Core core, Book book, const RecordHead* record, uint32_t i) except -1:
    if record.type == RECORD_OBSERVED:
        return False
    if record.book == book.index:
        return record_fired(<const uint8_t*>record, book.fired[i].rule)
    old = (<Book>core.books[record.book]).plan.rules
    name = book.plan.fired[i][0]
    return any([old[index].id == name for index in get_verdict(<const uint8_t*>record)[0]])


cdef int32_t translate_point(Core core, const RecordHead* record) except? -2:
    if record.book == core.book.index:
        return record.point
    name = (<Book>core.books[record.book]).plan.points[record.point].name
    names = [point.name for point in core.book.plan.points]
    return names.index(name) if name in names else -1


# The first field whose content differs from the first time, under the policy `old`, or -1. A field under `retry_may_change` may;
# what the policy of then did not read can't be compared.
cdef int64_t first_difference(Book old, Book book, const Reg* now, const Reg* before) except -2:
    cdef uint32_t i, given
    for i in range(book.field_count):
        given = as_given(book, i)
        if book.specs[i].may_change or same_value(&now[given], &before[given], book.fact_rep[given]):
            continue
        if old is book or matching_fact(old, book, given) >= 0:
            return i
    return -1


# Where the field is as the event brought it. Converted, two amounts may be equal, and one differ by a reload's rates.
cdef uint32_t as_given(Book book, uint32_t i) noexcept nogil:
    cdef uint32_t j
    for j in range(book.currency_count):
        if book.currencies[j].amount == i:
            return book.currencies[j].original
    return i


cdef bint same_value(const Reg* a, const Reg* b, uint8_t rep) noexcept nogil:
    if not a.present or not b.present:
        return a.present == b.present
    if rep == REP_TEXT:
        return a.n == b.n and memcmp(a.v.s, b.v.s, a.n) == 0
    return a.v.i == b.v.i if rep == REP_INT else a.v.f == b.v.f


# ---- what was told -----------------------------------------------------------------------------------------------------

# The state of a known event in the layout of the current policy, made when it is first needed.
cdef EventState* state_of(Core core, Book book, IdRecord* known) except NULL:
    cdef EventState* state = known.state
    if state == NULL or state.book != book.index:
        state = state_new(book, known.record)
        if state == NULL:
            raise MemoryError
        reg_set_int(&state.final.value, translate_outcome(core, book, known.record.book, known.record.outcome))
        if known.state != NULL:
            state.latest = known.state.latest
            state.before = carry_over(core, book, core.seen.take_state(known), state)
        core.seen.keep_state(known, state)
    return state


# What was told under older policies into the new state. Those that are still needed, because the new policy lacks a name too.
cdef EventState* carry_over(Core core, Book book, EventState* old, EventState* state) except? NULL:
    cdef EventState* before
    if old == NULL:
        return NULL
    before = carry_over(core, book, old.before, state)
    if carry_state(core.books[old.book], book, old, state):
        state_free(old)
        return before
    old.before = before
    return old


# True: all of it has a name there.
cdef bint carry_state(Book old, Book book, const EventState* before, EventState* state) except -1:
    cdef uint32_t i, told = 0, first = book.field_count + book.derived_count
    cdef int64_t source
    cdef bint points = carry_points(old, book, before, state), final = carry_final(old, book, before, state)
    for i in range(before.update_count):
        told += before.told[i].told == TOLD
    for i in range(book.update_count):
        source = matching_fact(old, book, first + i)
        if source >= old.field_count + old.derived_count:
            told -= carry_told(old, book, <uint32_t>source, first + i, before, state)
    return points and final and told == 0


# One update. True: it was told, and has a name there.
cdef bint carry_told(Book old, Book book, uint32_t source, uint32_t i, const EventState* before, EventState* state) except -1:
    cdef const Told* told = &before.told[source - old.field_count - old.derived_count]
    cdef Told* out = &state.told[i - book.field_count - book.derived_count]
    cdef Told new = told[0]
    cdef Reg* value = &new.value
    if not told.told:
        return False
    if book.specs[i].kind == KIND_ENUM and value.present:
        translate_label(old, book, source, i, value)
        new.told = told.told if value.present else TOLD_LOST
    if says_more(&new, out):
        own_text(value)
        tell(out, value, told.at, told.seq)
        out.told = new.told
    return new.told == TOLD


# Where nothing was told the outcome is that of the record, in the record's own words.
cdef bint carry_final(Book old, Book book, const EventState* before, EventState* state) except -1:
    cdef Told new = before.final
    outcomes, label = book.plan.outcomes, old.plan.outcomes[new.value.v.i]
    if not new.told:
        return True
    if label not in outcomes:
        new.told = TOLD_LOST
    if says_more(&new, &state.final):
        reg_set_int(&new.value, outcomes.index(label) if new.told == TOLD else 0)
        state.final = new
    return new.told == TOLD or before.final.told == TOLD_LOST


# Decisions at points of the same name. True: there are such for all of them.
cdef bint carry_points(Book old, Book book, const EventState* before, EventState* state) except -1:
    cdef uint32_t i, at
    cdef bint whole = True
    names = [point.name for point in book.plan.points]
    for i in range(before.point_count):
        if before.points[i] != NULL and old.plan.points[i].name in names:
            at = names.index(old.plan.points[i].name)
            state.points[at] = before.points[i]
        elif before.points[i] != NULL:
            whole = False
    return whole


# Checks update fields and puts them into the frame; their count. May run Python code.
cdef uint32_t read_tellings(Book book, Frame* frame, dict fields) except? 0xFFFFFFFF:
    cdef Telling* out = frame.tellings
    cdef uint32_t count = 0, first = book.field_count + book.derived_count, i
    for name, value in fields.items():
        if count > book.update_count:
            raise InvalidEvent(f"{printable(name)} is told twice", name)
        if name == "final":
            out[count].index = book.update_count
            out[count].value.n = 0
            reg_set_int(&out[count].value, outcome_named(book, value))
        else:
            i = update_named(book, name)
            out[count].index = i - first
            read_telling(book, i, value, &out[count].value, &frame.arena)
        count += 1
    return count


cdef int64_t outcome_named(Book book, object value) except? -1:
    outcomes = book.plan.outcomes
    plain = str.__str__(value) if isinstance(value, str) else None
    if plain not in outcomes:
        raise InvalidEvent(f"final: expected one of {', '.join(outcomes)}, got {shorten(value)}", "final")
    return outcomes.index(plain)


cdef int read_telling(Book book, uint32_t i, object value, Reg* reg, Arena* arena) except -1:
    reg.n = 0
    if value is None and not book.specs[i].optional:
        raise InvalidEvent(f"{book.names[i]}: expected {expected_of(book, i)}, got None", book.names[i])
    if not quick_value(book, &book.specs[i], <PyObject*>value, reg, arena, True):
        slow_value(book, i, value, reg, arena)
    return 0


cdef uint32_t update_named(Book book, object name) except? 0xFFFFFFFF:
    names = book.names[book.field_count + book.derived_count :]
    if name not in names:
        known = ", ".join((*names, "final"))
        hint = nearest(name, names) or f"its updates are {known}"
        field = "a field of the event, which is immutable" if name in book.names else "no update of the policy"
        raise InvalidEvent(f"{printable(name)} is {field}; {hint}", printable(name))
    return book.field_count + book.derived_count + <uint32_t>names.index(name)


# A text becomes the state's own copy.
cdef int own_text(Reg* value) except -1:
    cdef const char* text = value.v.s
    if value.present and value.n:
        value.v.s = <const char*>malloc(value.n)
        if value.v.s == NULL:
            raise MemoryError
        memcpy(<void*>value.v.s, text, value.n)
    return 0


cdef inline Told* told_of(EventState* state, uint32_t index) noexcept nogil:
    return &state.final if index == state.update_count else &state.told[index]


cdef int apply_tellings(EventState* state, Telling* tellings, uint32_t count, int64_t at, uint64_t seq) except -1:
    cdef uint32_t i
    cdef Told* told
    cdef Reg value
    for i in range(count):
        told = told_of(state, tellings[i].index)
        value = tellings[i].value
        own_text(&value)
        if not tell(told, &value, at, seq) and value.n:
            free(<void*>value.v.s)
    return 0


# Would these updates say anything that is not already known?
cdef bint told_anew(Core core, Book book, IdRecord* known, Telling* tellings, uint32_t count) except -1:
    cdef uint32_t i, first = book.field_count + book.derived_count
    cdef EventState* state = state_of(core, book, known)
    cdef Told* told
    for i in range(count):
        told = told_of(state, tellings[i].index)
        if not told.told and tellings[i].index != book.update_count:
            return True
        rep = REP_INT if tellings[i].index == book.update_count else book.fact_rep[first + tellings[i].index]
        if not same_value(&told.value, &tellings[i].value, <uint8_t>rep):
            return True
    return False


# Is each of these updates what is known already, from that very time (`later`: or a later one)? Told again they would say nothing.
cdef bint told_then(Core core, Book book, IdRecord* known, Telling* tellings, uint32_t count, int64_t at, bint later) except -1:
    cdef uint32_t i
    cdef Told* told
    if known.state == NULL or told_anew(core, book, known, tellings, count):
        return False
    for i in range(count):
        told = told_of(known.state, tellings[i].index)
        if told.told != TOLD or told.at < at or (told.at > at and not later):
            return False
    return True


# The updates that an observed event carries.
cdef dict told_fields(Book book, object event):
    if isinstance(event, ArrowRows):
        return told_cells(<ArrowRows>event)
    names = (*book.names[book.field_count + book.derived_count :], "final")
    if isinstance(event, _Mapping):
        return {name: event[name] for name in names if event.get(name) is not None}
    pairs = [(name, getattr(event, name, None)) for name in names]
    return {name: value for name, value in pairs if value is not None and value is not UNSET}


# A record of an operation that is no event: a head, and its content as MessagePack.
cdef bytes plain_record(uint8_t type, uint64_t seq, int64_t time, object content):
    cdef RecordHead head
    body = _msgpack.encode(content)
    memset(&head, 0, sizeof(RecordHead))
    head.seq, head.time, head.type = seq, time, type
    head.size = <uint32_t>(sizeof(RecordHead) + len(body))
    return (<const char*>&head)[: sizeof(RecordHead)] + body


# The content of a record that `plain_record` made. Raises ValueError when it is none.
cdef object plain_content(bytes record):
    if <uint64_t>len(record) < sizeof(RecordHead):
        raise ValueError("a record is shorter than its head")
    content = _msgpack.decode(record[sizeof(RecordHead) :])
    if not isinstance(content, dict):
        raise ValueError("a record's content is no mapping")
    return content


cdef object id_text(const RecordHead* head):
    return (<const char*>head + head.id_at)[: head.id_size].decode()


# What an update tells, by name, in the form in which it could be told again.
cdef dict told_content(Book book, const Frame* frame, uint32_t count):
    cdef uint32_t i, fact
    content = {}
    for i in range(count):
        if frame.tellings[i].index == book.update_count:
            content["final"] = book.plan.outcomes[frame.tellings[i].value.v.i]
            continue
        fact = book.field_count + book.derived_count + frame.tellings[i].index
        content[book.names[fact]] = told_value(book, fact, &frame.tellings[i].value)
    return content


cdef object told_value(Book book, uint32_t fact, const Reg* reg):
    raw = reg_object(reg, book.fact_rep[fact])
    if book.specs[fact].kind == KIND_DECIMAL and raw is not None:
        return str(_decimal.Decimal(raw).scaleb(-book.specs[fact].scale, _EXACT))
    return _feature_value(book.plain_spec(fact), raw)


# An event as it came in, by its record: fields, and the updates that came along. A private value is the hex of its hash.
cdef tuple entered(Book book, bytes record):
    cdef Reg* regs = <Reg*>take(book.register_count, sizeof(Reg))
    cdef const uint8_t* p
    cdef uint64_t count, number
    cdef uint32_t i
    fields, told = {}, {}
    try:
        get_facts(<const uint8_t*><const char*>record, book, regs)
        for i, spec in enumerate(book.policy.fields):
            fields[spec.name] = regs[i].v.s[: regs[i].n].hex() if spec.type.private and regs[i].present else told_value(book, i, &regs[i])
        for i in range(book.currency_count):
            fields[book.names[book.currencies[i].amount]] = reg_object(&regs[book.currencies[i].original], REP_INT)
        p = get_varint(skip_facts(<const uint8_t*><const char*>record, book), &count)
        while count:
            p = get_varint(p, &number)
            i = book.field_count + book.derived_count + <uint32_t>number
            if number == book.update_count:
                told["final"] = book.plan.outcomes[(<const RecordHead*><const char*>record).outcome]
            else:
                told[book.names[i]] = told_value(book, i, &regs[i])
            count -= 1
        return fields, told
    finally:
        free(regs)
