# An event, as it comes (Struct, mapping), into registers: checked, copied. Nothing of the engine is touched before this
# is done, because values of odd types (datetimes, mappings) may run Python code, and that code may call the engine.

from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact

cdef extern from "Python.h":
    const char* as_utf8 "PyUnicode_AsUTF8AndSize"(PyObject* text, Py_ssize_t* size) except NULL
    PyObject* Py_None_ "Py_None"
    PyObject* Py_True_ "Py_True"
    PyObject* Py_False_ "Py_False"
    bint is_str "PyUnicode_CheckExact"(PyObject* value) noexcept
    bint is_int "PyLong_CheckExact"(PyObject* value) noexcept
    bint is_float "PyFloat_CheckExact"(PyObject* value) noexcept
    bint is_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject* value) noexcept
    Py_ssize_t ascii_size "PyUnicode_GET_LENGTH"(PyObject* value) noexcept
    long long as_int64 "PyLong_AsLongLongAndOverflow"(PyObject* value, int* overflow) noexcept
    double as_double "PyFloat_AS_DOUBLE"(PyObject* value) noexcept
    PyTypeObject* type_of "Py_TYPE"(PyObject* value) noexcept
    void PyErr_Clear() noexcept

cdef extern from *:
    """
    /* Of a compact ASCII text. PyUnicode_DATA is a call: 20 instructions more for each text. */
    #define FRM_ASCII_DATA(value) ((const char *)((PyASCIIObject *)(value) + 1))
    """
    const char* ascii_data "FRM_ASCII_DATA"(PyObject* value) noexcept

import datetime as _datetime
import decimal as _decimal
import re as _re
from collections.abc import Mapping as _Mapping

import msgspec as _msgspec

from frmcore import limits as _limits
from frmcore.errors import (
    EngineClosed, EngineForked, EventConflict, EventErased, EventTooOld, InvalidEvent, UnknownEvent, UnknownName,
)

cdef object UNSET = _msgspec.UNSET
cdef object INVALID = object()

cdef enum:
    KIND_STRING = 0
    KIND_INT = 1
    KIND_DECIMAL = 2
    KIND_FLOAT = 3
    KIND_BOOL = 4
    KIND_ENUM = 5
    KIND_MONEY = 6
    KIND_TIMESTAMP = 7
    KIND_IP = 8

    STRING_BYTES_MAX = 16384
    ID_BYTES_MAX = 512

cdef int64_t TIME_MAX = _limits.TIME_MS_MAX
if STRING_BYTES_MAX != _limits.STRING_BYTES_MAX or ID_BYTES_MAX != _limits.ID_BYTES_MAX:
    raise ImportError("frmcore._fast was built from other sources than frmcore.limits: build it again")


# The ordinary types of values, read without running Python code. 1: read (perhaps absent); 0: not an ordinary value.
cdef inline int quick_value(Book book, const FieldSpec* spec, PyObject* value, Reg* reg, Arena* arena, bint copy) noexcept:
    cdef int overflow = 0
    if value == Py_None_ or value == NULL:
        reg.present = 0
        return 1
    if spec.kind == KIND_STRING:
        return quick_text(value, reg, arena, copy)
    if spec.kind == KIND_INT or spec.kind == KIND_MONEY or spec.kind == KIND_TIMESTAMP:
        if not is_int(value):
            return 0
        reg.v.i = as_int64(value, &overflow)
        reg.present = 1
        return not overflow and reg.v.i != INT64_MIN and (spec.kind != KIND_TIMESTAMP or -TIME_MAX <= reg.v.i <= TIME_MAX)
    if spec.kind == KIND_ENUM:
        return is_str(value) and is_ascii(value) and quick_label(book, spec, ascii_data(value), <uint32_t>ascii_size(value), reg)
    if spec.kind == KIND_FLOAT:
        if not is_float(value):
            return 0
        reg.v.f = as_double(value)
        reg.present = 1
        return isfinite(reg.v.f)
    if spec.kind == KIND_BOOL:
        reg.v.i = value == Py_True_
        reg.present = 1
        return value == Py_True_ or value == Py_False_
    if spec.kind == KIND_IP:
        return is_str(value) and is_ascii(value) and quick_ip(ascii_data(value), <uint32_t>ascii_size(value), reg, arena)
    return 0


cdef inline int quick_text(PyObject* value, Reg* reg, Arena* arena, bint copy) noexcept:
    cdef Py_ssize_t size
    cdef const char* data
    if not is_str(value):
        return 0
    if is_ascii(value):
        data, size = ascii_data(value), ascii_size(value)
    else:
        data = utf8_or_null(value, &size)
        if data == NULL:
            return 0
    if size > STRING_BYTES_MAX:
        return 0
    if copy:
        return reg_copy_text(reg, arena, data, <uint32_t>size)
    reg_set_text(reg, data, <uint32_t>size)
    return 1


cdef const char* utf8_or_null(PyObject* value, Py_ssize_t* size) noexcept:
    try:
        return as_utf8(value, size)  # cached in the str: no copy the second time
    except Exception:  # a lone surrogate
        return NULL


cdef inline int quick_label(Book book, const FieldSpec* spec, const char* s, uint32_t n, Reg* reg) noexcept nogil:
    cdef uint32_t j
    cdef const Text* label
    for j in range(spec.label_count):
        label = &book.labels[spec.label_first + j]
        if label.n == n and memcmp(label.s, s, n) == 0:
            reg_set_int(reg, j)
            return 1
    return 0


cdef inline int quick_ip(const char* s, uint32_t n, Reg* reg, Arena* arena) noexcept nogil:
    cdef uint8_t raw[16]
    cdef int size = text_ip_parse(s, n, raw) if n <= 64 else 0
    return size > 0 and reg_copy_text(reg, arena, <const char*>raw, <uint32_t>size)


# Any value that fits, whatever its type; raises InvalidEvent for one that doesn't. May run Python code (datetimes, Decimals).
cdef int slow_value(Book book, uint32_t i, object value, Reg* reg, Arena* arena) except -1:
    cdef FieldSpec* spec = &book.specs[i]
    if value is UNSET:
        reg.present = 0
        return 0
    plain = plain_value(book, i, value)
    if plain is INVALID:
        raise invalid_value(book, i, value)
    if spec.kind == KIND_DECIMAL or spec.kind == KIND_ENUM:
        reg_set_int(reg, plain)
    elif not quick_value(book, &book.specs[i], <PyObject*>plain, reg, arena, True):
        raise invalid_value(book, i, value)
    return 0


# The value as one of the ordinary types, or INVALID.
cdef object plain_value(Book book, uint32_t i, object value):
    kind = book.specs[i].kind
    if kind == KIND_DECIMAL:
        return scaled_decimal(value, book.specs[i].scale)
    if kind == KIND_TIMESTAMP:
        return epoch_ms(value)
    if kind in (KIND_STRING, KIND_ENUM, KIND_IP):
        if not isinstance(value, str):
            return INVALID
        plain = str.__str__(value)
        return plain if kind != KIND_ENUM else book.label_codes[i].get(plain, INVALID)
    if kind == KIND_FLOAT and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return INVALID
    if kind in (KIND_INT, KIND_MONEY) and isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)
    return INVALID


def scaled_decimal(value, int scale):
    """A decimal as an integer of 10**-scale units, or INVALID when it is not a number that fits exactly."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str, _decimal.Decimal)):
        return INVALID
    if isinstance(value, int) and int.bit_length(value) > 64 or isinstance(value, str) and str.__len__(value) > DECIMAL_CHARS_MAX:
        return INVALID
    try:
        number = _decimal.Decimal(repr(value) if isinstance(value, float) else value)
        if not number.is_finite() or number.adjusted() > 19:
            return INVALID
        sign, digits, exponent = number.as_tuple()
        if exponent + scale < 0 and any(digits[exponent + scale :]):
            return INVALID
        result = int(number.scaleb(scale, _EXACT))
    except (_decimal.DecimalException, ValueError):
        return INVALID
    return result if -_limits.INT_MAX <= result <= _limits.INT_MAX else INVALID


DECIMAL_CHARS_MAX = 64  # a decimal as text: 19 digits, a sign, a point, and zeros to spare
_EXACT = _decimal.Context(prec=60, Emax=_decimal.MAX_EMAX, Emin=_decimal.MIN_EMIN)
_EPOCH = _datetime.datetime(1970, 1, 1, tzinfo=_datetime.timezone.utc)
_MILLISECOND = _datetime.timedelta(milliseconds=1)


def epoch_ms(value):
    """A time as epoch milliseconds (floored), or INVALID: an int, an aware datetime, or RFC 3339 text.

    Source: RFC 3339, section 5.6, with the T (or t) between date and time. A leap second has no epoch milliseconds of its own,
    and year 0000 none that `datetime` knows: both are INVALID.
    """
    if isinstance(value, bool):
        return INVALID
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, str):
        value = str.__str__(value)
        if len(value) > _RFC_3339_CHARS_MAX or not _RFC_3339.fullmatch(value):
            return INVALID
        try:
            value = _datetime.datetime.fromisoformat(value.upper())
        except ValueError:
            return INVALID
    if isinstance(value, _datetime.datetime) and value.utcoffset() is not None:
        return (value - _EPOCH) // _MILLISECOND
    return INVALID


# Python's own parser takes more of ISO 8601: weeks, commas, times without seconds, offsets without minutes.
_RFC_3339 = _re.compile(
    "[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_RFC_3339_CHARS_MAX = 40  # nanoseconds and an offset make 35


EXPECTED = {
    KIND_STRING: f"text of at most {STRING_BYTES_MAX} bytes of valid UTF-8",
    KIND_INT: "an integer between -2**63 and 2**63, both excluded",
    KIND_FLOAT: "a finite number",
    KIND_BOOL: "true or false",
    KIND_MONEY: "an integer of minor units (12990 for 129.90) below 2**63",
    KIND_TIMESTAMP: "epoch milliseconds, an aware datetime, or RFC 3339 text with its offset (2026-01-31T12:00:00Z)",
    KIND_IP: "an IPv4 or IPv6 address",
}


cdef str expected_of(Book book, uint32_t i):
    cdef FieldSpec* spec = &book.specs[i]
    if spec.kind == KIND_ENUM:
        labels = list(book.label_codes[i])
        return "one of " + ", ".join(labels[:12]) + (", ..." if len(labels) > 12 else "")
    if spec.kind == KIND_DECIMAL:
        return f"a number with at most {spec.scale} decimals, up to {_decimal.Decimal(_limits.INT_MAX).scaleb(-spec.scale, _EXACT)}"
    return EXPECTED[<int>spec.kind]


cdef object invalid_value(Book book, uint32_t i, object value):
    shown = "a private value" if book.specs[i].is_private else shorten(value)
    name = book.names[i]
    return InvalidEvent(f"{name}: expected {expected_of(book, i)}, got {shown}", name)


def shorten(value):
    """A value as an error shows it: as a person would write it, cut. Of containers what they are, of a type whose repr we
    don't know the type."""
    if type(value) is _datetime.datetime and value.tzinfo is None:
        return f"the naive datetime {value}"
    if type(value) in _SHOWN_AS:
        return _SHOWN_AS[type(value)]
    if type(value) not in _SHOWN_TYPES:
        return f"a value of type {type(value).__name__[:60]}"
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is _decimal.Decimal:
        return shorten(str(value)).strip("'")
    if type(value) is int and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    if type(value) in (str, bytes) and len(value) > _SHOWN_MAX:
        return f"{shorten(value[: _SHOWN_MAX - 12])}... ({len(value)} {'bytes' if type(value) is bytes else 'characters'})"
    return repr(value).encode("utf-8", "backslashreplace").decode()


_SHOWN_TYPES = frozenset([str, bytes, int, float, bool, _decimal.Decimal])
_SHOWN_AS = {
    type(None): "nothing", dict: "a mapping", list: "a list", tuple: "a list", set: "a set", frozenset: "a set",
    _datetime.date: "a date without a time of day", _datetime.timedelta: "a duration",
}
_SHOWN_MAX = 60


# A text from outside as a line of a message.
cdef str printable(object text):
    return str.__str__(text)[:120].encode("utf-8", "backslashreplace").decode()


def checked_text(value):
    """A str as records take it: at most STRING_BYTES_MAX bytes of valid UTF-8; None for anything else."""
    cdef Py_ssize_t size
    if isinstance(value, str):
        plain = str.__str__(value)
        if utf8_or_null(<PyObject*>plain, &size) != NULL and size <= STRING_BYTES_MAX:
            return plain
    return None


cdef object checked_note(str name, object value):
    plain = checked_text(value)
    if plain is None and value is not None:
        raise InvalidEvent(f"{name}: expected {EXPECTED[KIND_STRING]}, got {shorten(value)}", name)
    return plain


# The event's own memory, without running Python code; False where a value is of no ordinary type.
cdef inline bint quick_struct(Book book, Frame* frame, PyObject* event) noexcept:
    cdef const FieldSpec* spec = book.specs
    cdef const FieldSpec* end = spec + book.field_count
    cdef Reg* reg = frame.regs
    while spec != end:
        if unlikely(not quick_value(book, spec, (<PyObject**>(<char*>event + spec.offset))[0], reg, &frame.arena, False)):
            return False
        spec += 1
        reg += 1
    return True


cdef list struct_values(Book book, object event):
    return [getattr(event, name, None) for name in book.names[: book.field_count]]


# Every value again, from the first: a value that needs Python code might change the object that the others came from.
cdef int read_values(Book book, Frame* frame, list values) except -1:
    cdef uint32_t i
    for i in range(book.field_count):
        value = values[i]
        if not quick_value(book, &book.specs[i], <PyObject*>value, &frame.regs[i], &frame.arena, True):
            slow_value(book, i, value, &frame.regs[i], &frame.arena)
    return 0


cdef int read_mapping(Book book, Frame* frame, dict event) except -1:
    cdef uint32_t i
    cdef PyObject* value
    for i in range(book.field_count):
        key = <object>PyTuple_GET_ITEM_(book.keys, i)
        value = PyDict_GetItemWithError_(event, key) if key is not None else NULL
        if key is None:
            found = nested_value(event, book.plan.fields[i].path)
            value = <PyObject*>found
        if not quick_value(book, &book.specs[i], value, &frame.regs[i], &frame.arena, True):
            slow_value(book, i, <object>value, &frame.regs[i], &frame.arena)
    return 0

cdef extern from "Python.h":
    PyObject* PyDict_GetItemWithError_ "PyDict_GetItemWithError"(object mapping, object key) except? NULL
    PyObject* PyTuple_GET_ITEM_ "PyTuple_GET_ITEM"(object items, Py_ssize_t i) noexcept


cdef object nested_value(object event, tuple path):
    for part in path:
        if not isinstance(event, _Mapping):
            return None
        event = event.get(part)
    return event


# Finds any event in registers: fields read, checked for presence, kind known.
cdef int read_event(Book book, Frame* frame, object event, bint strict) except -1:
    if <PyTypeObject*>type_of(<PyObject*>event) == book.event_type:
        if not quick_struct(book, frame, <PyObject*>event):
            read_values(book, frame, struct_values(book, event))
    elif isinstance(event, ArrowRows):
        read_row(book, frame, <ArrowRows>event)
    elif isinstance(event, PackedEvent):
        read_packed(book, frame, <PackedEvent>event)
    else:
        if not PyDict_CheckExact(event):
            event = as_dict(event)
        if strict:
            refuse_unknown(book, event)
        read_mapping(book, frame, event)
    return check_presence(book, frame)


cdef dict as_dict(object event):
    if isinstance(event, _Mapping):
        return dict(event)
    if isinstance(event, _msgspec.Struct):
        return _msgspec.structs.asdict(event)
    raise InvalidEvent(f"an event is a mapping or an instance of policy.Event, not {shorten(event)}")


cdef int refuse_unknown(Book book, dict event) except -1:
    cdef dict known = {}
    for field in book.plan.fields:
        *parents, last = field.path
        level = known
        for part in parents:
            level = level.setdefault(part, {})
        level[last] = None
    unknown = first_unknown(event, known, "")
    if unknown:
        raise InvalidEvent(f"{unknown}: the policy has no such field, and strict=True refuses unknown keys", unknown)
    return 0


cdef str first_unknown(object event, dict known, str prefix):
    for key, value in event.items():
        name = prefix + (printable(key) if isinstance(key, str) else shorten(key))
        if key not in known:
            return name
        if known[key] is not None and isinstance(value, _Mapping):
            inner = first_unknown(value, known[key], f"{name}.")
            if inner:
                return inner
    return ""


cdef int check_presence(Book book, Frame* frame) except -1:
    cdef uint32_t missing = first_missing(book, frame)
    if unlikely(missing < book.field_count):
        raise missing_field(book, missing, frame)
    if unlikely(not id_fits(book, frame)):
        name = book.names[book.id_reg]
        raise InvalidEvent(
            f"{name}: an event id is text of 1 to {ID_BYTES_MAX} bytes, this one has {frame.regs[book.id_reg].n}", name
        )
    return 0


# The first field that the event must have and has not; field_count: none. Finds its kind and time.
cdef inline uint32_t first_missing(Book book, Frame* frame) noexcept:
    cdef const FieldSpec* specs = book.specs
    cdef const Reg* regs = frame.regs
    cdef uint64_t kind_bit = <uint64_t>-1
    cdef uint32_t i
    if book.kind_reg >= 0 and regs[book.kind_reg].present:
        kind_bit = <uint64_t>1 << regs[book.kind_reg].v.i
    frame.kind_bit, frame.time = kind_bit, regs[book.time_reg].v.i
    for i in range(book.field_count):
        if unlikely(not regs[i].present) and (not specs[i].optional or specs[i].required_on & kind_bit):
            return i
    return book.field_count


cdef inline bint id_fits(Book book, const Frame* frame) noexcept:
    return 0 < frame.regs[book.id_reg].n <= ID_BYTES_MAX


cdef object missing_field(Book book, uint32_t i, Frame* frame):
    name = book.names[i]
    kinds = ""
    if book.specs[i].optional:
        kinds = f" for every {book.plan.kinds[frame.regs[book.kind_reg].v.i]}"
    hint = "" if book.keys[i] == name else f" (read from {'.'.join(book.plan.fields[i].path)})"
    return InvalidEvent(f"{name} is missing{hint}: expected {expected_of(book, i)}{kinds}", name)
