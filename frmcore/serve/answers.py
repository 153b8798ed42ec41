"""A request's result as the bytes of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from frmcore._fast import Decision
from frmcore.limits import FRAME_BYTES_MAX
from frmcore.serve.meter import error_in
from frmcore.serve.protocol import Failure, failure_of

if TYPE_CHECKING:
    from frmcore.errors import FrmcoreError


def _packed(value: object) -> object:
    """What MessagePack has no form for."""
    if isinstance(value, Decision):
        return msgspec.Raw(value.packed())
    raise TypeError(f"{type(value).__name__} can't be sent")


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_packed).encode


def answer_of(number: int, result: Any, failed: FrmcoreError | None) -> bytes:
    """A request's answer. `failed`: what became of the disk that all were to survive on."""
    if type(result) is Decision and failed is None:
        return _encode((number, msgspec.Raw(result.packed())))
    error = error_in(result) or failed
    if error is not None:
        return _encode((number, None, failure_of(error)))
    try:
        payload = _encode((number, result))
    except (TypeError, ValueError, OverflowError) as wrong:
        return _encode((number, None, Failure("FrmcoreError", f"the answer can't be sent: {wrong}")))
    if len(payload) > FRAME_BYTES_MAX:
        told = f"the answer has {len(payload):,} bytes, more than a frame takes: ask for less at once"
        return _encode((number, None, Failure("ProtocolError", told)))
    return payload
