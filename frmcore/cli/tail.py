"""`frmcore tail`: the records of a store in order, as JSON lines."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer

from frmcore._fast import record_head
from frmcore.cli.arguments import StorePath
from frmcore.store.archive import Archive
from frmcore.store.layout import RecordType
from frmcore.store.view import viewing

From = Annotated[int, typer.Option("--from", min=1, help="The first sequence number.")]


def tail(store: StorePath, first: From = 1) -> None:
    """Print what a store recorded, in order: epoch, sequence number, type, time, content. An engine may be at work."""
    encode = msgspec.json.Encoder().encode
    with viewing(store) as view:
        archive = Archive(view)
        for epoch, seq, record in view.records(first - 1):
            head = record_head(record)
            line = {"epoch": epoch, "seq": seq, "type": RecordType(head[1]).name.lower(), "time": head[2]}
            sys.stdout.buffer.write(encode({**line, **archive.content(record)}) + b"\n")
    sys.stdout.buffer.flush()
