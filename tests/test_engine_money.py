"""Money in several currencies, decimals, addresses: one canonical value each, exact."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from engines import DAY, NOON, SCHEMA, S, World
from hypothesis import given, settings
from hypothesis import strategies as st

import frmcore
from frmcore.limits import INT_MAX

SCHEMA_OF_MANY = SCHEMA.replace(
    "amount: {type: money, currency: EUR, optional: true}", "amount: {type: money, currency: currency, optional: true}"
)
SCHEMA_OF_MANY = SCHEMA_OF_MANY.replace("    price:", "    currency: {type: string, optional: true}\n    price:")
RATES = """
base: EUR
rates:
  USD: [{from: 2025-01-01, rate: "0.9"}, {from: 2025-10-09T12:00:10Z, rate: "0.8"}]
  JPY: [{from: 2020-01-01, rate: "0.0061"}]
  KWD: [{from: 2020-01-01, rate: "2.7654321098"}]
  CLF: [{from: 2020-01-01, rate: "33.25"}]
"""
FEATURES = """
    worth: sum(amount, by=account, over="1s")
    given: sum(original(amount), by=account, over="1s")
    shown: amount
"""


def money_world() -> World:
    return World(FEATURES, more=RATES, schema=SCHEMA_OF_MANY)


@pytest.mark.parametrize(
    ("amount", "currency", "worth"),
    [
        (12_990, "EUR", 12_990),
        (1_000, "USD", 900),
        (1, "USD", 1),
        (5, "USD", 4),  # 4.5: half to even
        (15, "USD", 14),  # 13.5
        (-5, "USD", -4),
        (-15, "USD", -14),
        (1_000, "JPY", 610),  # yen have no cents
        (1, "JPY", 1),
        (1_000, "KWD", 277),  # a thousand fils are one dinar
        (10_000, "CLF", 3_325),
        (0, "USD", 0),
        (INT_MAX, "EUR", INT_MAX),
        (-INT_MAX, "EUR", -INT_MAX),
    ],
)
def test_conversion(amount: int, currency: str, worth: int) -> None:
    decision = money_world().decide(amount=amount, currency=currency)
    assert dict(decision.features) == {"worth": worth, "given": amount, "shown": worth}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(-INT_MAX, INT_MAX),
    st.sampled_from([("JPY", "0.0061", 0), ("KWD", "2.7654321098", 3), ("CLF", "33.25", 4)]),
)
def test_conversion_is_exact_and_rounds_once(amount: int, currency: tuple[str, str, int]) -> None:
    code, rate, digits = currency
    exact = Decimal(amount).scaleb(2 - digits) * Decimal(rate)
    worth = int(exact.quantize(Decimal(1), ROUND_HALF_EVEN))
    if abs(worth) <= INT_MAX:
        assert ENGINE.evaluate(MANY.event(amount=amount, currency=code)).features["shown"] == worth
    else:
        with pytest.raises(frmcore.InvalidEvent, match="does not fit"):
            ENGINE.evaluate(MANY.event(amount=amount, currency=code))


MANY = money_world()
ENGINE = MANY.engine


def test_the_rate_is_that_of_the_events_own_time() -> None:
    world = money_world()
    assert [world.decide(at, amount=1_000, currency="USD").features["shown"] for at in (0, 10 * S - 1, 10 * S, 0)] == [
        900,
        900,
        800,
        900,
    ]
    with pytest.raises(frmcore.InvalidEvent, match="no rate for USD as early"):
        world.decide(-365 * DAY, amount=1, currency="USD")


def test_the_currency_matters_only_with_an_amount() -> None:
    world = money_world()
    assert world.decide(currency="XXX").features["shown"] is None
    assert world.decide().features["shown"] is None
    with pytest.raises(frmcore.InvalidEvent, match="currency is missing: amount needs its currency"):
        world.decide(amount=1)


def test_what_was_given_is_what_a_retry_must_repeat_and_what_an_update_still_knows() -> None:
    world = World(
        'given: sum(original(amount), by=account, over="1h", where=status == "approved")',
        more=RATES,
        schema=SCHEMA_OF_MANY,
    )
    event = world.event(amount=1, currency="USD")
    world.engine.decide(event)
    assert world.engine.decide(event).duplicate
    with pytest.raises(frmcore.EventConflict, match="amount differs"):
        world.engine.decide(event | {"amount": 1, "currency": "EUR"} | {"amount": 2})
    world.engine.update("e1", status="approved")
    assert world.value(1) == 1


def test_decimals_are_exact() -> None:
    world = World(
        's: sum(price, by=account, over="1h")\nm: mean(price, by=account, over="1h")',
        "  - {id: third, when: s == 0.30, score: 1}\n",
    )
    decisions = [world.decide(at, price=price) for at, price in enumerate((0.1, "0.10", Decimal("0.1")))]
    assert [decision.features["s"] for decision in decisions] == [0.1, 0.2, 0.3]
    assert decisions[-1].features["m"] == 0.1
    assert decisions[-1].fired == ("third",)


@pytest.mark.parametrize(
    ("forms", "canonical"),
    [
        (("10.0.0.7", "::ffff:10.0.0.7", "::FFFF:0a00:0007", "0:0:0:0:0:ffff:10.0.0.7"), "10.0.0.7"),
        (("2001:db8::1", "2001:0DB8:0000::0001", "2001:db8:0:0:0:0:0:1"), "2001:db8::1"),
        (("::", "0:0:0:0:0:0:0:0", "0::0"), "::"),
        (("64:ff9b::1.2.3.4", "64:ff9b::102:304"), "64:ff9b::102:304"),
    ],
)
def test_forms_of_one_address_are_one_entity(forms: tuple[str, ...], canonical: str) -> None:
    world = World('n: count(by=ip, over="1h")\nlast_: last(ip, by=account)')
    found = [world.decide(at, ip=form) for at, form in enumerate(forms)]
    assert [decision.features["n"] for decision in found] == list(range(1, len(forms) + 1))
    assert found[-1].features["last_"] == canonical
    assert world.engine.explain("e1").fields["ip"] == canonical
    assert world.engine.features(ip=forms[-1], at=NOON + 10)["n"] == len(forms)
