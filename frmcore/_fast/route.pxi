# The middle of the route, shared by decide, decide_again and evaluate: keys hashed, rings found, windows read, lists probed,
# the program run, the verdict reached. Works in phases so that the cache misses of one phase overlap: hash every key and
# prefetch every bucket, find and prefetch every ring, filter, and only then read.

cdef enum:
    KEY_PARTS_MAX = 8  # parts of a composite key

cdef struct ColumnSpec:
    uint32_t reg
    uint8_t kind
    uint8_t rep

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
            spec.column_first, spec.column_count = column, len(group.columns)
            spec.columns = self._columns(book, group)
            column += spec.column_count
            spec.lookup_first, spec.lookup_count = lookup, len(group.lookups)
            for each in group.lookups:
                self.lookups[lookup].group = i
                self.lookups[lookup].key_count = copy_keys(self.lookups[lookup].keys, each.keys)
                self.lookups[lookup].as_filed = each.keys == group.keys
                lookup += 1
        self.lookup_count, self.column_count = lookup, column
        regs = sorted({reg for group in groups for keys in (group.keys, *(l.keys for l in group.lookups)) for reg in keys})
        self.hash_count = len(regs)
        self.hash_regs = <uint32_t*>take(self.hash_count, sizeof(uint32_t))
        for i, reg in enumerate(regs):
            self.hash_regs[i] = reg

    cdef ColumnSpec* _columns(self, Book book, object group) except NULL:
        cdef ColumnSpec* columns = <ColumnSpec*>take(len(group.columns), sizeof(ColumnSpec))
        cdef uint32_t i
        for i, column in enumerate(group.columns):
            columns[i].reg, columns[i].kind = column.reg, column.kind
            columns[i].rep = book.program.rep_of(column.reg)
        return columns

    def __dealloc__(self):
        cdef uint32_t i
        if self.groups != NULL:
            for i in range(self.group_count):
                free(self.groups[i].columns)
        free(self.groups)
        free(self.lookups)
        free(self.hash_regs)


cdef uint32_t copy_keys(uint32_t* out, tuple keys) except? 0:
    cdef uint32_t i
    if not 1 <= len(keys) <= KEY_PARTS_MAX:
        raise ValueError(f"a key has 1 to {KEY_PARTS_MAX} parts, this one has {len(keys)}")
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
cdef inline int64_t column_value(HashKey key, const Reg* reg, const ColumnSpec* column) noexcept nogil:
    if column.rep == REP_TEXT:
        return <int64_t>hash_text(key, reg.v.s, reg.n).lo
    if column.rep == REP_FLOAT:
        return float_order(reg.v.f)
    return reg.v.i


cdef struct Looked:  # one lookup of one group for the event at hand
    Hash key
    uint32_t handle
    uint8_t present


# Phases one to three: every key's hash, every bucket, every ring, and what each group makes of the event itself.
cdef void find_rings(Core core, Book book, Frame* frame) noexcept:
    cdef Layout layout = core.layout
    cdef LookupSpec* lookup
    cdef Looked* looked
    cdef uint32_t i, reg
    for i in range(layout.hash_count):
        reg = layout.hash_regs[i]
        if frame.regs[reg].present:
            frame.hashes[reg] = hash_reg(core.key, &frame.regs[reg], book.fact_rep[reg])
    for i in range(layout.lookup_count):
        lookup, looked = &layout.lookups[i], &frame.looked[i]
        looked.present = key_hash(frame, lookup.keys, lookup.key_count, &looked.key)
        if looked.present:
            (<RingStore>core.stores[lookup.group]).prefetch(looked.key)
    for i in range(layout.lookup_count):
        if frame.looked[i].present:
            (<RingStore>core.stores[layout.lookups[i].group]).find_and_prefetch(&frame.looked[i])
    weigh_groups(core, book, frame, False, frame.members, frame.columns)


# Which groups the event belongs to, by the facts in the registers, and the values it brings. `updating`: only groups that can
# change by an update.
cdef void weigh_groups(Core core, Book book, Frame* frame, bint updating, Member* members, int64_t* columns) noexcept:
    cdef Layout layout = core.layout
    cdef GroupSpec* group
    cdef uint32_t i, c
    for i in range(layout.group_count):
        group = &layout.groups[i]
        members[i].is_member = 0
        if not group.kinds & frame.kind_bit or (updating and not group.reads_updates):
            continue
        if not key_hash(frame, group.keys, group.key_count, &members[i].key):
            continue
        if group.end != group.start:
            book.program.run(frame.regs, group.start, group.end, &frame.arena, frame.time)
            if group.where >= 0 and not is_true(&frame.regs[group.where]):
                continue
        members[i].is_member = 1
        for c in range(group.column_count):
            columns[group.column_first + c] = column_value(core.key, &frame.regs[group.columns[c].reg], &group.columns[c])


# Phase four: every window into its feature's register.
cdef void read_windows(Core core, Frame* frame, uint64_t seq) noexcept:
    cdef Layout layout = core.layout
    cdef Looked* looked
    cdef LookupSpec* lookup
    cdef uint32_t i
    for i in range(layout.lookup_count):
        lookup, looked = &layout.lookups[i], &frame.looked[i]
        read_lookup(core, frame, i, seq)
