# UTF-8, mail and internet addresses, skeletons of disguised text. What each function means stands with its namesake in
# frmcore/text.py; tests/test_text.py holds the two together. Texts are valid UTF-8: `utf8_valid` is asked once, on
# entry.
#
# A function that makes text takes an arena and answers whether there is a result: False is absent (or no memory). None
# of them runs Python bytecode, not even for Unicode, so the interpreter never gets a chance to switch threads or to
# raise an interrupt in the middle of a decision; and none allocates what the garbage collector tracks.

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.string cimport memchr, strlen
from unicodedata import category as _category
from unicodedata import normalize as _normalize

from frmcore.text import BLANKS as _BLANKS
from frmcore.text import CONFUSABLES as _CONFUSABLES
from frmcore.text import FILLERS as _FILLERS

cdef extern from *:
    """
    /* memmem, which C11 does not declare: look for the first byte, then compare. */
    static inline int frm_contains(const char *s, size_t n, const char *t, size_t m) {
        if (m == 0) return 1;
        for (const char *end = s + n; (size_t)(end - s) >= m; s++) {
            s = memchr(s, t[0], (size_t)(end - s) - m + 1);
            if (s == NULL) return 0;
            if (memcmp(s, t, m) == 0) return 1;
        }
        return 0;
    }
    static inline uint64_t frm_high_bits(const char *p) {
        uint64_t x; __builtin_memcpy(&x, p, 8);
        return x & 0x8080808080808080ULL;
    }
    """
    bint contains_bytes "frm_contains"(const char* s, size_t n, const char* t, size_t m) noexcept nogil
    uint64_t high_bits "frm_high_bits"(const char* p) noexcept nogil
    bint is_alpha "Py_UNICODE_ISALPHA"(uint32_t c) noexcept nogil
    bint is_alnum "Py_UNICODE_ISALNUM"(uint32_t c) noexcept nogil
    bint is_space "Py_UNICODE_ISSPACE"(uint32_t c) noexcept nogil

cdef struct Text:
    const char* s
    uint32_t n


# -- UTF-8 -----------------------------------------------------------------------------------------------------------
cdef inline uint32_t ascii_prefix(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i = 0
    while i + 8 <= n and high_bits(s + i) == 0:
        i += 8
    while i < n and <uint8_t>s[i] < 0x80:
        i += 1
    return i


# Length of the well-formed sequence at `p` (Unicode, table 3-7): no overlong form, no surrogate, none above U+10FFFF.
# 0: ill-formed.
cdef inline uint32_t utf8_sequence(const uint8_t* p, uint32_t n) noexcept nogil:
    cdef uint8_t lead = p[0]
    cdef uint8_t low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
    cdef uint8_t high = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
    cdef uint32_t size = 1 if lead < 0x80 else 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    cdef uint32_t i
    if size == 1:
        return 1
    if lead < 0xC2 or lead > 0xF4 or n < size or p[1] < low or p[1] > high:
        return 0
    for i in range(2, size):
        if p[i] & 0xC0 != 0x80:
            return 0
    return size


cdef bint utf8_valid(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i = ascii_prefix(s, n)
    cdef uint32_t size
    while i < n:
        size = utf8_sequence(<const uint8_t*>s + i, n - i)
        if size == 0:
            return False
        i += size
    return True


# Code points.
cdef uint32_t utf8_length(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i, count = 0
    for i in range(n):
        count += (<uint8_t>s[i] & 0xC0) != 0x80
    return count


# Where the code point number `index` starts; n when there are fewer.
cdef uint32_t utf8_offset(const char* s, uint32_t n, uint32_t index) noexcept nogil:
    cdef uint32_t i = 0
    while i < n:
        if (<uint8_t>s[i] & 0xC0) != 0x80:
            if index == 0:
                break
            index -= 1
        i += 1
    return i


# Decodes the code point at `p` of a valid text; answers its length.
cdef inline uint32_t utf8_decode(const uint8_t* p, uint32_t* out) noexcept nogil:
    if p[0] < 0x80:
        out[0] = p[0]
        return 1
    if p[0] < 0xE0:
        out[0] = (<uint32_t>p[0] & 0x1F) << 6 | (p[1] & 0x3F)
        return 2
    if p[0] < 0xF0:
        out[0] = (<uint32_t>p[0] & 0x0F) << 12 | (<uint32_t>p[1] & 0x3F) << 6 | (p[2] & 0x3F)
        return 3
    out[0] = (<uint32_t>p[0] & 7) << 18 | (<uint32_t>p[1] & 0x3F) << 12 | (<uint32_t>p[2] & 0x3F) << 6 | (p[3] & 0x3F)
    return 4


cdef inline uint32_t utf8_encode(uint32_t c, char* out) noexcept nogil:
    if c < 0x80:
        out[0] = <char>c
        return 1
    if c < 0x800:
        out[0] = <char>(0xC0 | c >> 6)
        out[1] = <char>(0x80 | (c & 0x3F))
        return 2
    if c < 0x10000:
        out[0] = <char>(0xE0 | c >> 12)
        out[1] = <char>(0x80 | (c >> 6 & 0x3F))
        out[2] = <char>(0x80 | (c & 0x3F))
        return 3
    out[0] = <char>(0xF0 | c >> 18)
    out[1] = <char>(0x80 | (c >> 12 & 0x3F))
    out[2] = <char>(0x80 | (c >> 6 & 0x3F))
    out[3] = <char>(0x80 | (c & 0x3F))
    return 4


# -- comparing and cutting -------------------------------------------------------------------------------------------
cdef inline bint text_equal(const char* s, uint32_t n, const char* t, uint32_t m) noexcept nogil:
    return n == m and memcmp(s, t, n) == 0


cdef inline bint text_starts(const char* s, uint32_t n, const char* t, uint32_t m) noexcept nogil:
    return m <= n and memcmp(s, t, m) == 0


cdef inline bint text_ends(const char* s, uint32_t n, const char* t, uint32_t m) noexcept nogil:
    return m <= n and memcmp(s + n - m, t, m) == 0


cdef inline bint text_contains(const char* s, uint32_t n, const char* t, uint32_t m) noexcept nogil:
    return contains_bytes(s, n, t, m)


cdef inline uint32_t slice_index(int64_t index, uint32_t length) noexcept nogil:
    if index < 0:
        index += length
    return <uint32_t>(0 if index < 0 else length if index > length else index)


# A view of `s`, as Python's text[start:end]; `has_*` False is an open end. Code points are counted only where ends ask
# for them.
cdef void text_slice(
    const char* s, uint32_t n, bint has_start, int64_t start, bint has_end, int64_t end, Text* out
) noexcept nogil:
    cdef uint32_t length = utf8_length(s, n)
    cdef uint32_t first = slice_index(start, length) if has_start else 0
    cdef uint32_t last = slice_index(end, length) if has_end else length
    cdef uint32_t skipped = utf8_offset(s, n, first)
    out.s = s + skipped
    out.n = utf8_offset(out.s, n - skipped, last - first) if last > first else 0


# -- case ------------------------------------------------------------------------------------------------------------
cdef bint text_copy(Arena* arena, const char* s, uint32_t n, Text* out) noexcept nogil:
    cdef char* copy = arena_take(arena, n)
    if copy == NULL:
        return False
    memcpy(copy, s, n)
    out.s = copy
    out.n = n
    return True


# str.lower and str.upper are written in C; only a lack of memory can fail them.
cdef bint unicode_case(Arena* arena, const char* s, uint32_t n, bint up, Text* out) noexcept:
    cdef Py_ssize_t size = 0
    cdef const char* utf8
    try:
        text = PyUnicode_DecodeUTF8(s, n, NULL)
        text = (<str>text).upper() if up else (<str>text).lower()
        utf8 = PyUnicode_AsUTF8AndSize(text, &size)
        return text_copy(arena, utf8, <uint32_t>size, out)
    except MemoryError:
        return False


cdef inline void ascii_lower(char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        s[i] = <char>(s[i] | 0x20 if c'A' <= s[i] <= c'Z' else s[i])


cdef inline void ascii_upper(char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        s[i] = <char>(s[i] & ~0x20 if c'a' <= s[i] <= c'z' else s[i])


# The result is a copy in the arena, which the caller may write to.
cdef bint text_lower(Arena* arena, const char* s, uint32_t n, Text* out) noexcept:
    if ascii_prefix(s, n) < n:
        return unicode_case(arena, s, n, False, out)
    if not text_copy(arena, s, n, out):
        return False
    ascii_lower(<char*>out.s, n)
    return True


cdef bint text_upper(Arena* arena, const char* s, uint32_t n, Text* out) noexcept:
    if ascii_prefix(s, n) < n:
        return unicode_case(arena, s, n, True, out)
    if not text_copy(arena, s, n, out):
        return False
    ascii_upper(<char*>out.s, n)
    return True
