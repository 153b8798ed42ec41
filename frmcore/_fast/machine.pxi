# The register machine: one loop over verified instructions (frmcore/verify.py), without a bounds check, a Python object or a
# backward jump. What each operation means stands in plan.Op; the order here is the same.
#
# `present` is 0 or 1 in every register. Operations on numbers don't branch on it: they compute whatever the registers hold and
# mark the result. A text is only looked at when it is present; an absent one may point anywhere.

from cpython.ref cimport PyObject

cdef enum Operation:
    OP_MOV = 0
    OP_NOT = 1
    OP_AND = 2
    OP_OR = 3
    OP_JUMP_FALSE = 4
    OP_JUMP_TRUE = 5
    OP_MISSING = 6
    OP_COALESCE = 7
    OP_SELECT = 8
    OP_ADD_I = 10
    OP_SUB_I = 11
    OP_MUL_I = 12
    OP_FLOORDIV_I = 13
    OP_MOD_I = 14
    OP_NEG_I = 15
    OP_ABS_I = 16
    OP_MIN_I = 17
    OP_MAX_I = 18
    OP_EQ_I = 19
    OP_NE_I = 20
    OP_LT_I = 21
    OP_LE_I = 22
    OP_IN_SET_I = 23
    OP_ADD_F = 30
    OP_SUB_F = 31
    OP_MUL_F = 32
    OP_DIV_F = 33
    OP_FLOORDIV_F = 34
    OP_MOD_F = 35
    OP_NEG_F = 36
    OP_ABS_F = 37
    OP_MIN_F = 38
    OP_MAX_F = 39
    OP_EQ_F = 40
    OP_NE_F = 41
    OP_LT_F = 42
    OP_LE_F = 43
    OP_ROUND_F = 44
    OP_ROUND_I = 45
    OP_INT_TO_FLOAT = 50
    OP_EQ_IF = 51
    OP_NE_IF = 52
    OP_LT_IF = 53
    OP_LE_IF = 54
    OP_LT_FI = 55
    OP_LE_FI = 56
    OP_EQ_S = 60
    OP_NE_S = 61
    OP_STARTS_S = 62
    OP_ENDS_S = 63
    OP_CONTAINS_S = 64
    OP_LEN_S = 65
    OP_LOWER_S = 66
    OP_UPPER_S = 67
    OP_SLICE_S = 68
    OP_IN_SET_S = 69
    OP_DOMAIN_S = 70
    OP_EMAIL_S = 71
    OP_FOLD_S = 72
    OP_NETWORK_S = 73
    OP_MATCH_S = 74
    OP_IP_TEXT_S = 75
    OP_BUCKET_S = 76
    OP_HOUR_I = 80
    OP_WEEKDAY_I = 81
    OP_DAYS_BETWEEN_I = 82
    OP_DISTANCE_F = 83
    OP_IN_LIST = 90
    OP_LOOKUP = 91

# As plan.Instr, except that an operand which is a register is the distance of its bytes from the file's start.
cdef struct Instruction:
    uint32_t op
    uint32_t dst
    uint32_t a
    uint32_t b
    uint32_t c
    uint32_t d

# One of the two; the other is NULL.
cdef struct Pattern:
    const DfaTable* dfa
    PyObject* re2

cdef struct Machine:
    const Instruction* code
    const IntSet* int_sets  # by index, as `sets` of the plan: a set has its place in both
    const TextSet* text_sets
    const Pattern* patterns
    const ZoneTable* zones
    const ListRef* lists
    const LookupTable* lookups
    uint64_t overflows  # int results that int64 does not hold


cdef extern from *:
    """
    #define FRM_UNREACHABLE() __builtin_unreachable()
    """
    void unreachable "FRM_UNREACHABLE"() noexcept nogil


cdef inline Reg* reg_at(Reg* regs, uint32_t distance) noexcept nogil:
    return <Reg*>(<char*>regs + distance)


# ---- results ------------------------------------------------------------------------------------------------------------
cdef inline void give_truth(Reg* dst, uint32_t present, bint truth) noexcept nogil:
    dst.v.i = truth
    dst.present = present


# -2**63 is no value: it could not be negated.
cdef inline void give_int(Machine* machine, Reg* dst, uint32_t present, bint overflow, int64_t value) noexcept nogil:
    cdef uint32_t beyond = overflow | (value == INT64_MIN)
    dst.v.i = value
    dst.present = present & (beyond ^ 1)
    machine.overflows += present & beyond


cdef inline void give_float(Reg* dst, uint32_t present, double value) noexcept nogil:
    dst.v.f = value
    dst.present = present & (isfinite(value) != 0)


cdef inline void give_text(Reg* dst, bint present, Text text) noexcept nogil:
    dst.v.s = text.s
    dst.n = text.n
    dst.present = present


# ---- what is more than a line ---------------------------------------------------------------------------------------------
cdef inline void run_divide(Machine* machine, Reg* dst, const Reg* a, const Reg* b, bint rest) noexcept nogil:
    cdef uint32_t present = a.present & b.present & (b.v.i != 0)
    cdef int64_t divisor = b.v.i if b.v.i != 0 else 1
    cdef int64_t quotient
    if divisor == -1:  # -2**63 / -1 traps
        quotient = <int64_t>(0 - <uint64_t>a.v.i)
        give_int(machine, dst, present, False, 0 if rest else quotient)
        return
    quotient = a.v.i // divisor
    if a.v.i % divisor != 0 and (a.v.i < 0) != (divisor < 0):
        quotient -= 1
    give_int(machine, dst, present, False, a.v.i - quotient * divisor if rest else quotient)


cdef inline void run_round(Machine* machine, Reg* dst, const Reg* a) noexcept nogil:
    cdef double whole = rint(a.v.f)
    cdef bint fits = fabs(whole) < 9223372036854775808.0
    give_int(machine, dst, a.present, not fits, <int64_t>whole if fits else 0)


cdef inline void run_slice(Reg* dst, const Reg* text, const Reg* start, const Reg* end) noexcept nogil:
    cdef Text result
    dst.present = text.present
    if text.present:
        text_slice(text.v.s, text.n, start.present, start.v.i, end.present, end.v.i, &result)
        give_text(dst, True, result)


# Text of a text, through the arena.
cdef void run_text(Reg* dst, const Reg* a, const Instruction* at, Arena* arena) noexcept:
    cdef Text text
    cdef bint present = a.present
    text.s = NULL
    text.n = 0
    if not present:
        pass
    elif at.op == OP_LOWER_S:
        present = text_lower(arena, a.v.s, a.n, &text)
    elif at.op == OP_UPPER_S:
        present = text_upper(arena, a.v.s, a.n, &text)
    elif at.op == OP_DOMAIN_S:
        present = text_domain(arena, a.v.s, a.n, &text)
    elif at.op == OP_EMAIL_S:
        present = text_email(arena, a.v.s, a.n, &text)
    elif at.op == OP_FOLD_S:
        present = text_fold(arena, a.v.s, a.n, &text)
    elif at.op == OP_NETWORK_S:
        present = text_network(arena, a.v.s, a.n, at.b, at.c, &text)
    elif at.op == OP_IP_TEXT_S:
        present = text_ip(arena, a.v.s, a.n, &text)
    give_text(dst, present, text)


cdef void run_bucket(Reg* dst, const Reg* a, const Reg* salt, Arena* arena) noexcept nogil:
    cdef int64_t bucket = -1
    if a.present & salt.present:
        bucket = text_bucket(arena, a.v.s, a.n, salt.v.s, salt.n)
    give_truth(dst, bucket >= 0, False)
    dst.v.i = bucket


cdef void run_match(Reg* dst, const Reg* a, const Pattern* pattern) noexcept:
    cdef int found
    if not a.present:
        dst.present = 0
    elif pattern.dfa != NULL:
        give_truth(dst, 1, dfa_search(pattern.dfa, a.v.s, a.n))
    else:
        found = re2_search(<object>pattern.re2, a.v.s, a.n)
        give_truth(dst, found >= 0, found > 0)


# -1 where google-re2 fails, which only a lack of memory makes it do: the answer is absent then.
cdef int re2_search(object pattern, const char* s, uint32_t n) noexcept:
    try:
        return pattern.search(s[:n]) is not None
    except Exception:
        return -1


cdef void run_distance(Reg* dst, const Reg* lat1, const Reg* lon1, const Reg* lat2, const Reg* lon2) noexcept nogil:
    cdef uint32_t present = lat1.present & lon1.present & lat2.present & lon2.present
    cdef double km = 0.0
    dst.present = present and distance_km(lat1.v.f, lon1.v.f, lat2.v.f, lon2.v.f, &km)
    dst.v.f = km


# ---- the loop ---------------------------------------------------------------------------------------------------------------
# Runs code[start:end], one segment. `traced` ignores jumps, so that every register gets its value. The time of an event on
# lists is `event_time`. Ends after at most end - start steps.
cdef void program_run(
    Machine* machine, Reg* regs, uint32_t start, uint32_t end, Arena* arena, int64_t event_time, bint traced
) noexcept:
    cdef const Instruction* at = machine.code + start
    cdef const Instruction* stop = machine.code + end
    cdef Reg* dst
    cdef Reg* a
    cdef Reg* b
    cdef uint32_t op, one, two, both
    cdef int64_t whole
    cdef bint beyond
    while at != stop:
        dst = reg_at(regs, at.dst)
        a = reg_at(regs, at.a)
        b = reg_at(regs, at.b)  # for operations whose b is no register, an address that nothing reads
        op = at.op
        if op == OP_MOV:
            dst[0] = a[0]
        elif op == OP_NOT:
            give_truth(dst, a.present, a.v.i == 0)
        elif op == OP_AND:
            one = a.present & (a.v.i == 0)  # known to be false
            two = b.present & (b.v.i == 0)
            both = a.present & b.present
            give_truth(dst, one | two | both, not (one | two))
        elif op == OP_OR:
            one = a.present & (a.v.i != 0)  # known to be true
            two = b.present & (b.v.i != 0)
            both = a.present & b.present
            give_truth(dst, one | two | both, one | two)
        elif op == OP_JUMP_FALSE:
            if a.present and a.v.i == 0 and not traced:
                give_truth(dst, 1, False)
                at = machine.code + at.b
                continue
        elif op == OP_JUMP_TRUE:
            if a.present and a.v.i != 0 and not traced:
                give_truth(dst, 1, True)
                at = machine.code + at.b
                continue
        elif op == OP_MISSING:
            give_truth(dst, 1, not a.present)
        elif op == OP_COALESCE:
            dst[0] = a[0] if a.present else b[0]
        elif op == OP_SELECT:
            if a.present:
                dst[0] = b[0] if a.v.i != 0 else reg_at(regs, at.c)[0]
            else:
                dst.present = 0
        elif op == OP_ADD_I:
            beyond = add_overflow(a.v.i, b.v.i, &whole)
            give_int(machine, dst, a.present & b.present, beyond, whole)
        elif op == OP_SUB_I:
            beyond = sub_overflow(a.v.i, b.v.i, &whole)
            give_int(machine, dst, a.present & b.present, beyond, whole)
        elif op == OP_MUL_I:
            beyond = mul_overflow(a.v.i, b.v.i, &whole)
            give_int(machine, dst, a.present & b.present, beyond, whole)
        elif op == OP_FLOORDIV_I:
            run_divide(machine, dst, a, b, False)
        elif op == OP_MOD_I:
            run_divide(machine, dst, a, b, True)
        elif op == OP_NEG_I:
            give_int(machine, dst, a.present, False, -a.v.i)
        elif op == OP_ABS_I:
            give_int(machine, dst, a.present, False, -a.v.i if a.v.i < 0 else a.v.i)
        elif op == OP_MIN_I:
            give_int(machine, dst, a.present & b.present, False, b.v.i if b.v.i < a.v.i else a.v.i)
        elif op == OP_MAX_I:
            give_int(machine, dst, a.present & b.present, False, b.v.i if b.v.i > a.v.i else a.v.i)
        elif op == OP_EQ_I:
            give_truth(dst, a.present & b.present, a.v.i == b.v.i)
        elif op == OP_NE_I:
            give_truth(dst, a.present & b.present, a.v.i != b.v.i)
        elif op == OP_LT_I:
            give_truth(dst, a.present & b.present, a.v.i < b.v.i)
        elif op == OP_LE_I:
            give_truth(dst, a.present & b.present, a.v.i <= b.v.i)
        elif op == OP_IN_SET_I:
            give_truth(dst, a.present, int_set_has(machine.int_sets + at.b, a.v.i))
        elif op == OP_ADD_F:
            give_float(dst, a.present & b.present, a.v.f + b.v.f)
        elif op == OP_SUB_F:
            give_float(dst, a.present & b.present, a.v.f - b.v.f)
        elif op == OP_MUL_F:
            give_float(dst, a.present & b.present, a.v.f * b.v.f)
        elif op == OP_DIV_F:  # x / 0.0 is infinite or NaN, so absent
            give_float(dst, a.present & b.present, a.v.f / b.v.f)
        elif op == OP_FLOORDIV_F:
            give_float(dst, a.present & b.present & (b.v.f != 0.0), float_floor_div(a.v.f, b.v.f))
        elif op == OP_MOD_F:
            give_float(dst, a.present & b.present & (b.v.f != 0.0), float_mod(a.v.f, b.v.f))
        elif op == OP_NEG_F:
            give_float(dst, a.present, -a.v.f)
        elif op == OP_ABS_F:
            give_float(dst, a.present, fabs(a.v.f))
        elif op == OP_MIN_F:
            give_float(dst, a.present & b.present, b.v.f if b.v.f < a.v.f else a.v.f)
        elif op == OP_MAX_F:
            give_float(dst, a.present & b.present, b.v.f if b.v.f > a.v.f else a.v.f)
        elif op == OP_EQ_F:
            give_truth(dst, a.present & b.present, a.v.f == b.v.f)
        elif op == OP_NE_F:
            give_truth(dst, a.present & b.present, a.v.f != b.v.f)
        elif op == OP_LT_F:
            give_truth(dst, a.present & b.present, a.v.f < b.v.f)
        elif op == OP_LE_F:
            give_truth(dst, a.present & b.present, a.v.f <= b.v.f)
        elif op == OP_ROUND_F:
            give_float(dst, a.present, round_digits(a.v.f, at.b))
        elif op == OP_ROUND_I:
            run_round(machine, dst, a)
        elif op == OP_INT_TO_FLOAT:
            give_float(dst, a.present, <double>a.v.i)
        elif op == OP_EQ_IF:
            give_truth(dst, a.present & b.present, compare_int_float(a.v.i, b.v.f) == 0)
        elif op == OP_NE_IF:
            give_truth(dst, a.present & b.present, compare_int_float(a.v.i, b.v.f) != 0)
        elif op == OP_LT_IF:
            give_truth(dst, a.present & b.present, compare_int_float(a.v.i, b.v.f) < 0)
        elif op == OP_LE_IF:
            give_truth(dst, a.present & b.present, compare_int_float(a.v.i, b.v.f) <= 0)
        elif op == OP_LT_FI:
            give_truth(dst, a.present & b.present, compare_int_float(b.v.i, a.v.f) > 0)
        elif op == OP_LE_FI:
            give_truth(dst, a.present & b.present, compare_int_float(b.v.i, a.v.f) >= 0)
        elif op == OP_EQ_S:
            both = a.present & b.present
            give_truth(dst, both, both and text_equal(a.v.s, a.n, b.v.s, b.n))
        elif op == OP_NE_S:
            both = a.present & b.present
            give_truth(dst, both, both and not text_equal(a.v.s, a.n, b.v.s, b.n))
        elif op == OP_STARTS_S:
            both = a.present & b.present
            give_truth(dst, both, both and text_starts(a.v.s, a.n, b.v.s, b.n))
        elif op == OP_ENDS_S:
            both = a.present & b.present
            give_truth(dst, both, both and text_ends(a.v.s, a.n, b.v.s, b.n))
        elif op == OP_CONTAINS_S:
            both = a.present & b.present
            give_truth(dst, both, both and text_contains(a.v.s, a.n, b.v.s, b.n))
        elif op == OP_LEN_S:
            whole = utf8_length(a.v.s, a.n) if a.present else 0
            give_int(machine, dst, a.present, False, whole)
        elif op == OP_SLICE_S:
            run_slice(dst, a, b, reg_at(regs, at.c))
        elif op == OP_IN_SET_S:
            give_truth(dst, a.present, a.present and text_set_has(machine.text_sets + at.b, a.v.s, a.n))
        elif op == OP_MATCH_S:
            run_match(dst, a, machine.patterns + at.b)
        elif op == OP_BUCKET_S:
            run_bucket(dst, a, b, arena)
        elif op == OP_HOUR_I:
            give_int(machine, dst, a.present, False, local_hour(machine.zones + at.b, a.v.i))
        elif op == OP_WEEKDAY_I:
            give_int(machine, dst, a.present, False, local_weekday(machine.zones + at.b, a.v.i))
        elif op == OP_DAYS_BETWEEN_I:
            whole = local_day(machine.zones + at.c, b.v.i) - local_day(machine.zones + at.c, a.v.i)
            give_int(machine, dst, a.present & b.present, False, whole)
        elif op == OP_DISTANCE_F:
            run_distance(dst, a, b, reg_at(regs, at.c), reg_at(regs, at.d))
        elif op == OP_IN_LIST:
            give_truth(dst, a.present, a.present and lists_probe(machine.lists, at.b, a.v.s, a.n, event_time))
        elif op == OP_LOOKUP:
            run_lookup(dst, a, machine.lookups + at.b)
        elif op == OP_LOWER_S or op == OP_UPPER_S or op == OP_DOMAIN_S or op == OP_EMAIL_S or op == OP_FOLD_S:
            run_text(dst, a, at, arena)
        elif op == OP_NETWORK_S or op == OP_IP_TEXT_S:
            run_text(dst, a, at, arena)
        else:
            unreachable()
        at += 1
