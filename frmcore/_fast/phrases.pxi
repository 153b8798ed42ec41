# What the MessagePack of one policy's events and decisions says again and again: keys of fields, names of features, rules,
# points and outcomes. Packed once, so that a decision is mostly copies.

from msgspec.msgpack import encode as _pack_plain

cdef struct Phrase:
    uint32_t at
    uint32_t size

cdef enum:
    RENDERED = 0xFFFFFFFF  # `at` of a reason with values in it: rendered for each decision


@cython.final
cdef class Phrases:
    cdef bytes kept
    cdef const char* text
    cdef Phrase* all
    cdef Phrase* fields  # the bare key by field
    cdef Phrase* features  # from here on packed: a name by feature
    cdef Phrase* rules  # an id by rule
    cdef Phrase* reasons  # by rule; no size: it has none, or it is RENDERED
    cdef Phrase* points  # key and name
    cdef Phrase* outcomes  # key and name
    cdef Phrase* policy  # key and hash
    cdef uint8_t* acts  # does the rule ask for actions?
    cdef bint is_flat  # no field lies deeper than an event's own keys

    def __cinit__(self, Book book):
        cdef uint32_t i, at = 0
        plan = book.plan
        keys = book.keys[: book.field_count]
        self.is_flat = None not in keys
        said = [(key or "").encode() for key in keys]
        said += [_pack_plain(feature.name) for feature in plan.features] + [_pack_plain(rule.id) for rule in plan.rules]
        said += [_pack_plain(reason) if reason else b"" for reason in book.reasons]
        said += [_pack_plain("point") + _pack_plain(point.name) for point in plan.points]
        said += [_pack_plain("outcome") + _pack_plain(outcome) for outcome in plan.outcomes]
        said.append(_pack_plain("policy") + _pack_plain(plan.hash))
        self.kept = b"".join(said)
        self.text = self.kept
        self.all = <Phrase*>take(len(said), sizeof(Phrase))
        for i, each in enumerate(said):
            self.all[i].at, self.all[i].size = at, <uint32_t>len(each)
            at += self.all[i].size
        self.fields = self.all
        self.features = self.fields + book.field_count
        self.rules = self.features + book.feature_count
        self.reasons = self.rules + book.rule_count
        self.points = self.reasons + book.rule_count
        self.outcomes = self.points + book.point_count
        self.policy = self.outcomes + book.outcome_count
        self.acts = <uint8_t*>take(book.rule_count, 1)
        for i in range(book.rule_count):
            self.acts[i] = bool(plan.rules[i].actions)
            if book.reasons[i] is None:
                self.reasons[i].at = RENDERED

    def __dealloc__(self):
        free(self.all)
        free(self.acts)


cdef Phrases phrases_of(Book book):
    if book.phrases is None:
        book.phrases = Phrases(book)
    return book.phrases
