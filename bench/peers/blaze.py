"""R1 in blazerules, as far as it goes: 23 of the 30 rules. Its windows count by arrival, in whole seconds, and without
the event itself, so only the rules that read no window can be held against frmcore's; `check` does. What it answers is
not R1."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.peers.answers import Mismatch
from bench.peers.rules import RULES, lambdas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "blazerules, 23 rules of 30, windows of whole seconds"
ENTITIES: Final = ("account_id", "card_id", "device_id", "ip", "merchant_id")
LISTS: Final = {"R01": "bl_card", "R02": "bl_device", "R03": "bl_ip", "R04": "bl_email"}
FIELD: Final = {"bl_card": "card_id", "bl_device": "device_id", "bl_ip": "ip", "bl_email": "email"}
ACTIONS: Final = ("approve", "review", "block")
M1, M5, M10, H1, D1 = 60, 300, 600, 3_600, 86_400
# id -> (key, seconds, function, operator, value): its rule is one comparison
WINDOWS: Final = {
    "R07": ("account_id", M10, "count", "gt", 10),
    "R08": ("account_id", H1, "count", "gt", 50),
    "R09": ("account_id", H1, "sum", "gt", 1_000_000),
    "R10": ("account_id", D1, "sum", "gt", 5_000_000),
    "R12": ("card_id", M5, "count", "gte", 5),
    "R13": ("card_id", H1, "count", "gte", 20),
    "R16": ("device_id", H1, "count", "gt", 60),
    "R17": ("ip", M10, "count", "gt", 40),
    "R19": ("merchant_id", M1, "count", "gt", 60),
}
# As blazerules writes them; the texts of entities are read again under another name, which is of type string.
EVENT: Final[dict[str, Any]] = {
    "R05": {"field": "amount", "op": "gt", "value": 500_000},
    "R20": {"and": [{"field": "country", "op": "in", "values": ["NG", "RU", "UA", "VN", "ID", "KP", "IR", "SY"]},
                    {"field": "amount", "op": "gt", "value": 50_000}]},
    "R21": {"and": [{"field": "country", "op": "in", "values": ["DE", "FR", "ES", "IT", "NL"]},
                    {"field": "currency", "op": "not_in", "values": ["EUR", "GBP"]}]},
    "R22": {"field": "currency", "op": "in", "values": ["BTC", "USDT", "XMR"]},
    "R23": {"and": [{"field": "channel", "op": "eq", "value": "moto"},
                    {"field": "amount", "op": "gt", "value": 100_000}]},
    "R24": {"and": [{"field": "card_text", "op": "starts_with", "value": "tok_99"},
                    {"field": "channel", "op": "neq", "value": "pos-chip"}]},
    "R25": {"or": [{"field": "ip_text", "op": "starts_with", "value": "10."},
                   {"field": "ip_text", "op": "starts_with", "value": "192.168."}]},
    "R26": {"field": "email", "op": "regex", "value": "^[a-z]+[0-9]{4,}@"},
    "R27": {"field": "email", "op": "regex", "value": r"@(mailinator|tempmail|guerrillamail|yopmail)\."},
}  # fmt: skip


class BlazeEngine:
    """`decide(json bytes)` -> its result. Raises ImportError where it is not installed."""

    def __init__(self, lists: Mapping[str, Sequence[str]], *, masks: bool = False) -> None:
        import blazerules

        config = blazerules.EngineConfig()
        config.output_detail = blazerules.OutputDetail.BITMASKS if masks else blazerules.OutputDetail.DECISIONS
        self._engine = blazerules.RuleEngine(config)
        self._folder = tempfile.TemporaryDirectory(prefix="frmcore-peer-")
        file = Path(self._folder.name, "rules.yaml")
        for name, values in lists.items():
            Path(self._folder.name, f"{name}.csv").write_text("value\n" + "\n".join(values) + "\n")
        file.write_bytes(msgspec.yaml.encode(_document(list(lists))))
        self._engine.load_rules(str(file))

    def decide(self, event: bytes) -> Any:
        return self._engine.evaluate_ndjson(event)

    def close(self) -> None:
        self._folder.cleanup()


def _document(lists: list[str]) -> dict[str, Any]:
    rules = []
    for name, _, outcome, score in RULES:
        if name in LISTS:
            condition: dict[str, Any] = {"field": FIELD[LISTS[name]], "op": "in_lookup", "lookup": LISTS[name]}
        elif name in WINDOWS:
            condition = {"window": _window(*WINDOWS[name])}
        elif name == "R14":
            parts = (("card_id", D1, "count", "gt", 100), ("card_id", D1, "sum", "gt", 3_000_000))
            condition = {"or": [{"window": _window(*part)} for part in parts]}
        elif name in EVENT:
            condition = EVENT[name]
        else:
            continue
        rules.append(
            {"id": name, "action": ACTIONS[outcome], "severity": "HIGH", "weight": score, "conditions": condition}
        )
    texts = ("email", "card_text", "ip_text")
    fields: dict[str, Any] = {name: {"type": "entity_key", "nullable": False} for name in ENTITIES}
    fields |= {name: {"type": "string", "nullable": False} for name in texts}
    fields |= {"ts": {"type": "timestamp_ms", "nullable": False}, "amount": {"type": "float64", "nullable": False}}
    return {
        "schema_version": "2.1",
        "fields": fields,
        "lookups": {name: {"type": "string_set", "path": f"{name}.csv"} for name in lists},
        "ruleset": {"name": "R1", "version": "1", "rules": rules},
    }


def _window(key: str, seconds: int, function: str, operator: str, value: int) -> dict[str, Any]:
    window = {"entity_field": key, "function": function, "duration_seconds": seconds, "op": operator, "value": value}
    return window | ({"value_field": "amount"} if function == "sum" else {})


def line_of(event: Mapping[str, Any]) -> bytes:
    """The event as blazerules reads it."""
    return msgspec.json.encode({**event, "card_text": event["card_id"], "ip_text": event["ip"]}) + b"\n"


def check(lists: Mapping[str, Sequence[str]], contexts: Sequence[Mapping[str, Any]], events: Sequence[bytes]) -> int:
    """How many rules were compared, event by event. Raises Mismatch where one fires otherwise."""
    engine, compared = BlazeEngine(lists, masks=True), [*LISTS, *EVENT]
    truths = {name: fires for (name, *_), fires in zip(RULES, lambdas(), strict=True)}
    try:
        for number, (event, context) in enumerate(zip(events, contexts, strict=True)):
            result = engine.decide(event)
            wrong = [name for name in compared if bool(result[name][0]) != bool(truths[name](dict(context)))]
            if wrong:
                raise Mismatch(f"event {number}: {', '.join(wrong)} fire otherwise")
    finally:
        engine.close()
    return len(compared)
