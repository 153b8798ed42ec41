"""Features to groups: who shares a ring, which columns it has, what of a running engine can be kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from frmcore.limits import GROUP_COLUMNS_MAX
from frmcore.plan import Column, ColumnKind, Group, Lookup, Query
from frmcore.policy.needs import Need, Needs, Values, query, reads_decision, reads_updates
from frmcore.policy.tree import Aggregate, Calendar, Expr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frmcore.policy.earlier import Earlier
    from frmcore.policy.emit import Emitter
    from frmcore.policy.tree import Policy

_BLANK: Final[dict[ColumnKind, int | float | str]] = {
    ColumnKind.INT: 0, ColumnKind.FLOAT: 0.0, ColumnKind.TRUTH: 0, ColumnKind.MEMBER: 0, ColumnKind.TEXT: "",
}  # fmt: skip


class Draft:
    """A group in the making. Of a kept ring neither columns nor span change; a new one grows with what it serves."""

    def __init__(self, need: Need, signature: str, kept: Group | None, marks: int) -> None:
        self.members = need.members
        self.signature = signature
        self.is_kept = kept is not None
        self.columns = [] if kept is None else list(kept.columns)
        self.expressions: dict[int, Expr] = {}  # of the columns that are read, by index
        self.span_ms = 0 if kept is None else kept.span_ms
        self.life = kept is not None and kept.life
        self.marks = marks
        self.queries: dict[tuple[int, ...], list[Query]] = {}

    def serves(self, need: Need) -> bool:
        """Of a kept ring: does it hold all that is needed."""
        reaches = self.span_ms == -1 or 0 <= need.span_ms <= self.span_ms
        return reaches and self.life >= need.life and (need.values is None or self._holds(need.values))

    def has_room(self, need: Need) -> bool:
        return need.values is None or self._find(need.values) >= 0 or len(self.columns) < GROUP_COLUMNS_MAX

    def add(self, need: Need) -> int:
        """The column that `need` reads, -1 for none."""
        if not self.is_kept:
            self.span_ms = -1 if -1 in (self.span_ms, need.span_ms) else max(self.span_ms, need.span_ms)
            self.life = self.life or need.life
        return -1 if need.values is None else self._column(need.values)

    def _holds(self, values: Values) -> bool:
        at = self._find(values)
        return at >= 0 and _widened(self.columns[at], values) == self.columns[at]

    def _column(self, values: Values) -> int:
        at = self._find(values)
        if at < 0:
            at = len(self.columns)
            self.columns.append(Column(-1, values.kind, squares=False, sums=False, extremes=False, text=values.text))
        self.columns[at] = _widened(self.columns[at], values)
        self.expressions.setdefault(at, values.expr)
        return at

    def _find(self, values: Values) -> int:
        same = (
            index
            for index, column in enumerate(self.columns)
            if (column.text, column.kind) == (values.text, values.kind)
        )
        return next(same, -1)


def _widened(column: Column, values: Values) -> Column:
    return column._replace(
        squares=column.squares or values.squares,
        sums=column.sums or values.sums,
        extremes=column.extremes or values.extremes,
    )


class Grouping:
    """Places aggregates in groups, kept ones first, then writes the groups' code."""

    def __init__(self, policy: Policy, emitter: Emitter, keep: Sequence[Group], earlier: Earlier) -> None:
        self._policy = policy
        self._earlier = earlier
        self._emitter = emitter
        self._needs = Needs(policy, emitter.program.texts)
        self._kept: dict[str, list[Group]] = {}
        for group in keep:
            self._kept.setdefault(_base(group.signature), []).append(group)
        self._marked_by = {
            group.signature: keep[group.marks_group].signature for group in keep if group.marks_group >= 0
        }
        self._taken: set[tuple[str, int]] = set()  # queries of kept groups, by place, that a feature asks again
        self._drafts: list[Draft] = []
        self._new: dict[str, int] = {}  # by base signature: the new group that takes what no kept one serves

    def place(self, aggregate: Aggregate, dst: int) -> tuple[int, tuple[int, ...]]:
        """(group, lookup keys). An aggregate that stands under two names is two queries: each is noted, and shown."""
        need, zone = self._need(aggregate), self._zone(aggregate)
        index = self._draft_for(need, self._home(need, query(aggregate, -1, -1, zone)))
        draft = self._drafts[index]
        keys = tuple(self._emitter.registers.names[name] for name in aggregate.lookup)
        draft.queries.setdefault(keys, []).append(query(aggregate, draft.add(need), dst, zone))
        return index, keys

    def groups(self) -> tuple[Group, ...]:
        return tuple(map(self._group, self._drafts))

    def _need(self, aggregate: Aggregate) -> Need:
        """A value that older events may lack is asked for with care, and stays so while its ring does: recovery knows
        the kept group alone."""
        need, careful = self._needs.of(aggregate), self._needs.of(aggregate, careful=True)
        if self._earlier.lacks(aggregate):
            return careful
        return careful if not self._suffices(need) and self._suffices(careful) else need

    def _suffices(self, need: Need) -> bool:
        """Does a kept group serve it."""
        return any(self._keeps(group, need) for group in self._kept.get(need.members.signature, ()))

    def _keeps(self, group: Group, need: Need) -> bool:
        return not self._moved(need) and Draft(need, "", group, -1).serves(need)

    def _moved(self, need: Need) -> bool:
        """Do rings hold it as labels of the running policy had it."""
        value = None if need.values is None else need.values.expr
        return self._earlier.moved(need.members.where, need.members.since, value)

    def _zone(self, aggregate: Aggregate) -> int:
        over = aggregate.over
        return self._emitter.tables.zone(over.zone) if isinstance(over, Calendar) else 0

    def _home(self, need: Need, asked: Query) -> str | None:
        """The kept group that answers this so far: a policy lowered with its own groups gives the same plan again, as
        recovery needs it. (Others may serve as well, and lack what this one has.) Each of its queries is one feature's:
        registers don't tell which, as they differ where constants do."""
        text = "" if need.values is None else need.values.text
        for group in self._kept.get(need.members.signature, ()):
            for at, told in enumerate(told for lookup in group.lookups for told in lookup.queries):
                read = "" if told.column < 0 else group.columns[told.column].text
                same = told._replace(dst=-1, column=-1) == asked and read == text
                if same and (group.signature, at) not in self._taken and self._keeps(group, need):
                    self._taken.add((group.signature, at))
                    return group.signature
        return None

    def _draft_for(self, need: Need, home: str | None = None) -> int:
        """The group that serves `need`: a kept one if any can, because it is warm; only `home` where that is given."""
        base = need.members.signature
        for index, draft in enumerate(self._drafts):
            if (
                draft.is_kept
                and draft.members.signature == base
                and not self._moved(need)
                and draft.serves(need)
                and home in {None, draft.signature}
            ):
                return index
        kept = self._unused(need, home)
        if kept is not None:
            return self._add(need, kept)
        if base not in self._new or not self._drafts[self._new[base]].has_room(need):
            self._new[base] = self._add(need, None)
        return self._new[base]

    def _add(self, need: Need, kept: Group | None) -> int:
        """A further group; its marks precede it, and stay where a kept one has them: another group may lack some."""
        marks = self._needs.marks(need.members)
        home = None if kept is None else self._marked_by.get(kept.signature)
        marks_at = -1 if marks is None else self._draft_for(marks, home)
        if marks is not None:
            self._drafts[marks_at].add(marks)
        signature = self._fresh(need.members.signature) if kept is None else kept.signature
        self._drafts.append(Draft(need, signature, kept, marks_at))
        return len(self._drafts) - 1

    def _unused(self, need: Need, home: str | None) -> Group | None:
        """A group of the running engine that serves `need` and is not in the plan yet."""
        used = {draft.signature for draft in self._drafts}
        for group in self._kept.get(need.members.signature, ()):
            if group.signature in used or home not in {None, group.signature}:
                continue
            if self._keeps(group, need):
                return group
        return None

    def _fresh(self, base: str) -> str:
        """Unlike any other: rings of the running engine must not be taken for this group's."""
        taken = {group.signature for group in self._kept.get(base, ())} | {draft.signature for draft in self._drafts}
        number, signature = 1, base
        while signature in taken:
            number += 1
            signature = f"{base} #{number}"
        return signature

    def _group(self, draft: Draft) -> Group:
        members = draft.members
        names = self._emitter.registers.names
        read = list(draft.expressions.values())
        roots = read if members.where is None else [members.where, *read]
        with self._emitter.apart():
            code = self._emitter.segment(roots)
        decision = any(map(reads_decision, roots))
        return Group(
            signature=draft.signature,
            entity=members.entity,
            kinds=None if members.on is None else tuple(sorted(map(self._policy.kinds.index, members.on))),
            keys=tuple(names[name] for name in members.by),
            where=-1 if members.where is None else self._emitter.home(members.where),
            code=code,
            columns=tuple(self._finished(draft, index) for index in range(len(draft.columns))),
            every_ms=members.every_ms,
            span_ms=draft.span_ms,
            life=draft.life,
            reads_updates=decision or any(map(reads_updates, roots)),
            reads_decision=decision,
            marks_group=draft.marks,
            lookups=tuple(Lookup(keys, tuple(queries)) for keys, queries in draft.queries.items()),
        )

    def _finished(self, draft: Draft, index: int) -> Column:
        """A kept column that nobody reads any more stays in the ring, blank from here on and under no name."""
        column = draft.columns[index]
        if index in draft.expressions:
            return column._replace(reg=self._emitter.home(draft.expressions[index]))
        return column._replace(reg=self._emitter.constant(_BLANK[column.kind]), text="")


def _base(signature: str) -> str:
    return signature.rpartition(" #")[0] if signature.rpartition(" #")[2].isdecimal() else signature
