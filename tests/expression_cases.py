"""The policy that the cases under tests/cases/expressions/ are checked against, and the form of those files.

A case is a block: a line `where: text`, then, for a wrong one, a line of carets under what is wrong, the message and,
after `hint:`, the hint. A right case has the type after ` -> ` in its only line. Adding a block adds a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from frmcore.errors import PolicyError
from frmcore.plan import Kind
from frmcore.policy.check import check_expression, check_features, check_reason, check_rollout
from frmcore.policy.families import describe
from frmcore.policy.scope import ALL, DERIVED, FILTER, Scope
from frmcore.policy.source import Place, Problem, Problems, Scalar
from frmcore.policy.tree import Const, Expr, Feature, Field, ListSpec, ReasonText, Type

FILE = "policy.yaml"
TOP = Place(FILE, 1, 1)
CASES = Path(__file__).parent / "cases" / "expressions"
STRING, INT, FLOAT, BOOL = Type(Kind.STRING), Type(Kind.INT), Type(Kind.FLOAT), Type(Kind.BOOL)
TIMESTAMP, IP = Type(Kind.TIMESTAMP), Type(Kind.IP)
EUR, USD, JPY = (Type(Kind.MONEY, currency=code) for code in ("EUR", "USD", "JPY"))
PRIVATE = Type(Kind.STRING, private=True)

FIELDS = {
    "ts": TIMESTAMP, "born": TIMESTAMP,
    "kind": Type(Kind.ENUM, values=("payment", "login", "payout")),
    "account": STRING, "payee": STRING, "card": PRIVATE, "other_card": PRIVATE, "device": STRING, "merchant": STRING,
    "ip": IP, "country": STRING, "email": STRING, "amount": EUR, "fee": EUR, "tip": USD, "coins": JPY, "shipping": EUR,
    "tries": INT, "rate": Type(Kind.DECIMAL, scale=3),
    "price": Type(Kind.DECIMAL, scale=12), "lat": FLOAT, "lon": FLOAT,
    "vip": BOOL, "channel": Type(Kind.ENUM, values=("web", "app")),
}  # fmt: skip
ENTITIES = {
    "account": "account", "payee": "account", "card": "card", "other_card": "card", "device": "device",
    "merchant": "merchant", "ip": "ip",
}  # fmt: skip
FEATURES = {
    "attempts": 'count(by=card, over="10m")', "spent": 'sum(amount, by=account, over="24h")',
    "usual": 'mean(amount, by=account, over="30d")', "since_login": "since_last(by=account, on=login)",
    "last_country": "last(country, by=account)", "last_vip": "last(vip, by=account)", "gap": "since_login / 2",
}  # fmt: skip


def field(name: str, type_: Type, entity: str = "", currency_field: str = "") -> Field:
    return Field(name, type_, entity, (name,), True, (), False, None, None, currency_field, TOP)


def scope() -> Scope:
    made = Scope(kinds=("payment", "login", "payout"), base_currency="EUR", rules={"mule", "card_testing"})
    made.kind_field, made.time_field = "kind", "ts"
    made.fields = {name: field(name, of, ENTITIES.get(name, "")) for name, of in FIELDS.items()}
    made.fields["shipping"] = field("shipping", EUR, currency_field="country")
    made.derived = {"subnet": field("subnet", STRING, "subnet"), "bin": field("bin", STRING)}
    made.updates = {"status": field("status", Type(Kind.ENUM, values=("pending", "approved", "declined")))}
    params: dict[str, tuple[Type, int | float | str]]
    params = {
        "max_tries": (INT, 8),
        "ratio": (FLOAT, 0.5),
        "window": (Type(Kind.DURATION), 600_000),
        "home": (STRING, "DE"),
    }
    made.params = {name: Const(of, TOP, str(value), value, name) for name, (of, value) in params.items()}
    lists = {"blocked": ("card", PRIVATE), "accounts": ("account", STRING), "disposable": ("string", STRING)}
    made.lists = {name: ListSpec(name, of, type_, False, None, TOP) for name, (of, type_) in lists.items()}
    made.lists["networks"] = ListSpec("networks", "ip", IP, True, None, TOP)
    made.broken = {"spoiled"}
    problems = Problems()
    check_features([(scalar(name), scalar(text)) for name, text in FEATURES.items()], made, problems)
    problems.raise_if_any()
    return made


def scalar(text: str, line: int = 1, column: int = 1) -> Scalar:
    lines = text.split("\n")
    return Scalar(text, tuple(Place(FILE, line + index, column) for index in range(len(lines))))


Checked = Expr | Feature | ReasonText | None


def check(where: str, text: str, within: Scope | None = None, *, say: bool = True) -> tuple[Checked, list[Problem]]:
    """What the text is where it stands, and its problems, in order (`say=False`: without their report)."""
    problems = Problems()
    problems.add_file(FILE, text)
    try:
        found = _check(where, scalar(text), within or scope(), problems)
    except PolicyError as error:  # too many to go on
        return None, list(error.problems)
    return found, listed(problems) if say else []


def _check(where: str, written: Scalar, made: Scope, problems: Problems) -> Checked:
    match where:
        case "feature":
            made.features.pop("it", None)
            made.broken.discard("it")
            return next(iter(check_features([(scalar("it"), written)], made, problems)), None)
        case "reason":
            return check_reason(written, made, problems)
        case "rollout":
            return check_rollout(written, "a_rule", made, problems)
        case "rule":
            return check_expression(written, made, problems, want=BOOL)
    names = {"value": ALL, "filter": FILTER, "derived": DERIVED}[where]
    return check_expression(written, made, problems, names=names)


def listed(problems: Problems) -> list[Problem]:
    try:
        problems.raise_if_any()
    except PolicyError as error:
        return list(error.problems)
    return []


@dataclass(frozen=True)
class Case:
    file: str
    where: str
    text: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.text}"


def cases(folder: str) -> list[Case]:
    """Every case below tests/cases/expressions/`folder`."""
    found = []
    for path in sorted((CASES / folder).glob("*.txt")):
        for block in path.read_text("utf-8").strip().split("\n\n"):
            first, *rest = block.split("\n")
            where, text = first.split(": ", 1)
            if rest:
                found.append(Case(path.stem, where, text, "\n".join(line.rstrip() for line in rest)))
            else:
                text, expected = text.rsplit(" -> ", 1)
                found.append(Case(path.stem, where, text, expected))
    return found


def shown(where: str, problems: list[Problem]) -> str:
    """Problems in the form of a case file."""
    lines = []
    for problem in problems:
        lines += [" " * (len(where) + 1 + problem.place.column) + "^" * problem.place.length, problem.message]
        lines += [f"hint: {problem.hint}"] * bool(problem.hint)
    return "\n".join(lines)


def type_of(checked: Checked) -> str:
    assert isinstance(checked, Expr | Feature)
    of = checked.type
    words = [describe(of)] + [f"scale {of.scale}"] * bool(of.scale)
    return ", ".join(words + ["private"] * of.private + ["fractional"] * of.fractional)
