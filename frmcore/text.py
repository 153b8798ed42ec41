"""The text functions of the language: their meaning, in plain Python. `_fast/text.pxi` does the same in C.

Unicode: `lower`, `upper` and `fold` use the tables of the running interpreter (`unicodedata.unidata_version`). Unicode
never changes the decomposition or the case folding of an assigned character, so two interpreters differ only on
characters that the older one does not know, and in the rare case pairs that were added later. ASCII never differs.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from unicodedata import category, normalize

WHITESPACE: Final = " \t\n\v\f\r"  # what ASCII calls white space; trimmed from both ends of an address


# -- case, length, pieces ----------------------------------------------------------------------------------------------
def lower(text: str) -> str:
    """`str.lower`."""
    return text.lower()


def upper(text: str) -> str:
    """`str.upper`."""
    return text.upper()


def length(text: str) -> int:
    """Code points."""
    return len(text)


def slice_text(text: str, start: int | None, end: int | None) -> str:
    """`text[start:end]` in code points: None is an open end, negative counts from the end."""
    return text[start:end]


# -- mail addresses ----------------------------------------------------------------------------------------------------
_GMAIL: Final = ("gmail.com", "googlemail.com")
_YAHOO: Final = ("yahoo.com", "ymail.com", "rocketmail.com")
_ASCII_LOWER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def domain(email: str) -> str | None:
    """What follows the last "@", in lower case (ASCII letters), without a trailing dot; None where nothing does.

    White space around the address is ignored. `domain("Ann@Mail.EXAMPLE.com.") == "mail.example.com"`.
    """
    _, at, host = email.strip(WHITESPACE).rpartition("@")
    return host.removesuffix(".").translate(_ASCII_LOWER) or None if at else None


def canonical_email(email: str) -> str | None:
    """The mailbox behind the spellings of one address; None for what is not one plain `local@domain`.

    Case and white space around it are ignored, and a "+tag" is cut off: RFC 5233 calls it a subaddress, and Gmail,
    Outlook, iCloud, Fastmail and Proton deliver it to the address without. Two providers have rules of their own: Gmail
    ignores dots, and googlemail.com is gmail.com (support.google.com/mail/answer/7436150); at Yahoo "-word" makes a
    disposable address of the base name before it, which cannot contain "-" itself. Refused: an empty part, a second
    "@", an empty domain label, white space and control characters inside. Other mailboxes that differ by dots differ.
    """
    local, _, host = email.strip(WHITESPACE).lower().partition("@")
    host = host.removesuffix(".")
    local = local.partition("+")[0]
    if host in _GMAIL:
        local, host = local.replace(".", ""), "gmail.com"
    elif host in _YAHOO:
        local = local.partition("-")[0]
    address = f"{local}@{host}"
    plain = local and "@" not in host and all(host.split(".")) and not any(c <= " " or c == "\x7f" for c in address)
    return address if plain else None


# -- disguised text ----------------------------------------------------------------------------------------------------
# Letters of other scripts that look like an ASCII letter, in lower case; a capital only where its shape is another
# letter's (Greek "Η" looks like H, "η" like n). After the skeletons of Unicode Technical Standard 39, except that I, l,
# 1, 0 and O stay themselves. By script: Latin, Greek, Cyrillic, Armenian, Cherokee, Lisu.
_LOOKALIKES: Final = {
    "a": "ɑᴀαаᎪꓮ", "b": "ʙƀƅβвьᏼꓐᏏ", "c": "ᴄϲсᏟꓚ", "d": "ᴅđɖԁᎠꓓᏧꓒ", "e": "ᴇɛεΣеєҽᎬꓰ", "f": "ꜰƒꞙꬵϝքꓝ",
    "g": "ɡɢցԍᏀꓖ", "h": "ʜħΗнһհᎻᏂꓧ", "i": "ıɩɪɨιіᎥꓲ", "j": "ᴊȷϳјյᎫꓙ", "k": "ᴋĸƙκкᏦꓗ", "l": "ʟłǀӏᏞꓡ",
    "m": "ᴍΜмᎷꓟ", "n": "ɴηΝпոռꓠ", "o": "ᴏøɵοσоөօꓳ", "p": "ᴘρрᏢꓑ", "q": "ԛգզ", "r": "ʀΓгґᎡᏒꓣ", "s": "ꜱƽѕՏᏚꓢ",
    "t": "ᴛŧτтᎢꓔ", "u": "ᴜʋυμսꓴ", "v": "ᴠνѵᏙꓦ", "w": "ᴡɯωѡԝաᎳᏔꓪ", "x": "χхꓫ", "y": "ʏγΥуүᎩꓬ", "z": "ᴢζᏃꓜ",
}  # fmt: skip
CONFUSABLES: Final = {look: letter for letter, looks in _LOOKALIKES.items() for look in looks} | {
    chr(start + index): chr(ord("a") + index)
    for start in (0x1F150, 0x1F170, 0x1F1E6)  # negative circled, negative squared, regional indicators
    for index in range(26)
}
BLANKS: Final = "\u2800"  # looks like a space without being one
FILLERS: Final = "\u115f\u1160"  # letters without a shape
# What may stand between the letters of "f.r.e.e".
SEPARATORS: Final = frozenset(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~·•∙⋅‐‒–—―")
SEPARATOR_LENGTH_MAX: Final = 3
SPELLED_LETTERS_MIN: Final = 3  # fewer single letters in a row are initials or articles


def fold(text: str) -> str:
    """A skeleton in which disguised spellings look alike: `contains(fold(note), "free money")` finds "F.R.E.E  mоnеy".

    Each character is decomposed (NFKD: full width, circled, mathematical, ligatures), stripped of accents and invisible
    characters (zero width, soft hyphen, variation selector, direction, control), replaced by the ASCII letter that it
    looks like, and case folded. Then single letters spelled with one separator between them (at least three: "f r e e",
    "f-r-e-e") are joined, and white space becomes one space, none at the ends. Digits that stand for letters ("fr33")
    stay. For matching, not for reading: compare with plain lower-case ASCII, or with another `fold`.
    """
    return _one_space(_join_spelled("".join(map(fold_char, text))))


def fold_char(char: str) -> str:
    """The skeleton of one character: "" for an invisible one, " " for white space."""
    if char.isspace() or char in BLANKS:
        return " "
    for _ in range(2):  # case folding may bring out another look-alike
        visible = (c for c in normalize("NFKD", char) if not _is_invisible(c))
        char = "".join(CONFUSABLES.get(c, c) for c in visible).casefold()
    return char


def _is_invisible(char: str) -> bool:
    return category(char) in ("Mn", "Me", "Cf", "Cc") or char in FILLERS


def _join_spelled(text: str) -> str:
    parts = []
    start = 0
    while start < len(text):
        step, end = _spelled(text, start)
        parts.append(text[start:end:step])
        start = end
    return "".join(parts)


def _spelled(text: str, start: int) -> tuple[int, int]:
    """(distance of its letters, end) of the spelled word at `start`; (1, start + 1) where there is none."""
    step = 1
    while step <= SEPARATOR_LENGTH_MAX and text[start + step : start + step + 1] in SEPARATORS:
        step += 1
    separator = text[start + 1 : start + step]
    last, letters = start, 1
    if separator and _is_single(text, start):
        while text[last + 1 : last + step] == separator and _is_single(text, last + step):
            last, letters = last + step, letters + 1
    return (step, last + 1) if letters >= SPELLED_LETTERS_MIN else (1, start + 1)


def _is_single(text: str, at: int) -> bool:
    """A letter with no letter or digit beside it."""
    around = text[max(at - 1, 0) : at] + text[at + 1 : at + 2]
    return text[at : at + 1].isalpha() and not any(c.isalnum() for c in around)


def _one_space(text: str) -> str:
    return " ".join(part for part in text.split(" ") if part)


# -- addresses of the internet -----------------------------------------------------------------------------------------
def parse_ip(text: str) -> bytes | None:
    """The 4 or 16 bytes of an address; None where `text` is none.

    IPv4 as four decimals without leading zeros, IPv6 in every form of RFC 4291, without a zone. An IPv4-mapped IPv6
    address (::ffff:192.0.2.1) is the IPv4 address.
    """
    try:
        return None if "%" in text else _address(text).packed
    except ValueError:
        return None


def ip_text(ip: bytes) -> str:
    """Canonical text of 4 or 16 bytes: dotted decimals, or RFC 5952."""
    return str(_address(ip))


def network(ip: bytes, v4: int, v6: int) -> str:
    """The network of an address in canonical text, `v4` or `v6` bits long: `10.0.0.0/24`."""
    address = _address(ip)
    return str(ipaddress.ip_network((address, v4 if address.version == 4 else v6), strict=False))


def _address(ip: str | bytes) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(ip)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


# -- a stable hash -----------------------------------------------------------------------------------------------------
BUCKETS: Final = 10_000


def bucket(text: str, salt: str) -> int:
    """A number 0..9999 that depends on `text` and `salt` alone, on every machine for ever: who is in a rollout.

    SipHash-1-3-128 with the all-zero key over salt, NUL, text; the low half modulo 10,000 (bias below 10**-15).
    """
    data = salt.encode() + b"\0" + text.encode()
    return siphash128(0, 0, data, 1, 3)[0] % BUCKETS


def siphash128(k0: int, k1: int, data: bytes, rounds: int, final_rounds: int) -> tuple[int, int]:
    """(low, high) halves of SipHash with a 128-bit result (Aumasson, Bernstein 2012; the authors' reference code)."""
    state = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        state[3] ^= word
        _sip_rounds(state, rounds)
        state[0] ^= word
    state[2] ^= 0xEE
    _sip_rounds(state, final_rounds)
    low = state[0] ^ state[1] ^ state[2] ^ state[3]
    state[1] ^= 0xDD
    _sip_rounds(state, final_rounds)
    return low, state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_rounds(state: list[int], count: int) -> None:
    a, b, c, d = state
    for _ in range(count):
        a = (a + b) & _WORD
        b = _rotate(b, 13) ^ a
        a = _rotate(a, 32)
        c = (c + d) & _WORD
        d = _rotate(d, 16) ^ c
        a = (a + d) & _WORD
        d = _rotate(d, 21) ^ a
        c = (c + b) & _WORD
        b = _rotate(b, 17) ^ c
        c = _rotate(c, 32)
    state[:] = a, b, c, d


_WORD: Final = 2**64 - 1


def _rotate(word: int, bits: int) -> int:
    return (word << bits | word >> (64 - bits)) & _WORD
