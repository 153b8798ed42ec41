"""One line of the schema: `country: string`, `amount: {type: money, currency: EUR}`, an update, a derived field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from frmcore.currency import exponent
from frmcore.limits import ENUM_VALUES_MAX, STRING_BYTES_MAX
from frmcore.plan import Kind
from frmcore.policy.check import check_expression
from frmcore.policy.envelope import Leaf
from frmcore.policy.families import SCALE_MAX, describe
from frmcore.policy.reader import Reader, Section
from frmcore.policy.scope import DERIVED, Scope
from frmcore.policy.tree import Field, Type
from frmcore.policy.values import describe_kind, parse_value
from frmcore.policy.words import check_identifier, quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Node
    from frmcore.policy.source import Place, Problems, Scalar

TYPES: Final = {kind.name.lower(): kind for kind in Kind if kind is not Kind.DURATION}
KEY_KINDS: Final = (Kind.STRING, Kind.INT, Kind.ENUM, Kind.IP)  # what state can be kept by
TYPE_KEYS: Final = {"values": Kind.ENUM, "scale": Kind.DECIMAL, "currency": Kind.MONEY}
_FIELD: Final = ("type", "entity", "optional", "required_on", "private", "path", *TYPE_KEYS)
_UPDATE: Final = ("type", "default", "optional", *TYPE_KEYS)
_TYPES_HINT: Final = f"the types are {', '.join(TYPES)}"


class Draft(msgspec.Struct, frozen=True):
    """A schema field, and what can be checked only once every field is known."""

    field: Field
    currency: Leaf | None  # names a field
    required_on: tuple[Leaf, ...]


class FieldReader:
    """Reads the entries of `fields:`, `derived:` and `updates:`."""

    def __init__(self, reader: Reader, scope: Scope) -> None:
        self._reader = reader
        self._problems: Problems = reader.problems
        self._scope = scope

    def field(self, name: Leaf, node: Node) -> Draft | None:
        section = self._long_form(name, node, _FIELD)
        if section is None:
            return None
        entity = _entity(section)
        type_, currency = self.type_of(section, "string" if "entity" in section.found else "")
        private = section.flag("private")
        self._check_optional(section)
        if (
            type_ is None
            or not self._may_be_key(section, type_, entity)
            or not self._may_be_private(section, type_, private)
        ):
            return None
        declared = Field(
            name=name.text,
            type=replace(type_, private=private),
            entity=entity,
            path=self._path(section) or (name.text,),
            optional=section.flag("optional"),
            required_on=tuple(leaf.text for leaf in section.one_or_more("required_on")),
            may_change=False,
            default=None,
            expression=None,
            currency_field=currency.text if currency else "",
            place=name.place,
        )
        return Draft(declared, currency, section.one_or_more("required_on"))

    def update(self, name: Leaf, node: Node) -> Field | None:
        section = self._long_form(name, node, _UPDATE)
        if section is None:
            return None
        type_, currency = self.type_of(section, "")
        if currency is not None:
            hint = "give the currency itself: an update is not converted"
            self._problems.add(currency.place, f"{quoted(currency.text)} is no currency code", hint)
        if type_ is None or currency is not None:
            return None
        default = self._default(section, type_)
        if default is not None and section.flag("optional"):
            section.add("optional", f"{section.what} has a default, so it is never absent", 'remove "optional"')
        return _plain(name, type_, default=default, optional=default is None)

    def derived(self, name: Leaf, node: Node) -> Field | None:
        """Adds to the problems of the expression those of what a derived field can be."""
        text: Scalar | None
        if isinstance(node, Leaf):
            text, entity, private, section = (
                self._reader.text(node, f"derived field {quoted(name.text)}"),
                "",
                False,
                None,
            )
        else:
            section = self._reader.section(node, f"derived field {quoted(name.text)}", ("is", "entity", "private"))
            if (
                section is None
                or section.required("is", "give its expression: {is: network(ip, 24), entity: subnet}") is None
            ):
                return None
            text, entity, private = section.text("is"), _entity(section), section.flag("private")
        expression = check_expression(text, self._scope, self._problems, names=DERIVED) if text else None
        if expression is None or text is None:
            return None
        private = private or expression.type.private  # what tells a private value is private, whatever it says
        type_ = replace(expression.type, private=private)
        if type_.fractional:
            self._problems.add(
                text.place,
                "a derived field can't hold a fraction of a money unit or a millisecond",
                "compute it in a feature",
            )
            return None
        if section and not (self._may_be_key(section, type_, entity) and self._may_be_private(section, type_, private)):
            return None
        return replace(_plain(name, type_, optional=True), entity=entity, expression=expression)

    def _long_form(self, name: Leaf, node: Node, known: tuple[str, ...]) -> Section | None:
        """`country: string` reads as `country: {type: string}`."""
        what = f"field {quoted(name.text)}" if known is _FIELD else f"update {quoted(name.text)}"
        if isinstance(node, Leaf):
            if self._reader.leaf(node, what, f"give its type: {_TYPES_HINT}") is None:
                return None
            return Section(self._reader, what, node.place, {"type": (node, node)})
        return self._reader.section(node, what, known)

    def type_of(self, section: Section, default: str) -> tuple[Type | None, Leaf | None]:
        """The type, and for money in the currency of another field that field's name."""
        leaf = section.leaf("type") if default else section.required("type", _TYPES_HINT)
        kind = TYPES.get(leaf.text if leaf else default)
        if kind is None:
            if leaf is not None:
                self._reader.unknown(leaf, "type", tuple(TYPES))
            return None, None
        if "type" in section.found and leaf is None:
            return None, None
        for key, owner in TYPE_KEYS.items():
            if key in section.found and kind is not owner:
                section.add(
                    key,
                    f'"{key}" is for {owner.name.lower()} alone, not for {kind.name.lower()}',
                    "remove it, or change the type",
                )
        if kind is Kind.ENUM:
            return self._enum(section), None
        if kind is Kind.DECIMAL:
            return self._decimal(section), None
        return self._money(section) if kind is Kind.MONEY else (Type(kind), None)

    def _enum(self, section: Section) -> Type | None:
        node = section.get("values")
        if node is None:
            section.add("type", f'{section.what} lacks "values"', "list what it can be: {type: enum, values: [a, b]}")
            return None
        leaves = self._reader.one_or_more(node, '"values"')
        if len(leaves) > ENUM_VALUES_MAX:
            hint = "declare a string, and keep the values in a list"
            self._problems.add(node.place, f"an enum of more than {ENUM_VALUES_MAX:,} values", hint)
        for leaf in leaves:
            if len(leaf.text.encode()) > STRING_BYTES_MAX:
                self._problems.add(
                    leaf.place, f"a value longer than {STRING_BYTES_MAX:,} bytes", "no event could bring it"
                )
        return Type(Kind.ENUM, values=tuple(dict.fromkeys(leaf.text for leaf in leaves))) if leaves else None

    def _decimal(self, section: Section) -> Type | None:
        if "scale" not in section.found:
            section.add(
                "type",
                f'{section.what} lacks "scale"',
                "say how many digits stand behind the point: {type: decimal, scale: 4}",
            )
        scale = section.integer("scale", 0, SCALE_MAX)
        return None if scale is None else Type(Kind.DECIMAL, scale=scale)

    def _money(self, section: Section) -> tuple[Type | None, Leaf | None]:
        if "currency" not in section.found:
            hint = "{type: money, currency: EUR}, or the name of the field that holds the currency"
            section.add("type", f'{section.what} lacks "currency"', hint)
        leaf = section.leaf("currency")
        if leaf is None:
            return None, None
        if exponent(leaf.text) is not None:
            return Type(Kind.MONEY, currency=leaf.text), None
        return Type(Kind.MONEY, currency=self._scope.base_currency), leaf

    def _default(self, section: Section, type_: Type) -> int | float | str | None:
        leaf = section.leaf("default")
        if leaf is None:
            return None
        value = parse_value(leaf.text, type_)
        if value is None:
            self._problems.add(leaf.place, f"{quoted(leaf.text)} can't be the default", f"give {describe_kind(type_)}")
        return value

    def _path(self, section: Section) -> tuple[str, ...]:
        leaf = section.leaf("path")
        parts = tuple(leaf.text.split(".")) if leaf else ()
        if leaf is not None and not all(parts):
            self._problems.add(leaf.place, f"{quoted(leaf.text)} has an empty part", "write it as payment.card.id")
        return parts if all(parts) else ()

    def _check_optional(self, section: Section) -> None:
        if "required_on" in section.found and not section.flag("optional"):
            section.add("required_on", f"{section.what} is required on every kind already", "add optional: true")

    def _may_be_key(self, section: Section, type_: Type, entity: str) -> bool:
        if entity and type_.kind not in KEY_KINDS:
            kinds = ", ".join(kind.name.lower() for kind in KEY_KINDS)
            section.add("entity", f"no state is kept by {describe(type_)}", f"an entity is one of {kinds}")
            return False
        return True

    def _may_be_private(self, section: Section, type_: Type, private: bool) -> bool:
        if private and type_.kind not in (Kind.STRING, Kind.IP):
            section.add(
                "private",
                f"{describe(type_)} can't be private",
                "only a string or an ip can: it is kept as a hash",
            )
            return False
        return True


def _entity(section: Section) -> str:
    leaf = section.leaf("entity")
    return check_identifier(leaf.scalar, "entity", section.reader.problems) if leaf else ""


def _plain(name: Leaf, type_: Type, *, optional: bool, default: int | float | str | None = None) -> Field:
    place: Place = name.place
    return Field(name.text, type_, "", (name.text,), optional, (), False, default, None, "", place)
