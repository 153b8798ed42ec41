# From the rules' truth values to an outcome: which fired, which are exempt, the strongest outcome, the score.

cdef void judge(Book book, Frame* frame, const PointSpec* point) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef const RuleSpec* rule
    cdef const Reg* result
    cdef uint64_t exempt = 0
    cdef uint32_t i
    verdict.fired_count = verdict.shadow_count = verdict.unknown_count = verdict.exempted_count = 0
    for i in range(point.rule_count):
        rule = &point.rules[i]
        result = &frame.regs[rule.result]
        if likely(result.present and result.v.i == 0) or not rule.kinds & frame.kind_bit:
            continue
        if not result.present:
            verdict.unknown[verdict.unknown_count] = rule.index
            verdict.unknown_count += 1
            if not rule.fires_if_unknown:
                continue
        if rule.is_live and (rule.live < 0 or is_true(&frame.regs[rule.live])):
            verdict.fired[verdict.fired_count] = i
            verdict.fired_count += 1
            exempt |= rule.exempts
        else:
            verdict.shadow[verdict.shadow_count] = rule.index
            verdict.shadow_count += 1
    conclude(frame, point, exempt)


# Takes the exempt rules out of `fired` (so far positions in the point), then sums up the rest.
cdef void conclude(Frame* frame, const PointSpec* point, uint64_t exempt) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef const RuleSpec* rule
    cdef uint32_t i, kept = 0
    verdict.outcome, verdict.score = 0, 0
    for i in range(verdict.fired_count):
        rule = &point.rules[verdict.fired[i]]
        if rule.group & exempt:
            verdict.exempted[verdict.exempted_count] = rule.index
            verdict.exempted_count += 1
            continue
        verdict.fired[kept] = rule.index
        kept += 1
        verdict.score += rule.score
        if rule.outcome > verdict.outcome:
            verdict.outcome = rule.outcome
    verdict.fired_count = kept
    for i in range(point.threshold_count):
        if verdict.score >= point.thresholds[i].score and point.thresholds[i].outcome > verdict.outcome:
            verdict.outcome = point.thresholds[i].outcome


# For who watches: which rules counted, and what was decided where.
cdef inline void count_verdict(Book book, const Verdict* verdict, uint32_t point) noexcept nogil:
    cdef uint32_t i
    book.decided[point * book.outcome_count + <uint32_t>verdict.outcome] += 1
    for i in range(verdict.fired_count):
        book.fired_times[verdict.fired[i]] += 1


# (decisions by (point, outcome), decisions by rule) under all policies that were in force.
cdef tuple verdict_counts(list books):
    cdef uint32_t i
    cdef Book book
    decided, fired = {}, {}
    for each in books:
        if each is None:
            continue
        book = each
        for i in range(book.point_count * book.outcome_count):
            key = (book.plan.points[i // book.outcome_count].name, book.plan.outcomes[i % book.outcome_count])
            decided[key] = decided.get(key, 0) + book.decided[i]
        for i in range(book.rule_count):
            fired[book.plan.rules[i].id] = fired.get(book.plan.rules[i].id, 0) + book.fired_times[i]
    return decided, fired
