# Erasing subjects: entities, each by its identifier. First everything that holds them is found, by reading records in their order;
# then one recorded operation drops their rings, takes their texts out of other rings, and overwrites records in memory. Its record
# names all that, so that replay obeys it without looking again, and the journal is rewritten by it.


@cython.final
cdef class Naming:
    """How the records of one policy name the subjects, and which texts they hand on."""

    cdef Book book
    cdef Reg* regs
    cdef list forms  # (register, raw value) of each fact that refers to such an entity
    cdef dict held  # register -> raw values of subjects under hold
    cdef list brings  # (key registers, register or -1: computed) of each text that a group keeps of its events
    cdef list shows  # the key registers under which a feature shows such a text

    def __cinit__(self, Core core, Book book, list subjects, list held):
        self.book = book
        self.regs = <Reg*>take(book.register_count, sizeof(Reg))
        self.forms, self.held = subject_forms(core, book, subjects, book is core.book), {}
        for i, form in subject_forms(core, book, held, False):
            self.held.setdefault(i, set()).add(form)
        plan = book.plan
        self.brings = [
            (group.keys, column.reg if column.reg < book.fact_count else -1)
            for group in plan.groups for column in group.columns if column.kind == COLUMN_TEXT
        ]
        self.shows = [spec.keys for spec in plan.features if spec.group >= 0 and spec.rep == REP_TEXT]

    def __dealloc__(self):
        free(self.regs)

    # Do the facts in the registers name a subject; `keys`: in one of these?
    cdef bint names(self, object keys) except -1:
        for i, form in self.forms:
            if (keys is None or i in keys) and reg_object(&self.regs[<uint32_t>i], self.book.fact_rep[<uint32_t>i]) == form:
                return True
        return False

    # Do they name one that is under hold?
    cdef bint is_held(self) except -1:
        for i, forms in self.held.items():
            if reg_object(&self.regs[<uint32_t>i], self.book.fact_rep[<uint32_t>i]) in forms:
                return True
        return False

    cdef bint key(self, Core core, tuple keys, Hash* out) except -1:
        cdef uint32_t reg, i
        cdef Hash part
        for i in range(<uint32_t>len(keys)):
            reg = keys[i]
            if not self.regs[reg].present:
                return False
            part = hash_reg(core.key, &self.regs[reg], self.book.fact_rep[reg])
            out[0] = hash_join(out[0], part) if i else part
        return True


# (register, raw value) of each field and derived field that refers to one of the entities, as records have it. Another policy
# may have another type, which the value does not fit: its records can't name it (not `strict`).
cdef list subject_forms(Core core, Book book, list subjects, bint strict):
    cdef Frame* frame = core.take_frame()
    cdef Reg reg
    cdef uint32_t i
    forms = []
    try:
        for i, field in enumerate((*book.policy.fields, *book.policy.derived)):
            for entity, value in subjects:
                if field.entity != entity:
                    continue
                try:
                    read_subject(core, book, i, value, &reg, &frame.arena)
                except InvalidEvent:
                    if strict:
                        raise
                    continue
                forms.append((i, reg_object(&reg, book.fact_rep[i])))
    finally:
        core.give_frame(frame)
    return forms


# A number may be given as text: the command line has nothing else. Bytes are the hash of a private one.
cdef int read_subject(Core core, Book book, uint32_t i, object value, Reg* reg, Arena* arena) except -1:
    if isinstance(value, bytes):
        reg_set_text(reg, <const char*>value, <uint32_t>len(value))
        return 0
    given = int(value) if book.specs[i].kind == KIND_INT and value.removeprefix("-").isdecimal() else value
    if not quick_value(book, &book.specs[i], <PyObject*>given, reg, arena, True):
        slow_value(book, i, given, reg, arena)
    if book.specs[i].is_private:
        hide(core, book, reg, arena)
    return 0


@cython.final
cdef class Erasure:
    """What is to be erased of some subjects. Records are read in their order, then `Core.erase` does it."""

    cdef Core core
    cdef list subjects  # (entity, value)
    cdef list held
    cdef readonly uint64_t scanned  # records were read up to here
    cdef readonly uint64_t events
    cdef readonly bint meets_hold  # an event names one that is under hold as well
    cdef readonly uint64_t telling_ids  # events whose id, which stays, holds an identifier
    cdef readonly list records  # sequence numbers: of their events, later decisions about them, updates
    cdef list shown  # of decisions about other events that show their texts
    cdef dict keys  # signature -> hashes of rings that are theirs
    cdef dict places  # signature -> (hash of another's ring, time, sequence number) of their entries with texts
    cdef dict namings  # index of a policy -> Naming
    cdef set ids
    cdef set texts  # (hash of a key, hash of a text or None) of their texts in other rings

    def __init__(self, Core core not None, list subjects not None, list held not None):
        """subjects, and those under hold: (entity, identifier), bytes for the hash of a private one. Raises InvalidEvent for an
        identifier that no event could bring."""
        self.core, self.subjects, self.held = core, subjects, held
        self.records, self.shown, self.ids, self.texts = [], [], set(), set()
        self.keys, self.places, self.namings = {}, {}, {}
        forms = self.naming(core.book.index).forms
        for group in core.book.plan.groups:
            for i, form in forms:
                if group.keys == (i,):
                    self.note_key(group, subject_hash(core, core.book, i, form))

    cdef Naming naming(self, uint32_t book):
        if book not in self.namings:
            if not self.core.has_book(book):
                raise ValueError(f"policy {book} is not at hand")
            self.namings[book] = Naming(self.core, self.core.books[book], self.subjects, self.held)
        return self.namings[book]

    cdef int note_key(self, object group, Hash hash) except -1:
        self.keys.setdefault(group.signature, {})[(<const char*>&hash)[: sizeof(Hash)]] = None
        return 0

    def read(self, bytes frames not None):
        """Reads stretches of the journal, in order. Raises ValueError where they are damaged."""
        cdef const char* start = <const char*>frames
        cdef uint64_t at = 0, size = <uint64_t>len(frames)
        cdef const FrameHead* head
        while at < size:
            head = <const FrameHead*>(start + at)
            if not frame_sound(start + at, size - at):
                raise ValueError(f"a record at byte {at} of its stretch is damaged")
            at += frame_size(head.size)
            scan_record(self, <const RecordHead*>(head + 1))

    def read_memory(self, uint64_t most):
        """Reads at most so many of the records in memory; False when there were no more. For an engine without a store."""
        cdef const Segment* segment = self.core.log.first
        cdef const RecordHead* head = log_on(&segment, log_head(&self.core.log), self.scanned + 1)
        while head != NULL and most:
            scan_record(self, head)
            head = log_next(&segment, head)
            most -= 1
        return head != NULL

    # The rest of the journal, which only its ring has; False where that is more than a short stop of the other threads.
    cdef bint reaches_end(self) except -1:
        cdef JournalRing journal = self.core.journal
        if journal is None:
            self.read_memory(<uint64_t>-1)
            return True
        if journal.spilling or journal.used > SWITCH_BYTES:
            return False
        self.read(journal.pending())
        return True

    cdef dict content(self):
        return {
            "entities": [entity for entity, _ in self.subjects], "events": self.events, "records": self.records,
            "shown": self.shown, "keys": {signature: list(hashes) for signature, hashes in self.keys.items()},
            "places": self.places, **self.said_of(),
        }

    # What snoozes and remembered alerts name them by, under whatever policy: kept by value, so they are told by the values' hashes.
    cdef dict said_of(self):
        cdef Book book
        cdef Hash hash
        fields, forms = set(), set()
        for each in self.core.books:
            if each is None:
                continue
            book = each
            for i, form in self.naming(book.index).forms:
                hash = subject_hash(self.core, book, i, form)
                forms.add((<const char*>&hash)[: sizeof(Hash)])
                if book.specs[<uint32_t>i].kind == KIND_ENUM:
                    forms.add(value_hash(self.core, list(book.label_codes[<uint32_t>i])[form]))
                fields.add(book.names[<uint32_t>i])
        return {"fields": sorted(fields), "forms": sorted(forms)}


cdef Hash subject_hash(Core core, Book book, uint32_t i, object form) except *:
    cdef Reg reg
    if isinstance(form, bytes):
        reg_set_text(&reg, <const char*>form, <uint32_t>len(form))
    else:
        reg_set_int(&reg, form)
    return hash_reg(core.key, &reg, book.fact_rep[i])


# The first record in memory from `head` on that is not before the sequence number, or NULL.
cdef const RecordHead* log_on(const Segment** segment, const RecordHead* head, uint64_t seq) noexcept nogil:
    while head != NULL and segment[0].next != NULL and segment[0].next.used and segment[0].next.first_seq <= seq:
        segment[0] = segment[0].next
        head = <const RecordHead*>(segment[0] + 1)
    while head != NULL and head.seq < seq:
        head = log_next(segment, head)
    return head


# ---- finding -----------------------------------------------------------------------------------------------------------

cdef int scan_record(Erasure found, const RecordHead* head) except -1:
    if head.seq <= found.scanned:
        return 0
    found.scanned = head.seq
    if head.type == RECORD_UPDATE:
        if plain_content((<const char*>head)[: head.size])["id"].encode() in found.ids:
            found.records.append(head.seq)
    elif has_facts(head) and not head.flags & FLAG_ERASED:
        scan_event(found, head, found.naming(head.book))
    return 0


cdef int scan_event(Erasure found, const RecordHead* head, Naming naming) except -1:
    if not record_sound(naming.book, <const uint8_t*>head, head.size):
        raise ValueError(f"record {head.seq} does not fit the policy it names")
    get_facts(<const uint8_t*>head, naming.book, naming.regs)
    ident = (<const char*>head + head.id_at)[: head.id_size]
    if not naming.names(None) and not (head.type == RECORD_AGAIN and ident in found.ids):
        if found.texts and shows_texts(found, head, naming):
            found.shown.append(head.seq)
        return 0
    found.records.append(head.seq)
    found.meets_hold |= naming.is_held()
    if ident not in found.ids:
        found.ids.add(ident)
        found.events += 1
        found.telling_ids += any([isinstance(form, bytes) and form in ident for _, form in naming.forms])
    note_handed(found, naming)
    return note_rings(found, head)


# The texts that the event handed on to other rings; one that is computed may be any.
cdef int note_handed(Erasure found, Naming naming) except -1:
    cdef Hash key
    for keys, reg in naming.brings:
        if not naming.key(found.core, keys, &key):
            continue
        text = None
        if reg >= 0:
            if not naming.regs[<uint32_t>reg].present:
                continue
            text = hash_reg(found.core.key, &naming.regs[<uint32_t>reg], REP_TEXT).lo
        found.texts.add((key.lo, key.hi, text))
    return 0


# Does a decision about another event show one of those texts?
cdef bint shows_texts(Erasure found, const RecordHead* head, Naming naming) except -1:
    cdef Hash key
    if not naming.shows or head.type == RECORD_OBSERVED:
        return False
    rings = []
    for keys in naming.shows:
        if naming.key(found.core, keys, &key):
            rings.append((key.lo, key.hi))
    get_features(<const uint8_t*>head, naming.book, naming.regs)
    texts = [None]
    for spec in naming.book.plan.features:
        if spec.rep == REP_TEXT and naming.regs[<uint32_t>spec.reg].present:
            texts.append(hash_reg(found.core.key, &naming.regs[<uint32_t>spec.reg], REP_TEXT).lo)
    return any([(lo, hi, text) in found.texts for lo, hi in rings for text in texts])


# The rings of the policy in force that the event is in: by a key with a subject in it the whole ring is theirs, of others their
# entries' texts.
cdef int note_rings(Erasure found, const RecordHead* head) except -1:
    cdef Core core = found.core
    cdef Naming naming = found.naming(core.book.index)
    cdef Hash key
    cdef object where  # typed: inference never ends over it
    load_facts(core, core.book, naming.regs, head)
    for group in core.book.plan.groups:
        if not naming.key(core, group.keys, &key):
            continue
        if naming.names(group.keys):
            found.note_key(group, key)
        elif has_event(head) and any([column.kind == COLUMN_TEXT for column in group.columns]):
            where = (<const char*>&key)[: sizeof(Hash)], head.time, head.seq
            found.places.setdefault(group.signature, []).append(where)
    return 0


# ---- applying ----------------------------------------------------------------------------------------------------------

# What an erasure's record says, on the state.
cdef int erase_named(Core core, dict content) except -1:
    cdef RingStore store
    cdef Hash hash
    for each in core.store_list:
        store = each
        for raw in content["keys"].get(store.group.signature, ()):
            memcpy(&hash, <const char*><bytes>raw, sizeof(Hash))
            if not already_holds(core, store, hash):
                drop_whole_ring(store, store.find(hash))
        for raw, time, seq in content["places"].get(store.group.signature, ()):
            memcpy(&hash, <const char*><bytes>raw, sizeof(Hash))
            if not already_holds(core, store, hash):
                erase_entry(core, store, store.find(hash), store.place_of(time, seq))
    if core.is_settled or core.replay_seq == 0:  # before, both come from what was kept of them
        erase_alerts(core, content)
        erase_snoozes(core, content)
    erase_in_memory(core, content["records"], True)
    return erase_in_memory(core, content["shown"], False)


# Alerts that were raised about them.
cdef int erase_alerts(Core core, dict content) except -1:
    for (_, field), times in core.alerted.items():
        for value in [value for value in times if is_named(core, content, field, value)]:
            del times[value]
    return 0


# Rules that are snoozed for them.
cdef int erase_snoozes(Core core, dict content) except -1:
    snoozed = [key for key, said in core.snoozes.items() if is_named(core, content, key[1], said["raw"])]
    for key in snoozed:
        del core.snoozes[key]
    return resolve_controls(core) if snoozed else 0


cdef bint is_named(Core core, dict content, object field, object value) except -1:
    return field in content["fields"] and value_hash(core, value) in content["forms"]


# As a ring's key would have it.
cdef bytes value_hash(Core core, object value):
    cdef Hash hash
    cdef int64_t number
    if isinstance(value, str):  # the label of an enum
        value = (<str>value).encode()
    if isinstance(value, bytes):
        hash = hash_text(core.key, <const char*><bytes>value, <uint32_t>len(value))
    elif isinstance(value, int):
        number = value
        hash = hash_text(core.key, <const char*>&number, 8)
    else:
        return b""
    return (<const char*>&hash)[: sizeof(Hash)]


cdef int drop_whole_ring(RingStore store, uint32_t handle) except -1:
    cdef Ring* ring
    cdef TreeHead* tree
    if handle == 0:
        return 0
    ring = store.at(handle)
    store.release_ring(handle)
    if handle >> CLASS_SHIFT == TREE and store.tree(ring).root:
        tree = store.tree(ring)
        forget_members(store, ring, tree.root, tree.level)
        tree_free(&store.forest, tree.root, tree.level)
    return store.drop_ring(handle)


cdef int forget_members(RingStore store, Ring* ring, uint32_t index, int level) except -1:
    cdef uint32_t i
    if level < 0:
        return members_note(store, ring, leaf_at(&store.forest, index), False)
    for i in range(node_at(&store.forest, index).n):
        forget_members(store, ring, node_at(&store.forest, index).child[i], level - 1)
    return 0


# The texts of one entry of another's ring, or of what was folded.
cdef int erase_entry(Core core, RingStore store, uint32_t handle, Place where) except -1:
    cdef Ring* ring
    cdef Chunk* chunk
    cdef uint32_t at, c
    if handle == 0:
        return 0
    ring = store.at(handle)
    chunk = store.seek(ring, handle, where, &at)
    for c in range(store.forest.shape.shown):
        if store.forest.shape.column[c].kind != COLUMN_TEXT:
            continue
        if chunk != NULL and same_place(where, chunk_place(&store.forest.shape, chunk, at)):
            erase_text(core, store, c, chunk_column(&store.forest.shape, chunk, c) + at)
        if not store.base_empty(ring) and same_place(where, store.base(ring).first):
            erase_text(core, store, c, store.base_first(ring) + c)
        if not store.base_empty(ring) and same_place(where, store.base(ring).last):
            erase_text(core, store, c, store.base_last(ring) + c)
    return 0


cdef int erase_text(Core core, RingStore store, uint32_t c, int64_t* value) except -1:
    cdef bytes text = b"\0\0\0\0" if holds_addresses(core, store, c) else _ERASED.encode()
    cdef int64_t handle = store.texts.intern(<const char*>text, <uint32_t>len(text))
    store.texts.release(value[0])
    value[0] = handle
    return 0


# An address must stay one: programs take it apart.
cdef bint holds_addresses(Core core, RingStore store, uint32_t c) except -1:
    kinds = {spec.reg: spec.kind for spec in core.book.plan.features}
    queries = [query for lookup in store.group.lookups for query in lookup.queries]
    return any([query.column == c and kinds.get(query.dst) == KIND_IP for query in queries])


# The records of these sequence numbers, which ascend, where memory still has them.
cdef int erase_in_memory(Core core, list seqs, bint whole) except -1:
    cdef const Segment* segment = core.log.first
    cdef RecordHead* head = log_head(&core.log)
    cdef IdRecord* known
    cdef EventState* state
    for seq in seqs:
        head = <RecordHead*>log_on(&segment, head, seq)
        if head == NULL:
            return 0
        if head.seq != <uint64_t>seq:
            continue
        if not whole:
            erase_shown(<uint8_t*>head, core.books[head.book])
            continue
        erase_record(<uint8_t*>head, core.books[head.book])
        known = core.seen.find(hash_text(core.key, <const char*>head + head.id_at, head.id_size))
        state = known.state if known != NULL else NULL
        while state != NULL:
            erase_told(state, core.books[state.book])
            state = state.before
    return 0


# A record from outside with what an erasure leaves of it.
cdef bytes erased_copy(Core core, bytes record, bint whole):
    cdef Book book = core.book_of(record)
    cdef bytes result = PyBytes_FromStringAndSize(<const char*>record, <Py_ssize_t>len(record))
    if whole:
        erase_record(<uint8_t*>PyBytes_AS_STRING(result), book)
    else:
        erase_shown(<uint8_t*>PyBytes_AS_STRING(result), book)
    return result
