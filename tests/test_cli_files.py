"""What commands write to files: whole, or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from frmcore.cli.output import replacing
from frmcore.cli.rows_out import writer


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_appears_when_all_rows_are_written(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"rows.{ending}"
    with writer(str(out), {"id": str}) as write:
        write({"id": "a"})
        assert not out.exists()
    assert out.stat().st_size and out.stat().st_mode & 0o777 == 0o600
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt), writer(str(out), {"id": str}) as write:
        write({"id": "b"})
        raise KeyboardInterrupt
    assert out.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == [out.name]


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    code = "from frmcore.cli import main; main()"
    command = [sys.executable, "-c", code, "generate", "--events", "5000000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    part = tmp_path / ".events.jsonl.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before")
    link.symlink_to(real)
    with replacing(link) as part:
        part.write_text("after")
    assert link.is_symlink() and real.read_text() == "after"


def test_what_is_no_file_is_written_as_it_is() -> None:
    with replacing(Path("/dev/null")) as part:
        assert part == Path("/dev/null")
    assert not Path("/dev/null").is_file()


def test_two_commands_do_not_write_one_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with replacing(out) as part:
        part.write_text("first")
        with pytest.raises(OSError, match="another command writes it"), replacing(out):
            pass
    assert out.read_text() == "first"


def test_what_a_killed_run_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".out.part").write_text("half of it, and longer")
    with replacing(tmp_path / "out") as part:
        part.write_text("whole")
    assert (tmp_path / "out").read_text() == "whole" and [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere/out") as raised, replacing(tmp_path / "nowhere/out"):
        pass
    assert ".part" not in str(raised.value)
