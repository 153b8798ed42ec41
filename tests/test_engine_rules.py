"""From truth values to an outcome: thresholds, exemptions, shadow, unknowns, rollouts, own outcomes, reasons."""

from __future__ import annotations

from engines import MINUTE, S, World


def test_the_strongest_outcome_wins_and_scores_add_up() -> None:
    rules = """\
  - {id: a, when: weight >= 1.0, outcome: review, score: 3}
  - {id: b, when: weight >= 2.0, outcome: block, score: 4}
  - {id: c, when: weight >= 3.0, outcome: review, score: -10}
"""
    world = World(rules=rules)
    found = [world.decide(weight=float(weight)) for weight in range(4)]
    assert [each.outcome for each in found] == ["allow", "review", "block", "block"]
    assert [each.score for each in found] == [0, 3, 7, -3]
    assert [each.fired for each in found] == [(), ("a",), ("a", "b"), ("a", "b", "c")]


def test_thresholds_strengthen_and_never_weaken() -> None:
    rules = "  - {id: a, when: weight > 0.0, score: 60}\n  - {id: b, when: weight > 1.0, score: 40}\n"
    rules += "  - {id: c, when: weight > 2.0, outcome: block}\n"
    world = World(rules=rules, more="score: {review: 60, block: 100}\n")
    assert [world.decide(weight=weight).outcome for weight in (0.0, 1.0, 2.0, 3.0)] == [
        "allow",
        "review",
        "block",
        "block",
    ]


def test_own_outcomes() -> None:
    world = World(
        rules="  - {id: a, when: weight > 0.0, outcome: challenge}\n", more="outcomes: [pass, challenge, stop]\n"
    )
    assert [world.decide(weight=weight).outcome for weight in (0.0, 1.0)] == ["pass", "challenge"]
    assert world.engine.stats["outcomes"] == {"pass": 1, "challenge": 1, "stop": 0}


def test_exemptions_take_groups_out_and_say_so() -> None:
    rules = """\
  - {id: friend, group: trust, when: note == "friend", exempts: [velocity]}
  - {id: fast, group: velocity, when: weight > 0.0, score: 5, outcome: review, actions: [slow]}
  - {id: other, group: else_, when: weight > 0.0, score: 1}
  - {id: silent, group: velocity, when: weight > 100.0, score: 5}
"""
    world = World(rules=rules)
    normal, exempt = world.decide(weight=1.0), world.decide(weight=1.0, note="friend")
    assert (normal.fired, normal.score, normal.outcome, normal.actions) == (("fast", "other"), 6, "review", ("slow",))
    assert (exempt.fired, exempt.score, exempt.outcome, exempt.actions) == (("friend", "other"), 1, "allow", ())
    assert (exempt.exempted, exempt.notes) == (("fast",), ("fast is exempted (group velocity)",))


def test_shadow_is_reported_and_never_enforced() -> None:
    rules = """\
  - {id: tried, group: g, when: weight > 0.0, outcome: block, score: 50, mode: shadow, exempts: [other]}
  - {id: off, when: weight > 0.0, outcome: block, mode: 'off'}
  - {id: real, group: other, when: weight > 0.0, score: 1}
"""
    decision = World(rules=rules).decide(weight=1.0)
    assert (decision.fired, decision.shadow, decision.score, decision.outcome) == (("real",), ("tried",), 1, "allow")


def test_unknown_rules() -> None:
    rules = "  - {id: silent, when: weight > 1.0, score: 1}\n"
    rules += "  - {id: fires, when: weight > 1.0, score: 2, if_unknown: fires}\n"
    world = World(rules=rules)
    unknown = world.decide()
    assert (unknown.fired, unknown.unknown, unknown.score) == (("fires",), ("silent", "fires"), 2)
    known = world.decide(weight=0.5)
    assert (known.fired, known.unknown) == ((), ())


def test_rollouts_are_stable_and_of_the_right_size() -> None:
    rules = "  - {id: new, when: weight > 0.0, score: 1, rollout: 25% by account}\n"
    first, second = World(rules=rules), World(rules=rules)
    inside = [first.decide(account=f"a{number}", weight=1.0).score for number in range(2_000)]
    assert inside == [second.decide(account=f"a{number}", weight=1.0).score for number in range(2_000)]
    assert 420 < sum(inside) < 580
    outside = first.decide(account=f"a{inside.index(0)}", weight=1.0)
    assert (outside.fired, outside.shadow) == ((), ("new",))


def test_rules_of_other_kinds_are_not_evaluated() -> None:
    world = World(rules="  - {id: logins, when: missing(amount), on: login, score: 1}\n")
    assert [world.decide(kind=kind).score for kind in ("payment", "login")] == [0, 1]


def test_actions_come_once_in_order() -> None:
    rules = (
        "  - {id: a, when: weight > 0.0, actions: [slow, ask]}\n  - {id: b, when: weight > 0.0, actions: [ask, tell]}\n"
    )
    assert World(rules=rules).decide(weight=1.0).actions == ("slow", "ask", "tell")


def test_reasons_are_readable() -> None:
    features = """
        spent: sum(amount, by=account, over="1h")
        usual: mean(amount, by=account, over="1h")
        gap: since_last(by=account)
        cheap: min(price, by=account, over="1h")
        ratio: amount / usual
    """
    reason = "{spent} spent, usually {usual}; {gap} ago; {cheap}; x{ratio}; {ip} {country} {kind} {ts} {note}"
    world = World(
        features,
        f'  - {{id: r, when: kind == "payment", score: 1, reason: "{reason}"}}\n'
        "  - {id: plain, when: weight > 0.0, score: 1}\n",
    )
    world.decide(amount=100, price=1.5)
    decision = world.decide(
        3 * MINUTE + 5 * S, amount=301, price="12.50", ip="::ffff:10.0.0.1", country="DE", weight=1.0
    )
    assert decision.reasons == [
        "4.01 EUR spent, usually 2.00 EUR; 3 min 5 s ago; 1.50; x1.50125; 10.0.0.1 DE payment "
        "2025-10-09T12:03:05Z unknown",
        "plain",
    ]
