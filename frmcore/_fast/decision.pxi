# What `decide` returns: a view of the record. Everything but outcome and score is read when somebody asks for it.

from types import MappingProxyType as _MappingProxyType

from frmcore.alerts import Alert as _Alert
from frmcore.values import feature_value as _feature_value
from frmcore.values import render_reason as _render_reason

_NOTES = {
    NOTE_LATE: "is absent: the event is later than limits.horizon, and its window reaches events that were given up",
    NOTE_CAPPED: "is absent: its window reaches beyond limits.ring_events_max events of one key",
    NOTE_LOST: "is absent: the event it rests on was retracted, and the one before is no longer kept",
    NOTE_OVERFLOW: "is absent: its value does not fit into 64 bits",
    NOTE_INCOMPLETE: "is incomplete: its window reaches events that had been forgotten when a reload added it",
    NOTE_EVICTED: "is absent: its window reaches what was evicted to keep within limits.max_memory or limits.entities",
    NOTE_SNOOZED: "is in shadow: it is snoozed",
    NOTE_TRIPPED: "is in shadow: its breaker tripped",
    NOTE_SWITCHED: "is in shadow: it was switched there",
}
_ERASED_NOTES = {
    FLAG_ERASED: "its texts and identifiers were erased: a repetition of the event is not compared with it",
    FLAG_SHOWN: "texts among its features were erased with the events that brought them",
}


@cython.final
@cython.no_gc  # holds a Book and plain values, never anything that could lead back to it
@cython.freelist(256)
cdef class Decision:
    """One decision. `outcome` and `score` cost nanoseconds; the other attributes are read from the record when asked for.

    Attributes
        event_id: str           point: str                 the decision point
        outcome: str            score: int                 sum of the fired live rules' scores
        intended: str           holdout: bool              what rules asked for, where the holdout let it through; probability: of it
        fired: tuple[str, ...]  rules that count, in file order
        shadow, unknown         rules that would have fired; rules that were unknown
        actions, alerts         what fired rules ask for; reasons: their texts
        features: Mapping       name -> int | float | str | bool | None, in file order
        lists: tuple[str, ...]  lists that were hit
        policy: str             hash of the policy; seq: int, place in the recorded order
        duplicate, late         the id was known; the event's time was before the watermark
        durable: bool           is it safe from a crash of the process (False in memory)
        notes: tuple[str, ...]  what limits took away, which rules were exempted
    """

    cdef readonly bytes record
    cdef readonly bint duplicate
    cdef readonly bint durable
    cdef readonly Book book
    cdef object _verdict
    cdef object _tail
    cdef object _features

    def __init__(self):
        raise TypeError("a Decision comes from Engine.decide")

    cdef inline const RecordHead* head(self) noexcept:
        return <const RecordHead*><const char*>self.record

    @property
    def event_id(self) -> str:
        cdef const RecordHead* head = self.head()
        return (<const char*>self.record)[head.id_at : head.id_at + head.id_size].decode()

    @property
    def point(self) -> str:
        return self.book.plan.points[self.head().point].name

    @property
    def point_index(self) -> int:
        return self.head().point

    @property
    def plan(self):
        """The plan of the policy it was decided by."""
        return self.book.plan

    @property
    def outcome(self) -> str:
        return self.book.plan.outcomes[self.head().outcome]

    @property
    def score(self) -> int:
        return self.head().score

    @property
    def seq(self) -> int:
        return self.head().seq

    @property
    def time(self) -> int:
        """The event's time, epoch milliseconds."""
        return self.head().time

    @property
    def late(self) -> bool:
        return bool(self.head().flags & FLAG_LATE)

    @property
    def policy(self) -> str:
        return self.book.plan.hash

    cdef list verdict(self):
        if self._verdict is None:
            self._verdict = get_verdict(<const uint8_t*><const char*>self.record)
        return self._verdict

    cdef tuple tail(self):
        if self._tail is None:
            self._tail = get_tail(<const uint8_t*><const char*>self.record)
        return self._tail

    @property
    def intended(self) -> str:
        """The outcome that the rules asked for; of the holdout another one took effect."""
        return self.book.plan.outcomes[self.tail()[0]]

    @property
    def holdout(self) -> bool:
        """Was the event let through to learn from?"""
        return bool(self.head().flags & FLAG_HOLDOUT)

    @property
    def probability(self) -> float:
        """The probability with which such an event is treated as this one was: the holdout's share, or the rest of it; 1.0 where
        no lot was drawn. Every measure weights by its inverse."""
        cdef uint8_t flags = self.head().flags
        if not flags & FLAG_DRAWN:
            return 1.0
        share = self.book.plan.holdout.share
        return (share if flags & FLAG_HOLDOUT else 10_000 - share) / 10_000

    cdef tuple rule_ids(self, int part):
        rules = self.book.plan.rules
        return tuple([rules[index].id for index in self.verdict()[part]])

    @property
    def fired(self) -> tuple[str, ...]:
        return self.rule_ids(0)

    @property
    def shadow(self) -> tuple[str, ...]:
        return self.rule_ids(1)

    @property
    def unknown(self) -> tuple[str, ...]:
        return self.rule_ids(2)

    @property
    def exempted(self) -> tuple[str, ...]:
        """Rules that fired but belong to a group that a fired rule exempts."""
        return self.rule_ids(3)

    @property
    def actions(self) -> tuple[str, ...]:
        rules = [self.book.plan.rules[index] for index in self.verdict()[0]]
        if self.holdout:
            rules = [rule for rule in rules if rule.group in self.book.plan.holdout.excepted]
        return tuple(dict.fromkeys([action for rule in rules for action in rule.actions]))

    @property
    def alerts(self):
        """What people are told about entities: an Alert each."""
        return tuple([_Alert.of(said) for said in alerts_of(self.book, <const RecordHead*><const char*>self.record)["alerts"]])

    @property
    def reasons(self) -> list[str]:
        cdef list texts = []
        values = None
        for index in self.verdict()[0]:
            text = self.book.reasons[index]
            if text is None:
                values = self.values() if values is None else values
                text = _render_reason(self.book.plan.rules[index].reason, values)
            if text:
                texts.append(text)
        return texts

    @property
    def features(self):
        cdef Reg* regs
        if self._features is None:
            regs = <Reg*>take(self.book.register_count, sizeof(Reg))
            try:
                get_features(<const uint8_t*><const char*>self.record, self.book, regs)
                raw = {spec.reg: reg_object(&regs[<uint32_t>spec.reg], spec.rep) for spec in self.book.plan.features}
                show_erased(self.book, <const uint8_t*><const char*>self.record, raw, False, True)
                self._features = _MappingProxyType({
                    spec.name: _feature_value(spec, raw[spec.reg]) for spec in self.book.plan.features
                })
            finally:
                free(regs)
        return self._features

    def values(self) -> dict:
        """Register -> raw value of every recorded fact, feature and constant."""
        cdef Reg* regs = <Reg*>take(self.book.register_count, sizeof(Reg))
        cdef const uint8_t* record = <const uint8_t*><const char*>self.record
        cdef uint32_t i
        try:
            get_facts(record, self.book, regs)
            get_features(record, self.book, regs)
            values = {reg: value for reg, value in self.book.plan.constants if not isinstance(value, _PrivateText)}
            for i in range(self.book.fact_count):
                values[i] = reg_object(&regs[i], self.book.fact_rep[i])
            for spec in self.book.plan.features:
                values[spec.reg] = reg_object(&regs[<uint32_t>spec.reg], spec.rep)
            show_erased(self.book, record, values, True, True)
            return values
        finally:
            free(regs)

    def facts(self) -> dict:
        """Field, derived field or update -> value, and `final`: as known when it was decided."""
        return {**recorded_facts(self.book, self.record), "final": self.outcome}

    @property
    def lists(self) -> tuple[str, ...]:
        plan = self.book.plan
        return tuple([plan.lists[index].name for index in sorted({plan.probes[i].list for i in self.verdict()[4]})])

    @property
    def notes(self) -> tuple[str, ...]:
        numbers, features, rules = self.verdict()[5], self.book.plan.features, self.book.plan.rules
        pairs = [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), 2)]
        notes = [
            f"{features[about].name if note <= NOTE_EVICTED else rules[about].id} {_NOTES[note]}" for note, about in pairs
        ]
        exempt = [f"{rules[index].id} is exempted (group {rules[index].group})" for index in self.verdict()[3]]
        held = [f"let through by the holdout: the rules asked for {self.intended}"] if self.intended != self.outcome else []
        erased = [text for flag, text in _ERASED_NOTES.items() if self.head().flags & flag][:1]
        return tuple(notes + exempt + held + erased)

    def lose(self):
        """The store could not take it: it does not survive what it was to survive."""
        self.durable = False

    def to_dict(self) -> dict:
        """The decision as plain data, for JSON."""
        return {
            "event_id": self.event_id, "point": self.point, "outcome": self.outcome, "score": self.score,
            "intended": self.intended, "holdout": self.holdout, "probability": self.probability,
            "fired": list(self.fired), "shadow": list(self.shadow), "unknown": list(self.unknown),
            "actions": list(self.actions), "alerts": [alert.to_dict() for alert in self.alerts], "reasons": self.reasons,
            "features": dict(self.features), "lists": list(self.lists), "policy": self.policy, "seq": self.seq,
            "duplicate": self.duplicate, "late": self.late, "durable": self.durable, "notes": list(self.notes),
        }

    def packed(self) -> bytes:
        """The decision as MessagePack, as the protocol has it (docs/protocol.md)."""
        return packed_decision(self)

    def __repr__(self) -> str:
        fired = f" fired={', '.join(self.fired)}" if self.fired else ""
        return f"<Decision {self.event_id} {self.outcome} score={self.score}{fired}>"


# Field, derived field or update -> value, from the registers. Copied before any is made readable, which runs Python code.
# `record`: whose facts they are; NULL: translated ones.
cdef dict named_facts(Book book, const Reg* regs, const uint8_t* record):
    cdef tuple specs = (*book.policy.fields, *book.policy.derived, *book.policy.updates)
    cdef list raw = [None] * len(specs)
    cdef uint32_t i
    for i in range(len(specs)):
        raw[i] = reg_object(&regs[i], book.fact_rep[i])
    if record != NULL:
        show_erased(book, record, raw, True, False)
    facts = {}
    for i, spec in enumerate(specs):
        is_hidden = spec.type.private and raw[i] is not None and raw[i] is not _ERASED
        facts[spec.name] = "private" if is_hidden else _feature_value(book.plain_spec(i), raw[i])
    return facts


cdef dict recorded_facts(Book book, bytes record):
    cdef Reg* regs = <Reg*>take(book.register_count, sizeof(Reg))
    try:
        get_facts(<const uint8_t*><const char*>record, book, regs)
        return named_facts(book, regs, <const uint8_t*><const char*>record)
    finally:
        free(regs)


# A register as Python sees it: int, float, or bytes for texts.
cdef object reg_object(const Reg* reg, int rep):
    if not reg.present:
        return None
    if rep == REP_INT:
        return reg.v.i
    if rep == REP_FLOAT:
        return reg.v.f
    return reg.v.s[: reg.n]


cdef Decision new_decision(Book book, const uint8_t* record, bint duplicate):
    cdef Decision decision = Decision.__new__(Decision)
    decision.record = (<const char*>record)[: (<const RecordHead*>record).size]
    decision.book = book
    decision.duplicate = duplicate
    return decision
