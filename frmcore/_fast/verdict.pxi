# From the rules' truth values to an outcome: which fired, which are exempt, the strongest outcome, the score, the holdout.

cdef enum:
    RULES_AT_ONCE = 8  # looked at without a branch; one that is not known to be false has each of them looked at

cdef void judge(Core core, const RuleControl* controls, Book book, Frame* frame, const PointSpec* point) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef uint64_t exempt = 0
    cdef uint32_t first = 0, last
    verdict.fired_count = verdict.shadow_count = verdict.unknown_count = verdict.exempted_count = 0
    while first < point.rule_count:
        last = min(first + <uint32_t>RULES_AT_ONCE, point.rule_count)
        if not all_false(frame.regs, point.rules + first, point.rules + last):
            exempt |= judge_some(core, controls, frame, point, first, last)
        first = last
    conclude(book, frame, point, exempt)


cdef inline bint all_false(Reg* regs, const RuleSpec* rule, const RuleSpec* end) noexcept nogil:
    cdef uint32_t known = 1
    cdef int64_t truth = 0
    while rule != end:
        known &= reg_at(regs, rule.result).present
        truth |= reg_at(regs, rule.result).v.i
        rule += 1
    return known and truth == 0


# The groups that those of these rules exempt which fired.
cdef uint64_t judge_some(
    Core core, const RuleControl* controls, Frame* frame, const PointSpec* point, uint32_t first, uint32_t last
) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef const RuleSpec* rule
    cdef const Reg* result
    cdef uint64_t exempt = 0
    cdef uint32_t i
    cdef uint8_t mode, why = 0
    for i in range(first, last):
        rule = &point.rules[i]
        result = reg_at(frame.regs, rule.result)
        if (result.present and result.v.i == 0) or not rule.kinds & frame.kind_bit:
            continue
        mode = rule.mode if controls == NULL else mode_of(core, &controls[rule.index], frame, &why)
        if mode == MODE_OFF:
            continue
        if not result.present:
            verdict.unknown[verdict.unknown_count] = rule.index
            verdict.unknown_count += 1
            if not rule.fires_if_unknown:
                continue
        if mode == MODE_LIVE and (rule.live < 0 or is_true(&frame.regs[rule.live])):
            verdict.fired[verdict.fired_count] = i
            verdict.fired_count += 1
            exempt |= rule.exempts
        else:
            verdict.shadow[verdict.shadow_count] = rule.index
            verdict.shadow_count += 1
            if why:
                note_rule(verdict, why, rule.index)
    return exempt


cdef void note_rule(Verdict* verdict, uint8_t why, uint32_t rule) noexcept nogil:
    verdict.notes[2 * verdict.note_count] = why
    verdict.notes[2 * verdict.note_count + 1] = rule
    verdict.note_count += 1


# Takes the exempt rules out of `fired` (so far positions in the point), then sums up the rest.
cdef void conclude(Book book, Frame* frame, const PointSpec* point, uint64_t exempt) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef const RuleSpec* rule
    cdef uint32_t i, kept = 0
    for i in range(verdict.fired_count):
        rule = &point.rules[verdict.fired[i]]
        if rule.group & exempt:
            verdict.exempted[verdict.exempted_count] = rule.index
            verdict.exempted_count += 1
            continue
        verdict.fired[kept] = verdict.fired[i]
        kept += 1
    verdict.fired_count = kept
    verdict.flags = 0
    verdict.outcome = tally(book, verdict, point, <uint64_t>-1, &verdict.score)
    if book.holdout >= 0:
        hold_out(book, frame, point)
    for i in range(kept):
        verdict.fired[i] = point.rules[verdict.fired[i]].index


# The outcome and the score of the fired rules; of those in the groups `only`, unless that is all ones. Of a group that takes
# the greatest score, that alone counts.
cdef int32_t tally(Book book, const Verdict* verdict, const PointSpec* point, uint64_t only, int64_t* score) noexcept nogil:
    cdef const RuleSpec* rule
    cdef int64_t[64] greatest
    cdef uint64_t seen = 0, bit
    cdef uint32_t i, at
    cdef int32_t outcome = 0
    score[0] = 0
    for i in range(verdict.fired_count):
        rule = &point.rules[verdict.fired[i]]
        if only != <uint64_t>-1 and not rule.group & only:
            continue
        if rule.outcome > outcome:
            outcome = rule.outcome
        if not rule.group & book.max_groups:
            score[0] += rule.score
            continue
        at = lowest_bit_64(rule.group)
        if not seen & rule.group or rule.score > greatest[at]:
            score[0] += rule.score - (greatest[at] if seen & rule.group else 0)
            greatest[at] = rule.score
        seen |= rule.group
    for i in range(point.threshold_count):
        if score[0] >= point.thresholds[i].score and point.thresholds[i].outcome > outcome:
            outcome = point.thresholds[i].outcome
    return outcome


# An event of the holdout is let through to learn from: only rules of the excepted groups count for its outcome.
cdef void hold_out(Book book, Frame* frame, const PointSpec* point) noexcept nogil:
    cdef Verdict* verdict = &frame.verdict
    cdef int64_t score
    if not frame.regs[book.holdout_by].present:
        return
    verdict.flags |= FLAG_DRAWN
    if is_true(&frame.regs[book.holdout]):
        verdict.flags |= FLAG_HOLDOUT
        verdict.intended = verdict.outcome
        verdict.outcome = tally(book, verdict, point, book.holdout_except, &score)


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
