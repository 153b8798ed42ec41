# CRC-32C (Castagnoli; RFC 3720, appendix B.4) over what goes to disk: the machine's instruction where it has one, else eight
# bytes a step by tables (Kounavis, Berry: "A systematic approach to building high performance, software-based, CRC generators",
# 2005).

cdef extern from *:
    """
    #include <pthread.h>
    static uint32_t frm_crc_table[8][256];
    static int frm_crc_has_instruction = 0;
    static void frm_crc_start(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
            frm_crc_table[0][i] = c;
        }
        for (uint32_t i = 0; i < 256; i++)
            for (int t = 1; t < 8; t++)
                frm_crc_table[t][i] = (frm_crc_table[t - 1][i] >> 8) ^ frm_crc_table[0][frm_crc_table[t - 1][i] & 0xFF];
    #if defined(__x86_64__)
        frm_crc_has_instruction = __builtin_cpu_supports("sse4.2");
    #endif
    }
    static uint32_t frm_crc_by_table(uint32_t c, const unsigned char *p, uint64_t n) {
        for (; n >= 8; n -= 8, p += 8) {
            uint64_t x;
            __builtin_memcpy(&x, p, 8);
            x ^= c;
            c = frm_crc_table[7][x & 0xFF] ^ frm_crc_table[6][x >> 8 & 0xFF] ^ frm_crc_table[5][x >> 16 & 0xFF]
              ^ frm_crc_table[4][x >> 24 & 0xFF] ^ frm_crc_table[3][x >> 32 & 0xFF] ^ frm_crc_table[2][x >> 40 & 0xFF]
              ^ frm_crc_table[1][x >> 48 & 0xFF] ^ frm_crc_table[0][x >> 56];
        }
        while (n--) c = frm_crc_table[0][(c ^ *p++) & 0xFF] ^ (c >> 8);
        return c;
    }
    #if defined(__x86_64__)
    __attribute__((target("sse4.2"))) static uint32_t frm_crc_by_instruction(uint32_t c, const unsigned char *p, uint64_t n) {
        uint64_t x, wide = c;
        for (; n >= 8; n -= 8, p += 8) { __builtin_memcpy(&x, p, 8); wide = __builtin_ia32_crc32di(wide, x); }
        c = (uint32_t)wide;
        while (n--) c = __builtin_ia32_crc32qi(c, *p++);
        return c;
    }
    #else
    #define frm_crc_by_instruction frm_crc_by_table
    #endif
    /* Continues from an earlier sum; 0 starts one. */
    static inline uint32_t frm_crc32c(uint32_t before, const void *p, uint64_t n) {
        uint32_t c = ~before;
        return ~(frm_crc_has_instruction ? frm_crc_by_instruction(c, p, n) : frm_crc_by_table(c, p, n));
    }
    static uint32_t frm_crc32c_by_table(uint32_t before, const void *p, uint64_t n) { return ~frm_crc_by_table(~before, p, n); }
    """
    void crc_start "frm_crc_start"() noexcept nogil
    uint32_t crc32c_of "frm_crc32c"(uint32_t before, const void* p, uint64_t n) noexcept nogil
    uint32_t crc32c_by_table_of "frm_crc32c_by_table"(uint32_t before, const void* p, uint64_t n) noexcept nogil

crc_start()


def crc32c(const uint8_t[::1] data not None, uint32_t before=0):
    """CRC-32C of the bytes, going on from `before`. About 3 bytes a cycle; lets go of the GIL."""
    cdef uint32_t result
    cdef const uint8_t* start = &data[0] if data.shape[0] else NULL
    with nogil:
        result = crc32c_of(before, start, <uint64_t>data.shape[0])
    return result


def crc32c_by_table(const uint8_t[::1] data not None, uint32_t before=0):
    """The same without the machine's instruction, for tests."""
    return crc32c_by_table_of(before, &data[0] if data.shape[0] else NULL, <uint64_t>data.shape[0])
