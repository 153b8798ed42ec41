"""A store's decision log, measured as it is: nothing is decided anew. What its shadow rules would have done is in
it."""

from __future__ import annotations

from contextlib import ExitStack
from time import monotonic
from typing import TYPE_CHECKING

from frmcore.history import truth
from frmcore.history.backtest import Backtest, Setup, amount_field, customer_field, judged, stopping
from frmcore.history.decided import Facts
from frmcore.history.files import opened
from frmcore.history.stored import Stored
from frmcore.history.verdicts import Lots
from frmcore.history.workspace import Workspace, peak_bytes
from frmcore.history.writer import Writer
from frmcore.store.view import viewing

if TYPE_CHECKING:
    from frmcore.history.backtest import Progress


def from_log(setup: Setup, progress: Progress = lambda done, total: None) -> Backtest:
    """The decisions of the one store in `setup.history`, under the policies of then. Rules that the policy in force no
    longer has are left out. Raises HistoryError, StoreError. O(log)."""
    open_ = ExitStack()
    try:
        return _read(setup, progress, open_)
    except BaseException:
        open_.close()
        raise


def _read(setup: Setup, progress: Progress, open_: ExitStack) -> Backtest:
    started = monotonic()
    space = open_.enter_context(Workspace(setup.memory))
    store = Stored(open_.enter_context(viewing(setup.history[0])))
    policy = store.policy
    out = Backtest(
        policy, None, setup, space, store.archive.recorded, store.archive.explain_record, stopping(policy, setup.stops),
        amount_field(policy, setup.amount), customer_field(policy, setup.customer), _open=open_,
    )  # fmt: skip
    if setup.labels is not None:
        out.quality.notes += truth.from_file(space, opened(space, "labels", [setup.labels]), policy)
    else:
        store.labels(space)
    _write(out, store, progress)
    judged(out)
    out.seconds = monotonic() - started
    out.memory_bytes = peak_bytes()
    return out


def _write(out: Backtest, store: Stored, progress: Progress) -> None:
    setup, quality = out.setup, out.quality
    writer, book = Writer(out.space, Facts(out.policy, out.amount, out.customer), Lots(out.stops)), None
    try:
        for decision in store.decisions():
            quality.events += 1
            quality.late += decision.late
            if (setup.since or decision.time) <= decision.time < (setup.until or decision.time + 1):
                if book is not decision.book:
                    book = decision.book
                    writer.turn_to(book)
                out.decided += 1
                writer.add_logged(decision)
            else:
                out.warmed += 1
            if quality.events % 1_024 == 0:
                progress(decision.seq, store.count)
    except KeyboardInterrupt:
        out.interrupted_at = decision.time
    writer.flush()
    out.space.db.execute("UPDATE decided SET live = outcome")
