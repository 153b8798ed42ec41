r"""Regular expressions in linear time: a pattern in RE2's syntax becomes a DFA that the hot path runs, one load a byte.

`matches(x, "pattern")` asks whether the pattern is found anywhere in x, as `re2.search` does. What the DFA runs:

    literals, . and escapes      \. \n \t \r \a \f \v \x41 \x{1F600} \101
    classes                      [abc] [^a-z] [[:alpha:]] [[:^digit:]] \d \w \s \D \W \S (ASCII, as in RE2)
    groups                       (...) (?:...) (?P<name>...) (?<name>...) and alternation
    quantifiers                  * + ? {3} {3,} {3,8}, greedy or lazy (which makes no difference to a search)
    places                       ^ $ \A \z \b \B
    flags                        (?i) (?s) (?m) (?U), for a group or to its end

google-re2 runs the rest, in linear time too, but slower by a call into it: Unicode properties (\pL), (?i) on
characters beyond ASCII, \Q...\E, \C, a quantifier right after a flag, groups nested deeper than 64, and patterns whose
DFA would exceed limits.REGEX_STATES_MAX states ("a.{20}": it has to remember where each "a" was). `check` names these.
Patterns that google-re2 itself refuses (look-around, back references, repetitions above 1,000) are mistakes.

The route: `syntax` parses, `nfa` makes an automaton over bytes (`charset` knows UTF-8), `dfa` makes it deterministic,
`minimise` makes it small.
"""

from __future__ import annotations

from functools import lru_cache

import re2  # type: ignore[import-untyped]

from frmcore import limits
from frmcore.plan import Dfa, Re2
from frmcore.policy.regex.dfa import ByteDfa, build_dfa
from frmcore.policy.regex.minimise import minimise
from frmcore.policy.regex.nfa import build_nfa
from frmcore.policy.regex.syntax import Unsupported, parse, search_core


class RegexError(ValueError):
    """Not a pattern of RE2's syntax. `message` says why, `offset` is where in the pattern (characters)."""

    def __init__(self, message: str, offset: int) -> None:
        self.message = message
        self.offset = offset
        super().__init__(f"{message} at {offset}")


@lru_cache(maxsize=32)  # `check` and `lower` ask for the same pattern; a table may have 512 KiB
def compile_regex(pattern: str) -> Dfa | Re2:
    """The DFA of a pattern, or `Re2` where google-re2 has to run it; `RegexError` for what is no pattern.

    Milliseconds for ordinary patterns; bounded, well below a second, for hostile ones.
    """
    _validate(pattern)
    try:
        return _packed(pattern, minimise(build_dfa(build_nfa(search_core(parse(pattern))))))
    except Unsupported:
        return Re2(pattern)


def _validate(pattern: str) -> None:
    if len(pattern.encode("utf-8", "replace")) > limits.REGEX_BYTES_MAX:
        raise RegexError(f"longer than {limits.REGEX_BYTES_MAX} bytes", 0)
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except UnicodeEncodeError as error:
        raise RegexError("a lone surrogate is no character", error.start) from None
    except re2.error as error:
        message, _, culprit = _text(error.args[0]).partition(": ")
        raise RegexError(message, max(pattern.rfind(culprit), 0)) from None


def _text(message: str | bytes) -> str:
    return message.decode("utf-8", "replace") if isinstance(message, bytes) else message


def _packed(pattern: str, dfa: ByteDfa) -> Dfa:
    table = b"".join(state.to_bytes(2, "little") for row in dfa.rows for state in row)
    return Dfa(pattern, dfa.class_of, len(dfa.rows[0]), table, bytes(dfa.accept_end), dfa.start)
