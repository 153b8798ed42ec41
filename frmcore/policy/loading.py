"""A policy's text and files in, one checked `Policy` out, or one error that names every mistake.

A policy is one YAML file and what it includes. The main file alone says what the policy is and how it decides
(`policy`, `version`, `outcomes`, `points`, `score`, `groups`, `holdout`, `limits`, `tests`); any file may hold the
other sections. `params`, `lists`, `lookups`, `features`, `rules` and `tables` add up: the main file's first, then those
of each included file in the order of `include`, patterns by path. `event`, `base` and `rates` stand once.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from frmcore.limits import FEATURES_MAX, NAME_BYTES_MAX
from frmcore.policy.check import check_features
from frmcore.policy.control import read_groups, read_holdout
from frmcore.policy.envelope import Map
from frmcore.policy.files import Files
from frmcore.policy.fingerprint import fingerprint
from frmcore.policy.lists import ListReader
from frmcore.policy.lookups import LookupReader
from frmcore.policy.rates import read_base, read_rates
from frmcore.policy.reader import Reader
from frmcore.policy.rules import RuleReader
from frmcore.policy.schema import Roles, SchemaReader
from frmcore.policy.scope import Scope
from frmcore.policy.sections import DEFAULT_LIMITS, PointReader, read_limits, read_outcomes, read_params
from frmcore.policy.source import Place, Problems
from frmcore.policy.tables.reader import TableReader
from frmcore.policy.tree import Policy
from frmcore.policy.unused import unused_features
from frmcore.policy.words import Names, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frmcore.plan import Zone
    from frmcore.policy.envelope import Leaf, Node
    from frmcore.policy.source import Scalar
    from frmcore.policy.tree import Feature, RatePoint, Rule

_MAIN_ONLY: Final = ("policy", "version", "outcomes", "points", "score", "groups", "holdout", "limits", "tests")
_ONCE: Final = ("event", "base", "rates")
_ADDING: Final = ("include", "params", "lists", "lookups", "features", "rules", "tables")
_ANYWHERE: Final = (*_ONCE, *_ADDING)


def read_policy(
    source: str | Path, base: Path | None, zones: Mapping[str, Zone] | None, params: Mapping[str, str] | None
) -> Policy:
    """See `frmcore.policy.load`."""
    problems = Problems()
    main = source if isinstance(source, str) and "\n" in source else Path(source)
    folder = main.parent if isinstance(main, Path) else base
    policy = _Loader(Files(folder, problems), problems, zones or {}, params or {}).load(main)
    problems.raise_if_any()
    return policy


class _Loader:
    """Reads the sections in the order in which they need each other, and goes on after problems."""

    def __init__(self, files: Files, problems: Problems, zones: Mapping[str, Zone], params: Mapping[str, str]) -> None:
        self.files = files
        self.params = params
        self.problems = problems
        self.reader = Reader(problems)
        self.scope = Scope(known_zones=zones)
        self.names = Names(problems)
        self.sections: dict[str, list[tuple[Leaf, Node]]] = {key: [] for key in (*_MAIN_ONLY, *_ANYWHERE)}

    def load(self, main: Path | str) -> Policy:
        start = self.read_files(main)
        name, version = self.title("policy", start), self.title("version", start)
        roles, schema = self.fields(start)
        rates = self.rates()
        self.declarations(schema)
        rules = RuleReader(self.reader, self.scope)
        for node in self.nodes("rules"):
            rules.collect(node)
        tables = TableReader(self.reader, self.scope, self.names, self.files)
        for node in self.nodes("tables"):
            rules.collect(tables.read(node))
        points = PointReader(self.reader, self.scope).read(self.node("points"), self.node("score"))
        features = self.features()
        checked = rules.check(tuple(point.name for point in points), tables.declare())
        decided, rows = tables.check(checked)
        groups = self.node("groups")
        holdout = self.node("holdout")
        limits_node = self.node("limits")
        limits = DEFAULT_LIMITS if limits_node is None else read_limits(limits_node, self.reader, self.scope)
        self.warn(features, checked)
        scope = self.scope
        lists, lookups = tuple(scope.lists.values()), tuple(scope.lookups.values())
        return Policy(
            name=name,
            version=version,
            hash=fingerprint(self.files.texts, lists, lookups, rates, limits, scope.zones, decided),
            files=self.files.texts,
            list_files=self.files.list_texts,
            outcomes=scope.outcomes,
            params=scope.params,
            id_field=roles.id,
            time_field=roles.time,
            kind_field=roles.kind,
            kinds=scope.kinds,
            fields=tuple(scope.fields.values()),
            derived=tuple(scope.derived.values()),
            updates=tuple(scope.updates.values()),
            points=points,
            lists=lists,
            lookups=lookups,
            features=(*features, *rows),
            rules=checked,
            groups=() if groups is None else read_groups(groups, rules.groups, self.reader),
            holdout=None if holdout is None else read_holdout(holdout, rules.groups, self.reader, scope),
            limits=limits,
            base_currency=scope.base_currency,
            rates=rates,
            zones=scope.zones,
            tables=decided,
            test_setup=self.node("tests"),
            warnings=tuple(scope.warnings),
        )

    def read_files(self, main: Path | str) -> Place:
        """Sorts the sections of every file; gives the place where the main file starts.

        What a file that can't be read would have declared is unknown, and so is every problem that follows: they are
        not searched for.
        """
        tree = self.files.load_main(main)
        if tree is not None:
            self.collect(tree, "the policy", (*_MAIN_ONLY, *_ANYWHERE))
        if not isinstance(tree, Map) or not self.files.complete:
            self.problems.raise_if_any()
        assert tree is not None  # noqa: S101  a problem was added otherwise
        return tree.place

    def collect(self, tree: Node, what: str, known: tuple[str, ...]) -> None:
        section = self.reader.section(tree, what, known)
        if section is None:
            return
        for key, entry in section.found.items():
            if self.sections[key] and key in _ONCE:
                first = self.sections[key][0][0].place
                hint = f"it stands in {first.file}, line {first.line}: a policy has one"
                self.problems.add(entry[0].place, f'a second "{key}"', hint)
            else:
                self.sections[key].append(entry)
        include = section.get("include")
        for path, included in self.files.includes(include, self.reader) if include is not None else ():
            self.collect(included, f"the included file {quoted(path)}", _ANYWHERE)

    def nodes(self, key: str) -> list[Node]:
        return [node for _, node in self.sections[key]]

    def node(self, key: str) -> Node | None:
        return next(iter(self.nodes(key)), None)

    def title(self, key: str, start: Place) -> str:
        node = self.node(key)
        if node is None:
            self.problems.add(start, f'the policy lacks "{key}"', f"start the file with {key}: ...")
            return ""
        leaf = self.reader.leaf(node, f'"{key}"')
        if leaf and not (leaf.text.isprintable() and len(leaf.text) <= NAME_BYTES_MAX):
            self.problems.add(leaf.place, f'"{key}" must be one line of at most {NAME_BYTES_MAX} characters')
        return leaf.text if leaf else ""

    def fields(self, start: Place) -> tuple[Roles, SchemaReader]:
        base, event = self.node("base"), self.node("event")
        base_leaf = self.reader.leaf(base, '"base"') if base is not None else None
        if base_leaf is not None:
            self.scope.base_currency = read_base(base_leaf, self.reader)
        if event is None:
            self.problems.add(start, 'the policy lacks "event"', "declare the fields that events have")
            self.problems.raise_if_any()
        assert event is not None  # noqa: S101
        schema = SchemaReader(event, self.reader, self.scope, self.names)
        roles = schema.read_fields()
        currencies = {field.type.currency for field in self.scope.fields.values()} - {""}
        if base is None and len(currencies) == 1:
            self.scope.base_currency = currencies.pop()
        return roles, schema

    def rates(self) -> tuple[RatePoint, ...]:
        node = self.node("rates")
        return () if node is None else read_rates(node, self.scope.base_currency, self.reader, self.files)

    def declarations(self, schema: SchemaReader) -> None:
        """What expressions may name, beyond fields."""
        for node in self.nodes("params"):
            read_params(node, self.reader, self.scope, self.names, self.params)
        lookups = LookupReader(self.reader, self.scope, self.names, self.files)
        for node in self.nodes("lookups"):
            lookups.read(node)
        schema.read_results()
        lists = ListReader(self.reader, self.scope, self.names, self.files)
        for node in self.nodes("lists"):
            lists.read(node)
        outcomes = self.node("outcomes")
        if outcomes is not None:
            self.scope.outcomes = read_outcomes(outcomes, self.reader) or self.scope.outcomes

    def features(self) -> tuple[Feature, ...]:
        items: list[tuple[Scalar, Scalar]] = []
        for node in self.nodes("features"):
            for name, value in self.reader.entries(node, '"features"'):
                text = self.reader.text(value, f"feature {quoted(name.text)}")
                declared = self.names.declare(name.scalar, "feature")
                if declared and text:
                    items.append((name.scalar, text))
                elif declared:
                    self.scope.broken.add(declared)
                if len(items) > FEATURES_MAX:
                    self.problems.add(name.place, f"more than {FEATURES_MAX:,} features")
                    return ()
        return check_features(items, self.scope, self.problems)

    def warn(self, features: tuple[Feature, ...], rules: tuple[Rule, ...]) -> None:
        for feature in unused_features(features, rules) if rules else ():
            self.scope.warn(feature.place, f"no rule reads feature {quoted(feature.name)}")
