# Totals of a range of entries: weight, and per column sum (128 bits), squares (192 bits), least, greatest, distinct flags. Exact
# integers, so that adding and taking away never drift; one rounding at the very end.

cdef extern from *:
    """
    typedef frm_i128 frm_i128_8 __attribute__((aligned(8)));   /* slabs align records to 8 bytes */
    typedef frm_u128 frm_u128_8 __attribute__((aligned(8)));
    typedef struct {
        frm_i128_8 sum;
        frm_u128_8 squares;        /* low 128 bits */
        uint64_t squares_high;     /* bits 128 to 191 */
        int64_t least, greatest;
        uint64_t latest;           /* entries flagged as the latest occurrence of their value */
    } frm_column_totals;

    static inline void frm_totals_clear(frm_column_totals *t) {
        t->sum = 0; t->squares = 0; t->squares_high = 0; t->latest = 0;
        t->least = INT64_MAX; t->greatest = INT64_MIN;
    }
    static inline void frm_add_sum(frm_column_totals *t, int64_t v) { t->sum += v; }
    static inline void frm_sub_sum(frm_column_totals *t, int64_t v) { t->sum -= v; }
    static inline void frm_add_wide_sum(frm_column_totals *t, int64_t low, int64_t high) {
        t->sum += (frm_i128)(((frm_u128)(uint64_t)high << 64) | (uint64_t)low);
    }
    static inline void frm_add_squares(frm_column_totals *t, uint64_t low, uint64_t high, uint64_t top) {
        frm_u128 q = ((frm_u128)high << 64) | low;
        t->squares += q;
        t->squares_high += top + (t->squares < q);
    }
    static inline void frm_sub_squares(frm_column_totals *t, uint64_t low, uint64_t high, uint64_t top) {
        frm_u128 q = ((frm_u128)high << 64) | low;
        t->squares_high -= top + (t->squares < q);
        t->squares -= q;
    }
    static inline void frm_square(int64_t v, uint64_t *low, uint64_t *high) {
        frm_u128 q = (frm_u128)((frm_i128)v * v);
        *low = (uint64_t)q; *high = (uint64_t)(q >> 64);
    }
    static inline void frm_add_square(frm_column_totals *t, int64_t v) {
        uint64_t low, high;
        frm_square(v, &low, &high);
        frm_add_squares(t, low, high, 0);
    }
    static inline void frm_add_extreme(frm_column_totals *t, int64_t v) {
        if (v < t->least) t->least = v;
        if (v > t->greatest) t->greatest = v;
    }
    static inline void frm_totals_merge(frm_column_totals *t, const frm_column_totals *other) {
        t->sum += other->sum;
        frm_add_squares(t, (uint64_t)other->squares, (uint64_t)(other->squares >> 64), other->squares_high);
        if (other->least < t->least) t->least = other->least;
        if (other->greatest > t->greatest) t->greatest = other->greatest;
        t->latest += other->latest;
    }

    /* Only what a column is asked for, as words: nodes of large rings keep totals so. Parts: sum, squares, extremes, latest. */
    static inline uint32_t frm_packed_words(unsigned parts) {
        return 2 * (parts & 1) + 3 * (parts >> 1 & 1) + 2 * (parts >> 2 & 1) + (parts >> 3 & 1);
    }
    static inline void frm_totals_pack(const frm_column_totals *t, unsigned parts, uint64_t *w) {
        if (parts & 1) { *w++ = (uint64_t)t->sum; *w++ = (uint64_t)((frm_u128)t->sum >> 64); }
        if (parts & 2) { *w++ = (uint64_t)t->squares; *w++ = (uint64_t)(t->squares >> 64); *w++ = t->squares_high; }
        if (parts & 4) { *w++ = (uint64_t)t->least; *w++ = (uint64_t)t->greatest; }
        if (parts & 8) *w = t->latest;
    }
    static inline void frm_merge_packed(frm_column_totals *t, unsigned parts, const uint64_t *w) {
        if (parts & 1) { frm_add_wide_sum(t, (int64_t)w[0], (int64_t)w[1]); w += 2; }
        if (parts & 2) { frm_add_squares(t, w[0], w[1], w[2]); w += 3; }
        if (parts & 4) {
            if ((int64_t)w[0] < t->least) t->least = (int64_t)w[0];
            if ((int64_t)w[1] > t->greatest) t->greatest = (int64_t)w[1];
            w += 2;
        }
        if (parts & 8) t->latest += *w;
    }
    static inline int frm_sum_fits(const frm_column_totals *t, int64_t *out) {
        *out = (int64_t)t->sum;
        return t->sum == (frm_i128)*out && *out != INT64_MIN;
    }
    /* Nearly every sum is 64 bits wide, and the conversion of 128 is a call: 40 instructions less, the same rounding. */
    static inline double frm_sum_double(const frm_column_totals *t) {
        return t->sum == (int64_t)t->sum ? (double)(int64_t)t->sum : (double)t->sum;
    }
    static inline double frm_mean(const frm_column_totals *t, uint64_t n) { return frm_sum_double(t) / (double)n; }

    /* Adds a run of values in one pass with all totals in registers: half the instructions of a pass for each of them. */
    static inline void frm_add_run(frm_column_totals *t, unsigned parts, const int64_t *v, uint32_t n) {
        frm_i128 sum = t->sum;
        frm_u128 squares = t->squares;
        uint64_t high = t->squares_high;
        int64_t least = t->least, greatest = t->greatest;
        if ((parts & 7) == 1) {
            for (uint32_t i = 0; i < n; i++) sum += v[i];
            t->sum = sum;
            return;
        }
        for (uint32_t i = 0; i < n; i++) {
            int64_t x = v[i];
            sum += x;
            if (parts & 2) {
                frm_u128 q = (frm_u128)((frm_i128)x * x);
                squares += q;
                high += squares < q;
            }
            least = x < least ? x : least;
            greatest = x > greatest ? x : greatest;
        }
        if (parts & 1) t->sum = sum;
        if (parts & 2) { t->squares = squares; t->squares_high = high; }
        if (parts & 4) { t->least = least; t->greatest = greatest; }
    }

    /* n * squares - sum * sum, exact in 192 bits (it is never negative), rounded once: the top 64 bits and a sticky bit. */
    static inline double frm_spread(const frm_column_totals *t, uint64_t n) {
        frm_u128 s = t->sum < 0 ? -(frm_u128)t->sum : (frm_u128)t->sum;
        if (!(s >> 63) && !t->squares_high && !(t->squares >> 96) && !(n >> 32)) {  /* everything fits into 128 bits */
            frm_u128 spread = t->squares * n - s * s;
            return spread >> 64 ? (double)spread : (double)(uint64_t)spread;
        }
        uint64_t q[3] = {(uint64_t)t->squares, (uint64_t)(t->squares >> 64), t->squares_high}, w[3], m[3];
        uint64_t s0 = (uint64_t)s, s1 = (uint64_t)(s >> 64);
        frm_u128 c = (frm_u128)q[0] * n;
        w[0] = (uint64_t)c;
        c = (c >> 64) + (frm_u128)q[1] * n;
        w[1] = (uint64_t)c;
        w[2] = (uint64_t)(c >> 64) + q[2] * n;
        c = (frm_u128)s0 * s0;
        m[0] = (uint64_t)c;
        frm_u128 cross = (frm_u128)s0 * s1;         /* below 2**127: |sum| < 2**95 */
        c = (c >> 64) + (uint64_t)(cross << 1);
        m[1] = (uint64_t)c;
        m[2] = (uint64_t)((c >> 64) + (frm_u128)(cross >> 63) + (frm_u128)s1 * s1);
        frm_u128 low = (((frm_u128)w[1] << 64) | w[0]) - (((frm_u128)m[1] << 64) | m[0]);
        int borrow = (((frm_u128)w[1] << 64) | w[0]) < (((frm_u128)m[1] << 64) | m[0]);
        uint64_t top = w[2] - m[2] - borrow;
        if (top == 0) return (double)low;            /* one rounding by the compiler's own conversion */
        /* bring the value to 128 bits with everything shifted out kept as a sticky bit, then convert and scale back */
        int shift = 64 - __builtin_clzll(top);
        frm_u128 high = ((frm_u128)top << (128 - shift)) | (low >> shift);
        if (low & (((frm_u128)1 << shift) - 1)) high |= 1;
        double d = (double)high;
        for (int i = 0; i < shift; i++) d *= 2.0;    /* exact: a power of two */
        return d;
    }
    static inline double frm_deviation(const frm_column_totals *t, uint64_t n, int ddof) {
        double spread = frm_spread(t, n);
        if (ddof) return __builtin_sqrt(spread / ((double)n * (double)(n - 1)));
        return __builtin_sqrt(spread) / (double)n;
    }
    """
    ctypedef struct ColumnTotals "frm_column_totals":
        int64_t least
        int64_t greatest
        uint64_t latest
    void totals_clear "frm_totals_clear"(ColumnTotals* t) noexcept nogil
    void add_sum "frm_add_sum"(ColumnTotals* t, int64_t v) noexcept nogil
    void sub_sum "frm_sub_sum"(ColumnTotals* t, int64_t v) noexcept nogil
    void add_wide_sum "frm_add_wide_sum"(ColumnTotals* t, int64_t low, int64_t high) noexcept nogil
    void add_square "frm_add_square"(ColumnTotals* t, int64_t v) noexcept nogil
    void add_squares "frm_add_squares"(ColumnTotals* t, uint64_t low, uint64_t high, uint64_t top) noexcept nogil
    void sub_squares "frm_sub_squares"(ColumnTotals* t, uint64_t low, uint64_t high, uint64_t top) noexcept nogil
    void square_of "frm_square"(int64_t v, uint64_t* low, uint64_t* high) noexcept nogil
    void add_run "frm_add_run"(ColumnTotals* t, uint32_t parts, const int64_t* values, uint32_t n) noexcept nogil
    void add_extreme "frm_add_extreme"(ColumnTotals* t, int64_t v) noexcept nogil
    void totals_merge "frm_totals_merge"(ColumnTotals* t, const ColumnTotals* other) noexcept nogil
    uint32_t packed_words "frm_packed_words"(uint32_t parts) noexcept nogil
    void totals_pack "frm_totals_pack"(const ColumnTotals* t, uint32_t parts, uint64_t* words) noexcept nogil
    void totals_merge_packed "frm_merge_packed"(ColumnTotals* t, uint32_t parts, const uint64_t* words) noexcept nogil
    bint sum_fits "frm_sum_fits"(const ColumnTotals* t, int64_t* out) noexcept nogil
    double mean_of "frm_mean"(const ColumnTotals* t, uint64_t n) noexcept nogil
    double deviation_of "frm_deviation"(const ColumnTotals* t, uint64_t n, int ddof) noexcept nogil

cdef enum Part:  # of packed totals
    PART_SUM = 1
    PART_SQUARES = 2
    PART_EXTREMES = 4
    PART_LATEST = 8

cdef enum:
    COLUMNS_MAX = 16  # columns of one group
    STORED_MAX = 5 * COLUMNS_MAX + 1  # with the hidden ones of cells

cdef struct Totals:
    uint64_t count  # events (of cells: their sum)
    ColumnTotals columns[COLUMNS_MAX]


cdef inline void totals_start(Totals* totals, uint32_t columns) noexcept nogil:
    cdef uint32_t c
    totals.count = 0
    for c in range(columns):
        totals_clear(&totals.columns[c])
