"""What is asked about people: erasures, legal holds, alerts. Called in the chores' threads."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from frmcore.serve.protocol import PAGE_BYTES, PAGE_VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from frmcore import Engine
    from frmcore.erasure import Erased
    from frmcore.holds import Hold
    from frmcore.serve.protocol import Request

SUBJECTS_MAX: Final = 1000  # of one erasure: identifiers of one person


class Said(msgspec.Struct, frozen=True):
    """Why, whence, and of a hold until when."""

    reason: Any = ""
    source: Any = ""
    until: Any = None


class From(msgspec.Struct, frozen=True):
    """Where a page begins."""

    start: Annotated[int, msgspec.Meta(ge=0)] = 0


_subject: Final = msgspec.msgpack.Decoder(tuple[str, str])
_subjects: Final = msgspec.msgpack.Decoder(
    Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1, max_length=SUBJECTS_MAX)]
)
_said: Final = msgspec.msgpack.Decoder(Said | None)
_from: Final = msgspec.msgpack.Decoder(From | None)
_size: Final = msgspec.msgpack.Encoder().encode


class People:
    """The operations on one engine, by name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.by_name: dict[str, Callable[[Request], Any]] = {
            "erase": self._erase, "hold_add": self._hold, "hold_remove": self._release, "hold_get": self._held,
            "holds": self._holds, "alerts": self._alerts,
        }  # fmt: skip

    def _erase(self, request: Request) -> Erased:
        first, *others = _subjects.decode(request.subject)
        said = self._said(request)
        return self._engine.erase(*first, *others, reason=said.reason, source=said.source)

    def _hold(self, request: Request) -> None:
        said = self._said(request)
        subject = _subject.decode(request.subject)
        self._engine.holds.add(*subject, reason=said.reason, source=said.source, until=said.until)

    def _release(self, request: Request) -> bool:
        return self._engine.holds.remove(*_subject.decode(request.subject))

    def _held(self, request: Request) -> Hold | None:
        return self._engine.holds.get(*_subject.decode(request.subject))

    def _holds(self, request: Request) -> dict[str, Any]:
        found, start = list(self._engine.holds), self._start(request)
        return {"size": len(found), "holds": found[start : start + PAGE_VALUES]}

    def _alerts(self, request: Request) -> list[dict[str, Any]]:
        """As many as go well into a frame; none behind the last."""
        page: list[dict[str, Any]] = []
        size = 0
        for alert in islice(self._engine.alerts(), self._start(request), None):
            page.append(alert.to_dict())
            size += len(_size(page[-1]))
            if size > PAGE_BYTES:
                break
        return page

    def _said(self, request: Request) -> Said:
        return _said.decode(request.options) or Said()

    def _start(self, request: Request) -> int:
        return (_from.decode(request.options) or From()).start
