# Exact comparisons, Python's rounding, local dates, great-circle distance: the same bits on every machine.
# Only + - * / sqrt, fmod, rint and floor are used on doubles; IEEE 754 fixes each of them to the last bit.

from libc.math cimport copysign

cdef enum:
    HOUR_MS = 3600000
    DAY_MS = 86400000

# A time zone: from at[i] (ms UTC) on, local time is UTC + offset[i]. at[0] precedes every time; offsets are below two days.
cdef struct ZoneTable:
    int64_t* at
    int64_t* offset
    uint32_t count


# ---- integers -------------------------------------------------------------------------------------------------------
# Python's // and % (towards minus infinity, sign of the divisor), for b > 0.
cdef inline int64_t floor_div(int64_t a, int64_t b) noexcept nogil:
    return a // b - (a % b < 0)


cdef inline int64_t floor_mod(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t rest = a % b
    return rest + b if rest < 0 else rest


# -1, 0 or 1 as i is below, equal to, or above f. Never rounds i.
cdef inline int compare_int_float(int64_t i, double f) noexcept nogil:
    cdef int64_t whole
    cdef double fraction
    if not f < 9223372036854775808.0:
        return -1
    if f < -9223372036854775808.0:
        return 1
    whole = <int64_t>f
    if i != whole:
        return -1 if i < whole else 1
    fraction = f - <double>whole
    return (fraction < 0.0) - (fraction > 0.0)


# ---- doubles as Python's float ----------------------------------------------------------------------------------------
cdef inline double float_mod(double a, double b) noexcept nogil:
    cdef double rest = fmod(a, b)
    if rest == 0.0:
        return copysign(0.0, b)
    return rest + b if (rest < 0.0) != (b < 0.0) else rest


# CPython's float_floor_div: the quotient is taken after the rest was subtracted, so that it is nearly whole.
cdef inline double float_floor_div(double a, double b) noexcept nogil:
    cdef double rest = fmod(a, b)
    cdef double quotient = (a - rest) / b
    cdef double whole
    if rest != 0.0 and (rest < 0.0) != (b < 0.0):
        quotient -= 1.0
    if quotient == 0.0:
        return copysign(0.0, a / b)
    whole = floor(quotient)
    return whole + 1.0 if quotient - whole > 0.5 else whole


cdef inline double round_digits(double x, uint32_t digits) noexcept nogil:
    cdef double power = 1.0
    for _ in range(digits):
        power *= 10.0
    return rint(x * power) / power


# ---- local dates ------------------------------------------------------------------------------------------------------
# O(log transitions).
cdef inline int64_t zone_offset(const ZoneTable* zone, int64_t time) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = zone.count
    cdef uint32_t middle
    while high - low > 1:
        middle = (low + high) >> 1
        if zone.at[middle] <= time:
            low = middle
        else:
            high = middle
    return zone.offset[low]


# Milliseconds since the midnight before `time`, UTC, moved by the offset: outside 0..DAY_MS the local day differs from UTC's.
cdef inline int64_t local_clock(const ZoneTable* zone, int64_t time) noexcept nogil:
    return floor_mod(time, DAY_MS) + zone_offset(zone, time)


# Days since 1970-01-01 on local calendars. Day and clock are taken apart first, so no time overflows.
cdef inline int64_t local_day(const ZoneTable* zone, int64_t time) noexcept nogil:
    return floor_div(time, DAY_MS) + floor_div(local_clock(zone, time), DAY_MS)


cdef inline int64_t local_hour(const ZoneTable* zone, int64_t time) noexcept nogil:
    return floor_mod(local_clock(zone, time), DAY_MS) // HOUR_MS


# Monday 0; 1970-01-01 was a Thursday.
cdef inline int64_t local_weekday(const ZoneTable* zone, int64_t time) noexcept nogil:
    return floor_mod(local_day(zone, time) + 3, 7)


# ---- place --------------------------------------------------------------------------------------------------------------
# sin and cos of |x| <= pi/4 by Taylor's series: what is left out is below 2**-53 of the result.
cdef inline double sin_small(double x) noexcept nogil:
    cdef double s = x * x
    cdef double rest = 1.0 / 362880.0 - s * (1.0 / 39916800.0 - s * (1.0 / 6227020800.0 - s / 1307674368000.0))
    return x - x * s * (1.0 / 6.0 - s * (1.0 / 120.0 - s * (1.0 / 5040.0 - s * rest)))


cdef inline double cos_small(double x) noexcept nogil:
    cdef double s = x * x
    cdef double rest = 1.0 / 3628800.0 - s * (1.0 / 479001600.0 - s * (1.0 / 87178291200.0 - s / 20922789888000.0))
    return 1.0 - s * (0.5 - s * (1.0 / 24.0 - s * (1.0 / 720.0 - s * (1.0 / 40320.0 - s * rest))))


cdef struct Squares:
    double sin
    double cos


# sin(x)**2 and cos(x)**2 of an angle in degrees. x is brought within 45 degrees of a multiple of 90 exactly, before any
# rounding; an odd multiple swaps sine and cosine, and squares forget signs.
cdef inline Squares squares_of(double degrees) noexcept nogil:
    cdef double quarter = rint(degrees / 90.0)
    cdef double angle = (degrees - 90.0 * quarter) * 0.017453292519943295  # pi / 180
    cdef double sine = sin_small(angle)
    cdef double cosine = cos_small(angle)
    cdef Squares result
    if <int64_t>quarter & 1:
        sine, cosine = cosine, sine
    result.sin = sine * sine
    result.cos = cosine * cosine
    return result


# arctan of 0 <= t <= 1: above tan(pi/8) as pi/4 + arctan((t - 1) / (t + 1)), then Euler's argument halving
# arctan(t) = 2 arctan(t / (1 + sqrt(1 + t**2))) and Gregory's series, whose 12th term is below 2**-55 of the sum.
cdef double arctan_unit(double t) noexcept nogil:
    cdef double base = 0.0
    cdef double s, series
    cdef int k
    if t > 0.41421356237309503:
        base = 0.78539816339744828
        t = (t - 1.0) / (t + 1.0)
    t = t / (1.0 + sqrt(1.0 + t * t))
    s = t * t
    series = 0.0
    for k in range(10, -1, -1):
        series = 1.0 / (2 * k + 1) - s * series
    return base + 2.0 * t * series


# Great-circle distance in km on the sphere of the Earth's mean radius (IUGG 1980: 6371.0088 km), by the haversine
# h = sin(half the central angle)**2. h and 1 - h are both sums of squares,
#     h     = sin(u)**2 cos(w)**2 + cos(s)**2 sin(w)**2      u, s = half the difference and half the sum of the latitudes
#     1 - h = cos(u)**2 cos(w)**2 + sin(s)**2 sin(w)**2      w = half the difference of the longitudes
# so nothing cancels: neighbours and antipodes are as exact as the rest. False outside +-90 / +-180 degrees.
cdef bint distance_km(double lat1, double lon1, double lat2, double lon2, double* km) noexcept nogil:
    cdef Squares u, s, w
    cdef double near, far
    if not (fabs(lat1) <= 90.0 and fabs(lat2) <= 90.0 and fabs(lon1) <= 180.0 and fabs(lon2) <= 180.0):
        return False
    u = squares_of((lat1 - lat2) / 2.0)
    s = squares_of((lat1 + lat2) / 2.0)
    w = squares_of((lon1 - lon2) / 2.0)
    near = sqrt(u.sin * w.cos + s.cos * w.sin)
    far = sqrt(u.cos * w.cos + s.sin * w.sin)
    if near <= far:
        km[0] = 12742.0176 * arctan_unit(near / far)
    else:
        km[0] = 12742.0176 * (1.5707963267948966 - arctan_unit(far / near))
    return True
