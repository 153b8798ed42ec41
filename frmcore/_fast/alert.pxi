# Alerts: what rules tell people about entities, once in a span of event time. They stand in the decision's record, with the ids
# of the events that are their evidence; a record of their own, behind it, is what the log of alerts keeps for good.

from itertools import islice as _islice

cdef enum:
    ALERTS_SWEPT = 2  # remembered alerts that are let go for each new one, so that what is over does not pile up
    EVIDENCE_MAX = 100  # limits.EVIDENCE_MAX


cdef bytes varint_bytes(uint64_t value):
    cdef uint8_t[10] out
    cdef uint8_t* end = put_varint(out, value)
    return (<const char*>out)[: end - out]


# The alerts of the rules that fired into the verdict, where no earlier one about the same entity is still in force.
cdef int find_alerts(Core core, Book book, Frame* frame, uint64_t seq) except -1:
    cdef Verdict* verdict = &frame.verdict
    cdef uint32_t i, about
    found = []
    for i in range(verdict.fired_count):
        alert = book.alerts[verdict.fired[i]]
        if alert is None:
            continue
        about = alert.about
        if frame.regs[about].present and is_due(core, book, verdict.fired[i], about, frame):
            ids = evidence_for(core, book, frame, seq, alert.features)
            texts = [part for ident in ids for part in (varint_bytes(<uint64_t>len(ident)), ident)]
            found.append(b"".join([varint_bytes(verdict.fired[i]), varint_bytes(<uint64_t>len(ids)), *texts]))
    if found:
        core.alert_bytes = varint_bytes(<uint64_t>len(found)) + b"".join(found)
        verdict.alerts, verdict.alerts_size = <const uint8_t*><const char*>core.alert_bytes, <uint32_t>len(core.alert_bytes)
        verdict.flags |= FLAG_ALERTS
    return 0


# What an alert is remembered by: an enum by its label, because a reload may give that another code.
cdef object alert_key(Book book, uint32_t about, const Reg* reg):
    raw = reg_object(reg, book.fact_rep[about])
    return _feature_value(book.plain_spec(about), raw) if book.specs[about].kind == KIND_ENUM else raw


# An event from before the last alert is covered by that one.
cdef bint is_due(Core core, Book book, uint32_t rule, uint32_t about, const Frame* frame) except -1:
    times = core.alerted.get((book.plan.rules[rule].id, book.names[about]))
    last = None if times is None else times.get(alert_key(book, about, &frame.regs[about]))
    return last is None or frame.time >= <int64_t>last[1] or <int64_t>last[1] <= core.list_line


# The ids, as UTF-8, of the events in the windows of those features, the event itself first.
cdef list evidence_for(Core core, Book book, Frame* frame, uint64_t seq, tuple features):
    cdef const Reg* ident = &frame.regs[book.id_reg]
    cdef uint32_t i
    itself = ident.v.s[: ident.n].decode()
    groups = {spec.group for spec in book.plan.features if spec.name in features}
    windows = {}
    for i in range(core.layout.lookup_count):
        if frame.looked[i].present and core.layout.lookups[i].group in groups:
            lookup_evidence(core, frame, i, seq, itself, EVIDENCE_MAX, windows)
    ids = {itself: None}
    for name in features:
        for found in windows[name][2] if name in windows else ():
            ids[found] = None
    return [found.encode() for found in list(ids)[:EVIDENCE_MAX]]


# What the record of a decision says of its alerts. `key`: the entity as it is remembered by.
cdef dict alerts_of(Book book, const RecordHead* head):
    cdef const uint8_t* record = <const uint8_t*>head
    cdef uint32_t about
    cdef Reg reg
    alerts = []
    event = (<const char*>record)[head.id_at : head.id_at + head.id_size].decode()
    for rule, evidence in get_tail(record)[1]:
        plan = book.plan.rules[rule]
        about = plan.alert.about
        get_one_fact(record, book, about, &reg)
        if head.flags & FLAG_ERASED and is_blank(book, about, &reg):
            continue
        raw = reg_object(&reg, book.fact_rep[about])
        shown = raw.hex() if book.specs[about].is_private else _feature_value(book.plain_spec(about), raw)
        alerts.append({
            "rule": plan.id, "about": book.names[about], "entity": shown, "key": alert_key(book, about, &reg),
            "typology": plan.alert.typology, "event": event, "time": head.time, "until": head.time + plan.alert.once_ms, "evidence": evidence,
        })
    return {"event": event, "point": book.plan.points[head.point].name, "alerts": alerts}


cdef int remember_alert(Core core, dict alert) except -1:
    cdef str rule = alert["rule"], about = alert["about"]  # typed: they may come from a store that somebody sent
    cdef int64_t time = alert["time"], until = alert["until"]
    times = core.alerted.setdefault((rule, about), {})
    for value in list(_islice(times, ALERTS_SWEPT)):
        if times[value][1] <= core.list_line:
            del times[value]
    key = alert["key"]
    if isinstance(key, int) and isinstance(alert["entity"], str):  # a store of before: an enum's code
        key = alert["entity"]
    times.pop(key, None)
    times[key] = time, until
    return 0


# What follows from a decision that was recorded: made anew in the same way when it is replayed.
cdef int follow_decision(Core core, const RecordHead* record, uint64_t kind_bit) except -1:
    if core.breaker_count:
        count_decision(core, record, kind_bit)
    if record.flags & FLAG_ALERTS:
        content = alerts_of(core.book, record)
        for alert in content["alerts"]:
            remember_alert(core, alert)
        core.owed.append((RECORD_ALERT, record.time, content))
    return 0


# A rule that drops to shadow must not do so in silence.
cdef int tell_of(bytes record) except -1:
    content = plain_content(record)
    if content.get("control") == "trip":
        import logging

        logging.getLogger("frmcore.engine").warning(
            "rule %s dropped to shadow: it fired for %d of %d decisions, more than its breaker allows; "
            "see Engine.reset_breaker", content["rule"], content["fired"], content["decisions"],
        )
    return 0
