# Mail and internet addresses, and the stable hash of rollouts; their meaning stands in frmcore/text.py, as text.pxi
# says.


# -- mail ------------------------------------------------------------------------------------------------------------
cdef inline bint is_ascii_space(char c) noexcept nogil:
    return c == c' ' or c'\t' <= c <= c'\r'


cdef inline Text text_trim(const char* s, uint32_t n) noexcept nogil:
    cdef Text result
    while n > 0 and is_ascii_space(s[0]):
        s += 1
        n -= 1
    while n > 0 and is_ascii_space(s[n - 1]):
        n -= 1
    result.s = s
    result.n = n
    return result


cdef inline uint32_t without_last_dot(const char* s, uint32_t n) noexcept nogil:
    return n - 1 if n > 0 and s[n - 1] == c'.' else n


cdef bint text_domain(Arena* arena, const char* s, uint32_t n, Text* out) noexcept nogil:
    cdef Text trimmed = text_trim(s, n)
    cdef uint32_t start = trimmed.n
    while start > 0 and trimmed.s[start - 1] != c'@':
        start -= 1
    cdef uint32_t size = without_last_dot(trimmed.s + start, trimmed.n - start)
    if start == 0 or size == 0 or not text_copy(arena, trimmed.s + start, size, out):
        return False
    ascii_lower(<char*>out.s, size)
    return True


# Non-empty labels with dots between them, and one domain only.
cdef bint is_domain(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i
    cdef char before = c'.'
    for i in range(n):
        if s[i] == c'@' or (s[i] == c'.' and before == c'.'):
            return False
        before = s[i]
    return before != c'.'


cdef inline bint is_clear(const char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if <uint8_t>s[i] <= 0x20 or s[i] == 0x7F:
            return False
    return True


cdef inline uint32_t length_before(const char* s, uint32_t n, char mark) noexcept nogil:
    cdef const char* found = <const char*>memchr(s, mark, n)
    return n if found == NULL else <uint32_t>(found - s)


cdef uint32_t remove_dots(char* s, uint32_t n) noexcept nogil:
    cdef uint32_t i, kept = 0
    for i in range(n):
        if s[i] != c'.':
            s[kept] = s[i]
            kept += 1
    return kept


cdef inline bint text_is(const char* s, uint32_t n, const char* name) noexcept nogil:
    return text_equal(s, n, name, <uint32_t>strlen(name))


cdef inline bint is_gmail(const char* host, uint32_t n) noexcept nogil:
    return text_is(host, n, b"gmail.com") or text_is(host, n, b"googlemail.com")


cdef inline bint is_yahoo(const char* host, uint32_t n) noexcept nogil:
    return text_is(host, n, b"yahoo.com") or text_is(host, n, b"ymail.com") or text_is(host, n, b"rocketmail.com")


# Works in place on the lower-case copy: every step makes it shorter.
cdef bint text_email(Arena* arena, const char* s, uint32_t n, Text* out) noexcept:
    cdef Text lowered
    if not text_lower(arena, s, n, &lowered):
        return False
    lowered = text_trim(lowered.s, lowered.n)
    cdef char* local = <char*>lowered.s
    cdef uint32_t size = length_before(local, lowered.n, c'@')
    if size == lowered.n:
        return False
    cdef const char* host = local + size + 1
    cdef uint32_t host_size = without_last_dot(host, lowered.n - size - 1)
    size = length_before(local, size, c'+')
    if is_gmail(host, host_size):
        size = remove_dots(local, size)
        host = b"gmail.com"
        host_size = 9
    elif is_yahoo(host, host_size):
        size = length_before(local, size, c'-')
    if size == 0 or not is_domain(host, host_size):
        return False
    local[size] = c'@'
    memmove(local + size + 1, host, host_size)
    out.s = local
    out.n = size + 1 + host_size
    return is_clear(local, out.n)


# -- internet --------------------------------------------------------------------------------------------------------
cdef bint parse_ip4(const char* s, uint32_t n, uint8_t* out) noexcept nogil:
    cdef uint32_t i = 0, part, digits, value
    for part in range(4):
        value = digits = 0
        while i < n and c'0' <= s[i] <= c'9' and digits < 4:
            value = value * 10 + (s[i] - c'0')
            digits += 1
            i += 1
        if digits == 0 or value > 255 or (digits > 1 and s[i - digits] == c'0'):
            return False
        out[part] = <uint8_t>value
        if part < 3:
            if i == n or s[i] != c'.':
                return False
            i += 1
    return i == n


cdef inline int hex_digit(char c) noexcept nogil:
    if c'0' <= c <= c'9':
        return c - c'0'
    c = <char>(c | 0x20)
    return c - c'a' + 10 if c'a' <= c <= c'f' else -1


# Groups of up to four hexadecimal digits, one "::" for a run of zero groups, dotted decimals for the last two (RFC
# 4291, 2.2).
cdef bint parse_ip6(const char* s, uint32_t n, uint8_t* out) noexcept nogil:
    cdef uint32_t i = 0, start, value, size = 0
    cdef int gap = -1
    memset(out, 0, 16)
    if n >= 2 and s[0] == c':' and s[1] == c':':
        gap = 0
        i = 2
    while i < n:
        start = i
        value = 0
        while i < n and i - start < 5 and hex_digit(s[i]) >= 0:
            value = value << 4 | <uint32_t>hex_digit(s[i])
            i += 1
        if i < n and s[i] == c'.':
            if size > 12 or not parse_ip4(s + start, n - start, out + size):
                return False
            size += 4
            break
        if i == start or i - start > 4 or size == 16:
            return False
        out[size] = <uint8_t>(value >> 8)
        out[size + 1] = <uint8_t>(value & 0xFF)
        size += 2
        if i == n:
            break
        if s[i] != c':' or i + 1 == n:
            return False
        i += 1
        if s[i] == c':':
            if gap >= 0:
                return False
            gap = <int>size
            i += 1
    if gap < 0 or size == 16:
        return gap < 0 and size == 16
    memmove(out + 16 - (size - gap), out + gap, size - gap)
    memset(out + gap, 0, 16 - size)
    return True


# An IPv4-mapped IPv6 address is its IPv4 address.
cdef inline bint is_mapped(const uint8_t* ip) noexcept nogil:
    cdef int i
    for i in range(10):
        if ip[i] != 0:
            return False
    return ip[10] == 0xFF and ip[11] == 0xFF


# The address's bytes in `out` (16 are needed whatever the result); answers 4, 16, or 0 where `s` is no address.
cdef int text_ip_parse(const char* s, uint32_t n, uint8_t* out) noexcept nogil:
    if memchr(s, c':', n) == NULL:
        return 4 if parse_ip4(s, n, out) else 0
    if not parse_ip6(s, n, out):
        return 0
    if not is_mapped(out):
        return 16
    memcpy(out, out + 12, 4)
    return 4


cdef uint32_t write_decimal(char* out, uint32_t value) noexcept nogil:
    cdef uint32_t size = 1 + (value > 9) + (value > 99)
    cdef uint32_t i = size
    while i > 0:
        i -= 1
        out[i] = <char>(c'0' + value % 10)
        value //= 10
    return size


cdef uint32_t write_hex(char* out, uint32_t value) noexcept nogil:
    cdef uint32_t size = 1 + (value > 0xF) + (value > 0xFF) + (value > 0xFFF)
    cdef uint32_t i = size
    while i > 0:
        i -= 1
        out[i] = b"0123456789abcdef"[value & 15]
        value >>= 4
    return size


cdef uint32_t write_ip4(char* out, const uint8_t* ip) noexcept nogil:
    cdef uint32_t part, size = 0
    for part in range(4):
        size += write_decimal(out + size, ip[part])
        out[size] = c'.'
        size += 1
    return size - 1


# RFC 5952: lower case, no leading zeros, "::" for the longest run of at least two zero groups, the first of equals.
cdef uint32_t write_ip6(char* out, const uint8_t* ip) noexcept nogil:
    cdef int i, run = 0, best = 1, after = -1
    cdef uint32_t size = 0
    for i in range(8):
        run = run + 1 if ip[2 * i] == 0 and ip[2 * i + 1] == 0 else 0
        if run > best:
            best = run
            after = i + 1
    i = 0
    while i < 8:
        if i == after - best:
            out[size] = out[size + 1] = c':'
            size += 2
            i = after
            continue
        if i > 0 and i != after:
            out[size] = c':'
            size += 1
        size += write_hex(out + size, <uint32_t>ip[2 * i] << 8 | ip[2 * i + 1])
        i += 1
    return size


cdef enum:
    IP_TEXT_MAX = 48  # eight groups of four with seven colons, and a prefix length


# Writes `size` (4 or 16) bytes as text, an IPv4-mapped address as IPv4.
cdef inline uint32_t write_ip(char* out, const uint8_t* ip, uint32_t size) noexcept nogil:
    if size == 4:
        return write_ip4(out, ip)
    return write_ip4(out, ip + 12) if is_mapped(ip) else write_ip6(out, ip)


cdef bint text_ip(Arena* arena, const char* ip, uint32_t n, Text* out) noexcept nogil:
    cdef char* text = arena_take(arena, IP_TEXT_MAX)
    if text == NULL or (n != 4 and n != 16):
        return False
    out.s = text
    out.n = write_ip(text, <const uint8_t*>ip, n)
    return True


# A prefix longer than the address is the address.
cdef bint text_network(Arena* arena, const char* ip, uint32_t n, uint32_t v4, uint32_t v6, Text* out) noexcept nogil:
    cdef uint8_t masked[16]
    cdef uint32_t i, bits
    cdef char* text = arena_take(arena, IP_TEXT_MAX)
    if text == NULL or (n != 4 and n != 16):
        return False
    if n == 16 and is_mapped(<const uint8_t*>ip):
        ip += 12
        n = 4
    bits = min(v4, <uint32_t>32) if n == 4 else min(v6, <uint32_t>128)
    for i in range(n):
        masked[i] = 0 if 8 * i >= bits else <uint8_t>ip[i] & <uint8_t>(0xFF00 >> min(bits - 8 * i, <uint32_t>8))
    out.s = text
    out.n = write_ip4(text, masked) if n == 4 else write_ip6(text, masked)
    text[out.n] = c'/'
    out.n += 1 + write_decimal(text + out.n + 1, bits)
    return True


# -- rollouts --------------------------------------------------------------------------------------------------------
# 0..9999; -1 without memory.
cdef int64_t text_bucket(Arena* arena, const char* s, uint32_t n, const char* salt, uint32_t m) noexcept nogil:
    cdef uint64_t lo, hi
    cdef char* data = arena_take(arena, m + 1 + n)
    if data == NULL:
        return -1
    memcpy(data, salt, m)
    data[m] = 0
    memcpy(data + m + 1, s, n)
    siphash13(data, <uint64_t>m + 1 + n, 0, 0, &lo, &hi)
    return <int64_t>(lo % 10000)
