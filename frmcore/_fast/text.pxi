# UTF-8, mail and internet addresses, and the skeletons of disguised text. The meaning of each function is its namesake's in
# frmcore/text.py; tests/test_text.py holds the two together. Texts are valid UTF-8 (`utf8_valid` is asked once, on entry).
#
# A function that makes text takes an arena and answers whether there is a result: False is absent, or no memory. None of
# them runs Python bytecode, not even for Unicode: the interpreter never gets a chance to switch threads or to raise
# an interrupt in the middle of a decision.

from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_DecodeUTF8
from libc.string cimport memchr
from unicodedata import category as _category, normalize as _normalize
from frmcore.text import BLANKS, CONFUSABLES, FILLERS
from frmcore import text as _reference

cdef extern from *:
    """
    #define _FRM_HIGH 0x8080808080808080ULL
    """
    int is_alpha "Py_UNICODE_ISALPHA"(Py_UCS4 c) noexcept
    int is_alnum "Py_UNICODE_ISALNUM"(Py_UCS4 c) noexcept
    int is_space "Py_UNICODE_ISSPACE"(Py_UCS4 c) noexcept
    void* find_text "memmem"(const void* s, size_t n, const void* t, size_t m) noexcept nogil
