# MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md) as it comes from clients: an event, straight into
# registers. A value of an ordinary type is read where it lies; any other becomes a Python object and goes the way that values of
# mappings go, so both refuse the same values with the same words.

from msgspec.msgpack import Decoder as _PackDecoder

from frmcore.errors import ProtocolError

cdef object _unpack_plain = _PackDecoder().decode

cdef enum:
    PACK_ARRAY = 1
    PACK_MAP = 2
    PACK_HEAD_BYTES = 5  # of a text, an array or a map, at most

cdef struct PackForm:  # what follows a code from 0xC0 on
    uint8_t width  # bytes of a length or a count
    uint8_t fixed  # bytes beside those
    uint8_t holds  # counted values, not bytes

cdef PackForm PACK_FORMS[32]
for _i, _form in enumerate([
    (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (1, 0, 0), (2, 0, 0), (4, 0, 0),  # nil, never used, false, true, bin
    (1, 1, 0), (2, 1, 0), (4, 1, 0), (0, 4, 0), (0, 8, 0),  # ext, float
    (0, 1, 0), (0, 2, 0), (0, 4, 0), (0, 8, 0), (0, 1, 0), (0, 2, 0), (0, 4, 0), (0, 8, 0),  # uint, int
    (0, 2, 0), (0, 3, 0), (0, 5, 0), (0, 9, 0), (0, 17, 0), (1, 0, 0), (2, 0, 0), (4, 0, 0),  # fixext, str
    (2, 0, PACK_ARRAY), (4, 0, PACK_ARRAY), (2, 0, PACK_MAP), (4, 0, PACK_MAP),
]):
    PACK_FORMS[_i].width, PACK_FORMS[_i].fixed, PACK_FORMS[_i].holds = _form


cdef inline uint64_t big_endian(const uint8_t* p, uint32_t size) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint32_t i
    for i in range(size):
        value = value << 8 | p[i]
    return value


# Behind the value at `p`; NULL where it is none, or goes beyond `end`. No recursion: however deep it is nested, only values that
# are still to come are counted, and each of those takes a byte.
cdef const uint8_t* skip_packed(const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef uint64_t left = 1, size
    cdef const PackForm* form
    cdef uint8_t code
    while left:
        if left > <uint64_t>(end - p):
            return NULL
        code = p[0]
        p += 1
        left -= 1
        if code < 0x80 or code >= 0xE0:
            continue
        if code < 0xA0:
            left += code & 15 if code >= 0x90 else 2 * (code & 15)
            continue
        if code < 0xC0:
            size = code & 31
        else:
            form = &PACK_FORMS[code - 0xC0]
            if code == 0xC1 or form.width > end - p:
                return NULL
            size = big_endian(p, form.width)
            p += form.width
            if form.holds:
                left += form.holds * size
                continue
            size += form.fixed
        if size > <uint64_t>(end - p):
            return NULL
        p += size
    return p


# Behind the value at `p`, which is whole.
cdef inline const uint8_t* behind(const uint8_t* p, const uint8_t* end) noexcept nogil:
    cdef uint8_t code = p[0]
    if code < 0x80 or code >= 0xE0:
        return p + 1
    if 0xA0 <= code < 0xC0:
        return p + 1 + (code & 31)
    if code >= 0xC0 and PACK_FORMS[code - 0xC0].width == 0:
        return p + 1 + PACK_FORMS[code - 0xC0].fixed
    return skip_packed(p, end)


# Behind the text at `p`; NULL: it is none. The value is whole.
cdef inline const uint8_t* get_text(const uint8_t* p, const char** s, uint32_t* n) noexcept nogil:
    cdef uint32_t width = 0
    if 0xA0 <= p[0] < 0xC0:
        n[0] = p[0] & 31
    elif 0xD9 <= p[0] <= 0xDB:
        width = <uint32_t>1 << (p[0] - 0xD9)
        n[0] = <uint32_t>big_endian(p + 1, width)
    else:
        return NULL
    s[0] = <const char*>p + 1 + width
    return p + 1 + width + n[0]


# False: it is no integer, or beyond int64. The value is whole.
cdef inline bint get_whole(const uint8_t* p, int64_t* out) noexcept nogil:
    cdef uint8_t code = p[0]
    cdef uint32_t size
    if code < 0x80 or code >= 0xE0:
        out[0] = <int8_t>code
        return True
    if not 0xCC <= code <= 0xD3:
        return False
    size = <uint32_t>1 << (code & 3)
    out[0] = <int64_t>big_endian(p + 1, size)
    if code >= 0xD0:
        out[0] = <int64_t>(<uint64_t>out[0] << (64 - 8 * size)) >> (64 - 8 * size)
        return True
    return out[0] >= 0


# How many pairs the map at `p` has, and where they begin. NULL: it is no map. The value is whole.
cdef inline const uint8_t* get_map(const uint8_t* p, uint64_t* pairs) noexcept nogil:
    if 0x80 <= p[0] < 0x90:
        pairs[0] = p[0] & 15
        return p + 1
    if p[0] == 0xDE or p[0] == 0xDF:
        pairs[0] = big_endian(p + 1, 2 if p[0] == 0xDE else 4)
        return p + (3 if p[0] == 0xDE else 5)
    return NULL


# Likewise an array.
cdef inline const uint8_t* get_array(const uint8_t* p, uint64_t* count) noexcept nogil:
    if 0x90 <= p[0] < 0xA0:
        count[0] = p[0] & 15
        return p + 1
    if p[0] == 0xDC or p[0] == 0xDD:
        count[0] = big_endian(p + 1, 2 if p[0] == 0xDC else 4)
        return p + (3 if p[0] == 0xDC else 5)
    return NULL


@cython.final
cdef class PackedEvent:
    """A map in memory that outlives the call and was skipped whole before: where a call takes an event, it takes this. For
    policies without nested fields."""

    cdef const uint8_t* start
    cdef const uint8_t* end
    cdef const uint8_t** found  # by field: its value; NULL: there is none
    cdef uint32_t room

    def __dealloc__(self):
        free(self.found)

    cdef int make_room(self, uint32_t fields) except -1:
        if fields > self.room:
            free(self.found)
            self.found, self.room = NULL, 0
            self.found = <const uint8_t**>take(fields, sizeof(uint8_t*))
            self.room = fields
        memset(self.found, 0, fields * sizeof(uint8_t*))
        return 0


# As a dict has them: of equal keys the last one counts; keys that are no text, or no field's, are passed over.
cdef int find_fields(Book book, PackedEvent event) except -1:
    cdef Phrases phrases = phrases_of(book)
    cdef uint64_t pairs = 0
    cdef const uint8_t* p = get_map(event.start, &pairs)
    cdef const uint8_t* value
    cdef const char* s = NULL
    cdef uint32_t n = 0, i = 0
    event.make_room(book.field_count)
    while pairs:
        value = get_text(p, &s, &n)
        if value != NULL:
            i = field_named(phrases, book.field_count, s, n, i)
            if i < book.field_count:
                event.found[i] = value
            i += 1
        else:
            value = behind(p, event.end)
        p = behind(value, event.end)
        pairs -= 1
    return 0


# The field of that key; `field_count`: none. Clients send fields in order as a rule, so `guess` comes first.
cdef inline uint32_t field_named(Phrases phrases, uint32_t field_count, const char* s, uint32_t n, uint32_t guess) noexcept nogil:
    cdef uint32_t tried, i = guess
    for tried in range(field_count):
        if i >= field_count:
            i = 0
        if phrases.fields[i].size == n and memcmp(phrases.text + phrases.fields[i].at, s, n) == 0:
            return i
        i += 1
    return field_count


# As `quick_value`: 1 where the value is of an ordinary type, and read; texts stay where they lie.
cdef inline int quick_packed(Book book, uint32_t i, const uint8_t* p, Reg* reg, Arena* arena) noexcept nogil:
    cdef FieldSpec* spec = &book.specs[i]
    cdef const char* s
    cdef uint32_t n
    if p == NULL or p[0] == 0xC0:
        reg.present = 0
        return 1
    reg.present = 1
    if spec.kind == KIND_INT or spec.kind == KIND_MONEY or spec.kind == KIND_TIMESTAMP:
        return get_whole(p, &reg.v.i) and reg.v.i != INT64_MIN and (spec.kind != KIND_TIMESTAMP or -TIME_MAX <= reg.v.i <= TIME_MAX)
    if spec.kind == KIND_FLOAT:
        if p[0] != 0xCB:
            return 0
        reg.v.f = bits_double(<int64_t>big_endian(p + 1, 8))
        return isfinite(reg.v.f)
    if spec.kind == KIND_BOOL:
        reg.v.i = p[0] == 0xC3
        return p[0] == 0xC2 or p[0] == 0xC3
    if spec.kind == KIND_DECIMAL or get_text(p, &s, &n) == NULL:
        return 0
    if spec.kind == KIND_ENUM:
        return quick_label(book, spec, s, n, reg)
    if spec.kind == KIND_IP:
        return quick_ip(s, n, reg, arena)
    reg_set_text(reg, s, n)
    return n <= STRING_BYTES_MAX and utf8_valid(s, n)


cdef int read_packed(Book book, Frame* frame, PackedEvent event) except -1:
    cdef uint32_t i
    find_fields(book, event)
    for i in range(book.field_count):
        if unlikely(not quick_packed(book, i, event.found[i], &frame.regs[i], &frame.arena)):
            slow_value(book, i, plain_packed(event.found[i], event.end), &frame.regs[i], &frame.arena)
    return 0


cdef object plain_packed(const uint8_t* p, const uint8_t* end):
    try:
        return _unpack_plain((<const char*>p)[: skip_packed(p, end) - p])
    except (_msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise InvalidEvent(f"not an event as MessagePack: {error}") from None


# ---- what a client reads of an answer ------------------------------------------------------------------------------------

# The result in the answer `[id, result]`, up to `end`; NULL: the answer is another, an error as a rule. It is whole.
cdef const uint8_t* result_in(bytes answer, const uint8_t** end) noexcept:
    cdef const uint8_t* p = <const uint8_t*><const char*>answer
    end[0] = p + len(answer)
    if p == end[0] or p[0] != 0x92 or skip_packed(p, end[0]) != end[0]:
        return NULL
    return skip_packed(p + 1, end[0])


# The value of a key in the map at `p`; NULL: it is not there. The map's head is there; the rest need not be.
cdef const uint8_t* value_under(const uint8_t* p, const uint8_t* end, bytes key) noexcept:
    cdef const uint8_t* value
    cdef const char* s = NULL
    cdef uint32_t n = 0
    cdef uint64_t count = 0
    p = get_map(p, &count)
    while p != NULL and count:
        value = skip_packed(p, end)
        if value == NULL or skip_packed(value, end) == NULL:
            return NULL
        if get_text(p, &s, &n) != NULL and n == <uint32_t>len(key) and memcmp(s, <const char*>key, n) == 0:
            return value
        p = skip_packed(value, end)
        count -= 1
    return NULL


def packed_result(bytes answer not None):
    """The result in the answer `[id, result]` as it came; None where the answer is another, an error as a rule."""
    cdef const uint8_t* end = NULL
    cdef const uint8_t* p = result_in(answer, &end)
    return (<const char*>p)[: end - p] if p != NULL else None


def packed_items(bytes answer not None, bytes key not None):
    """The values of the array that the result in the answer `[id, result]` has under a key, as they came; None where there is
    no such thing."""
    cdef const uint8_t* end = NULL
    cdef const uint8_t* p = result_in(answer, &end)
    cdef const uint8_t* value
    cdef uint64_t count = 0
    if p != NULL:
        p = value_under(p, end, key)
    if p != NULL:
        p = get_array(p, &count)
    if p == NULL:
        return None
    items = []
    while count:
        value = p
        p = behind(value, end)
        items.append((<const char*>value)[: p - value])
        count -= 1
    return items


cpdef int64_t packed_id(bytes answer) except -1:
    """The id in front of an answer, without reading the rest. Raises ProtocolError."""
    cdef const uint8_t* p = <const uint8_t*><const char*>answer
    cdef int64_t number = -1
    if len(answer) < 2 or skip_packed(p + 1, p + len(answer)) == NULL or not get_whole(p + 1, &number) or number < 0:
        raise ProtocolError("an answer without an id")
    return number


def packed_value(bytes pairs not None, bytes key not None):
    """The value of a key in a map as it came; None where it is not there. O(what stands before it)."""
    cdef const uint8_t* p = <const uint8_t*><const char*>pairs
    cdef const uint8_t* end = p + len(pairs)
    if len(pairs) < PACK_HEAD_BYTES and skip_packed(p, end) != end:  # no whole head of a map
        return None
    p = value_under(p, end, key)
    return (<const char*>p)[: behind(p, end) - p] if p != NULL else None
