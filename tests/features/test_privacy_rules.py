"""Evaluation of privacy lists: against rule after rule as XEP-0016 §2.2 says it, and what it costs."""

import random
import time

import pytest

from voxcube.server.core.privacy import (
    EVERYTHING,
    IQ,
    KINDS,
    MESSAGE,
    OUT,
    PRESENCE_IN,
    PRESENCE_OUT,
    Address,
    PrivacyItem,
    Rules,
)
from voxcube.server.features.privacy.screens import Screen

DOMAIN, ROOMS = "chat.example.org", "muc.chat.example.org"
LOCALS = ("", "77-3", "88-3", "3_64c0ffee64c0ffee64c0ffee")
DOMAINS = (DOMAIN, ROOMS, "elsewhere.org")
RESOURCES = ("", "88", "srv-a/b", "SRV")
ADDRESSES = [Address(local, domain, resource) for local in LOCALS for domain in DOMAINS for resource in RESOURCES]
TYPES = ("jid", "jid", "jid", "jid", "subscription", "")


def text(address: Address) -> str:
    bare = f"{address.local}@{address.domain}" if address.local else address.domain
    return f"{bare}/{address.resource}" if address.resource else bare


def naive(items: list[PrivacyItem], address: Address, kind: int) -> bool:
    """Rule after rule."""
    for item in sorted(items, key=lambda item: item.order):
        if item.kinds and not any(KINDS[name] == kind for name in item.kinds):
            continue
        if item.type == "jid":
            of = Address.parse(item.value)
            if of.domain != address.domain or of.local not in ("", address.local):
                continue
            if of.resource not in ("", address.resource):
                continue
        elif item.type == "subscription" and item.value != "none":
            continue
        return not item.deny
    return True


@pytest.mark.parametrize("seed", range(300))
def test_against_rule_after_rule(seed: int) -> None:
    dice = random.Random(seed)
    items = []
    orders = dice.sample(range(1000), dice.randrange(1, 12))
    for order in orders:
        type_ = dice.choice(TYPES)
        value = text(dice.choice(ADDRESSES)) if type_ == "jid" else dice.choice(["none", "both"]) if type_ else ""
        kinds = tuple(dice.sample(list(KINDS), dice.choice([0, 0, 1, 2, 4])))
        items.append(PrivacyItem(order, dice.random() < 0.7, type_, value, kinds))
    rules = Rules(items)
    for address in ADDRESSES:
        for kind in (MESSAGE, IQ, PRESENCE_IN, PRESENCE_OUT, OUT):
            assert rules.allows(address, kind) is naive(items, address, kind), (items, address, kind)
    for domain in DOMAINS:
        hidden = rules.hidden.get(domain, frozenset())
        named = any(item.type == "jid" and Address.parse(item.value) == Address("", domain, "88") for item in items)
        assert (88 in hidden) is (named and not naive(items, Address("", domain, "88"), OUT))


def test_letters_of_an_address() -> None:
    rules = Rules([PrivacyItem(1, True, "jid", "88-3@Chat.Example.ORG/Res")])
    assert not rules.allows(Address.parse("88-3@chat.example.org/Res"), MESSAGE)
    assert rules.allows(Address.parse("88-3@chat.example.org/res"), MESSAGE)
    assert rules.allows(Address.parse("88-3@chat.example.org"), MESSAGE)
    assert PrivacyItem(1, True).mask == EVERYTHING


def test_a_long_list_costs_no_more_than_a_short_one() -> None:
    def cost(people: int) -> float:
        values = [(f"{n}-3@{DOMAIN}", f"{ROOMS}/{n}") for n in range(people)]
        rules = Rules(
            PrivacyItem(2 * n + place, True, "jid", value)
            for n, pair in enumerate(values)
            for place, value in enumerate(pair)
        )
        address = Address("5000000-3", DOMAIN, "res")

        def once() -> float:
            began = time.perf_counter()
            for _ in range(2000):
                rules.allows(address, MESSAGE)
            return time.perf_counter() - began

        return min(once() for _ in range(5))

    assert cost(1000) < 3 * cost(1)


def test_a_screen_reads_the_sender_and_remembers_it() -> None:
    rules = Rules(
        [
            PrivacyItem(1, True, "jid", f"88-3@{DOMAIN}", ("message",)),
            PrivacyItem(2, True, "jid", f"{ROOMS}/88"),
            PrivacyItem(3, True, "jid", f'99-3@{DOMAIN}/a"<&b'),
            PrivacyItem(4, True, "jid", f"77-3@{DOMAIN}"),
            PrivacyItem(5, True, "jid", f"{ROOMS}/77"),
        ]
    )
    screen = Screen(rules, Address("77-3", DOMAIN), active=False)
    room = f"3_64c0ffee64c0ffee64c0ffee@{ROOMS}"

    def passes(sender: str, name: str = "message") -> bool:
        head = f'<{name} xmlns="jabber:client" from="{sender}" to="'.encode()
        assert screen.passes(head) is screen.passes(head)
        return screen.passes(head)

    assert not passes(f"88-3@{DOMAIN}/res")
    assert not passes(f"88-3@{DOMAIN}")
    assert passes(f"88-3@{DOMAIN}/res", "presence")
    assert not passes(f"{room}/88")
    assert passes(f"{room}/8")
    assert passes(f"{room}/7")
    assert not passes(f"99-3@{DOMAIN}/a&quot;&lt;&amp;b")
    # Nobody shuts out the own sessions, what one says oneself, or the server.
    assert passes(f"77-3@{DOMAIN}/other")
    assert passes(f"{room}/77")
    assert passes(DOMAIN)
    for number in range(10_000):
        assert passes(f"{number + 1000}-3@{DOMAIN}")
    assert len(screen._seen) <= 4096
