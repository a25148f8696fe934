"""Rates and the doorkeeper: what passes, what must wait and for how long."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxcube.server.c2s.pace import LONGEST, Pace
from voxcube.server.core.clock import ManualClock
from voxcube.server.core.errors import TooManyRequests
from voxcube.server.core.rates import Rate
from voxcube.server.features.users.doorkeeper import AGAIN_SECONDS, CHANGE_SECONDS, CHANGES, SHARED, Doorkeeper
from voxcube.server.features.users.known_addresses import KnownAddresses


def test_a_burst_passes_then_the_rate() -> None:
    clock = ManualClock()
    rate = Rate(clock, per_second=2, burst=3)
    assert [rate.take("ann") for _ in range(3)] == [0, 0, 0]
    assert rate.take("ann") == pytest.approx(0.5)
    assert rate.take("bob") == 0
    clock.advance(0.5)
    assert rate.take("ann") == 0
    assert rate.take("ann") > 0
    clock.advance(100)
    assert [rate.take("ann") for _ in range(3)] == [0, 0, 0]
    assert rate.take("ann") > 0


def test_what_was_refused_costs_nothing_what_is_owed_does() -> None:
    clock = ManualClock()
    rate = Rate(clock, per_second=1, burst=1)
    rate.take("ann")
    for _ in range(10):
        assert rate.take("ann") == pytest.approx(1)
    assert rate.owe("ann") == pytest.approx(1)
    assert rate.owe("ann") == pytest.approx(2)
    rate.give_back("ann", 2)
    assert rate.take("ann") == pytest.approx(1)


def test_what_is_owed_has_an_end() -> None:
    """One who floods from a shared address does not keep the others waiting for hours."""
    clock = ManualClock()
    pace = Pace(Rate(clock, 50, 500), Rate(clock, 500, 5000))
    for user_id in range(1000):
        pace.wait(1, user_id, "192.0.2.1", 1500, 0)
    assert pace.wait(1, 7, "192.0.2.1", 5000, 0) is None
    assert pace.wait(1, 2000, "192.0.2.1", 1, 0) == LONGEST
    clock.advance(LONGEST + 1)
    assert pace.wait(1, 2000, "192.0.2.1", 1, 0) == 0
    clock.advance(LONGEST)
    assert pace.wait(1, 7, "192.0.2.1", 1, 0) is not None


def test_more_than_a_burst_passes_alone() -> None:
    rate = Rate(ManualClock(), per_second=1, burst=2)
    assert rate.take("ann", 5) == 0
    assert rate.take("ann", 1) == pytest.approx(4)


def test_no_limit() -> None:
    rate = Rate(ManualClock(), per_second=0, burst=0)
    assert not any(rate.take("ann") or rate.owe("ann") for _ in range(1000))


def test_who_has_paid_is_forgotten() -> None:
    clock = ManualClock()
    rate = Rate(clock, per_second=1, burst=1)
    for number in range(5000):
        rate.take(number)
        clock.advance(0.01)
    assert len(rate._paid_at) < 2000


@given(st.lists(st.floats(0, 3), min_size=1, max_size=80))
def test_never_more_than_burst_and_rate(pauses: list[float]) -> None:
    clock = ManualClock()
    rate = Rate(clock, per_second=2, burst=4)
    passed, began = 0, clock.monotonic()
    for pause in pauses:
        clock.advance(pause)
        passed += not rate.take("ann")
        assert passed <= 4 + 2 * (clock.monotonic() - began) + 1e-6


def test_wrong_passwords_of_one_address_leave_the_owner_alone() -> None:
    clock = ManualClock()
    keeper = Doorkeeper(clock, wrong_passwords=3, sign_ups=0)
    for _ in range(3):
        keeper.knock("ann", "192.0.2.1")
    with pytest.raises(TooManyRequests, match="try again in 30 seconds") as refused:
        keeper.knock("ann", "192.0.2.1")
    assert refused.value.retry_after == AGAIN_SECONDS
    keeper.knock("ann", "192.0.2.2").succeeded()  # at home the owner gets in
    keeper.knock("bob", "192.0.2.1")
    clock.advance(AGAIN_SECONDS)
    keeper.knock("ann", "192.0.2.1")


def test_right_passwords_cost_nothing() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=3, sign_ups=0)
    for _ in range(1000):
        keeper.knock("ann", "192.0.2.1").succeeded()


def test_an_address_cannot_try_all_accounts_nor_all_addresses_one() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=3, sign_ups=0)
    for number in range(3 * SHARED):
        keeper.knock(f"user {number}", "192.0.2.1")
    with pytest.raises(TooManyRequests):
        keeper.knock("another", "192.0.2.1")
    for number in range(3 * SHARED):
        keeper.knock("ann", f"198.51.100.{number}")
    with pytest.raises(TooManyRequests):
        keeper.knock("ann", "203.0.113.1")


def test_a_network_of_ipv6_is_one_address() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=0, sign_ups=1)
    for number in range(10):
        keeper.sign_up(f"2001:db8::{number}")
    with pytest.raises(TooManyRequests):
        keeper.sign_up("2001:db8::ffff")
    keeper.sign_up("2001:db8:0:1::1")


HOME, OFFICE = "192.0.2.1", "192.0.2.2"


def attacked(keeper: Doorkeeper, account: object) -> None:
    """Many addresses guess until the account is refused to addresses that are not known."""
    for number in range(12 * SHARED):
        with contextlib.suppress(TooManyRequests):
            keeper.knock(account, f"198.51.100.{number}")


@pytest.mark.parametrize(
    ("logged_in_at", "asks_at", "remembered", "days", "passes"),
    [
        ("", HOME, False, 0, False),
        (HOME, HOME, False, 0, True),
        (HOME, OFFICE, False, 0, False),
        (HOME, OFFICE, True, 0, True),  # its password was verified a moment ago
        ("", OFFICE, True, 0, True),
        (HOME, HOME, False, 29, True),
        (HOME, HOME, False, 31, False),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::9", False, 0, True),  # the network of one household
        ("2001:db8:1:2::7", "2001:db8:1:3::7", False, 0, False),
        ("::ffff:192.0.2.1", HOME, False, 0, True),  # the same address at a dual-stack listener
    ],
)
def test_an_attack_from_many_addresses_does_not_keep_the_owner_out(
    logged_in_at: str, asks_at: str, remembered: bool, days: int, passes: bool
) -> None:
    clock = ManualClock()
    keeper = Doorkeeper(clock, wrong_passwords=10, sign_ups=0)
    if logged_in_at:
        keeper.knock((3, 7), logged_in_at).succeeded()
    clock.advance(days * 24 * 3600)
    attacked(keeper, (3, 7))
    if passes:
        for _ in range(100):  # and it costs the owner nothing
            keeper.knock((3, 7), asks_at, remembered=remembered).succeeded()
    else:
        with pytest.raises(TooManyRequests):
            keeper.knock((3, 7), asks_at, remembered=remembered)


@pytest.mark.parametrize("remembered", [False, True])
def test_guessing_at_a_known_address_is_slowed_down(remembered: bool) -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=10, sign_ups=0)
    keeper.knock((3, 7), HOME).succeeded()
    for _ in range(10):
        keeper.knock((3, 7), HOME, remembered=remembered)
    with pytest.raises(TooManyRequests):
        keeper.knock((3, 7), HOME, remembered=remembered)
    # Behind one address (NAT) there are others, whose accounts are not concerned.
    keeper.knock((3, 8), HOME).succeeded()


def test_an_attempt_that_was_not_made_does_not_make_an_address_known() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=10, sign_ups=0)
    keeper.knock((3, 7), HOME).undo()
    attacked(keeper, (3, 7))
    with pytest.raises(TooManyRequests):
        keeper.knock((3, 7), HOME)


def test_a_changed_password_makes_the_other_addresses_strangers() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=10, sign_ups=0)
    keeper.knock((3, 7), OFFICE).succeeded()
    keeper.changed((3, 7), HOME)
    attacked(keeper, (3, 7))
    keeper.knock((3, 7), HOME).succeeded()
    with pytest.raises(TooManyRequests):
        keeper.knock((3, 7), OFFICE)


def test_known_addresses_are_bounded() -> None:
    clock = ManualClock()
    known = KnownAddresses(clock, accounts=3, per_account=2)
    for number in range(10):
        known.add(b"ann", str(number))
    assert [number for number in range(10) if known.has(b"ann", str(number))] == [8, 9]
    for account in (b"bob", b"cat", b"dan"):
        known.add(account, "1")
    assert len(known) == 3
    assert not known.has(b"ann", "9")
    assert known.has(b"bob", "1")


def test_password_changes_have_a_rate_of_their_own() -> None:
    clock = ManualClock()
    keeper = Doorkeeper(clock, wrong_passwords=10, sign_ups=0)
    for _ in range(CHANGES):
        keeper.change((3, 7), HOME)
    with pytest.raises(TooManyRequests) as refused:
        keeper.change((3, 7), OFFICE)
    assert refused.value.retry_after == CHANGE_SECONDS
    clock.advance(CHANGE_SECONDS)
    keeper.change((3, 7), HOME)
    clock.advance(3600)
    for number in range(100, 100 + CHANGES * SHARED):
        keeper.change((3, number), HOME)
    with pytest.raises(TooManyRequests):
        keeper.change((3, 999), HOME)
    keeper.change((3, 1000), OFFICE)


def test_names_that_strangers_make_up_are_not_kept() -> None:
    keeper = Doorkeeper(ManualClock(), wrong_passwords=10, sign_ups=10)
    for number in range(20):
        keeper.knock((3, f"{number}" * 1_000_000), f"198.51.100.{number}")
        keeper.knock((3, 7), f"no address {number}" * 100_000)
        keeper.sign_up(f"no address {number}" * 100_000)
    keys = [*keeper._narrow._paid_at, *keeper._wide._paid_at, *keeper._sign_ups._paid_at]
    assert len(keys) > 40
    assert all(len(repr(key)) < 300 for key in keys)
