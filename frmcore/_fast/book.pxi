# A plan made ready for the hot path: names and numbers unpacked into C arrays, verified once, never changed.

from cpython.object cimport PyObject, PyTypeObject

from collections import namedtuple as _namedtuple

from frmcore.plan import Rate as _Rate

_FactSpec = _namedtuple("_FactSpec", "kind rep scale values currency")

cdef struct FieldSpec:
    uint8_t kind
    uint8_t optional
    uint8_t is_private
    uint8_t may_change
    int32_t scale
    uint64_t required_on  # kinds
    int64_t offset  # in the generated Struct
    uint32_t label_first  # enum: its labels in Book.labels
    uint32_t label_count

cdef struct RuleSpec:
    uint32_t index
    uint32_t result  # the distance of its register's bytes, as an Instruction has it
    int32_t live  # register, -1: as `mode` says
    int32_t outcome
    int64_t score
    uint64_t kinds
    uint64_t exempts  # groups
    uint64_t group  # its own group as a bit; 0: none
    uint8_t mode
    uint8_t fires_if_unknown

cdef struct Threshold:
    int64_t score
    int32_t outcome

cdef struct PointSpec:
    uint64_t kinds  # decided here first
    int32_t after
    uint32_t start
    uint32_t end
    uint32_t rule_count
    uint32_t threshold_count
    RuleSpec* rules
    Threshold* thresholds

cdef struct ProbeSpec:
    uint32_t list
    uint32_t key
    uint32_t dst
    uint8_t is_key  # some event is filed under or looked up by it, so its hash is there

cdef struct ValueSpec:  # a value of a record: a fact, a feature
    uint32_t reg
    uint8_t rep
    uint8_t kind

cdef enum:
    NO_RULE = 0x7FFFFFFF  # a rule that is off: nothing that this policy decides fires it

cdef struct PairSpec:  # (rule, register) of `fired`
    uint32_t rule
    uint32_t reg

cdef struct CurrencySpec:
    uint32_t amount, currency, original, rate

cdef struct RateSpec:
    char[4] code
    int64_t since
    int64_t rate
    int64_t up  # 10**exponent of the base currency
    int64_t down  # of this one


cdef uint64_t KIND_GONE = <uint64_t>1 << 63  # the bit of an event whose kind the policy does not have: limits.KINDS_MAX


cdef uint64_t kind_mask(object kinds) except? 0:
    cdef uint64_t mask = 0
    if kinds is None:
        return <uint64_t>-1
    for kind in kinds:
        mask |= <uint64_t>1 << <int>kind
    return mask


cdef object fixed_reason(object parts):
    return "".join([part.text for part in parts]) if all([part.reg < 0 for part in parts]) else None


@cython.final
cdef class Book:
    cdef readonly object plan
    cdef readonly object policy
    cdef readonly Program program
    cdef readonly uint32_t index  # in the core's list of books
    cdef uint32_t field_count, derived_count, update_count, fact_count, register_count, feature_count, probe_count
    cdef uint32_t point_count, rule_count, fired_count, outcome_count
    cdef FieldSpec* specs  # fields, derived, updates
    cdef Text* labels
    cdef ValueSpec* facts
    cdef ValueSpec* features
    cdef Text* feature_names
    cdef Text* rule_names
    cdef tuple reasons  # of rules, where no value stands in them; None where one does
    cdef uint64_t* fired_times  # by rule: in how many decisions it counted
    cdef uint64_t* decided  # by point and outcome
    cdef ProbeSpec* probes
    cdef PointSpec* points
    cdef Reg* defaults  # of updates
    cdef PairSpec* fired
    cdef uint8_t* fact_rep  # representation of each register that is a fact
    cdef uint32_t* text_regs  # facts and features that are texts: what makes one record longer than another
    cdef uint32_t text_count
    cdef uint8_t* erasable  # of each: a text or an identifier, and not the event's id
    cdef uint32_t id_reg, time_reg, final_reg, score_reg
    cdef int32_t kind_reg
    cdef int64_t horizon, max_ahead
    cdef uint64_t ids_min, ids_max, max_memory
    cdef object names  # of fields, derived, updates
    cdef object keys  # interned top-level keys of fields and updates, in register order (None where nested)
    cdef object label_codes  # by register: dict label -> code, for enums
    cdef object keep_alive
    cdef PyTypeObject* event_type
    cdef object event_class
    cdef CurrencySpec* currencies
    cdef RateSpec* rates
    cdef uint32_t currency_count, rate_count
    cdef uint32_t derive_start, derive_end, keys_start, keys_end, compute_start, compute_end
    cdef int64_t facts_ms  # how long facts are kept; -1: as long as ids_max allows
    cdef bint has_private
    cdef uint64_t max_groups  # groups whose greatest score counts
    cdef int32_t holdout  # register of a bool; -1: there is none
    cdef uint32_t holdout_by
    cdef uint64_t holdout_except  # groups
    cdef list alerts  # by rule: its alert; None where no rule has one
    cdef Phrases phrases  # made when it is first asked for
    cdef dict matches  # by an older policy's book: which of its facts is each of ours

    def __cinit__(self, plan, policy, uint32_t index, Lists lists, bytes private_key):
        self.plan, self.policy, self.index = plan, policy, index
        self.program = Program(plan, lists, private_key)
        self.register_count = plan.registers
        self.id_reg, self.time_reg, self.kind_reg = plan.id, plan.time, plan.kind
        self.final_reg, self.score_reg = plan.final, plan.score
        limits = plan.limits
        self.horizon, self.max_ahead = limits.horizon_ms, limits.max_ahead_ms
        self.ids_min, self.ids_max, self.max_memory = limits.ids_min, limits.ids_max, limits.max_memory
        self.outcome_count = len(plan.outcomes)
        self.rule_count = len(plan.rules)
        self.keep_alive, self.matches = [], {}
        self.derive_start, self.derive_end = plan.derive
        self.keys_start, self.keys_end = plan.keys
        self.compute_start, self.compute_end = plan.compute
        self.facts_ms = facts_span(plan)
        self._load_fields()
        self._load_rates()
        self._load_features()
        self._find_texts()
        self._load_points()
        self._find_offsets()

    def __dealloc__(self):
        cdef uint32_t i
        free(self.specs)
        free(self.currencies)
        free(self.rates)
        free(self.labels)
        free(self.facts)
        free(self.features)
        free(self.feature_names)
        free(self.rule_names)
        free(self.fired_times)
        free(self.decided)
        free(self.probes)
        free(self.defaults)
        free(self.fired)
        free(self.fact_rep)
        free(self.text_regs)
        free(self.erasable)
        if self.points != NULL:
            for i in range(self.point_count):
                free(self.points[i].rules)
                free(self.points[i].thresholds)
            free(self.points)

    cdef int _load_fields(self) except -1:
        plan = self.plan
        fields = (*plan.fields, *plan.derived, *plan.updates)
        cdef uint32_t i, label = 0
        self.field_count, self.derived_count = len(plan.fields), len(plan.derived)
        self.update_count = len(plan.updates)
        self.fact_count = len(fields) + 2 * len(plan.currencies)
        self.specs = <FieldSpec*>take(self.fact_count, sizeof(FieldSpec))
        self.labels = <Text*>take(sum(len(spec.values) for spec in fields), sizeof(Text))
        self.fact_rep = <uint8_t*>take(self.fact_count, 1)
        self.erasable = <uint8_t*>take(self.fact_count, 1)
        self.defaults = <Reg*>take(self.update_count, sizeof(Reg))
        self.names = tuple(spec.name for spec in fields)
        self.keys = tuple(spec.path[0] if len(spec.path) == 1 else None for spec in fields)
        self.label_codes = tuple({value: code for code, value in enumerate(spec.values)} or None for spec in fields)
        for i, field in enumerate(fields):
            spec = &self.specs[i]
            spec.kind, spec.optional, spec.is_private = field.kind, field.optional, field.private
            spec.may_change, spec.scale = field.may_change, field.scale
            spec.required_on = kind_mask(field.required_on)
            spec.label_first, spec.label_count = label, len(field.values)
            spec.offset = -1
            self.has_private |= field.private
            self.fact_rep[i] = REP_OF_KIND[<int>field.kind] if not field.private else REP_TEXT
            for value in field.values:
                self.labels[label] = self._keep_text(value)
                label += 1
        for i in range(len(fields), self.fact_count):  # original amounts and rates are whole numbers
            self.specs[i].kind = KIND_INT
        self.facts = <ValueSpec*>take(self.fact_count, sizeof(ValueSpec))
        for i in range(self.fact_count):
            self.facts[i].reg, self.facts[i].rep = i, self.fact_rep[i]
        entities = [field.entity for field in (*self.policy.fields, *self.policy.derived, *self.policy.updates)]
        for i in range(len(fields)):
            self.erasable[i] = self.fact_rep[i] == REP_TEXT or len(entities[i]) > 0
        self.erasable[self.id_reg] = self.erasable[self.time_reg] = False
        if self.kind_reg >= 0:
            self.erasable[self.kind_reg] = False
        for i, field in enumerate(plan.updates):
            if isinstance(field.default, str):
                text = self._keep_text(field.default)
                reg_set_text(&self.defaults[i], text.s, text.n)
            elif isinstance(field.default, float):
                self.defaults[i].v.f, self.defaults[i].present = field.default, 1
            elif field.default is not None:
                reg_set_int(&self.defaults[i], field.default)
        return 0

    cdef object plain_spec(self, uint32_t i):
        """What is known of a fact's register, as frmcore.values wants it."""
        field = self.field_plan(i)
        return _FactSpec(field.kind, _Rep(self.fact_rep[i]), field.scale, field.values, "")

    cdef object field_plan(self, uint32_t i):
        return (*self.plan.fields, *self.plan.derived, *self.plan.updates)[i]

    cdef Text _keep_text(self, object value) except *:
        cdef Text text
        raw = value.encode() if isinstance(value, str) else bytes(value)
        self.keep_alive.append(raw)
        text.s, text.n = <const char*>raw, len(raw)
        return text

    cdef int _load_rates(self) except -1:
        cdef uint32_t i
        plan = self.plan
        rates = list(plan.rates)
        if plan.base_currency:
            rates.append(_Rate(plan.base_currency, plan.base_exponent, -TIME_FAR, 10**10))
        self.currency_count, self.rate_count = len(plan.currencies), len(rates)
        self.currencies = <CurrencySpec*>take(self.currency_count, sizeof(CurrencySpec))
        self.rates = <RateSpec*>take(self.rate_count, sizeof(RateSpec))
        for i, money in enumerate(plan.currencies):
            spec = &self.currencies[i]
            spec.amount, spec.currency, spec.original, spec.rate = money.amount, money.currency, money.original, money.rate
        for i, rate in enumerate(rates):
            code = rate.currency.encode()
            memcpy(self.rates[i].code, <const char*>code, 3)
            self.rates[i].since, self.rates[i].rate = rate.since_ms, rate.rate
            self.rates[i].up, self.rates[i].down = 10**plan.base_exponent, 10**rate.exponent
        return 0

    cdef int _load_features(self) except -1:
        cdef uint32_t i
        plan = self.plan
        keys = key_registers(plan)
        self.feature_count, self.probe_count = len(plan.features), len(plan.probes)
        self.features = <ValueSpec*>take(self.feature_count, sizeof(ValueSpec))
        self.feature_names = <Text*>take(self.feature_count, sizeof(Text))
        for i, feature in enumerate(plan.features):
            self.features[i].reg, self.features[i].rep, self.features[i].kind = feature.reg, feature.rep, feature.kind
            self.feature_names[i] = self._keep_text(feature.name)
        self.probes = <ProbeSpec*>take(self.probe_count, sizeof(ProbeSpec))
        for i, probe in enumerate(plan.probes):
            self.probes[i].list, self.probes[i].key, self.probes[i].dst = probe.list, probe.key, probe.dst
            self.probes[i].is_key = probe.key in keys
        self.fired_count = len(plan.fired)
        self.fired = <PairSpec*>take(self.fired_count, sizeof(PairSpec))
        index_of = {rule.id: index for index, rule in enumerate(plan.rules)}
        for i, (rule, reg) in enumerate(plan.fired):
            self.fired[i].rule, self.fired[i].reg = index_of.get(rule, NO_RULE), reg
        return 0

    cdef int _find_texts(self) except -1:
        cdef uint32_t i
        self.text_regs = <uint32_t*>take(self.fact_count + self.feature_count, sizeof(uint32_t))
        for i in range(self.fact_count):
            if self.fact_rep[i] == REP_TEXT:
                self.text_regs[self.text_count] = i
                self.text_count += 1
        for i in range(self.feature_count):
            if self.features[i].rep == REP_TEXT:
                self.text_regs[self.text_count] = self.features[i].reg
                self.text_count += 1
        return 0

    cdef int _load_points(self) except -1:
        cdef uint32_t i, j
        cdef PointSpec* point
        plan = self.plan
        groups = sorted({name for rule in plan.rules for name in (rule.group, *rule.exempts) if name})
        bits = {name: 1 << bit for bit, name in enumerate(groups)}
        self.max_groups, self.holdout, self.holdout_except = 0, -1, 0
        for group in plan.rule_groups:
            if group.takes_max and group.name in bits:
                self.max_groups |= <uint64_t>bits[group.name]
        if plan.holdout is not None:
            self.holdout, self.holdout_by = plan.holdout.inside, plan.holdout.by
            for name in plan.holdout.excepted:
                self.holdout_except |= <uint64_t>bits.get(name, 0)
        alerts = [rule.alert for rule in plan.rules]
        self.alerts = alerts if any([alert is not None for alert in alerts]) else None
        self.point_count = len(plan.points)
        self.points = <PointSpec*>take(self.point_count, sizeof(PointSpec))
        named = 0
        for spec in plan.points:
            if spec.kinds is not None and spec.after < 0:
                named |= kind_mask(spec.kinds)
        for i, spec in enumerate(plan.points):
            point = &self.points[i]
            point.kinds = kind_mask(spec.kinds) if spec.kinds is not None else <uint64_t>~<uint64_t>named
            point.after = spec.after
            point.start, point.end = spec.code.start, spec.code.end
            point.rule_count, point.threshold_count = len(spec.rules), len(spec.thresholds)
            point.rules = <RuleSpec*>take(point.rule_count, sizeof(RuleSpec))
            point.thresholds = <Threshold*>take(point.threshold_count, sizeof(Threshold))
            for j, rule_index in enumerate(spec.rules):
                point.rules[j] = self._rule(rule_index, bits)
            for j, (score, outcome) in enumerate(spec.thresholds):
                point.thresholds[j].score, point.thresholds[j].outcome = score, outcome
        self.rule_names = <Text*>take(self.rule_count, sizeof(Text))
        for i, rule in enumerate(plan.rules):
            self.rule_names[i] = self._keep_text(rule.id)
        self.reasons = tuple([fixed_reason(rule.reason) for rule in plan.rules])
        self.fired_times = <uint64_t*>take(self.rule_count, sizeof(uint64_t))
        self.decided = <uint64_t*>take(self.point_count * self.outcome_count, sizeof(uint64_t))
        return 0

    cdef RuleSpec _rule(self, uint32_t index, dict bits) except *:
        cdef RuleSpec spec
        rule = self.plan.rules[index]
        spec.index, spec.result, spec.live = index, rule.result * sizeof(Reg), rule.live
        spec.outcome, spec.score = rule.outcome, rule.score
        spec.kinds = kind_mask(rule.kinds)
        spec.group = bits.get(rule.group, 0)
        spec.exempts = 0
        for name in rule.exempts:
            spec.exempts |= <uint64_t>bits[name]
        spec.mode = rule.mode
        spec.fires_if_unknown = rule.fires_if_unknown
        return spec

    cdef int _find_offsets(self) except -1:
        """Where the fields of the generated Struct lie; each offset is proven on a probe object before it is trusted."""
        cdef uint32_t i
        self.event_class = self.policy.Event
        self.event_type = <PyTypeObject*>self.event_class
        names = self.names[: self.field_count]
        values = {name: object() for name in names}
        probe = self.event_class(**values)
        for i, name in enumerate(names):
            offset = member_offset(self.event_class, name)
            if offset > 0 and (<PyObject**>(<char*><PyObject*>probe + <int64_t>offset))[0] == <PyObject*>values[name]:
                self.specs[i].offset = offset
            else:
                self.event_type = NULL  # a Struct laid out in a way we do not know: read it as a mapping
                return 0
        return 0


# The registers that events are filed under or looked up by.
cdef set key_registers(object plan):
    lookups = [lookup.keys for group in plan.groups for lookup in group.lookups]
    return {reg for keys in (*lookups, *[group.keys for group in plan.groups]) for reg in keys}


# How long an event's facts must be kept: as long as a feature that reads updates can look at it, and never less than the ids.
cdef int64_t facts_span(object plan) except? -2:
    spans = [plan.limits.horizon_ms]
    for group in plan.groups:
        if group.reads_updates:
            if group.life or group.span_ms < 0:
                return -1
            spans.append(group.span_ms + plan.limits.horizon_ms)
    return max(spans)


cdef extern from *:
    """
    #include <structmember.h>
    static int64_t frm_member_offset(PyObject *descriptor) {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        return (int64_t)((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    """
    int64_t frm_member_offset(object descriptor) noexcept


cdef int64_t member_offset(object cls, object name) noexcept:
    descriptor = getattr(cls, name, None)
    return -1 if descriptor is None else frm_member_offset(descriptor)
