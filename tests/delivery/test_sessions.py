"""The register of sessions: by user and by application, with a word for each change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.delivery.support import Fake
from voxcube.server.delivery.sessions import Sessions


def test_each_change_is_told_once() -> None:
    sessions, told = Sessions(), list[int]()
    sessions.on_change = told.append
    first, second = Fake(7, resource="a"), Fake(7, resource="b")
    for session in (first, first, second):
        sessions.add(session)
    assert told == [7, 7]
    for session in (first, first, Fake(9)):
        sessions.remove(session)
    assert told == [7, 7, 7]
    assert list(sessions.of(7)) == [second]
    assert list(sessions.of(9)) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 7))))
def test_the_registers_agree(acts: list[tuple[bool, int]]) -> None:
    # Users 0…3, two sessions each; a user is in one application.
    people = [Fake(number // 2, app_id=number // 4) for number in range(8)]
    sessions, here = Sessions(), set[int]()
    for come, number in acts:
        if come:
            sessions.add(people[number])
            here.add(number)
        else:
            sessions.remove(people[number])
            here.discard(number)
    for user_id in range(4):
        assert set(sessions.of(user_id)) == {people[n] for n in here if n // 2 == user_id}
    for app_id in range(2):
        assert set(sessions.of_app(app_id)) == {people[n] for n in here if n // 4 == app_id}
    assert sessions.by_user.keys() == {number // 2 for number in here}
    assert sessions.by_app.keys() == {number // 4 for number in here}
