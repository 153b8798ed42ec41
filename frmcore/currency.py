"""Currencies: how many digits the minor unit of each has (ISO 4217), and money as text.

The table holds every active currency of ISO 4217 that has a minor unit (metals, units of account and test codes have
none), and those withdrawn since 2022, because history is replayed.
"""

from __future__ import annotations

import re
from typing import Final

from frmcore.limits import INT_MAX

_TWO_DIGITS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
ANG BGN CUC HRK SLL ZWL
"""
_OTHERS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS: Final = dict.fromkeys(_TWO_DIGITS.split(), 2) | {
    code: digits for digits, codes in _OTHERS.items() for code in codes.split()
}

_AMOUNT = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,4}))?")


def exponent(code: str) -> int | None:
    """Digits of the minor unit of `code` (EUR 2, JPY 0, BHD 3), None for an unknown currency."""
    return EXPONENTS.get(code)


def format_money(minor: int, code: str) -> str:
    """`12990, "EUR"` -> `"129.90 EUR"`. `code` must be known."""
    digits = EXPONENTS[code]
    sign = "-" if minor < 0 else ""
    whole, part = divmod(abs(minor), 10**digits)
    return f"{sign}{whole}.{part:0{digits}d} {code}" if digits else f"{sign}{whole} {code}"


def parse_money(text: str, code: str) -> int | None:
    """`"129.9", "EUR"` -> `12990`. None where `text` is no such amount: more digits than `code` has, beyond 64 bits."""
    digits = exponent(code)
    match = _AMOUNT.fullmatch(text)
    if digits is None or match is None:
        return None
    sign, whole, part = match[1], match[2], match[3] or ""
    if len(part) > digits:
        return None
    minor = int(whole + part.ljust(digits, "0"))
    return None if minor > INT_MAX else -minor if sign else minor
