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
from frmcore.policy.values import parse_share

if TYPE_CHECKING:
    from frmcore.policy.source import Problems

Reader = Callable[[Scalar], Expr | None]  # checks a part of the text as an expression

_PART: Final = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<name>[^{}]*)\}|(?P<text>[^{}]+)|(?P<stray>[{}])")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_ROLLOUT: Final = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,2})?\s*%)\s*by\s+([A-Za-z_][A-Za-z_0-9]*)\s*")


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
    share = parse_share(match[1])
    if share is None:
        problems.add(scalar.place, "a rollout reaches 100% at most", "write 20% by account")
        return None
    place = place_of(scalar, match.start(2), match.end(2))
    key = text_field(Scalar(match[2], (place,)), "a rollout", "write 20% by account", problems, read)
    return None if key is None else inside(scalar, key, rule_id, share)


def text_field(scalar: Scalar, what: str, hint: str, problems: Problems, read: Reader) -> Ref | None:
    """The field of the event, holding a text, that `what` goes by."""
    key = read(scalar)
    if key is None:
        return None
    if isinstance(key, Ref) and key.source in ("field", "derived") and key.type.rep is Rep.TEXT:
        return key
    problems.add(scalar.place, f'{what} goes by a field of the event that holds a text; "{scalar.text}" does not', hint)
    return None


def inside(scalar: Scalar, key: Ref, salt: str, share: int) -> Expr:
    """Is the text among that part of all texts? By a stable hash, salted."""
    place, text = scalar.place, scalar.text.strip()
    bucket = Call(INT, place, text, "bucket", (key, Const(STRING, place, salt, salt)))
    limit = Const(INT, place, str(share), share)
    return Compare(BOOL, place, text, "<", bucket, limit)
