"""`event:`: the schema. Fields with their roles, derived fields, updates; what identifies, dates and sorts an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from frmcore.limits import FIELDS_MAX, KINDS_MAX
from frmcore.plan import Kind
from frmcore.policy.fields import Draft, FieldReader
from frmcore.policy.words import quoted

if TYPE_CHECKING:
    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.reader import Reader, Section
    from frmcore.policy.scope import Scope
    from frmcore.policy.source import Place
    from frmcore.policy.tree import Field
    from frmcore.policy.words import Names

_KEYS: Final = ("id", "time", "kind", "retry_may_change", "fields", "derived", "updates")
_ROLES: Final = {"id": Kind.STRING, "time": Kind.TIMESTAMP, "kind": Kind.ENUM}
_UPDATE_ARGUMENTS: Final = ("at", "by", "source")  # what Engine.update takes beside the fields that it tells


class Roles(NamedTuple):
    """The fields that identify, date and sort an event; `kind` is "" without one."""

    id: str
    time: str
    kind: str


class SchemaReader:
    """Reads `event:` into the scope, in two steps: what derived fields may read stands between them."""

    def __init__(self, node: Node, reader: Reader, scope: Scope, names: Names) -> None:
        self._reader = reader
        self._problems = reader.problems
        self._scope = scope
        self._names = names
        self._fields = FieldReader(reader, scope)
        self._section: Section | None = reader.section(node, '"event"', _KEYS)

    def read_fields(self) -> Roles:
        """`fields:`, and who has which role."""
        section = self._section
        if section is None:
            return Roles("", "", "")
        drafts = [draft for name, node in self._entries("fields") if (draft := self._draft(name, node))]
        if "fields" not in section.found:
            self._problems.add(section.place, '"event" lacks "fields"', "fields: {txn_id: string, ts: timestamp}")
        roles = Roles(self._role(section, "id"), self._role(section, "time"), self._role(section, "kind"))
        kind = self._scope.fields.get(roles.kind)
        self._scope.kinds = kind.type.values if kind else ()
        if kind and len(self._scope.kinds) > KINDS_MAX:
            hint = "a kind is a sort of event, such as payment; leave finer distinctions to another enum"
            self._problems.add(kind.place, f"more than {KINDS_MAX} kinds of events", hint)
        self._scope.kind_field, self._scope.time_field = roles.kind, roles.time
        for draft in drafts:
            self._check_draft(draft)
        self._check_paths()
        self._mark_changeable(section, roles)
        return roles

    def read_results(self) -> None:
        """`updates:` and `derived:`."""
        for name, node in self._entries("updates"):
            if name.text in _UPDATE_ARGUMENTS:
                hint = f'Engine.update has an argument of that name; "{name.text}_" would do'
                self._problems.add(name.place, f"no update can be called {quoted(name.text)}", hint)
            self._register(name, "update", self._scope.updates, self._fields.update(name, node))
        for name, node in self._entries("derived"):
            self._register(name, "derived field", self._scope.derived, self._fields.derived(name, node))
        self._check_entities()

    def _entries(self, key: str) -> list[tuple[Leaf, Node]]:
        node = self._section.get(key) if self._section else None
        return [] if node is None else list(self._reader.entries(node, f'"{key}"'))

    def _draft(self, name: Leaf, node: Node) -> Draft | None:
        draft = self._fields.field(name, node)
        field = draft.field if draft else None
        return draft if self._register(name, "field", self._scope.fields, field) else None

    def _register(self, name: Leaf, what: str, declared: dict[str, Field], field: Field | None) -> bool:
        free = self._names.declare(name.scalar, what) != ""
        if field is not None and free:
            declared[name.text] = field
            self._check_number(name)
            return True
        if free:
            self._scope.broken.add(name.text)
        return False

    def _role(self, section: Section, key: str) -> str:
        """The field with the role `key`, "" without one or after a problem was added."""
        wanted = _ROLES[key]
        leaf = (
            section.leaf(key)
            if key == "kind"
            else section.required(key, f"name the {wanted.name.lower()} field that is the event's {key}")
        )
        field = self._declared(leaf) if leaf else None
        if leaf is None or field is None:
            return ""
        if field.type.kind is not wanted:
            self._problems.add(
                leaf.place,
                f'"{key}" must name a field of type {wanted.name.lower()}',
                f"{leaf.text} is of type {field.type.kind.name.lower()}",
            )
        elif field.optional or field.type.private:
            word = "optional" if field.optional else "private"
            self._problems.add(leaf.place, f'the "{key}" field can\'t be {word}', f'remove "{word}" from {leaf.text}')
        else:
            return field.name
        return ""

    def _declared(self, leaf: Leaf) -> Field | None:
        field = self._scope.fields.get(leaf.text)
        if field is None and leaf.text not in self._scope.broken and self._scope.fields:
            self._reader.unknown(leaf, "field", tuple(self._scope.fields))
        return field

    def _check_draft(self, draft: Draft) -> None:
        for leaf in draft.required_on:
            if not self._scope.kind_field:
                hint = 'name the enum field that sorts events: "kind: ..." in "event"'
                self._problems.add(leaf.place, '"required_on" needs a kind field', hint)
            elif leaf.text not in self._scope.kinds:
                self._reader.unknown(leaf, "kind", self._scope.kinds)
        if draft.currency is not None:
            self._check_currency(draft.currency)

    def _check_currency(self, leaf: Leaf) -> None:
        if leaf.text.isupper() and leaf.text not in self._scope.fields:
            hint = "give an ISO 4217 code, or the name of the field that holds the currency"
            self._problems.add(leaf.place, f"unknown currency {quoted(leaf.text)}", hint)
            return
        field = self._declared(leaf)
        if field is not None and (field.type.kind is not Kind.STRING or field.type.private):
            self._problems.add(
                leaf.place, f"the currency field {quoted(leaf.text)} must be a string that is not private"
            )
        elif field is not None and not self._scope.base_currency:
            hint = 'give "base: EUR" and "rates:", by which amounts are converted on entry'
            self._problems.add(leaf.place, "money in the currency of a field needs a base currency", hint)

    def _check_paths(self) -> None:
        """No two fields read the same place, and none reads inside another."""
        paths: dict[tuple[str, ...], Field] = {}
        for field in self._scope.fields.values():
            paths.setdefault(field.path, field)
        for field in self._scope.fields.values():
            for length in range(1, len(field.path) + 1):
                other = paths.get(field.path[:length])
                if other is not None and other is not field:
                    path = quoted(".".join(field.path))
                    message = f"field {quoted(field.name)} reads {path}, where {quoted(other.name)} is"
                    self._problems.add(field.place, message, "a path leads to one value, and belongs to one field")

    def _mark_changeable(self, section: Section, roles: Roles) -> None:
        for leaf in section.one_or_more("retry_may_change"):
            field = self._declared(leaf)
            if field is None:
                continue
            if field.name == roles.id:
                self._problems.add(leaf.place, "an event with another id is another event", f"remove {leaf.text}")
            self._scope.fields[field.name] = replace(field, may_change=True)

    def _check_entities(self) -> None:
        """Keys of one entity type must be comparable: one type, all private or none."""
        first: dict[str, Field] = {}
        for field in self._scope.keys.values():
            other = first.setdefault(field.entity, field) if field.entity else field
            if (other.type.kind, other.type.values) != (field.type.kind, field.type.values):
                self._mismatch(field.place, field, other, "have one type")
            elif other.type.private != field.type.private:
                self._mismatch(field.place, field, other, "all be private, or none of them")

    def _mismatch(self, place: Place, field: Field, other: Field, must: str) -> None:
        message = f"{quoted(field.name)} and {quoted(other.name)} are keys of one entity, {field.entity}, but differ"
        self._problems.add(place, message, f"they must {must}, or name two entities")

    def _check_number(self, name: Leaf) -> None:
        """Fields, derived fields and updates beyond the limit are not read."""
        if len(self._scope.fields) + len(self._scope.derived) + len(self._scope.updates) > FIELDS_MAX:
            self._problems.add(name.place, f"more than {FIELDS_MAX} fields, derived fields and updates")
            self._problems.raise_if_any()
