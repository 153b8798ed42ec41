# `fold`: the skeleton in which disguised spellings look alike; its meaning stands in frmcore/text.py, as text.pxi says.

cdef enum:
    FOLDED_MAX = 6  # code points from one byte of text: U+FDFA, three bytes, becomes 18, the most there is (UAX #15)
    SEPARATOR_MAX = 3
    SPELLED_MIN = 3
    FOLDS_MAX = 8192  # remembered skeletons: room for the letters in use, none for all of Unicode from an attacker

cdef dict _FOLDS = {}


cdef bint is_invisible(str char) except -1:
    return _category(char) in ("Mn", "Me", "Cf", "Cc") or char in _FILLERS


cdef str fold_char(str char):
    cdef str visible, part
    cdef int turn
    if char.isspace() or char in _BLANKS:
        return " "
    for turn in range(2):
        visible = ""
        for part in <str>_normalize("NFKD", char):
            if not is_invisible(part):
                visible += <str>(<dict>_CONFUSABLES).get(part, part)
        char = visible.casefold()
    return char


# One code point beyond ASCII, remembered.
cdef str folded(Py_UCS4 c):
    cdef str char = c
    result = _FOLDS.get(char)
    if result is None:
        result = fold_char(char)
        if len(_FOLDS) < FOLDS_MAX:
            _FOLDS[char] = result
    return <str>result


cdef inline bint ascii_folded(uint32_t c, uint32_t* out) noexcept nogil:
    out[0] = c | 0x20 if c'A' <= c <= c'Z' else c' ' if is_space(c) else c
    return out[0] >= 0x20 and c != 0x7F


# Characters one by one into `out`, of FOLDED_MAX * n code points; answers how many.
cdef uint32_t fold_chars(const char* s, uint32_t n, uint32_t* out) except? 0:
    cdef uint32_t i = 0, count = 0
    cdef uint32_t c
    cdef Py_UCS4 part
    while i < n:
        i += utf8_decode(<const uint8_t*>s + i, &c)
        if c < 0x80:
            count += ascii_folded(c, &out[count])
            continue
        for part in folded(c):
            out[count] = part
            count += 1
    return count


cdef inline bint is_separator(uint32_t c) noexcept nogil:
    if c < 0x80:
        return c >= 0x20 and not is_alnum(c) and c != 0x7F
    return c == 0xB7 or c == 0x2022 or c == 0x2219 or c == 0x22C5 or c == 0x2010 or 0x2012 <= c <= 0x2015


cdef inline bint is_single(const uint32_t* s, uint32_t n, uint32_t at) noexcept nogil:
    return (
        at < n and is_alpha(s[at]) and not (at > 0 and is_alnum(s[at - 1])) and not (at + 1 < n and is_alnum(s[at + 1]))
    )


# Distance of the letters and end of the spelled word at `start`; (1, start + 1) where there is none.
cdef uint32_t spelled(const uint32_t* s, uint32_t n, uint32_t start, uint32_t* end) noexcept nogil:
    cdef uint32_t step = 1, last = start, letters = 1
    end[0] = start + 1
    if not is_single(s, n, start):
        return 1
    while step <= SEPARATOR_MAX and start + step < n and is_separator(s[start + step]):
        step += 1
    if step == 1:
        return 1
    while last + step < n and is_single(s, n, last + step) and memcmp(s + start + 1, s + last + 1, 4 * (step - 1)) == 0:
        last += step
        letters += 1
    if letters < SPELLED_MIN:
        return 1
    end[0] = last + 1
    return step


# Joins spelled words and makes white space one space, in place: it never writes ahead of where it reads.
cdef uint32_t fold_spacing(uint32_t* s, uint32_t n) noexcept nogil:
    cdef uint32_t start = 0, end, step, kept = 0
    while start < n:
        step = spelled(s, n, start, &end)
        while start < end:
            if s[start] != c' ' or (kept > 0 and s[kept - 1] != c' '):
                s[kept] = s[start]
                kept += 1
            start += step
        start = end
    return kept - 1 if kept > 0 and s[kept - 1] == c' ' else kept


cdef bint encode_text(Arena* arena, const uint32_t* s, uint32_t n, Text* out) noexcept nogil:
    cdef uint32_t i, size = 0
    cdef char* text = arena_take(arena, 4 * n)
    if text == NULL:
        return False
    for i in range(n):
        size += utf8_encode(s[i], text + size)
    out.s = text
    out.n = size
    return True


cdef bint text_fold(Arena* arena, const char* s, uint32_t n, Text* out) noexcept:
    cdef uint32_t* chars
    cdef bint done
    if not utf8_valid(s, n):  # of a checkpoint's piece that somebody else wrote
        return False
    chars = <uint32_t*>malloc(<size_t>n * FOLDED_MAX * sizeof(uint32_t) + 1)
    if chars == NULL:
        return False
    try:
        done = encode_text(arena, chars, fold_spacing(chars, fold_chars(s, n, chars)), out)
    except MemoryError:
        done = False
    free(chars)
    return done


# The door for tests: text functions by their names in frmcore/text.py, on UTF-8 or address bytes; None is absent.
def _text(str name, bytes given, *args):
    cdef const char* s = given
    cdef uint32_t n = <uint32_t>len(given)
    cdef uint8_t ip[16]
    cdef Arena arena
    cdef Text out
    cdef bint present = True
    cdef object result = None
    arena_init(&arena)
    out.s = NULL
    if name == "domain":
        present = text_domain(&arena, s, n, &out)
    elif name == "canonical_email":
        present = text_email(&arena, s, n, &out)
    elif name == "fold":
        present = text_fold(&arena, s, n, &out)
    elif name == "lower":
        present = text_lower(&arena, s, n, &out)
    elif name == "upper":
        present = text_upper(&arena, s, n, &out)
    elif name == "slice_text":
        text_slice(s, n, args[0] is not None, args[0] or 0, args[1] is not None, args[1] or 0, &out)
    elif name == "network":
        present = text_network(&arena, s, n, args[0], args[1], &out)
    elif name == "ip_text":
        present = text_ip(&arena, s, n, &out)
    elif name == "parse_ip":
        out.s = <const char*>ip
        out.n = <uint32_t>text_ip_parse(s, n, ip)
        present = out.n > 0
    elif name == "bucket":
        result = text_bucket(&arena, s, n, <bytes>args[0], <uint32_t>len(args[0]))
    elif name == "length":
        result = utf8_length(s, n)
    elif name == "valid":
        result = utf8_valid(s, n)
    elif name == "contains":
        result = text_contains(s, n, <bytes>args[0], <uint32_t>len(args[0]))
    elif name == "startswith":
        result = text_starts(s, n, <bytes>args[0], <uint32_t>len(args[0]))
    else:
        result = text_ends(s, n, <bytes>args[0], <uint32_t>len(args[0]))
    if present and out.s != NULL:
        result = out.s[: out.n]
    arena_free(&arena)
    return result
