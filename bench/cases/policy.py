"""From text to a policy, and a policy put in force between two events."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

from bench.cases.case import Bench, case
from bench.cases.payments import Payments, policy_of
from bench.world import POLICY
from frmcore.policy import load

if TYPE_CHECKING:
    from bench.world import World


@case("policy_load")
def policy_load(world: World) -> Bench:
    """R1's text, without the values of its lists."""
    del world
    text = POLICY.read_text()
    return Bench(load, cycle([[text]]), lambda policy: f"{policy.name} {len(policy.rules)}", slow=True)


def _reload(world: World, changed: str) -> Bench:
    """Two policies in turn; the windows that differ are filled from the events that are remembered."""
    features = {"n_1h": 'count(by=account, over="1h")', "spent_24h": 'sum(amount, by=account, over="24h")'}
    first, second = (load(policy_of(each)) for each in (features, features | {"spent_24h": changed}))
    payments = Payments(world, policy_of(features), accounts=max(1, world.scale.warm // 40)).fill(world.scale.warm)
    engine = payments.engine

    def reload(policy: Any) -> Any:
        engine.reload(policy)
        return engine

    def known(engine: Any) -> str:
        return repr(engine.features(account="a1"))

    return Bench(reload, cycle([[second], [first]]), known, slow=True, close=engine.close)


@case("reload_warm")
def reload_warm(world: World) -> Bench:
    """Windows of the same rings: nothing is to be filled."""
    return _reload(world, 'sum(amount, by=account, over="12h")')


@case("reload_filled")
def reload_filled(world: World) -> Bench:
    """A window of a new filter: its rings are filled from every event in memory."""
    return _reload(world, 'sum(amount, by=account, over="24h", where=amount > 100)')
