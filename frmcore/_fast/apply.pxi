# From a decision to state: the record appended, the event entered into its rings, later facts mended in.

cdef const RecordHead* append_record(Core core, Frame* frame, uint8_t type, uint32_t point, uint64_t seq) except NULL:
    cdef uint8_t* out = log_reserve(&core.log, record_bound(core.book, frame.regs, &frame.verdict))
    if out == NULL:
        raise MemoryError
    put_record(out, core.book, frame, type, <uint8_t>point, seq)
    log_commit(&core.log, <RecordHead*>out)
    if core.journal is not None:
        core.journal.put(out, (<RecordHead*>out).size)
    return <const RecordHead*>out


# The event under its true final, score and fired rules. Groups that read these are weighed anew; the others were before.
cdef int enter_rings(Core core, Book book, Frame* frame, const RecordHead* record) except -1:
    cdef const GroupSpec* groups = core.layout.groups
    cdef const Member* members = frame.members
    cdef uint32_t i
    cdef bint fired
    reg_set_int(&frame.regs[book.final_reg], record.outcome)
    reg_set_int(&frame.regs[book.score_reg], record.score)
    for i in range(book.fired_count):
        fired = record.type != RECORD_OBSERVED and record_fired(<const uint8_t*>record, book.fired[i].rule)
        reg_set_int(&frame.regs[book.fired[i].reg], fired)
    for i in range(core.layout.group_count):
        if groups[i].reads_decision and groups[i].kinds & frame.kind_bit:
            weigh_group(core, book, frame, i, frame.members, frame.columns)
        if members[i].is_member:
            enter_ring(core, frame, i, record, 0)
    return 0


# `taken`: the ring that the event was taken out of, to go back with other values; 0: it enters.
cdef inline int enter_ring(Core core, Frame* frame, uint32_t i, const RecordHead* record, uint32_t taken) except -1:
    return enter_store(core, <RingStore>core.stores[i], frame, &core.layout.groups[i], &frame.members[i], record, taken)


cdef inline int enter_store(
    Core core, RingStore store, Frame* frame, const GroupSpec* group, const Member* member, const RecordHead* record, uint32_t taken
) except -1:
    cdef int64_t* columns = frame.columns + group.column_first
    if already_holds(core, store, member.key):
        return 0
    if group.has_texts:
        intern_columns(core.texts, frame, group, columns)
    if taken:
        return ring_put(store, taken, record.time, record.seq, columns, core.watermark_)
    return ring_insert(store, member.handle, member.key, record.time, record.seq, columns, core.watermark_)


cdef int intern_columns(Texts texts, const Frame* frame, const GroupSpec* group, int64_t* columns) except -1:
    cdef const Reg* reg
    cdef uint32_t c
    for c in range(group.column_count):
        if group.columns[c].kind == COLUMN_TEXT:
            reg = &frame.regs[group.columns[c].reg]
            columns[c] = texts.intern(reg.v.s, reg.n)
    return 0


# Takes the event out of a ring that holds it; that ring, or 0.
cdef uint32_t leave_ring(Core core, uint32_t i, const Member* member, const int64_t* columns, const RecordHead* record) except? 0:
    cdef RingStore store = <RingStore>core.stores[i]
    if not member.is_member or already_holds(core, store, member.key):
        return 0
    return ring_take(
        store, member.key, record.time, record.seq, columns + core.layout.groups[i].column_first, core.watermark_
    )


# After something was told: each group that reads updates, as it was before (members_before) and as it is now.
# `lifted`: those with cells are in the caller's hands.
cdef int mend_groups(Core core, Book book, Frame* frame, const RecordHead* record, bint lifted) except -1:
    cdef GroupSpec* group
    cdef Member* earlier
    cdef uint32_t i, taken
    weigh_groups(core, book, frame, True, frame.members, frame.columns)
    for i in range(core.layout.group_count):
        group = &core.layout.groups[i]
        earlier = &frame.members_before[i]
        if not group.reads_updates or same_entry(frame, group, i) or (lifted and group.has_cells):
            continue
        taken = leave_ring(core, i, earlier, frame.columns_before, record)
        if frame.members[i].is_member and (taken or not earlier.is_member):
            enter_ring(core, frame, i, record, taken)
        elif taken:
            ring_compact(<RingStore>core.stores[i], taken)
    return 0


# An event that is decided again counts itself, virtually, once: its own part in cells, which know no places inside, is taken out
# for that long. The registers hold what is known of it.
cdef int lift_cells(Core core, Book book, Frame* frame, const RecordHead* record) except -1:
    cdef Member* member
    cdef uint32_t i
    for i in range(core.layout.group_count):
        if core.layout.groups[i].has_cells:
            weigh_group(core, book, frame, i, frame.members, frame.columns)
            member = &frame.members[i]
            member.was_member = member.is_member
            (<RingStore>core.stores[i]).lifted = leave_ring(core, i, member, frame.columns, record)
    return 0


cdef int lower_cells(Core core, Book book, Frame* frame, const RecordHead* record) except -1:
    cdef Member* member
    cdef RingStore store
    cdef uint32_t i, lifted
    for i in range(core.layout.group_count):
        if core.layout.groups[i].has_cells:
            weigh_group(core, book, frame, i, frame.members, frame.columns)
            member, store = &frame.members[i], <RingStore>core.stores[i]
            lifted, store.lifted = store.lifted, 0
            if member.is_member and (lifted or not member.was_member):
                enter_ring(core, frame, i, record, lifted)
            elif lifted:
                ring_compact(store, lifted)
    return 0


cdef bint same_entry(const Frame* frame, const GroupSpec* group, uint32_t i) noexcept nogil:
    if frame.members[i].is_member != frame.members_before[i].is_member:
        return False
    return not frame.members[i].is_member or memcmp(
        frame.columns + group.column_first, frame.columns_before + group.column_first, group.column_count * sizeof(int64_t)
    ) == 0


# ---- before the route: derived fields, private values, money -----------------------------------------------------------

cdef int derive(Core core, Book book, Frame* frame) except -1:
    cdef uint32_t i, first = book.field_count + book.derived_count
    program_run(&book.program.machine, frame.regs, book.derive_start, book.derive_end, &frame.arena, frame.time, False)
    for i in range(book.update_count):
        frame.regs[first + i] = book.defaults[i]
    if book.has_private:
        for i in range(first):
            if book.specs[i].is_private and frame.regs[i].present:
                hide(core, book, &frame.regs[i], &frame.arena)
    return 0


# A private value becomes its keyed hash; from here on nobody can read it.
cdef int hide(Core core, Book book, Reg* reg, Arena* arena) except -1:
    cdef Hash hidden = hash_text(core.private_key, reg.v.s, reg.n)
    if not reg_copy_text(reg, arena, <const char*>&hidden, sizeof(Hash)):
        raise MemoryError
    return 0


cdef extern from *:
    """
    /* amount * rate * up / down, half to even; 0 when it does not fit. */
    static int frm_convert(int64_t amount, int64_t rate, int64_t up, int64_t down, int64_t *out) {
        frm_i128 product = (frm_i128)amount * rate, quotient, rest, twice;
        int negative = product < 0;
        if (__builtin_mul_overflow(product, (frm_i128)up, &product)) return 0;
        if (negative) product = -product;
        quotient = product / ((frm_i128)10000000000LL * down);
        rest = product % ((frm_i128)10000000000LL * down);
        twice = rest * 2 - (frm_i128)10000000000LL * down;
        if (twice > 0 || (twice == 0 && (quotient & 1))) quotient++;
        if (quotient > INT64_MAX) return 0;
        *out = negative ? -(int64_t)quotient : (int64_t)quotient;
        return 1;
    }
    """
    bint convert "frm_convert"(int64_t amount, int64_t rate, int64_t up, int64_t down, int64_t* out) noexcept nogil


# Money whose currency is a field: into the base currency, once, by the rate in force at the event's time.
cdef int convert_money(Book book, Frame* frame) except -1:
    cdef CurrencySpec* spec
    cdef RateSpec* rate
    cdef Reg* amount
    cdef uint32_t i
    for i in range(book.currency_count):
        spec = &book.currencies[i]
        amount = &frame.regs[spec.amount]
        frame.regs[spec.original].present = frame.regs[spec.rate].present = 0
        if not amount.present:
            continue
        rate = rate_at(book, &frame.regs[spec.currency], frame.time)
        if rate == NULL:
            raise unknown_rate(book, spec, &frame.regs[spec.currency])
        reg_set_int(&frame.regs[spec.original], amount.v.i)
        reg_set_int(&frame.regs[spec.rate], rate.rate)
        if not convert(amount.v.i, rate.rate, rate.up, rate.down, &amount.v.i):
            name = book.names[spec.amount]
            raise InvalidEvent(f"{name}: does not fit into 64 bits in {book.plan.base_currency}", name)
    return 0


cdef RateSpec* rate_at(Book book, const Reg* currency, int64_t time) noexcept nogil:
    cdef RateSpec* found = NULL
    cdef RateSpec* rate
    cdef uint32_t i
    if not currency.present or currency.n != 3:
        return NULL
    for i in range(book.rate_count):
        rate = &book.rates[i]
        if memcmp(rate.code, currency.v.s, 3) == 0 and rate.since <= time:
            found = rate  # rates of one currency ascend in time
    return found


cdef object unknown_rate(Book book, CurrencySpec* spec, const Reg* currency):
    name = book.names[spec.currency]
    code = currency.v.s[: currency.n].decode() if currency.present else None
    if not currency.present:
        return InvalidEvent(f"{name} is missing: {book.names[spec.amount]} needs its currency", name)
    known = sorted({rate.currency for rate in book.plan.rates} | {book.plan.base_currency})
    if code not in known:
        return InvalidEvent(f"{name}: expected a currency of the policy's rates ({', '.join(known)}), got {shorten(code)}", name)
    return InvalidEvent(f"{name}: the policy has no rate for {code} as early as the event: add one to its rates", name)
