"""Random well-typed expressions, as text.

Texts are built so that the checker accepts them: operators meet literals on one side only (the checker folds two
literals, and refuses what overflows), and the scales of decimals are kept below the language's bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from random import Random

SCALE_MAX = 18
PATTERNS = ("^a", "b+$", "[0-9]{2,}", "(a|b)*c", "\\\\.com$", "^$", "é|ß")
OF_TEXT = ("lower", "upper", "domain", "canonical_email", "fold")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu")


class Text(NamedTuple):
    """An expression. `literal`: nothing in it is read from the event; `scale` bounds the decimals it may have."""

    text: str
    literal: bool = False
    scale: int = 0


class Expressions:
    """`names`: what may be read, by family: int, decimal, float, money, timestamp, string, enum, ip, bool."""

    def __init__(self, random: Random, names: Mapping[str, Sequence[str]], labels: Sequence[str]) -> None:
        self.random = random
        self.names = {family: list(found) for family, found in names.items() if found}
        self.labels = labels  # of the enums
        self.numbers = [name for family in ("int", "decimal", "float") for name in self.names.get(family, [])]
        self.everything = [name for found in self.names.values() for name in found]

    def pick(self, *makers: Callable[[int], Text], depth: int) -> Text:
        return self.random.choice(makers)(depth - 1)

    # -- numbers -------------------------------------------------------------------------------------------------
    def number(self, depth: int) -> Text:
        if depth <= 0 or self.random.random() < 0.15:
            return self.number_leaf()
        return self.pick(
            self.binary, self.binary, self.binary, self.unary, self.chosen_number, self.measured, depth=depth
        )

    def number_leaf(self) -> Text:
        if not self.numbers or self.random.random() < 0.25:
            return self.number_literal()
        name = self.random.choice(self.numbers)
        return Text(name, scale=4 if name in self.names.get("decimal", []) else 0)

    def number_literal(self) -> Text:
        whole = ("0", "1", "2", "3", "7", "10", "100", "1000003", "3037000500", "9223372036854775807")
        text = self.random.choice(whole if self.random.random() < 0.6 else ("0.5", "2.5", "0.1", "10.25", "0.0"))
        return Text(text, literal=True, scale=2 if "." in text else 0)

    def binary(self, depth: int) -> Text:
        left, right = self.number(depth), self.number(depth)
        if left.literal and right.literal:
            left = Text(self.random.choice(self.numbers), scale=4)
        scale = left.scale + right.scale
        op = self.random.choice(("+", "-", "*", "/", "//", "%") if scale <= SCALE_MAX else ("+", "-", "/"))
        if right.literal and float(right.text) == 0 and op in ("/", "//", "%"):
            right = self.negligible(right)
        return Text(f"({left.text} {op} {right.text})", scale=scale if op == "*" else max(left.scale, right.scale))

    def negligible(self, zero: Text) -> Text:
        """A zero that the checker can't see."""
        name = self.random.choice(self.numbers)
        return Text(f"({name} - {name})", scale=max(4, zero.scale))

    def unary(self, depth: int) -> Text:
        inner = self.number(depth)
        if inner.literal:
            return inner
        form = self.random.choice(("(-{})", "abs({})", "round({})", "round({}, 1)", "round({}, 3)"))
        return Text(form.format(inner.text), scale=inner.scale)

    def chosen_number(self, depth: int) -> Text:
        return self.chosen(self.number, depth, extremes=True)

    def chosen(self, make: Callable[[int], Text], depth: int, extremes: bool) -> Text:
        """One of two values of one family."""
        one, other = make(depth), make(depth)
        scale = max(one.scale, other.scale)
        form = self.random.choice(("min({0}, {1})", "max({0}, {1})")) if extremes and self.random.random() < 0.5 else ""
        if form and not (one.literal and other.literal):
            return Text(form.format(one.text, other.text), scale=scale)
        if self.random.random() < 0.5:
            return Text(f"coalesce({one.text}, {other.text})", scale=scale)
        return Text(f"({one.text} if {self.truth(depth).text} else {other.text})", scale=scale)

    def measured(self, depth: int) -> Text:
        """A number that comes from something else."""
        zone = self.random.choice(ZONES)
        forms: list[Callable[[], str]] = []
        if "money" in self.names:
            forms.append(lambda: f"({self.money(depth).text} / {self.random.choice(self.names['money'])})")
        if "string" in self.names:
            forms.append(lambda: f"len({self.string(depth).text})")
        if "timestamp" in self.names:
            forms.append(lambda: f'hour({self.timestamp(depth).text}, tz="{zone}")')
            forms.append(lambda: f'weekday({self.timestamp(depth).text}, tz="{zone}")')
            forms.append(lambda: f'days_between({self.timestamp(0).text}, {self.timestamp(depth).text}, tz="{zone}")')
            forms.append(lambda: f"({self.duration(depth).text} / {self.span()})")
        return Text(self.random.choice(forms)()) if forms else self.number_leaf()

    # -- money, time ---------------------------------------------------------------------------------------------
    def money(self, depth: int) -> Text:
        if depth <= 0:
            return Text(self.random.choice(self.names["money"]))
        return self.pick(self.money_of_two, self.money_scaled, self.chosen_money, self.money_literal, depth=depth)

    def money_literal(self, depth: int) -> Text:
        text = self.random.choice(("0", "0.01", "5.00", "1000000"))
        return Text(f'({self.random.choice(self.names["money"])} {self.random.choice("+-")} money("{text}"))')

    def money_of_two(self, depth: int) -> Text:
        op = self.random.choice("+-%")
        return Text(f"({self.money(depth).text} {op} {self.money(depth).text})")

    def money_scaled(self, depth: int) -> Text:
        factor = self.number(depth)
        form = self.random.choice(("({0} * {1})", "({1} * {0})", "({0} / {1})"))
        if factor.literal and float(factor.text) == 0:
            form = "({0} * {1})"
        return Text(form.format(self.money(depth).text, factor.text))

    def chosen_money(self, depth: int) -> Text:
        return self.chosen(self.money, depth, extremes=True)

    def timestamp(self, depth: int) -> Text:
        name = self.random.choice(self.names["timestamp"])
        if depth <= 0 or self.random.random() < 0.5:
            return Text(name)
        return Text(f'({name} {self.random.choice("+-")} "{self.random.choice(("1ms", "90m", "400d"))}")')

    def span(self) -> str:
        one, other = self.random.choice(self.names["timestamp"]), self.random.choice(self.names["timestamp"])
        return f"({one} - {other})"

    def duration(self, depth: int) -> Text:
        if depth <= 0:
            return Text(self.span())
        forms: tuple[Callable[[], str], ...] = (
            lambda: f"({self.duration(depth - 1).text} {self.random.choice('+-%')} {self.span()})",
            lambda: f'({self.span()} {self.random.choice("+-")} "{self.random.choice(("10m", "1h", "3d"))}")',
            lambda: f"({self.span()} * {self.number(depth - 1).text})",
            lambda: f"abs({self.duration(depth - 1).text})",
        )
        return Text(self.random.choice(forms)())

    # -- text ----------------------------------------------------------------------------------------------------
    def string(self, depth: int) -> Text:
        name = self.random.choice(self.names["string"])
        if depth <= 0 or self.random.random() < 0.3:
            return Text(name)
        forms: list[Callable[[], str]] = [
            lambda: f"{self.random.choice(OF_TEXT)}({self.string(depth - 1).text})",
            lambda: f"{name}[{self.random.choice(('1:', ':2', '-2:', ':-1', '1:3', '5:2', ':'))}]",
            lambda: f"coalesce({self.string(depth - 1).text}, {self.string_literal()})",
            lambda: f"({self.string(depth - 1).text} if {self.truth(depth - 1).text} else {self.string_literal()})",
        ]
        if "ip" in self.names:
            forms.append(
                lambda: f"network({self.random.choice(self.names['ip'])}, {self.random.choice((0, 8, 24, 32))})"
            )
        return Text(self.random.choice(forms)())

    def string_literal(self) -> str:
        return self.random.choice(('"a"', '"B"', '"aé"', '""', '"x@y.com"', '"10.0.0.0/8"'))

    # -- truth ---------------------------------------------------------------------------------------------------
    def truth(self, depth: int) -> Text:
        if depth <= 0:
            return self.truth_leaf()
        return self.pick(self.logic, self.comparison, self.comparison, self.logic, self.about_text, depth=depth)

    def truth_leaf(self) -> Text:
        forms = [f"missing({self.random.choice(self.everything)})"]
        if "bool" in self.names:
            name = self.random.choice(self.names["bool"])
            forms += [name, name, f"{name} == {self.random.choice(('true', 'false'))}"]
        if "enum" in self.names:
            forms.append(f'{self.random.choice(self.names["enum"])} == "{self.random.choice(self.labels)}"')
        return Text(self.random.choice(forms))

    def logic(self, depth: int) -> Text:
        form = self.random.choice(("({} and {})", "({} or {})", "(not {})", "({} and not {})", "({} if {} else {})"))
        return Text(form.format(*(self.truth(depth).text for _ in range(3))))

    def comparison(self, depth: int) -> Text:
        makers = [self.number, self.number]
        makers += [self.money] * ("money" in self.names)
        makers += [self.timestamp, self.duration] * ("timestamp" in self.names)
        make = self.random.choice(makers)
        one, other = make(depth), make(depth)
        if one.literal and other.literal:
            one = Text(self.random.choice(self.numbers))
        if self.random.random() < 0.2:
            return Text(f"({other.text} {self.random.choice(('<', '<='))} {one.text} < {make(depth).text})")
        return Text(f"({one.text} {self.random.choice(('<', '<=', '>', '>=', '==', '!='))} {other.text})")

    def about_text(self, depth: int) -> Text:
        forms: list[Callable[[], str]] = [lambda: self.truth_leaf().text]
        if "string" in self.names:
            forms += [
                lambda: f"({self.string(depth).text} {self.random.choice(('==', '!='))} {self.string(0).text})",
                lambda: f'({self.string(depth).text} {self.random.choice(("in", "not in"))} ("a", "aé", ""))',
                lambda: f'{self.random.choice(("startswith", "endswith", "contains"))}({self.string(depth).text}, "a")',
                lambda: f'matches({self.string(depth).text}, "{self.random.choice(PATTERNS)}")',
            ]
        if "ip" in self.names:
            forms.append(lambda: f'({self.random.choice(self.names["ip"])} == "10.0.0.7")')
        if "int" in self.names:
            forms.append(lambda: f"({self.random.choice(self.names['int'])} in (0, 1, 7))")
        return Text(self.random.choice(forms)())
