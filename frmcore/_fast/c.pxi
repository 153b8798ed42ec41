# What C gives us: fixed-width and 128-bit integers, memory, prefetch, an arena for the texts of one call.

cimport cython
from libc.math cimport fabs, floor, fmod, isfinite, rint, sqrt
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memmove, memset, strlen

cdef extern from *:
    """
    #include <stdint.h>
    #if !defined(__SIZEOF_INT128__)
    #error "frmcore needs a compiler with 128-bit integers (gcc or clang on a 64-bit machine)"
    #endif
    typedef __int128 frm_i128;
    typedef unsigned __int128 frm_u128;
    #define FRM_PREFETCH(p) __builtin_prefetch((p), 0, 3)
    #define FRM_LIKELY(x) __builtin_expect(!!(x), 1)
    #define FRM_UNLIKELY(x) __builtin_expect(!!(x), 0)
    #if defined(FRMCORE_MALLOC_RECORDS)
    #define FRM_MALLOC_RECORDS 1
    #else
    #define FRM_MALLOC_RECORDS 0
    #endif
    static inline int frm_add_overflow(int64_t a, int64_t b, int64_t *out) { return __builtin_add_overflow(a, b, out); }
    static inline int frm_sub_overflow(int64_t a, int64_t b, int64_t *out) { return __builtin_sub_overflow(a, b, out); }
    static inline int frm_mul_overflow(int64_t a, int64_t b, int64_t *out) { return __builtin_mul_overflow(a, b, out); }
    static inline int frm_popcount(uint32_t x) { return __builtin_popcount(x); }
    static inline double frm_i128_to_double(frm_i128 x) { return (double)x; }
    static inline int64_t frm_bits(double x) { int64_t i; __builtin_memcpy(&i, &x, 8); return i; }
    static inline double frm_from_bits(int64_t i) { double x; __builtin_memcpy(&x, &i, 8); return x; }
    /* The float's bits as an int64 that sorts as the float does (-0.0 becomes 0.0; NaN never gets here), and back. */
    static inline int64_t frm_float_order(double x) {
        int64_t bits = frm_bits(x + 0.0);
        return bits >= 0 ? bits : bits ^ INT64_MAX;
    }
    static inline double frm_order_float(int64_t order) { return frm_from_bits(order >= 0 ? order : order ^ INT64_MAX); }
    """
    ctypedef long long int128 "frm_i128"
    ctypedef unsigned long long uint128 "frm_u128"
    void prefetch "FRM_PREFETCH"(const void* p) noexcept nogil
    bint likely "FRM_LIKELY"(bint x) noexcept nogil
    bint unlikely "FRM_UNLIKELY"(bint x) noexcept nogil
    const bint MALLOC_RECORDS "FRM_MALLOC_RECORDS"
    bint add_overflow "frm_add_overflow"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint sub_overflow "frm_sub_overflow"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    bint mul_overflow "frm_mul_overflow"(int64_t a, int64_t b, int64_t* out) noexcept nogil
    int popcount32 "frm_popcount"(uint32_t x) noexcept nogil
    double i128_to_double "frm_i128_to_double"(int128 x) noexcept nogil
    int64_t double_bits "frm_bits"(double x) noexcept nogil
    double bits_double "frm_from_bits"(int64_t x) noexcept nogil
    int64_t float_order "frm_float_order"(double x) noexcept nogil
    double order_float "frm_order_float"(int64_t order) noexcept nogil
    int64_t INT64_MIN
    uint64_t UINT64_MAX
    int64_t INT64_MAX
    uint32_t UINT32_MAX

# Bump memory for the texts that one call makes. Blocks are kept between calls; `arena_reset` makes all of it free again.
cdef struct ArenaBlock:
    ArenaBlock* next
    uint32_t size

cdef struct Arena:
    ArenaBlock* first
    ArenaBlock* current
    uint32_t used

cdef enum:
    ARENA_BLOCK = 65536  # holds every text of an ordinary call


cdef inline void arena_init(Arena* arena) noexcept nogil:
    arena.first = NULL
    arena.current = NULL
    arena.used = 0


cdef inline void arena_reset(Arena* arena) noexcept nogil:
    arena.current = arena.first
    arena.used = 0


cdef inline void arena_free(Arena* arena) noexcept nogil:
    cdef ArenaBlock* block = arena.first
    cdef ArenaBlock* following
    while block != NULL:
        following = block.next
        free(block)
        block = following
    arena_init(arena)


# NULL only when the machine is out of memory.
cdef inline char* arena_take(Arena* arena, uint32_t size) noexcept nogil:
    size = (size + 7) & ~<uint32_t>7
    if arena.current != NULL and size <= arena.current.size - arena.used:
        arena.used += size
        return <char*>(arena.current + 1) + arena.used - size
    return arena_next(arena, size)


cdef char* arena_next(Arena* arena, uint32_t size) noexcept nogil:
    cdef ArenaBlock* block = arena.current.next if arena.current != NULL else arena.first
    cdef uint32_t capacity = size if size > ARENA_BLOCK else ARENA_BLOCK
    if block == NULL or block.size < size:
        block = <ArenaBlock*>malloc(sizeof(ArenaBlock) + capacity)
        if block == NULL:
            return NULL
        block.size = capacity
        if arena.current != NULL:
            block.next = arena.current.next
            arena.current.next = block
        else:
            block.next = arena.first
            arena.first = block
    arena.current = block
    arena.used = size
    return <char*>(block + 1)


# One register: an int64, a double in the same eight bytes, or a text's address with its length in `n`.
cdef union Value:
    int64_t i
    double f
    const char* s

cdef struct Reg:
    Value v
    uint32_t n
    uint32_t present
