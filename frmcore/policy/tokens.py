"""The first look at an expression: its tokens, and whether they can stand in this order.

Python's parser never sees a text that did not pass here. So hostile nesting can't exhaust the C stack, and whoever
makes one of the usual mistakes (`=`, `&&`, a missing bracket) reads what to write, not "invalid syntax".
"""

from __future__ import annotations

import keyword
import re
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from frmcore.limits import EXPRESSION_BYTES_MAX, EXPRESSION_DEPTH_MAX
from frmcore.policy.functions import FUNCTIONS
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""(?P<space>[ \t\n]+)
    |(?P<text>[A-Za-z]{0,2}(?:'''|\"""|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"))
    |(?P<unclosed>[A-Za-z]{0,2}['"][^\n]*)
    |(?P<number>[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+][0-9A-Za-z_]+|[0-9][0-9A-Za-z_]*(?:\.[0-9A-Za-z_]*)?|\.[0-9][0-9A-Za-z_]*)
    |(?P<name>[A-Za-z_][A-Za-z_0-9]*)
    |(?P<operator>\*\*|//|<<|>>|<=|>=|==|!=|<>|:=|->|&&|\|\||[-+*/%<>=!&|^~@(){}\[\],:.;?$`\\#])
    |(?P<other>.)""",
    re.VERBOSE,
)
_NUMBER = re.compile(r"(?:0|[1-9][0-9]*(?:_[0-9]+)*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,3})?")
_CLOSES: Final = {")": "(", "]": "[", "}": "{"}
_COMPARES: Final = frozenset(["==", "!=", "<", "<=", ">", ">=", "in"])
_CALCULATES: Final = frozenset(["+", "-", "*", "/", "//", "%"])
_LOGIC: Final = frozenset(["and", "or"])
_FOREIGN: Final = {
    "&&": "write and",
    "||": "write or",
    "!": "write not",
    "&": "write and; there are no operations on bits",
    "|": "write or; there are no operations on bits",
    "^": "there are no operations on bits",
    "~": "write not; there are no operations on bits",
    "<<": "there are no operations on bits",
    ">>": "there are no operations on bits",
    "<>": "write !=",
    "**": "write x * x",
    ":=": "write == to compare; a value gets a name as a feature",
    "#": "a comment stands on a line of its own, outside the expression",
    "\\": "an expression may go on in the next line without it",
    "is": "write == to compare, missing(x) to ask whether x is absent",
    "lambda": "there are no functions of one's own: name the value as a feature",
    "for": "there are no loops: a window's events are summed up by count, sum, share, ...",
    "None": "missing(x) asks whether x is absent",
    "True": "write true",
    "False": "write false",
}
_KEYWORDS: Final = frozenset(keyword.kwlist) - {"and", "or", "not", "in", "if", "else"}


class Token(NamedTuple):
    kind: str
    text: str
    start: int


class Refused(Exception):
    """What is wrong at which stretch of the text, and how to mend it."""

    def __init__(self, start: int, length: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.start, self.length, self.message, self.hint = start, length, message, hint


class _Frame(msgspec.Struct):
    """One open bracket (or the whole text): what was seen since it, or since its last comma."""

    bracket: Token
    called: int = 0  # brackets in a row: f(x)(y)[0:1]; 0 where this one groups or lists
    first: int = 0  # index of the token that its current item starts with
    logic: str = ""  # `and` or `or`, whichever its current item is made with
    nesting: int = 0  # how deep operators have nested: a + b + c is ((a + b) + c)
    conditions: int = 0
    open_ifs: int = 0

    @property
    def depth(self) -> int:
        return 1 + self.nesting + self.conditions

    def next_item(self, first: int) -> None:
        self.first, self.logic, self.nesting, self.conditions, self.open_ifs = first, "", 0, 0, 0


def check_tokens(text: str) -> None:
    """Raises `Refused` at the first token that can't stand where it stands. Linear in the length of `text`."""
    if len(text.encode("utf-8", "replace")) > EXPRESSION_BYTES_MAX:
        raise Refused(0, 1, f"the expression is longer than {EXPRESSION_BYTES_MAX} bytes", "cut it into features")
    _Order(text).check()


def _tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "space":
            yield Token(kind, match[0], match.start())


class _Order(msgspec.Struct):
    """Operands and operators take turns; brackets pair up; nothing nests deeper than the bound."""

    text: str
    tokens: list[Token] = msgspec.field(default_factory=list)
    frames: list[_Frame] = msgspec.field(default_factory=list)
    index: int = 0
    have: bool = False  # an operand stands before this token
    called: int = 0  # brackets in a row that end before this token

    def check(self) -> None:
        self.tokens = list(_tokens(self.text))
        self.frames = [_Frame(Token("", "", 0))]
        if not self.tokens:
            raise Refused(0, 1, "the expression is empty")
        for index, token in enumerate(self.tokens):
            self.index = index
            getattr(self, f"_{token.kind}")(token)
            self._check_depth(token)
        self._check_end()

    def _check_depth(self, token: Token) -> None:
        if sum(frame.depth for frame in self.frames) + self.called > EXPRESSION_DEPTH_MAX:
            raise self._refused(token, "the expression nests too deep", "name parts of it as features")

    def _check_end(self) -> None:
        if len(self.frames) > 1:
            bracket = self.frames[-1].bracket
            raise self._refused(bracket, f'this "{bracket.text}" is never closed')
        if not self.have:
            raise self._refused(self.tokens[-1], f'something is missing after "{self.tokens[-1].text}"')

    # -- one method for each kind of token

    def _text(self, token: Token) -> None:
        prefix = token.text[: token.text.index(token.text[-1])]
        if token.text.endswith(("'''", '"""')) and len(token.text) - len(prefix) == 3:
            raise self._refused(token, "a text stands between single quotes or double quotes, in one line")
        if prefix not in ("", "r"):
            raise self._refused(token, f'there are no "{prefix}" texts', 'a reason takes names in braces: "{amount}"')
        if self.have and self.tokens[self.index - 1].kind == "text":
            raise self._refused(token, "two texts side by side", "is a comma missing between them?")
        self._operand(token)

    def _number(self, token: Token) -> None:
        if not _NUMBER.fullmatch(token.text):
            raise self._refused(token, f"{quoted(token.text)} is no number", self._number_hint(token.text))
        self._operand(token)

    @staticmethod
    def _number_hint(text: str) -> str:
        if re.fullmatch(r"[0-9.]+(ms|s|m|h|d|w)", text):
            return f'a duration is a text: "{text}"'
        return "a number is written 12, 1_000, 0.5 or 1e6"

    def _name(self, token: Token) -> None:
        word = token.text
        if word in _KEYWORDS:
            raise self._refused(token, f'"{word}" is not part of the language', _FOREIGN.get(word, ""))
        if word in ("and", "or", "in", "if", "else"):
            self._binary(token)
        elif word != "not":
            self._operand(token)
        elif self.have:
            self._not_in(token)
        else:
            self.frames[-1].nesting += 1

    def _not_in(self, token: Token) -> None:
        following = self.tokens[self.index + 1 : self.index + 2]
        if not following or following[0].text != "in":
            raise self._refused(token, 'an operator is missing before "not"', "did you mean not in, or and not?")

    def _operator(self, token: Token) -> None:
        sign = token.text
        if sign in _CLOSES:
            self._close(token)
        elif sign in "([{":
            self._open(token)
        elif sign in _COMPARES or sign in _CALCULATES:
            self._binary(token)
        elif sign == ",":
            self._comma(token)
        elif sign == "=":
            self._assign(token)
        elif sign == ".":
            self._dot(token)
        elif sign == ":" and self.frames[-1].bracket.text == "[":
            self.have = False
        else:
            raise self._refused(token, f'"{sign}" is not part of the language', _FOREIGN.get(sign, ""))

    def _unclosed(self, token: Token) -> None:
        raise self._refused(
            token, "this text is never closed", "a text ends in the line where it starts, with the same quote"
        )

    def _other(self, token: Token) -> None:
        if token.text.isprintable():
            raise self._refused(token, f'"{token.text}" can only stand inside a text')
        raise self._refused(token, f"the character U+{ord(token.text):04X} can't stand in an expression")

    # -- what they have in common

    def _operand(self, token: Token) -> None:
        if self.have:
            raise self._refused(token, f"an operator or a comma is missing before {quoted(token.text)}")
        self.have, self.called = True, 0

    def _binary(self, token: Token) -> None:
        word, frame = token.text, self.frames[-1]
        if not self.have and word != "-":
            raise self._refused(token, f'something is missing before "{word}"')
        self.have, self.called = False, 0
        if word in _LOGIC:
            self._logic(token, frame)
        elif word in ("if", "else"):
            self._condition(token, frame)
        elif word in _CALCULATES:
            frame.nesting += 1

    def _logic(self, token: Token, frame: _Frame) -> None:
        if frame.logic not in ("", token.text):
            hint = "put brackets around the part that belongs together: (a or b) and c, or a or (b and c)"
            raise self._refused(token, '"and" and "or" are mixed without brackets', hint)
        frame.logic, frame.nesting = token.text, 0

    def _condition(self, token: Token, frame: _Frame) -> None:
        frame.logic, frame.nesting = "", 0
        frame.conditions += 1
        frame.open_ifs += 1 if token.text == "if" else -1
        if frame.open_ifs < 0:
            raise self._refused(token, 'there is no "if" for this "else"', "write a if condition else b")

    def _open(self, token: Token) -> None:
        if self.have and token.text == "{":
            raise self._refused(token, 'an operator is missing before "{"')
        self.frames.append(_Frame(token, called=self.called + 1 if self.have else 0, first=self.index + 1))
        self.have, self.called = False, 0

    def _close(self, token: Token) -> None:
        frame = self.frames[-1]
        if frame.bracket.text != _CLOSES[token.text]:
            raise self._refused(token, *self._unpaired(token, frame))
        before = self.tokens[self.index - 1].text
        if not self.have and before not in ("(", "[", "{", ",", ":"):
            raise self._refused(token, f'something is missing before "{token.text}"')
        self.frames.pop()
        self.have, self.called = True, frame.called

    @staticmethod
    def _unpaired(token: Token, frame: _Frame) -> tuple[str, str]:
        if not frame.bracket.text:
            return f'this "{token.text}" closes nothing', ""
        return f'"{token.text}" closes "{frame.bracket.text}"', "brackets close in the order they were opened"

    def _comma(self, token: Token) -> None:
        if not self.have or len(self.frames) == 1:
            raise self._refused(token, "a comma stands between arguments or listed values, within brackets")
        self.frames[-1].next_item(self.index + 1)
        self.have, self.called = False, 0

    def _assign(self, token: Token) -> None:
        frame = self.frames[-1]
        named = self.index - frame.first == 1 and self.tokens[self.index - 1].kind == "name"
        if not (frame.called and named and self.have):
            raise self._refused(token, '"=" does not compare', "write ==")
        self.have = False

    def _dot(self, token: Token) -> None:
        before, after = self.tokens[self.index - 1 : self.index], self.tokens[self.index + 1 : self.index + 2]
        hint = "a field of nested data is declared with its path in the schema"
        if before and after and after[0].text in FUNCTIONS:
            hint = f"functions stand in front: {after[0].text}({before[0].text}, ...)"
        raise self._refused(token, "there are no attributes and methods", hint)

    @staticmethod
    def _refused(token: Token, message: str, hint: str = "") -> Refused:
        return Refused(token.start, len(token.text), message, hint)
