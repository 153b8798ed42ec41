"""The files of a policy: the main one, what it includes, list files. All lie in one folder, and none is read twice.

Texts are read with one kind of line break, so the same policy has the same hash on any system.
"""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from frmcore.limits import POLICY_BYTES_MAX, POLICY_FILES_MAX
from frmcore.policy.envelope import Leaf, Node, normalised, read_envelope
from frmcore.policy.source import Place, Problems
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frmcore.policy.reader import Reader

TEXT_NAME: Final = "<policy>"  # what a policy given as text is called
_WILDCARDS: Final = frozenset("*?[")


class Files:
    """Reads files below `base`; without one (a policy given as text) there are none."""

    def __init__(self, base: Path | None, problems: Problems) -> None:
        self._has_folder = base is not None
        self._base = base or Path()
        self._problems = problems
        self._bytes = 0
        self.complete = True  # every file that was asked for could be read
        self.texts: dict[str, str] = {}  # path below `base` -> text, of everything that is YAML
        self._origins: dict[str, PurePosixPath] = {}  # file name in messages -> its path below `base`

    def load_main(self, source: Path | str) -> Node | None:
        if isinstance(source, str):
            return self._envelope(TEXT_NAME, PurePosixPath(TEXT_NAME), source.encode("utf-8", "surrogatepass"))
        place = Place(str(source), 1, 1)
        content = self._bytes_of(source, place, POLICY_BYTES_MAX)
        return None if content is None else self._envelope(str(source), PurePosixPath(source.name), content)

    def includes(self, node: Node, reader: Reader) -> Iterator[tuple[str, Node]]:
        """(path, tree) of every file that `include: ...` names, patterns sorted by path."""
        for leaf in reader.one_or_more(node, '"include"'):
            for path in self._matching(leaf):
                if str(path) in self.texts:
                    hint = "a file is read once: remove it here, or narrow the pattern"
                    self._problems.add(leaf.place, f"{quoted(str(path))} is part of the policy already", hint)
                elif len(self.texts) >= POLICY_FILES_MAX:
                    self._problems.add(leaf.place, f"the policy includes more than {POLICY_FILES_MAX} files")
                elif (tree := self._include(leaf, path)) is not None:
                    yield str(path), tree

    def read(self, leaf: Leaf, bytes_max: int) -> tuple[str, str] | None:
        """(name for messages, text) of the one file that `leaf` names."""
        paths = self._matching(leaf)
        if len(paths) > 1:
            self._problems.add(leaf.place, f"{quoted(leaf.text)} names {len(paths)} files", "name one")
        elif paths:
            content = self._bytes_of(self._base / paths[0], leaf.place, bytes_max)
            text = None if content is None else self._decoded(content, leaf.place)
            return None if text is None else (str(self._base / paths[0]), text)
        return None

    def _include(self, leaf: Leaf, path: PurePosixPath) -> Node | None:
        content = self._bytes_of(self._base / path, leaf.place, POLICY_BYTES_MAX)
        return None if content is None else self._envelope(str(self._base / path), path, content)

    def _envelope(self, shown: str, path: PurePosixPath, content: bytes) -> Node | None:
        place = Place(shown, 1, 1)
        self._bytes += len(content)
        if self._bytes > POLICY_BYTES_MAX:
            hint = "put long lists of values into list files"
            self._problems.add(place, f"the policy is larger than {POLICY_BYTES_MAX:,} bytes", hint)
            return None
        text = self._decoded(content, place)
        if text is None:
            return None
        self.texts[str(path)] = text
        self._origins[shown] = path.parent
        return read_envelope(shown, text, self._problems)

    def _matching(self, leaf: Leaf) -> list[PurePosixPath]:
        """The files that a path or pattern names, relative to the file it stands in."""
        if not self._has_folder:
            hint = "load the policy from its file, or pass base="
            self._problems.add(leaf.place, "a policy given as text has no folder to read files from", hint)
            return []
        if problem := _unsafe(leaf.text):
            self._problems.add(
                leaf.place, f"{quoted(leaf.text)} {problem}", "name files below the policy's own folder, with /"
            )
            return []
        folder = self._origins[leaf.place.file]
        found = self._glob(folder, leaf.text) if _WILDCARDS & set(leaf.text) else [folder / leaf.text]
        if not found:
            self._problems.add(
                leaf.place, f"no file matches {quoted(leaf.text)}", "the pattern is relative to this file"
            )
        return [path for path in found if self._is_file(path, leaf)]

    def _glob(self, folder: PurePosixPath, pattern: str) -> list[PurePosixPath]:
        paths = (self._base / folder).glob(pattern)
        return sorted(PurePosixPath(path.relative_to(self._base).as_posix()) for path in paths)

    def _is_file(self, path: PurePosixPath, leaf: Leaf) -> bool:
        """A regular file inside the folder, links followed."""
        try:
            real = (self._base / path).resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
            self._problems.add(
                leaf.place, f"{quoted(str(path))} can't be read: {_reason(error)}", "the path is relative to this file"
            )
            return False
        if not real.is_relative_to(self._base.resolve()):
            hint = "copy the file into the policy's folder"
            self._problems.add(leaf.place, f"{quoted(str(path))} leads out of the policy's folder", hint)
        elif not regular:
            self._problems.add(leaf.place, f"{quoted(str(path))} is no regular file")
        return regular and real.is_relative_to(self._base.resolve())

    def _bytes_of(self, path: Path, place: Place, bytes_max: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                content = file.read(bytes_max + 1)
        except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
            self._problems.add(place, f"{quoted(str(path))} can't be read: {_reason(error)}")
            return None
        if len(content) > bytes_max:
            self._problems.add(place, f"{quoted(str(path))} is larger than {bytes_max:,} bytes")
            return None
        return content

    def _decoded(self, content: bytes, place: Place) -> str | None:
        try:
            return normalised(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            self._problems.add(place, f"not UTF-8: byte {error.start:,} is wrong", "save the file as UTF-8")
            return None


def _unsafe(text: str) -> str:
    """Why `text` may not be followed, "" where it may."""
    path = PurePosixPath(text)
    if path.is_absolute() or "\\" in text or ":" in text or text.startswith("~"):
        return "is not a relative path"
    if ".." in path.parts:
        return 'leads upwards with ".."'
    if "**" in text or not text.isprintable() or not path.parts:
        return "is no path or pattern of ours"
    return ""


def _reason(error: Exception) -> str:
    return (error.strerror or "unknown") if isinstance(error, OSError) else str(error)
