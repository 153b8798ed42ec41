# Another policy: what it needs is made first, while others may decide; then it is put in force in one go.

# What must be equal for a list that changes at run time to keep its content over a reload.
cdef tuple list_shape(object spec):
    return spec.name, int(spec.kind), spec.network, spec.private


# Everything of a policy that is made before it is in force; runs Python code. `filled`: rings of new groups that were filled
# from the journal.
cdef tuple prepare_policy(Core core, object plan, object policy, list contents, dict filled):
    cdef Lists lists = Lists(tables_for(core, plan, contents), core.secret)
    cdef Book book = Book(plan, policy, <uint32_t>len(core.books), lists, core.private_secret)
    kept = {(<RingStore>store).group.signature: store for store in core.store_list}
    stores = [
        kept.get(group.signature) or filled.get(group.signature) or new_store(core, group, plan.limits) for group in plan.groups
    ]
    warm = [group.signature in kept for group in plan.groups]
    fresh = [i for i, group in enumerate(plan.groups) if not warm[i] and group.signature not in filled]
    changing = {list_shape(spec): table for spec, table in zip(plan.lists, lists.tables) if spec.values is None}
    return book, Layout(book), lists, changing, stores, warm, fresh


# Runs no Python code, so that nobody decides in between. Rings of a group with the same signature stay as they are.
cdef int put_in_force(Core core, tuple prepared) except -1:
    cdef Book book
    cdef Layout layout
    cdef Lists lists
    cdef uint32_t i
    book, layout, lists, changing, stores, warm, fresh = prepared
    counts = outcome_counts(core)
    pointers = <PyObject**>take(len(stores), sizeof(PyObject*))
    for i, store in enumerate(stores):
        if warm[i]:
            (<RingStore>store).adopt(book.plan.groups[i], book.plan.limits, core.watermark_)
        pointers[i] = <PyObject*>store
    free(core.stores)
    core.stores, core.store_list, core.sweep_at = pointers, stores, 0
    core.ids_limit = UINT64_MAX
    core.list_count, core.sweep_list_at = <uint32_t>len(lists.tables), 0
    core.book, core.layout, core.lists, core.list_tables = book, layout, lists, changing
    core.books.append(book)
    set_outcomes(core, counts)
    core.drop_frames()
    translate_states(core)
    resolve_controls(core)
    return back_fill(core, fresh) if core.any_recorded else 0


# What was told so far, by the names of the policy that is now in force.
cdef int translate_states(Core core) except -1:
    cdef uint64_t cursor = 0
    cdef uint32_t[64] handles
    cdef uint32_t i, count
    cdef IdRecord* known
    while True:
        count = table_scan(&core.seen.table, &cursor, handles, 64)
        for i in range(count):
            known = <IdRecord*>slab_at(&core.seen.slab, handles[i])
            if known.state != NULL:
                state_of(core, core.book, known)
        if cursor == 0:
            return 0


# A table for each list: filled with the policy's own content; of a list that changes at run time the one it had.
cdef list tables_for(Core core, object plan, list contents):
    tables = []
    for spec, content in zip(plan.lists, contents, strict=True):
        table = core.list_tables.get(list_shape(spec)) if content is None else None
        if table is None:
            table = NetworkTable() if spec.network else ListTable(core.secret)
        if content and spec.network:
            table.load(content)
        elif content:
            for value in content:
                table.add(private_text(core.private_key, value) if spec.private else value, None)
        tables.append(table)
    return tables


# Decisions are counted by outcome's place; under another policy a label may have another one.
cdef dict outcome_counts(Core core):
    cdef size_t i
    return {core.book.plan.outcomes[i]: core.decided_by_outcome[i] for i in range(core.book.outcome_count)} if core.books else {}


cdef int set_outcomes(Core core, dict counts) except -1:
    cdef size_t i
    free(core.decided_by_outcome)
    core.decided_by_outcome = <uint64_t*>take(core.book.outcome_count, sizeof(uint64_t))
    for i in range(core.book.outcome_count):
        core.decided_by_outcome[i] = counts.get(core.book.plan.outcomes[i], 0)
    return 0


# New groups after a reload: every event that is remembered, in recorded order, with what is known of it now. Every event
# after the floor is.
cdef int back_fill(Core core, list fresh) except -1:
    cdef const Segment* segment = core.log.first
    cdef const RecordHead* head = log_head(&core.log)
    cdef Frame* frame
    cdef IdRecord* known
    cdef uint32_t i
    if not fresh:
        return 0
    if core.any_forgotten:
        for i in fresh:
            (<RingStore>core.stores[i]).gap = floor_to(core.floor_, (<RingStore>core.stores[i]).every)
    frame = core.take_frame()
    try:
        while head != NULL:
            if head.flags & FLAG_ERASED:
                note_erased(core, head, fresh)
            elif head.type != RECORD_AGAIN and head.seq >= core.back_fill_from:
                known = core.seen.find(hash_text(core.key, <const char*>head + head.id_at, head.id_size))
                load_event(core, core.book, frame, known)
                for i in fresh:
                    weigh_group(core, core.book, frame, i, frame.members, frame.columns)
                    if frame.members[i].is_member:
                        enter_ring(core, frame, i, head, 0)
                arena_reset(&frame.arena)
            head = log_next(&segment, head)
    finally:
        core.give_frame(frame)
    return 0


# An erased event belongs to no new window: each lacks it, as it lacks what was forgotten.
cdef int note_erased(Core core, const RecordHead* head, list groups) except -1:
    cdef RingStore store
    cdef uint32_t i
    for i in groups:
        store = <RingStore>core.stores[i]
        store.gap = max(store.gap, floor_to(head.time, store.every))
    return 0


# The rings of a new group; recovering, with what its checkpoint pieces hold.
cdef RingStore new_store(Core core, object group, object limits):
    cdef RingStore store = RingStore(group, limits, core.texts)
    store.generation = <uint32_t>len(core.books)
    if group.signature in core.origins:
        store.generation, store.given_up, store.gap = core.origins[group.signature]
    pieces = core.pieces.pop((group.signature, store.generation), None)
    if pieces is not None:
        load_pieces(store, pieces)
    return store


# The record of the policy in force: enough to go on from it. `filled_from`: where filling its new windows began, 0: it did not.
cdef bytes policy_record(Core core, dict files, int64_t now, uint64_t filled_from):
    plan = core.book.plan
    return plain_record(RECORD_POLICY, core.seq, now, {
        "hash": plan.hash, "files": files, "groups": plan.groups, "head": core.log_start(), "floor": core.floor,
        "watermark": core.watermark, "filled_from": filled_from,
        "origins": {
            (<RingStore>store).group.signature: ((<RingStore>store).generation, (<RingStore>store).given_up, (<RingStore>store).gap)
            for store in core.store_list
        },
        "lists": [list_shape(spec) for spec in plan.lists if spec.values is None],
    })
