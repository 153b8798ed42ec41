"""`base:` and `rates:`: what other currencies are worth in the base currency, and since when."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from frmcore.currency import exponent
from frmcore.limits import POLICY_BYTES_MAX, TIME_MS_MAX
from frmcore.policy.envelope import Leaf, Map
from frmcore.policy.source import Place
from frmcore.policy.tree import RatePoint
from frmcore.policy.values import parse_date, parse_scaled
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Node
    from frmcore.policy.files import Files
    from frmcore.policy.reader import Reader

RATE_DIGITS: Final = 10  # a rate is an integer scaled by 10**10
_HEADER: Final = ["currency", "from", "rate"]
_DATE_HINT: Final = "write 2026-01-31 (its first instant in UTC) or 2026-01-31T09:00:00Z"
_LIST_HINT: Final = 'write [{from: 2026-01-31, rate: "1.0832"}], an entry for each date'
_RATE_HINT: Final = f'base units for one unit, above 0, at most {RATE_DIGITS} digits behind the point, such as "1.0832"'


def read_base(leaf: Leaf, reader: Reader) -> str:
    """The base currency, "" after a problem was added."""
    if exponent(leaf.text) is None:
        reader.problems.add(leaf.place, f"unknown currency {quoted(leaf.text)}", "give an ISO 4217 code such as EUR")
        return ""
    return leaf.text


def read_rates(node: Node, base: str, reader: Reader, files: Files) -> tuple[RatePoint, ...]:
    """A mapping currency -> list of {from, rate}, or {file: rates.csv} with the columns currency, from, rate."""
    if not base:
        reader.problems.add(node.place, '"rates" need a base currency', 'give "base: EUR"')
    table = _Table(base, reader)
    if isinstance(node, Map) and (name := node.get("file")) is not None:
        leaf = reader.leaf(name, '"file"')
        found = files.read(leaf, POLICY_BYTES_MAX) if leaf else None
        if found:
            table.add_csv(*found)
        return table.points()
    for currency, dated in reader.entries(node, '"rates"'):
        for item in reader.items(dated, f"the rates of {quoted(currency.text)}", _LIST_HINT):
            table.add_entry(currency, item)
    return table.points()


class _Table:
    """Rates by currency and date; each pair once."""

    def __init__(self, base: str, reader: Reader) -> None:
        self._base = base
        self._reader = reader
        self._problems = reader.problems
        self._rates: dict[tuple[str, int], int] = {}

    def points(self) -> tuple[RatePoint, ...]:
        return tuple(RatePoint(currency, since, rate) for (currency, since), rate in sorted(self._rates.items()))

    def add_entry(self, currency: Leaf, item: Node) -> None:
        section = self._reader.section(item, "a rate", ("from", "rate"))
        since = section and section.required("from", _DATE_HINT)
        rate = section and section.required("rate", _RATE_HINT)
        if since and rate:
            self._add((currency.text, since.text, rate.text), (currency.place, since.place, rate.place))

    def add_csv(self, file: str, text: str) -> None:
        self._problems.add_file(file, text)
        rows = csv.reader(text.split("\n"), strict=True)
        try:
            if next(rows, []) != _HEADER:
                self._problems.add(Place(file, 1, 1), f"the first line must be {','.join(_HEADER)}")
                return
            for row in rows:
                self._add_row(row, Place(file, rows.line_num, 1))
        except csv.Error as error:
            self._problems.add(Place(file, rows.line_num, 1), f"not a CSV file: {error}")

    def _add_row(self, row: list[str], place: Place) -> None:
        if len(row) == len(_HEADER):
            self._add((row[0], row[1], row[2]), (place, place, place))
        elif row:
            self._problems.add(place, f"{len(row)} columns instead of {len(_HEADER)}", f"write {','.join(_HEADER)}")

    def _add(self, texts: tuple[str, str, str], places: tuple[Place, Place, Place]) -> None:
        currency, since, rate = texts[0], parse_date(texts[1]), parse_scaled(texts[2], RATE_DIGITS)
        if exponent(currency) is None:
            self._problems.add(places[0], f"unknown currency {quoted(currency)}", "give an ISO 4217 code such as USD")
        elif currency == self._base:
            self._problems.add(places[0], f"{currency} is the base currency: its rate is 1", "remove it")
        elif since is None or abs(since) > TIME_MS_MAX:
            self._problems.add(places[1], f"{quoted(texts[1])} is no date", _DATE_HINT)
        elif rate is None or rate <= 0:
            self._problems.add(places[2], f"{quoted(texts[2])} is no rate", _RATE_HINT)
        elif (currency, since) in self._rates:
            self._problems.add(places[1], f"two rates for {currency} from {quoted(texts[1])}", "remove one of them")
        else:
            self._rates[currency, since] = rate
