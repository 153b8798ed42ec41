"""One connection to the owner for asyncio, shared by all tasks that wait."""

from __future__ import annotations

import asyncio
from typing import Any

from frmcore._fast import packed_id
from frmcore.client import messages
from frmcore.errors import ProtocolError
from frmcore.limits import FRAME_BYTES_MAX
from frmcore.serve.protocol import HEAD_BYTES, framed


class Line(asyncio.Protocol):
    """A connection: requests out, answers to whom they belong."""

    def __init__(self) -> None:
        self.waiting: dict[int, asyncio.Future[bytes]] = {}
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self._next = 0
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  a unix socket's is
        self.transport = transport

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data if self._buffer else data, 0
        while len(buffer) - at >= HEAD_BYTES:
            size = int.from_bytes(buffer[at : at + HEAD_BYTES], "big")
            if not 0 < size <= FRAME_BYTES_MAX:
                self.end(ProtocolError(f"a frame of {size:,} bytes: is this the socket of an frmcore owner?"))
                return
            if len(buffer) - at < HEAD_BYTES + size:
                break
            at += HEAD_BYTES + size
            try:
                self._deliver(buffer[at - size : at])
            except ProtocolError as error:
                self.end(error)
                return
        self._buffer = buffer[at:]

    def _deliver(self, answer: bytes) -> None:
        number = packed_id(answer)
        if number == 0:  # the owner ends the connection, and says why
            for future in self.waiting.values():
                if not future.done():
                    future.set_result(answer)
            self.waiting.clear()
            return
        if number in self.waiting:  # otherwise its caller did not wait so long
            future = self.waiting.pop(number)
            if not future.done():
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.end(ConnectionResetError("the owner closed the connection"))

    def end(self, error: Exception) -> None:
        self._writable.set()
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(error)
        self.waiting.clear()
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    async def call(self, asked: tuple[Any, ...]) -> bytes:
        """Raises OSError where the connection is lost meanwhile."""
        await self._writable.wait()
        if self.transport is None:
            raise ConnectionResetError("the owner closed the connection")
        self._next += 1
        number = self._next
        payload = framed(messages.numbered(number, asked))
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        self.transport.write(payload)
        try:
            return await future
        finally:
            self.waiting.pop(number, None)
