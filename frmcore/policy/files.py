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
_RELATIVE: Final = "paths are relative to the file that names them"


class Files:
    """Reads files below `base`; without one (a policy given as text) there are none."""

    def __init__(self, base: Path | None, problems: Problems) -> None:
        self._has_folder = base is not None
        self._base = base or Path()
        self._problems = problems
        self._bytes = 0
        self.complete = True  # every file that was asked for could be read
        self.texts: dict[str, str] = {}  # path below `base` -> text, of everything that is YAML
        self.list_texts: dict[str, str] = {}  # the same of the files of lists, rates, lookups and tables
        self._origins: dict[str, PurePosixPath] = {}  # file name in messages -> its path below `base`

    def load_main(self, source: Path | str) -> Node | None:
        if isinstance(source, str):
            return self._envelope(TEXT_NAME, PurePosixPath(TEXT_NAME), source.encode("utf-8", "surrogatepass"))
        place = Place(str(source), 1, 1)
        content = self._content(source, place, POLICY_BYTES_MAX)
        return None if content is None else self._envelope(str(source), PurePosixPath(source.name), content)

    def includes(self, node: Node, reader: Reader) -> Iterator[tuple[str, Node]]:
        """(path, tree) of every file that `include: ...` names, patterns sorted by path."""
        for leaf in reader.one_or_more(node, '"include"'):
            for path in self._matching(leaf):
                if str(path) in self.texts:
                    hint = "a file is read once: remove it here, or narrow the pattern"
                    self._problems.add(leaf.place, f"{quoted(str(path))} is part of the policy already", hint)
                elif len(self.texts) > POLICY_FILES_MAX:
                    self._refuse(leaf.place, f"the policy includes more than {POLICY_FILES_MAX} files")
                elif (tree := self._include(leaf, path)) is not None:
                    yield str(path), tree

    def read(self, leaf: Leaf, bytes_max: int) -> tuple[str, str] | None:
        """(name for messages, text) of the one file that `leaf` names."""
        path = self._single(leaf)
        content = None if path is None else self._content(self._base / path, leaf.place, bytes_max)
        text = None if content is None else self.decoded(content, leaf.place)
        if text is None:
            return None
        self.list_texts[str(path)] = text
        return str(self._base / str(path)), text

    def read_bytes(self, leaf: Leaf, bytes_max: int) -> tuple[str, bytes] | None:
        """The same of a file that is no text. It is kept as one all the same, a character a byte."""
        path = self._single(leaf)
        content = None if path is None else self._content(self._base / path, leaf.place, bytes_max)
        if content is None:
            return None
        self.list_texts[str(path)] = content.decode("latin-1")
        return str(self._base / str(path)), content

    def content(self, leaf: Leaf, bytes_max: int) -> tuple[str, bytes] | None:
        """(path below the folder, content) of a file. Who reads it puts into `list_texts` from what text it can be
        read again."""
        path = self._single(leaf)
        content = None if path is None else self._content(self._base / path, leaf.place, bytes_max)
        return None if content is None else (str(path), content)

    def shown(self, path: str) -> str:
        """A path below the folder as messages have it."""
        return str(self._base / path)

    def _single(self, leaf: Leaf) -> PurePosixPath | None:
        paths = self._matching(leaf)
        if len(paths) > 1:
            self._refuse(leaf.place, f"{quoted(leaf.text)} names {len(paths)} files", "name one")
        return paths[0] if len(paths) == 1 else None

    def _include(self, leaf: Leaf, path: PurePosixPath) -> Node | None:
        content = self._content(self._base / path, leaf.place, POLICY_BYTES_MAX)
        return None if content is None else self._envelope(str(self._base / path), path, content)

    def _envelope(self, shown: str, path: PurePosixPath, content: bytes) -> Node | None:
        place = Place(shown, 1, 1)
        self._bytes += len(content)
        if self._bytes > POLICY_BYTES_MAX:
            hint = "put long lists of values into list files"
            self._refuse(place, f"the policy is larger than {POLICY_BYTES_MAX:,} bytes", hint)
            return None
        text = self.decoded(content, place)
        if text is None:
            return None
        self.texts[str(path)] = text
        self._origins[shown] = path.parent
        tree = read_envelope(shown, text, self._problems)
        self.complete = self.complete and tree is not None
        return tree

    def _matching(self, leaf: Leaf) -> list[PurePosixPath]:
        """The files that a path or pattern names, relative to the file it stands in."""
        if not self._has_folder:
            hint = "load the policy from its file, or pass base="
            self._refuse(leaf.place, "a policy given as text has no folder to read files from", hint)
            return []
        if problem := _unsafe(leaf.text):
            hint = "name files below the policy's own folder: lists/cards.txt, rules/*.yaml"
            self._refuse(leaf.place, f"{quoted(leaf.text)} {problem}", hint)
            return []
        folder = self._origins[leaf.place.file]
        found = self._glob(folder, leaf.text) if _WILDCARDS & set(leaf.text) else [folder / leaf.text]
        if not found:
            self._refuse(leaf.place, f"no file matches {quoted(leaf.text)}", _RELATIVE)
        return [path for path in found if self._is_inside(path, leaf.place)]

    def _glob(self, folder: PurePosixPath, pattern: str) -> list[PurePosixPath]:
        paths = (self._base / folder).glob(pattern)
        return sorted(PurePosixPath(path.relative_to(self._base).as_posix()) for path in paths)

    def _is_inside(self, path: PurePosixPath, place: Place) -> bool:
        """Whether it is a regular file inside the folder, links followed."""
        try:
            real = (self._base / path).resolve(strict=True)
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
            self._refuse(place, f"{quoted(str(path))} can't be read: {_reason(error)}", _RELATIVE)
            return False
        if not real.is_relative_to(self._base.resolve()):
            hint = "copy the file into the policy's folder"
            self._refuse(place, f"{quoted(str(path))} leads out of the policy's folder", hint)
            return False
        if not regular:
            self._refuse(place, f"{quoted(str(path))} is no regular file")
        return regular

    def _content(self, path: Path, place: Place, bytes_max: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                content = file.read(bytes_max + 1)
        except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
            hint = _hint(path, error) if place.file == str(path) else ""
            self._refuse(place, f"{quoted(path.name)} can't be read: {_reason(error)}", hint)
            return None
        if len(content) > bytes_max:
            self._refuse(place, f"{quoted(path.name)} is larger than {bytes_max:,} bytes")
            return None
        return content

    def decoded(self, content: bytes, place: Place) -> str | None:
        try:
            return normalised(content.decode("utf-8"))
        except UnicodeDecodeError as error:
            self._refuse(place, f"not UTF-8: byte {error.start:,} is wrong", "save the file as UTF-8")
            return None

    def _refuse(self, place: Place, message: str, hint: str = "") -> None:
        self.complete = False
        self._problems.add(place, message, hint)


def _unsafe(text: str) -> str:
    """Why `text` may not be followed, "" where it may."""
    path = PurePosixPath(text)
    if path.is_absolute() or "\\" in text or ":" in text or text.startswith("~"):
        return "is not a relative path with /"
    if ".." in path.parts:
        return 'leads upwards with ".."'
    if "**" in text:
        return 'searches every folder with "**"'
    return "" if text.isprintable() and path.parts else "is no path"


def _hint(path: Path, error: Exception) -> str:
    """For a main file that can't be read."""
    if isinstance(error, IsADirectoryError):
        return f"name the policy's main file in it: {path / 'policy.yaml'}"
    return "" if path.suffix in (".yaml", ".yml") else "a policy given as text has a line break in it"


def _reason(error: Exception) -> str:
    return (error.strerror or "unknown") if isinstance(error, OSError) else str(error)
