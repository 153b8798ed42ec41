"""Reason templates and rollouts: the two small texts of a rule that are no expressions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from frmcore.limits import EXPRESSION_BYTES_MAX
from frmcore.plan import Rep
from frmcore.policy.expression import place_of
from frmcore.policy.families import BOOL, INT, STRING
from frmcore.policy.source import Scalar
from frmcore.policy.tree import Call, Compare, Const, Expr, ReasonText, Ref

if TYPE_CHECKING:
    from frmcore.policy.source import Problems

Reader = Callable[[Scalar], Expr | None]  # checks a part of the text as an expression

_PART: Final = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<text>[^{}]+)|(?P<stray>[{}])")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ROLLOUT: Final = re.compile(r"\s*([0-9]{1,3})(?:\.([0-9]{1,2}))?\s*%\s*by\s+([A-Za-z_][A-Za-z_0-9]*)\s*")
_WHOLE: Final = 10_000  # a rollout's grain: hundredths of a per cent


def reason(scalar: Scalar, problems: Problems, read: Reader) -> ReasonText | None:
    if len(scalar.text) > EXPRESSION_BYTES_MAX:
        problems.add(
            scalar.place, f"the reason is longer than {EXPRESSION_BYTES_MAX} characters", "nobody would read it"
        )
        return None
    parts: list[str | Expr | None] = []
    for match in _PART.finditer(scalar.text):
        if match["name"] is not None:
            parts.append(_name(scalar, match.start("name"), match["name"], problems, read))
        elif match["stray"]:
            place = place_of(scalar, match.start(), match.end())
            problems.add(place, "this brace has no partner", "a brace that is text is doubled: {{ or }}")
            parts.append(None)
        else:
            parts.append(match["text"] or match["brace"][0])
    sound = [part for part in parts if part is not None]
    return ReasonText(_merged(sound)) if len(sound) == len(parts) else None


def _merged(parts: list[str | Expr]) -> tuple[str | Expr, ...]:
    """Neighbouring texts as one."""
    merged: list[str | Expr] = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _name(scalar: Scalar, start: int, name: str, problems: Problems, read: Reader) -> Expr | None:
    place = place_of(scalar, start, start + max(1, len(name)))
    if not _NAME.fullmatch(name):
        hint = "{amount}, or a feature that holds the value; a brace that is text is doubled: {{"
        problems.add(place, "braces hold one name", hint)
        return None
    return read(Scalar(name, (place,)))


def rollout(scalar: Scalar, rule_id: str, problems: Problems, read: Reader) -> Expr | None:
    match = _ROLLOUT.fullmatch(scalar.text)
    if match is None:
        problems.add(scalar.place, "this is no rollout", "write 20% by account")
        return None
    share = int(match[1]) * 100 + int((match[2] or "0").ljust(2, "0"))
    if share > _WHOLE:
        problems.add(scalar.place, "a rollout reaches 100% at most", "write 20% by account")
        return None
    place = place_of(scalar, match.start(3), match.end(3))
    key = read(Scalar(match[3], (place,)))
    if key is None:
        return None
    if not isinstance(key, Ref) or key.source not in ("field", "derived") or key.type.rep is not Rep.TEXT:
        message = f'a rollout goes by a field of the event that holds a text; "{match[3]}" does not'
        problems.add(place, message, "write 20% by account")
        return None
    return _inside(scalar, key, rule_id, share)


def _inside(scalar: Scalar, key: Ref, rule_id: str, share: int) -> Expr:
    place, text = scalar.place, scalar.text.strip()
    bucket = Call(INT, place, text, "bucket", (key, Const(STRING, place, rule_id, rule_id)))
    limit = Const(INT, place, str(share), share)
    return Compare(BOOL, place, text, "<", bucket, limit)
