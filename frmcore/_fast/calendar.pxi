# Where a local day, week or month begins. Civil dates in integers after Howard Hinnant, "chrono-Compatible Low-Level Date
# Algorithms" (days_from_civil, civil_from_days).

cdef enum CalendarUnit:
    UNIT_DAY = 0
    UNIT_WEEK = 1
    UNIT_MONTH = 2


# The day of the month, 1 to 31, of a day counted from 1970-01-01.
cdef inline int64_t day_of_month(int64_t day) noexcept nogil:
    cdef int64_t shifted = day + 719468
    cdef int64_t era = floor_div(shifted, 146097)
    cdef int64_t day_of_era = shifted - era * 146097
    cdef int64_t year = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year + year // 4 - year // 100)
    cdef int64_t month = (5 * day_of_year + 2) // 153
    return day_of_year - (153 * month + 2) // 5 + 1


# The first instant (ms UTC) whose local time is at or after midnight of the local day. A midnight that the clocks skip is the
# instant they skip it; of one that comes twice it is the first.
cdef int64_t day_start(const ZoneTable* zone, int64_t day) noexcept nogil:
    cdef int64_t midnight = day * DAY_MS
    cdef int64_t start
    cdef uint32_t low = 0, high = zone.count, middle
    while high - low > 1:  # the stretch that holds an instant surely before that midnight
        middle = (low + high) // 2
        if zone.at[middle] <= midnight - 2 * DAY_MS:
            low = middle
        else:
            high = middle
    while True:
        start = midnight - zone.offset[low]
        if start < zone.at[low]:
            start = zone.at[low]
        low += 1
        if low == zone.count or start < zone.at[low]:
            return start


# Where the window of a calendar span begins that holds `time`: of the day `days` - 1 days earlier, of the week (Monday), of the month.
cdef int64_t calendar_start(const ZoneTable* zone, int64_t time, uint8_t unit, int64_t days) noexcept nogil:
    cdef int64_t day = local_day(zone, time)
    if unit == UNIT_WEEK:
        return day_start(zone, day - local_weekday(zone, time))
    if unit == UNIT_MONTH:
        return day_start(zone, day - day_of_month(day) + 1)
    return day_start(zone, day - days + 1)
