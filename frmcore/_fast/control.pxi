# What steers rules while an engine runs: dates, switches, snoozes, breakers. What was switched is kept by name in dicts, and
# resolved for the policy in force into one array by rule, which is NULL as long as nothing is controlled.
#
# Nothing here runs Python code: a change is atomic, as every operation is.

cdef enum:
    BREAKER_CELLS = 60  # a breaker's window slides in sixtieths of its span
    MODE_OFF = 0
    MODE_SHADOW = 1

cdef struct Snooze:
    int32_t reg  # of the field that names the entity; -1: every event
    uint8_t rep
    Hash key
    int64_t until

cdef struct RuleControl:
    int64_t from_time
    int64_t until_time
    Snooze* snoozes
    uint32_t snooze_count
    uint8_t mode
    uint8_t note  # why it is in shadow, where the policy does not say so itself; 0: no reason

cdef struct BreakerCell:
    int64_t at  # event time in cells since the epoch
    uint64_t decisions
    uint64_t fired

cdef struct Breaker:
    uint32_t rule
    uint64_t share
    uint64_t least
    int64_t width  # of a cell, ms
    int64_t latest  # the greatest cell so far
    BreakerCell[BREAKER_CELLS] cells

_STATES = {"off": MODE_OFF, "shadow": MODE_SHADOW, "on": MODE_LIVE}


# ---- deciding ----------------------------------------------------------------------------------------------------------

# What a rule is for the event in the frame; `why`: the note that its being in shadow deserves.
cdef uint8_t mode_of(Core core, const RuleControl* control, const Frame* frame, uint8_t* why) noexcept nogil:
    why[0] = control.note
    if not control.from_time <= frame.time < control.until_time:
        return MODE_OFF
    if control.mode == MODE_LIVE and control.snooze_count and is_snoozed(core, frame, control):
        why[0] = NOTE_SNOOZED
        return MODE_SHADOW
    return control.mode


cdef bint is_snoozed(Core core, const Frame* frame, const RuleControl* control) noexcept nogil:
    cdef const Snooze* snooze
    cdef Hash key
    cdef int32_t hashed = -1
    cdef uint32_t i
    for i in range(control.snooze_count):  # those of one field stand together
        snooze = &control.snoozes[i]
        if max(frame.time, core.list_line) >= snooze.until:
            continue
        if snooze.reg < 0:
            return True
        if not frame.regs[snooze.reg].present:
            continue
        if snooze.reg != hashed:
            key, hashed = hash_reg(core.key, &frame.regs[snooze.reg], snooze.rep), snooze.reg
        if hash_equal(key, snooze.key):
            return True
    return False


# ---- resolving what was said by name -----------------------------------------------------------------------------------

cdef void free_controls(Core core) noexcept:
    cdef uint32_t i
    if core.controls != NULL:
        for i in range(core.control_count):
            free(core.controls[i].snoozes)
    free(core.controls)
    core.controls, core.control_count = NULL, 0


# Anew for the policy in force. What it has no rule or group for is forgotten, and so is what was switched or broke in another
# form of it.
cdef int resolve_controls(Core core) except -1:
    cdef Book book = core.book
    cdef uint32_t i
    forget_stale(core)
    free_controls(core)
    resolve_breakers(core)
    disabled = [group for group in book.plan.rule_groups if not group.enabled]
    dated = [rule for rule in book.plan.rules if rule.from_ms is not None or rule.until_ms is not None]
    if not (disabled or dated or core.switches or core.snoozes or core.tripped):
        return 0
    core.controls = <RuleControl*>take(book.rule_count, sizeof(RuleControl))
    core.control_count = book.rule_count
    groups = {group.name: group for group in book.plan.rule_groups}
    for i, rule in enumerate(book.plan.rules):
        control = &core.controls[i]
        control.from_time = INT64_MIN if rule.from_ms is None else rule.from_ms
        control.until_time = INT64_MAX if rule.until_ms is None else rule.until_ms
        resolve_mode(core, control, rule, groups.get(rule.group))
        resolve_snoozes(core, control, rule.id)
    return 0


cdef int resolve_mode(Core core, RuleControl* control, object rule, object group) except -1:
    cdef int by_rule = rule.mode, by_group = MODE_LIVE
    switched = core.switches.get(("rule", rule.id))
    if switched is not None:
        by_rule = _STATES[switched["state"]]
    if group is not None:
        by_group = MODE_LIVE if group.enabled else MODE_OFF
        switched_group = core.switches.get(("group", group.name))
        if switched_group is not None:
            by_group = _STATES[switched_group["state"]]
    control.mode = <uint8_t>min(by_rule, by_group)
    control.note = NOTE_SWITCHED if control.mode == MODE_SHADOW and rule.mode == MODE_LIVE else 0
    if control.mode == MODE_LIVE and rule.id in core.tripped:
        control.mode, control.note = MODE_SHADOW, NOTE_TRIPPED
    return 0


cdef int resolve_snoozes(Core core, RuleControl* control, object rule) except -1:
    cdef Snooze snooze
    mine = sorted([key for key in core.snoozes if key[0] == rule])
    if not mine:
        return 0
    control.snoozes = <Snooze*>take(len(mine), sizeof(Snooze))
    for key in mine:
        if resolve_snooze(core, key[1], core.snoozes[key], &snooze):
            control.snoozes[control.snooze_count] = snooze
            control.snooze_count += 1
    return 0


# False where the policy has no such field any more, or none that this value fits.
cdef bint resolve_snooze(Core core, str field, dict said, Snooze* snooze) except -1:
    cdef Book book = core.book
    cdef uint32_t i
    cdef int64_t number
    cdef bytes raw
    snooze.until, snooze.reg = said["until"], -1
    if not field:
        return True
    names = book.names[: book.field_count + book.derived_count]
    if field not in names:
        return False
    i = names.index(field)
    value = said["raw"]
    if book.specs[i].kind == KIND_ENUM and not book.specs[i].is_private:
        value = book.label_codes[i].get(value)
    snooze.reg, snooze.rep = <int32_t>i, book.fact_rep[i]
    if snooze.rep == REP_TEXT and isinstance(value, bytes):
        raw = value
        snooze.key = hash_text(core.key, <const char*>raw, <uint32_t>len(raw))
        return True
    if snooze.rep != REP_INT or not isinstance(value, int):
        return False
    number = value
    snooze.key = hash_text(core.key, <const char*>&number, 8)
    return True


cdef int forget_stale(Core core) except -1:
    rules = {rule.id: rule.digest for rule in core.book.plan.rules}
    groups = {group.name: group.digest for group in core.book.plan.rule_groups}
    for kind, name in list(core.switches):
        if (rules if kind == "rule" else groups).get(name) != core.switches[kind, name]["digest"]:
            del core.switches[kind, name]
    for name in list(core.tripped):
        if rules.get(name) != core.tripped[name]["digest"]:
            del core.tripped[name]
    for key in list(core.snoozes):
        if key[0] not in rules or core.snoozes[key]["until"] <= core.list_line:
            del core.snoozes[key]
    return 0


# ---- breakers ----------------------------------------------------------------------------------------------------------

# The breakers of the policy in force; one of a rule that is as it was goes on counting.
cdef int resolve_breakers(Core core) except -1:
    cdef uint32_t i, j
    rules = core.book.plan.rules
    keys = [(rule.id, rule.digest) for rule in rules if rule.breaker is not None]
    places = [index for index, rule in enumerate(rules) if rule.breaker is not None]
    cdef Breaker* breakers = <Breaker*>take(len(keys), sizeof(Breaker))
    for i, key in enumerate(keys):
        plan = rules[places[i]].breaker
        if key in core.breaker_keys:
            j = core.breaker_keys.index(key)
            breakers[i] = core.breakers[j]
        else:
            clear_breaker(&breakers[i])
        breakers[i].rule, breakers[i].share, breakers[i].least = places[i], plan.share, plan.least
        breakers[i].width = max(plan.over_ms // BREAKER_CELLS, 1)
    free(core.breakers)
    core.breakers, core.breaker_count, core.breaker_keys = breakers, <uint32_t>len(keys), keys
    return 0


cdef void clear_breaker(Breaker* breaker) noexcept nogil:
    cdef uint32_t i
    breaker.latest = INT64_MIN
    for i in range(BREAKER_CELLS):
        breaker.cells[i].at, breaker.cells[i].decisions, breaker.cells[i].fired = INT64_MIN, 0, 0


# One more decision at a point. A rule that fired more often than its breaker allows drops to shadow, from the next one on.
cdef int count_decision(Core core, const RecordHead* record, uint64_t kind_bit) except -1:
    cdef const PointSpec* point = &core.book.points[record.point]
    cdef Breaker* breaker
    cdef uint32_t i, j
    cdef bint fired
    for i in range(core.breaker_count):
        breaker = &core.breakers[i]
        for j in range(point.rule_count):
            if point.rules[j].index == breaker.rule and point.rules[j].kinds & kind_bit:
                fired = record_fired(<const uint8_t*>record, breaker.rule)
                if count_cell(breaker, record.time, fired) and fired and is_broken(breaker):
                    trip(core, breaker, record)  # which makes all breakers anew
                break
    return 0


# False for what is older than the window.
cdef bint count_cell(Breaker* breaker, int64_t time, bint fired) noexcept nogil:
    cdef int64_t at = floor_to(time, breaker.width) // breaker.width
    cdef BreakerCell* cell = &breaker.cells[((at % BREAKER_CELLS) + BREAKER_CELLS) % BREAKER_CELLS]
    if breaker.latest != INT64_MIN and at <= breaker.latest - BREAKER_CELLS:
        return False
    if cell.at != at:
        cell.at, cell.decisions, cell.fired = at, 0, 0
    cell.decisions += 1
    cell.fired += fired
    breaker.latest = max(breaker.latest, at)
    return True


cdef void breaker_totals(const Breaker* breaker, uint64_t* decisions, uint64_t* fired) noexcept nogil:
    cdef uint32_t i
    decisions[0] = fired[0] = 0
    for i in range(BREAKER_CELLS):
        if breaker.cells[i].decisions and breaker.cells[i].at > breaker.latest - BREAKER_CELLS:
            decisions[0] += breaker.cells[i].decisions
            fired[0] += breaker.cells[i].fired


cdef bint is_broken(const Breaker* breaker) noexcept nogil:
    cdef uint64_t decisions, fired
    breaker_totals(breaker, &decisions, &fired)
    return decisions >= breaker.least and fired * 10_000 > breaker.share * decisions


cdef int trip(Core core, Breaker* breaker, const RecordHead* record) except -1:
    cdef uint64_t decisions, fired
    rule = core.book.plan.rules[breaker.rule].id
    breaker_totals(breaker, &decisions, &fired)
    content = {"control": "trip", "rule": rule, "decisions": decisions, "fired": fired, "time": record.time}
    apply_control(core, content, record.time)
    core.owed.append((RECORD_CONTROL, record.time, content))
    return 0


# ---- operations --------------------------------------------------------------------------------------------------------

# What a recorded control says, in force from now on. `at`: when it was said.
cdef int apply_control(Core core, dict content, int64_t at) except -1:
    cdef uint32_t i
    what = content["control"]
    if what == "erased":
        return 0
    if what == "switch":
        key = content["kind"], content["name"]
        core.switches.pop(key, None)
        own, digest = said_of(core, content["kind"], content["name"])
        if content["state"] != own:
            core.switches[key] = {**content, "at": at, "digest": digest}
    elif what == "snooze":
        core.snoozes[content["rule"], content["field"], content["value"]] = {**content, "at": at}
    elif what == "unsnooze":
        core.snoozes.pop((content["rule"], content["field"], content["value"]), None)
    else:
        for i in range(core.breaker_count):
            if core.breaker_keys[i][0] == content["rule"]:
                clear_breaker(&core.breakers[i])
        core.tripped.pop(content["rule"], None)
        if what == "trip":
            core.tripped[content["rule"]] = {**content, "at": at, "digest": said_of(core, "rule", content["rule"])[1]}
    return resolve_controls(core)


# What the policy says of a rule or a group: its state, and the digest that names what it is.
cdef tuple said_of(Core core, str kind, str name):
    if kind == "rule":
        for rule in core.book.plan.rules:
            if rule.id == name:
                return "on" if rule.mode == MODE_LIVE else "shadow", rule.digest
    for group in core.book.plan.rule_groups:
        if kind == "group" and group.name == name:
            return "on" if group.enabled else "off", group.digest
    return "", ""


# All of it as plain data, in one order whatever the way to it: for the store's note of where the state stands, for people, and
# for the hash of the state.
cdef dict control_state(Core core):
    cdef uint32_t i, j
    cdef Breaker* breaker
    counts = []
    for i in range(core.breaker_count):
        breaker = &core.breakers[i]
        cells = sorted([
            (breaker.cells[j].at, breaker.cells[j].decisions, breaker.cells[j].fired)
            for j in range(BREAKER_CELLS)
            if breaker.cells[j].decisions and breaker.cells[j].at > breaker.latest - BREAKER_CELLS
        ])
        if cells:
            counts.append((*core.breaker_keys[i], cells))
    return {
        "switches": [core.switches[key] for key in sorted(core.switches)],
        "snoozes": [core.snoozes[key] for key in sorted(core.snoozes) if core.snoozes[key]["until"] > core.list_line],
        "tripped": [core.tripped[key] for key in sorted(core.tripped)],
        "counts": sorted(counts),
    }


cdef int restore_controls(Core core, dict state) except -1:
    cdef uint32_t i
    core.switches = {(said["kind"], said["name"]): said for said in state["switches"]}
    core.snoozes = {(said["rule"], said["field"], said["value"]): said for said in state["snoozes"]}
    core.tripped = {said["rule"]: said for said in state["tripped"]}
    core.breaker_keys = []
    resolve_controls(core)
    counts = {(rule, digest): cells for rule, digest, cells in state["counts"]}
    for i in range(core.breaker_count):
        for at, decisions, fired in counts.get(core.breaker_keys[i], ()):
            restore_cell(&core.breakers[i], at, decisions, fired)
    return 0


cdef void restore_cell(Breaker* breaker, int64_t at, uint64_t decisions, uint64_t fired) noexcept:
    cdef BreakerCell* cell = &breaker.cells[((at % BREAKER_CELLS) + BREAKER_CELLS) % BREAKER_CELLS]
    cell.at, cell.decisions, cell.fired = at, decisions, fired
    breaker.latest = max(breaker.latest, at)


# The value of a field that names an entity, as snoozes keep it: the label of an enum, an int, the bytes of a text or an address
# (private: of its hash).
cdef object entity_raw(Core core, Frame* frame, object name, object value):
    cdef Book book = core.book
    cdef uint32_t i = book.names.index(name)
    if book.specs[i].kind == KIND_ENUM:
        if value not in book.label_codes[i]:
            raise InvalidEvent(f"{name}: expected {expected_of(book, i)}, got {shorten(value)}", name)
        return value
    if not quick_value(book, &book.specs[i], <PyObject*>value, &frame.regs[i], &frame.arena, True):
        slow_value(book, i, value, &frame.regs[i], &frame.arena)
    if book.specs[i].is_private:
        hide(core, book, &frame.regs[i], &frame.arena)
    return reg_object(&frame.regs[i], book.fact_rep[i])
