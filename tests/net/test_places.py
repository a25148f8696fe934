"""Which connections may stay: by group, by address, and who goes for a new one."""

from __future__ import annotations

import ipaddress

from voxcube.server.net.places import CHAT, HTTP, Caps, Place, Places

A, B, PROXY = "192.0.2.1", "192.0.2.2", "192.0.2.9"


def entered(places: Places, group: str, address: str) -> Place:
    place = places.enter(group, address)
    assert place is not None
    return place


def test_half_open_chat_connections_of_an_address() -> None:
    places = Places(caps=Caps(half_open=2))
    held = [entered(places, CHAT, A) for _ in range(4)]
    assert [place.over for place in held] == [0, 0, 1, 1]
    assert places.enter(CHAT, A) is None
    assert entered(places, CHAT, B).over == 0
    held[0].leave()  # logged in
    held[0].leave()
    held[2].close()
    held[3].close()
    assert entered(places, CHAT, A).over == 0
    assert places.held == 4


def test_a_network_of_one_customer_counts_as_one_address() -> None:
    places = Places(caps=Caps(half_open=1))
    assert entered(places, CHAT, "2001:db8::1").over == 0
    assert entered(places, CHAT, "2001:db8::2").over == 1
    assert entered(places, CHAT, "2001:db8:0:1::1").over == 0


def test_http_loses_its_longest_idle_connection() -> None:
    places = Places(caps=Caps(http=2))
    closed: list[str] = []
    first, second = entered(places, HTTP, A), entered(places, HTTP, A)
    assert places.enter(HTTP, A) is None  # both are busy
    second.idle(lambda: closed.append("second"))
    first.idle(lambda: closed.append("first"))
    other = entered(places, HTTP, B)
    other.idle(lambda: closed.append("other"))
    entered(places, HTTP, A)
    assert closed == ["second"]
    first.idle(None)
    assert places.enter(HTTP, A) is None
    first.close()
    first.close()
    assert places.held == 2


def test_no_group_takes_all_descriptors() -> None:
    places = Places(8, Caps(half_open=0, http=0))
    chat = []
    while place := places.enter(CHAT, A):
        chat.append(place)
    assert len(chat) == 6
    assert [places.enter(HTTP, A) is not None for _ in range(3)] == [True, True, False]
    for place in chat:
        place.close()
    assert [places.enter(HTTP, A) is not None for _ in range(3)] == [True, True, False]
    assert [places.enter(CHAT, A) is not None for _ in range(5)] == [True, True, True, True, False]
    assert places.refused == {CHAT: 2, HTTP: 2}


def test_a_full_group_loses_an_idle_connection() -> None:
    places = Places(8, Caps(half_open=0, http=0))
    closed: list[str] = []
    for number in range(4):
        entered(places, HTTP, f"192.0.2.{number}").idle(lambda number=number: closed.append(str(number)))  # type: ignore[misc]
    entered(places, HTTP, B)
    assert closed == ["0"]
    assert places.held == 4


def test_proxies_and_spared_loopback_have_no_cap() -> None:
    places = Places(caps=Caps(half_open=1, http=1), proxies=[ipaddress.ip_network(PROXY)], spare_loopback=True)
    for address in (PROXY, f"::ffff:{PROXY}", "127.0.0.1", "::1"):
        assert [entered(places, group, address).over for group in (HTTP, CHAT) for _ in range(3)] == [0] * 6


def test_behind_a_proxy_the_client_counts() -> None:
    places = Places(caps=Caps(half_open=1), proxies=[ipaddress.ip_network(PROXY)])
    found = [entered(places, CHAT, PROXY) for _ in range(3)]
    for place in found:
        place.serve(A)
    assert [place.over for place in found] == [0, 1, 2]
    assert all(place.address == A for place in found)
    for place in found:
        place.close()
    assert entered(places, CHAT, A).over == 0
