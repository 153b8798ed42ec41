"""An engine's numbers as families of samples: what Prometheus reads, in one form for every way there."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from frmcore import Engine

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[tuple[str, str], ...]


class Sample(NamedTuple):
    """One number. `suffix` is put behind the family's name: `_bucket`, `_sum`, `_count` of a histogram."""

    labels: Labels
    value: float
    suffix: str = ""


class Family(NamedTuple):
    """One metric. A counter's name ends in `_total`; units are seconds and bytes."""

    name: str
    kind: Kind
    help: str
    samples: list[Sample]


def family(name: str, kind: Kind, told: str, values: Mapping[Labels, float] | float) -> Family:
    by_labels: Mapping[Labels, float] = {(): values} if isinstance(values, int | float) else values
    return Family(f"frmcore_{name}", kind, told, [Sample(labels, value) for labels, value in by_labels.items()])


def by(label: str, counts: Mapping[Any, float]) -> dict[Labels, float]:
    """Counts by one label; None is the empty text."""
    return {((label, "" if key is None else str(key)),): value for key, value in counts.items()}


def engine_families(engine: Engine) -> Iterator[Family]:
    """Everything an engine knows of itself. Costs some tens of microseconds: nothing is walked."""
    stats = engine.stats
    decided, fired = engine.verdicts
    yield family(
        "decisions_total", "counter", "Decisions made here, by point and outcome.",
        {(("point", point), ("outcome", outcome)): count for (point, outcome), count in decided.items()},
    )  # fmt: skip
    yield family("rule_fired_total", "counter", "Decisions in which a live rule counted.", by("rule", fired))
    yield from _events(stats)
    yield from _memory(stats)
    policy = engine.policy
    labels = (("policy", policy.name), ("version", policy.version), ("hash", policy.hash))
    yield family("policy_info", "gauge", "The policy in force.", {labels: 1})
    sizes = {name: len(each) for name, each in engine.lists.items()}
    yield family("list_values", "gauge", "Values of a list that are in force.", by("list", sizes))
    if "store" in stats:
        yield from _store(stats)


_COUNTERS = {
    "duplicates": "Events that were known and got their first decision again.",
    "conflicts": "Known ids that came with other content.",
    "late": "Events from before the latest one.",
    "too_old": "Events refused: older than the ids that are remembered.",
    "ahead": "Events refused: ahead of the clock.",
    "observed": "Events recorded without a decision.",
    "updates": "Later facts told about events.",
    "overflows": "Values beyond 64 bits: absent.",
    "forgotten": "Ids that were forgotten.",
}


def _events(stats: Mapping[str, Any]) -> Iterator[Family]:
    for name, told in _COUNTERS.items():
        yield family(f"{name}_total", "counter", told, stats[name])
    yield family("invalid_total", "counter", "Events refused, by the field to blame.", by("field", stats["invalid"]))


def _memory(stats: Mapping[str, Any]) -> Iterator[Family]:
    parts = {part: size for part, size in stats["memory"].items() if part not in {"total", "limit"}}
    keys: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for group in stats["groups"]:
        keys[group["entity"]] += group["entities"]
        sizes[group["entity"]] += group["bytes"]
    yield family("memory_bytes", "gauge", "What the state takes, by its own accounting.", by("part", parts))
    yield family("window_keys", "gauge", "Keys that have windows, over all groups of an entity.", by("entity", keys))
    yield family("window_bytes", "gauge", "Memory of an entity's windows.", by("entity", sizes))
    yield family("memory_limit_bytes", "gauge", "What it may take: limits.max_memory.", stats["memory"]["limit"])
    told = "Keys whose windows were given up to stay within limits.max_memory."
    yield family("evicted_total", "counter", told, by("entity", stats["evicted"]))
    yield family("ids", "gauge", "Event ids remembered.", stats["ids"])
    yield family("operations", "gauge", "The last recorded operation's number.", stats["seq"])
    if stats["watermark"] is not None:
        told = "The latest event's time, since the epoch."
        yield family("watermark_seconds", "gauge", told, stats["watermark"] / 1000)


def _store(stats: Mapping[str, Any]) -> Iterator[Family]:
    store, seq = stats["store"], stats["seq"]
    yield family("store_degraded", "gauge", "1 while the store can't be written.", int(store["degraded"]))
    yield family("store_ring_used_bytes", "gauge", "Journal that waits for the disk.", store["ring_used"])
    yield family("store_ring_size_bytes", "gauge", "Journal that may wait for the disk.", store["ring_size"])
    yield family("store_spilled_bytes", "gauge", "Records that wait in memory, the ring being full.", store["spilled"])
    yield family("store_lost_total", "counter", "Operations that no disk and no memory took.", store["lost"])
    yield family("store_commits_total", "counter", "Synced commits.", store["commits"])
    yield family("store_commit_seconds_total", "counter", "Time spent in them.", store["commit_seconds"])
    told = "Operations that a crash of the machine would take now."
    yield family("store_unsynced_operations", "gauge", told, seq - store["synced"])
    told = "Operations that a recovery would replay now: the age of the checkpoint's oldest piece."
    yield family("store_replay_operations", "gauge", told, max(0, seq - store["checkpoint"]))
    yield family("store_bytes", "gauge", "The database's file.", store["bytes"])
    yield family("store_recovery_seconds", "gauge", "How long opening took.", store["recovered"]["seconds"])
