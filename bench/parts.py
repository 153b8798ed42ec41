"""What each part of a decision of R1 takes, in time: `python -m bench.parts`.

Engines of policies that grow part by part, from the bare event to all of R1 with a store, decide the same events in
turns. A part's time is what it adds at the median, and on average.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.kernel import Histogram, closed_loop
from bench.machine import machine
from bench.percentiles import BLOCK
from bench.stream import R1
from bench.world import RESULTS, Scale, World
from frmcore.policy import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from frmcore.policy import Policy

FIRST_RULE: Final = "R05"  # a policy has one; this one compares a field
LISTED: Final = ("R01", "R02", "R03", "R04")
WINDOWS: Final = {
    "merchant: 1 window": "mer_",
    "address: 2 windows, one of different cards": "ip_",
    "device: 2 windows, one of different accounts": "dev_",
    "card: 4 windows": "card_",
    "account: 12 windows": "acc_",
}


def policies(world: World) -> Iterator[tuple[str, Policy]]:
    """(what is added, the policy with it and all before)."""
    text = world.policy_file.read_text()
    features, rules = list[str](), [FIRST_RULE]
    yield "the event: read, hashed, remembered, its record", _policy(world.policy_file, text, features, rules)
    rules += LISTED
    yield "four lists", _policy(world.policy_file, text, features, rules)
    for what, prefix in WINDOWS.items():
        features.append(prefix)
        yield what, _policy(world.policy_file, text, features, rules)
    yield "the other 25 rules", world.policy


def _policy(file: Path, text: str, features: list[str], rules: list[str]) -> Policy:
    head, _, rest = text.partition("features:\n")
    lines, _, given = rest.partition("rules:\n")
    kept = re.findall(rf"^  (?:{'|'.join(features)})\w+: .*\n", lines, re.MULTILINE) if features else []
    said = [line for line in given.splitlines(keepends=True) if any(f"id: {rule}," in line for rule in rules)]
    part = file.with_name(f"{len(features)}_{len(rules)}.yaml")
    part.write_text(head + ("features:\n" if kept else "") + "".join(kept) + "rules:\n" + "".join(said))
    return load(part)


def measured(world: World) -> dict[str, dict[str, float]]:
    engines = {what: world.warm(policy) for what, policy in policies(world)}
    engines["a store: the journal, the flusher beside"] = world.warm(stored=True)
    decoders = {what: msgspec.json.Decoder(engine.policy.Event).decode for what, engine in engines.items()}
    times = {what: Histogram() for what in engines}
    timed = world.events[world.scale.warm : world.scale.warm + world.scale.size]
    for start in range(0, len(timed), BLOCK):
        for what, engine in engines.items():
            closed_loop(engine.decide, decoders[what], timed[start : start + BLOCK], times[what])
    for engine in engines.values():
        engine.close()
    return {
        what: {"p50": each.percentile(50), "mean": round(each.total_ns / max(1, each.count))}
        for what, each in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warm", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=100_000)
    given = parser.parse_args()
    world = World(Scale(R1, given.warm, given.events, 1, 1, (1, 1, 1), 1))
    result: dict[str, Any] = {"machine": machine(), "warm": given.warm, "parts": measured(world)}
    print(json.dumps(result["parts"], indent=1))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "parts.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
