# The middle of the route, shared by decide, decide_again and evaluate: keys hashed, rings found, windows read, lists probed,
# the program run, the verdict reached. Works in phases so that the cache misses of one phase overlap: hash every key and
# prefetch every bucket (hash_keys, before the id is looked up), find and prefetch every ring, filter, and only then read.

cdef enum:
    KEY_PARTS_MAX = 8  # limits.KEY_PARTS_MAX

cdef struct ColumnSpec:
    uint32_t reg
    uint8_t kind
    uint8_t rep
    uint8_t is_key  # its hash is in Frame.hashes

cdef struct GroupSpec:
    uint64_t kinds
    uint32_t keys[KEY_PARTS_MAX]
    uint32_t key_count
    int32_t where
    uint32_t start, end  # its code
    uint32_t column_count
    uint32_t column_first  # in Frame.columns
    uint32_t lookup_first, lookup_count
    int32_t marks_group
    uint8_t reads_updates
    uint8_t reads_decision
    uint8_t has_cells
    uint8_t has_texts
    ColumnSpec* columns

cdef struct LookupSpec:
    uint32_t group
    uint32_t keys[KEY_PARTS_MAX]
    uint32_t key_count
    uint8_t as_filed  # looked up by the key it is filed under

cdef enum ColumnCode:
    COLUMN_INT = 0
    COLUMN_FLOAT = 1
    COLUMN_TRUTH = 2
    COLUMN_MEMBER = 3
    COLUMN_TEXT = 4


@cython.final
cdef class Layout:
    """The groups and lookups of one plan as C arrays."""

    cdef GroupSpec* groups
    cdef LookupSpec* lookups
    cdef uint32_t* hash_regs
    cdef PyObject** window_sets  # by lookup
    cdef list kept
    cdef uint32_t group_count, lookup_count, column_count, hash_count

    def __cinit__(self, Book book):
        cdef uint32_t i, column = 0, lookup = 0
        groups = book.plan.groups
        self.group_count = len(groups)
        self.groups = <GroupSpec*>take(self.group_count, sizeof(GroupSpec))
        self.lookups = <LookupSpec*>take(sum(len(group.lookups) for group in groups), sizeof(LookupSpec))
        for i, group in enumerate(groups):
            spec = &self.groups[i]
            spec.kinds = kind_mask(group.kinds)
            spec.key_count = copy_keys(spec.keys, group.keys)
            spec.where, spec.start, spec.end = group.where, group.code.start, group.code.end
            spec.marks_group = group.marks_group
            spec.reads_updates, spec.reads_decision = group.reads_updates, group.reads_decision
            spec.has_cells = group.every_ms > 0
            spec.column_first, spec.column_count = column, len(group.columns)
            spec.columns = self._columns(book, group)
            spec.has_texts = COLUMN_TEXT in [each.kind for each in group.columns]
            column += spec.column_count
            spec.lookup_first, spec.lookup_count = lookup, len(group.lookups)
            for each in group.lookups:
                self.lookups[lookup].group = i
                self.lookups[lookup].key_count = copy_keys(self.lookups[lookup].keys, each.keys)
                self.lookups[lookup].as_filed = each.keys == group.keys
                lookup += 1
        self.lookup_count, self.column_count = lookup, column
        self._load_windows(book)
        regs = sorted(key_registers(book.plan))
        self.hash_count = len(regs)
        self.hash_regs = <uint32_t*>take(self.hash_count, sizeof(uint32_t))
        for i, reg in enumerate(regs):
            self.hash_regs[i] = reg

    cdef int _load_windows(self, Book book) except -1:
        cdef uint32_t i
        feature_of = {feature.reg: index for index, feature in reversed(list(enumerate(book.plan.features)))}
        self.kept = [WindowSet(lookup, feature_of) for group in book.plan.groups for lookup in group.lookups]
        self.window_sets = <PyObject**>take(self.lookup_count, sizeof(PyObject*))
        for i in range(self.lookup_count):
            wanted = self.kept[i]
            self.window_sets[i] = <PyObject*>wanted
        return 0

    cdef ColumnSpec* _columns(self, Book book, object group) except NULL:
        cdef ColumnSpec* columns = <ColumnSpec*>take(len(group.columns), sizeof(ColumnSpec))
        cdef uint32_t i
        keys = key_registers(book.plan)
        for i, column in enumerate(group.columns):
            columns[i].reg, columns[i].kind = column.reg, column.kind
            columns[i].rep, columns[i].is_key = book.program.reps[column.reg], column.reg in keys
        return columns

    def __dealloc__(self):
        cdef uint32_t i
        if self.groups != NULL:
            for i in range(self.group_count):
                free(self.groups[i].columns)
        free(self.groups)
        free(self.lookups)
        free(self.hash_regs)
        free(self.window_sets)


cdef uint32_t copy_keys(uint32_t* out, tuple keys) except? 0:  # verify.py saw that they fit
    cdef uint32_t i
    for i in range(len(keys)):
        out[i] = keys[i]
    return <uint32_t>len(keys)


cdef inline Hash hash_reg(HashKey key, const Reg* reg, uint8_t rep) noexcept nogil:
    if rep == REP_TEXT:
        return hash_text(key, reg.v.s, reg.n)
    return hash_text(key, <const char*>&reg.v.i, 8)


# The hash of a key of one or more parts; False when a part is absent.
cdef inline bint key_hash(const Frame* frame, const uint32_t* keys, uint32_t count, Hash* out) noexcept nogil:
    cdef uint32_t i
    if not frame.regs[keys[0]].present:
        return False
    out[0] = frame.hashes[keys[0]]
    for i in range(1, count):
        if not frame.regs[keys[i]].present:
            return False
        out[0] = hash_join(out[0], frame.hashes[keys[i]])
    return True


cdef inline bint is_true(const Reg* reg) noexcept nogil:
    return reg.present and reg.v.i != 0


# What a ring keeps of a column's value. A TEXT column is interned by the caller, when the entry really goes in.
cdef inline int64_t column_value(HashKey key, const Frame* frame, const ColumnSpec* column) noexcept nogil:
    cdef const Reg* reg = &frame.regs[column.reg]
    if column.rep == REP_TEXT:
        return <int64_t>(frame.hashes[column.reg] if column.is_key else hash_text(key, reg.v.s, reg.n)).lo
    if column.rep == REP_FLOAT:
        return float_order(reg.v.f)
    return reg.v.i


# Phase one: every key's hash, every bucket on its way.
cdef void hash_keys(Core core, Book book, Frame* frame) noexcept:
    cdef const LookupSpec* lookup = core.layout.lookups
    cdef const LookupSpec* end = lookup + core.layout.lookup_count
    cdef Looked* looked = frame.looked
    cdef uint32_t i
    for i in range(core.layout.hash_count):
        hash_one(core, book, frame, core.layout.hash_regs[i])
    while lookup != end:
        looked.present = key_hash(frame, lookup.keys, lookup.key_count, &looked.key)
        if looked.present:
            (<RingStore>core.stores[lookup.group]).prefetch_bucket(looked.key)
        lookup += 1
        looked += 1


# Phases two and three: every ring, and what each group makes of the event itself. The keys are hashed.
cdef int find_rings(Core core, Book book, Frame* frame) except -1:
    cdef const LookupSpec* lookups = core.layout.lookups
    cdef PyObject** stores = core.stores
    cdef Looked* looked = frame.looked
    cdef Member* members = frame.members
    cdef uint32_t i, count = core.layout.lookup_count
    for i in range(count):
        if looked[i].present:
            looked[i].handle = (<RingStore>stores[lookups[i].group]).guess(looked[i].key)
    weigh_groups(core, book, frame, False, members, frame.columns)
    for i in range(count):
        if looked[i].present:
            looked[i].handle = (<RingStore>stores[lookups[i].group]).confirm(looked[i].key, looked[i].handle)
            if lookups[i].as_filed:
                members[lookups[i].group].handle = looked[i].handle
    return 0


cdef inline void hash_one(Core core, Book book, Frame* frame, uint32_t reg) noexcept nogil:
    if frame.regs[reg].present:
        frame.hashes[reg] = hash_reg(core.key, &frame.regs[reg], book.fact_rep[reg])


# Which groups the event belongs to, by the facts in the registers, and the values it brings. `updating`: only groups that an
# update can change.
cdef void weigh_groups(Core core, Book book, Frame* frame, bint updating, Member* members, int64_t* columns) noexcept:
    cdef uint32_t i
    for i in range(core.layout.group_count):
        if not updating or core.layout.groups[i].reads_updates:
            weigh_group(core, book, frame, i, members, columns)


cdef inline void weigh_group(Core core, Book book, Frame* frame, uint32_t i, Member* members, int64_t* columns) noexcept:
    cdef const GroupSpec* group = &core.layout.groups[i]
    cdef const ColumnSpec* spec = group.columns
    cdef const ColumnSpec* end = spec + group.column_count
    cdef Member* member = &members[i]
    member.is_member, member.handle = 0, 0
    if not group.kinds & frame.kind_bit or not key_hash(frame, group.keys, group.key_count, &member.key):
        return
    if group.end != group.start:
        program_run(&book.program.machine, frame.regs, group.start, group.end, &frame.arena, frame.time, False)
    if group.where >= 0 and not is_true(&frame.regs[group.where]):  # a fact by itself needs no code
        return
    member.is_member = 1
    columns += group.column_first
    while spec != end:
        columns[0] = column_value(core.key, frame, spec)
        columns += 1
        spec += 1


# Phase four: every window into its feature's register, as of the place (frame.time, seq).
cdef void read_windows(Core core, Frame* frame, uint64_t seq) noexcept:
    cdef const LookupSpec* lookups = core.layout.lookups
    cdef PyObject** window_sets = core.layout.window_sets
    cdef const Looked* looked = frame.looked
    cdef uint32_t* notes = frame.verdict.notes
    cdef Reading reading
    cdef uint32_t i, count = 0
    start_reading(core, frame, seq, &reading)
    for i in range(core.layout.lookup_count):
        if looked[i].present:
            aim_reading(core, frame, i, &reading)
            count += read_lookup(
                <RingStore>core.stores[lookups[i].group], <WindowSet>window_sets[i], looked[i].handle, &reading, frame.regs,
                notes + 2 * count, &core.counters.overflows,
            )
        else:
            blank_lookup(<WindowSet>window_sets[i], frame.regs)
    frame.verdict.note_count = count


cdef void blank_lookup(WindowSet wanted, Reg* regs) noexcept nogil:
    cdef uint32_t i
    for i in range(wanted.output_count):
        regs[wanted.outputs[i].dst].present = 0


# What the event's lookups are read with: its place.
cdef inline void start_reading(Core core, const Frame* frame, uint64_t seq, Reading* reading) noexcept:
    reading.at = place(frame.time, seq)
    reading.watermark, reading.oldest = core.watermark_, core.oldest
    reading.zones = core.book.program.zones
    reading.has_mark, reading.mark_problem = False, 0


# And one of them: the event itself where it counts, the mark that `since` starts from.
cdef inline void aim_reading(Core core, Frame* frame, uint32_t i, Reading* reading) noexcept:
    cdef const LookupSpec* lookup = &core.layout.lookups[i]
    cdef const GroupSpec* group = &core.layout.groups[lookup.group]
    cdef const Member* member = &frame.members[lookup.group]
    reading.gap = (<RingStore>core.stores[lookup.group]).gap
    reading.values = frame.columns + group.column_first
    reading.counts_itself = member.is_member and (lookup.as_filed or hash_equal(member.key, frame.looked[i].key))
    if group.marks_group >= 0:
        aim_mark(<RingStore>core.stores[group.marks_group], frame.looked[i].key, reading)


cdef void aim_mark(RingStore marks, Hash key, Reading* reading) noexcept nogil:
    reading.gap = max(reading.gap, marks.gap)
    find_mark(marks, marks.find(key), reading)


# The whole middle of the route, for an event in the frame's registers whose keys are hashed.
cdef int decide_route(Core core, Book book, Frame* frame, uint32_t point, uint64_t seq) except -1:
    cdef const PointSpec* spec = &book.points[point]
    cdef Machine* machine = &book.program.machine
    cdef int64_t list_time = max(frame.time, core.list_line)
    weakest(book, frame.regs)
    if book.keys_end != book.keys_start:
        program_run(machine, frame.regs, book.keys_start, book.keys_end, &frame.arena, list_time, False)
    prefetch_lists(core, book, frame)
    find_rings(core, book, frame)
    read_windows(core, frame, seq)
    probe_lists(core, book, frame, list_time)
    program_run(machine, frame.regs, book.compute_start, book.compute_end, &frame.arena, list_time, False)
    program_run(machine, frame.regs, spec.start, spec.end, &frame.arena, list_time, False)
    judge(core, core.controls, book, frame, spec)
    if book.alerts is not None and frame.verdict.fired_count:
        find_alerts(core, book, frame, seq)
    return 0


# The event being decided has, in its own windows, the weakest outcome, no score and no fired rules.
cdef inline void weakest(Book book, Reg* regs) noexcept nogil:
    cdef uint32_t i
    reg_set_int(&regs[book.final_reg], 0)
    reg_set_int(&regs[book.score_reg], 0)
    for i in range(book.fired_count):
        reg_set_int(&regs[book.fired[i].reg], 0)


cdef inline void prefetch_lists(Core core, Book book, Frame* frame) noexcept nogil:
    cdef uint32_t i, key
    for i in range(book.probe_count):
        key = book.probes[i].key
        if frame.regs[key].present:
            if book.probes[i].is_key:
                frame.probe_hashes[i] = frame.hashes[key]
            else:
                frame.probe_hashes[i] = hash_text(core.key, frame.regs[key].v.s, frame.regs[key].n)
            lists_prefetch(core.lists.refs, book.probes[i].list, frame.probe_hashes[i])


cdef inline void probe_lists(Core core, Book book, Frame* frame, int64_t time) noexcept nogil:
    cdef const ProbeSpec* probe
    cdef const Reg* key
    cdef Reg* dst
    cdef uint32_t i
    for i in range(book.probe_count):
        probe = &book.probes[i]
        key, dst = &frame.regs[probe.key], &frame.regs[probe.dst]
        dst.present = key.present
        if key.present:
            dst.v.i = lists_probe_hashed(core.lists.refs, probe.list, key.v.s, key.n, frame.probe_hashes[i], time)
