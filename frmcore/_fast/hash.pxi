# SipHash-1-3 with a 128-bit result (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; 128-bit output and rounds as
# in the authors' reference code). Every key is hashed with a secret of the store, so nobody can aim collisions at it.

cdef struct Hash:
    uint64_t lo
    uint64_t hi

cdef struct HashKey:
    uint64_t k0
    uint64_t k1

cdef extern from *:
    """
    typedef struct { uint64_t a, b, c, d; } frm_sip;
    #define FRM_ROTL(x, b) (uint64_t)(((x) << (b)) | ((x) >> (64 - (b))))
    static inline void frm_sip_round(frm_sip *s) {
        s->a += s->b; s->b = FRM_ROTL(s->b, 13); s->b ^= s->a; s->a = FRM_ROTL(s->a, 32);
        s->c += s->d; s->d = FRM_ROTL(s->d, 16); s->d ^= s->c;
        s->a += s->d; s->d = FRM_ROTL(s->d, 21); s->d ^= s->a;
        s->c += s->b; s->b = FRM_ROTL(s->b, 17); s->b ^= s->c; s->c = FRM_ROTL(s->c, 32);
    }
    static inline uint64_t frm_load64(const char *p) {  /* little-endian on every machine we build for */
        uint64_t x; __builtin_memcpy(&x, p, 8);
        return x;
    }
    /* The first eight bytes, padded with zeros, in at most two loads (which may overlap) and no call. */
    static inline uint64_t frm_head(const char *s, uint64_t n) {
        uint32_t low, high;
        uint16_t low16, high16;
        if (n >= 8) return frm_load64(s);
        if (n >= 4) {
            __builtin_memcpy(&low, s, 4);
            __builtin_memcpy(&high, s + n - 4, 4);
            return low | (uint64_t)high << 8 * (n - 4);
        }
        if (n >= 2) {
            __builtin_memcpy(&low16, s, 2);
            __builtin_memcpy(&high16, s + n - 2, 2);
            return low16 | (uint64_t)high16 << 8 * (n - 2);
        }
        return n ? (uint8_t)s[0] : 0;
    }
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "frmcore needs a little-endian machine"
    #endif
    static inline void frm_siphash13(const char *p, uint64_t n, uint64_t k0, uint64_t k1, uint64_t *lo, uint64_t *hi) {
        frm_sip s = {k0 ^ 0x736f6d6570736575ULL, k1 ^ 0x646f72616e646f6dULL ^ 0xee,
                     k0 ^ 0x6c7967656e657261ULL, k1 ^ 0x7465646279746573ULL};
        uint64_t last = (uint64_t)n << 56, m = 0;
        const char *end = p + (n & ~(uint64_t)7);
        for (; p != end; p += 8) { m = frm_load64(p); s.d ^= m; frm_sip_round(&s); s.a ^= m; }
        if (n >= 8) last |= frm_load64(p + (n & 7) - 8) >> 1 >> (63 - 8 * (n & 7));  /* nothing to mispredict */
        else last |= frm_head(p, n);
        s.d ^= last; frm_sip_round(&s); s.a ^= last;
        s.c ^= 0xee; frm_sip_round(&s); frm_sip_round(&s); frm_sip_round(&s);
        *lo = s.a ^ s.b ^ s.c ^ s.d;
        s.b ^= 0xdd; frm_sip_round(&s); frm_sip_round(&s); frm_sip_round(&s);
        *hi = s.a ^ s.b ^ s.c ^ s.d;
    }
    /* Not commutative, so (a, b) and (b, a) differ. */
    static inline void frm_join(uint64_t *lo, uint64_t *hi, uint64_t lo2, uint64_t hi2) {
        uint64_t x = (*lo ^ (hi2 + 0x9E3779B97F4A7C15ULL)) * 0xFF51AFD7ED558CCDULL;
        uint64_t y = (*hi ^ (lo2 + 0xC2B2AE3D27D4EB4FULL)) * 0xC4CEB9FE1A85EC53ULL;
        x ^= y >> 32;
        y ^= x >> 29;
        *lo = x; *hi = y;
    }
    """
    uint64_t head_of "frm_head"(const char* s, uint64_t n) noexcept nogil
    void siphash13 "frm_siphash13"(const char* p, uint64_t n, uint64_t k0, uint64_t k1, uint64_t* lo, uint64_t* hi) noexcept nogil
    void join_parts "frm_join"(uint64_t* lo, uint64_t* hi, uint64_t lo2, uint64_t hi2) noexcept nogil


cdef inline Hash hash_text(HashKey key, const char* p, uint32_t n) noexcept nogil:
    cdef Hash result
    siphash13(p, n, key.k0, key.k1, &result.lo, &result.hi)
    return result


# Folds a further part into a composite key; not commutative, so (a, b) and (b, a) differ.
cdef inline Hash hash_join(Hash left, Hash right) noexcept nogil:
    join_parts(&left.lo, &left.hi, right.lo, right.hi)
    return left


cdef inline bint hash_equal(Hash a, Hash b) noexcept nogil:
    return a.lo == b.lo and a.hi == b.hi
