"""Threads that change places as often as they can."""

from __future__ import annotations

import gc
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREADS = 4


def together(work: Callable[[int], object]) -> None:
    """`work(number)` in THREADS threads. Fails with what any of them raised."""
    errors: list[BaseException] = []

    def guarded(thread: int) -> None:
        try:
            work(thread)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.fixture
def switching_often() -> Iterator[None]:
    """Also whenever garbage is collected, as finalizers and metrics do: any object that is made may start that."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def switch(phase: str, info: object) -> None:
        del phase, info
        time.sleep(0)

    sys.setswitchinterval(1e-5)
    gc.set_threshold(50)
    gc.callbacks.append(switch)
    yield
    gc.callbacks.remove(switch)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)
