"""``cube.dialogs`` against a server in memory: what is asked, and what comes of the answers."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.client.fake_rest import DIALOG, DIALOG_ID, USER, FakeRest, with_session
from voxcube.client import CLEAR, Client, CustomData, DeleteResult, Dialog, DialogType, Forbidden, NotFound, User

OTHER_ID = "75c0ffee75c0ffee75c0ffee"
MESSAGE_ID = "65a1b2c3d4e5f60718293a4b"
PATH = f"/chat/Dialog/{DIALOG_ID}"


async def test_create_with_everything() -> None:
    rest = FakeRest({"POST /chat/Dialog": (201, DIALOG)})
    async with with_session(rest.client()) as cube:
        await cube.dialogs.create_group(
            "Lunch",
            [88, 99, 88],
            admins_ids=99,
            photo="9a8b",
            custom_data=CustomData("Table", {"seats": 4, "smoking": False}),
            permissions={"allow_preview": True},
        )
    assert rest.body() == {
        "type": 2,
        "name": "Lunch",
        "occupants_ids": [88, 99],
        "admins_ids": [99],
        "photo": "9a8b",
        "data": {"class_name": "Table", "seats": 4, "smoking": False},
        "permissions": {"allow_preview": True},
    }


def test_custom_data_of_a_dialog() -> None:
    dialog = Dialog.from_json(DIALOG | {"data": {"class_name": "Table", "seats": 4}})
    assert dialog.custom_data == CustomData("Table", {"seats": 4})
    assert "data" not in dialog.extra
    assert Dialog.from_json(DIALOG | {"data": None}).custom_data is None


async def test_update_of_everything_at_once() -> None:
    rest = FakeRest({f"PUT {PATH}": (200, DIALOG)})
    async with with_session(rest.client()) as cube:
        dialog = await cube.dialogs.update(
            DIALOG_ID,
            name="Dinner",
            description="Daily at eight",
            photo=CLEAR,
            extensions={"location": "Oslo"},
            custom_data=CustomData("Table", {"seats": 4}),
            permissions={"allow_preview": False},
            add_occupants=[99, 100],
            remove_occupants=88,
            add_admins=99,
            remove_admins=[101],
            pin=MESSAGE_ID,
            unpin=["1" * 24],
        )
    assert dialog.id == DIALOG_ID
    assert rest.body() == {
        "name": "Dinner",
        "description": "Daily at eight",
        "photo": None,
        "extensions": {"location": "Oslo"},
        "data": {"class_name": "Table", "seats": 4},
        "permissions": {"allow_preview": False},
        "push_all": {"occupants_ids": [99, 100], "admins_ids": [99], "pinned_messages_ids": [MESSAGE_ID]},
        "pull_all": {"occupants_ids": [88], "admins_ids": [101], "pinned_messages_ids": ["1" * 24]},
    }


async def test_what_is_not_given_stays_and_clear_empties() -> None:
    rest = FakeRest({f"PUT {PATH}": (200, DIALOG), f"PUT {PATH}/admins": (200, DIALOG)})
    async with with_session(rest.client()) as cube:
        await cube.dialogs.update(DIALOG_ID, pin=[MESSAGE_ID])
        assert rest.body() == {"push_all": {"pinned_messages_ids": [MESSAGE_ID]}}
        await cube.dialogs.update(DIALOG_ID, extensions=CLEAR, custom_data=CLEAR, permissions=CLEAR, description=CLEAR)
        assert rest.body() == {"extensions": None, "data": None, "permissions": None, "description": None}
        await cube.dialogs.update_admins(DIALOG_ID, add=88)
        assert rest.body() == {"push_all": {"admins_ids": [88]}}
        await cube.dialogs.update_admins(DIALOG_ID, remove=[88, 99])
        assert rest.body() == {"pull_all": {"admins_ids": [88, 99]}}


async def test_delete_one() -> None:
    rest = FakeRest(
        {
            f"DELETE {PATH}": [
                (200, {"SuccessfullyDeleted": {"ids": [DIALOG_ID]}}),
                (200, "{}"),
                (403, {"errors": {"base": ["Forbidden"]}}),
                (404, {"errors": {"base": ["Not found"]}}),
            ]
        }
    )
    async with with_session(rest.client()) as cube:
        await cube.dialogs.delete(DIALOG_ID)
        assert rest.query() == []
        await cube.dialogs.delete(DIALOG_ID, force=True)
        assert rest.query() == [("force", "1")]
        with pytest.raises(Forbidden):
            await cube.dialogs.delete(DIALOG_ID)
        with pytest.raises(NotFound):
            await cube.dialogs.delete(DIALOG_ID)


async def test_delete_many() -> None:
    answer = {
        "SuccessfullyDeleted": {"ids": [DIALOG_ID]},
        "NotFound": {"ids": []},
        "WrongPermissions": {"ids": [OTHER_ID]},
    }
    rest = FakeRest({f"DELETE {PATH},{OTHER_ID}": (200, answer)})
    async with with_session(rest.client()) as cube:
        result = await cube.dialogs.delete_many([DIALOG_ID, OTHER_ID, DIALOG_ID], force=True)
    assert rest.query() == [("force", "1")]
    assert result == DeleteResult(deleted=(DIALOG_ID,), wrong_permissions=(OTHER_ID,))


@pytest.mark.parametrize(
    ("status", "result"),
    [(404, DeleteResult(not_found=(DIALOG_ID,))), (403, DeleteResult(wrong_permissions=(DIALOG_ID,)))],
)
async def test_delete_many_of_one(status: int, result: DeleteResult) -> None:
    rest = FakeRest({f"DELETE {PATH}": (status, {"errors": {"base": ["no"]}})})
    async with with_session(rest.client()) as cube:
        assert await cube.dialogs.delete_many([DIALOG_ID]) == result


async def test_delete_many_without_a_user() -> None:
    rest = FakeRest({f"DELETE {PATH}": (403, {"errors": {"base": ["Forbidden. Need user."]}})})
    async with rest.client() as cube:
        with pytest.raises(Forbidden):
            await cube.dialogs.delete_many([DIALOG_ID])


async def test_delete_very_many_in_several_requests() -> None:
    ids = [f"{number:024x}" for number in range(201)]
    rest = FakeRest(
        {
            f"DELETE /chat/Dialog/{','.join(part)}": (200, {"SuccessfullyDeleted": {"ids": part}})
            for part in (ids[:100], ids[100:200])
        }
    )
    rest.answers[f"DELETE /chat/Dialog/{ids[200]}"] = (404, {"errors": {"base": ["Not found"]}})
    async with with_session(rest.client()) as cube:
        result = await cube.dialogs.delete_many(ids)
    assert (result.deleted, result.not_found) == (tuple(ids[:200]), (ids[200],))


async def test_history_subscription_and_notifications() -> None:
    rest = FakeRest(
        {
            f"DELETE /chat/Dialog/clearHistory/{DIALOG_ID}": (200, "{}"),
            f"POST {PATH}/subscribe": (200, DIALOG | {"type": 4}),
            f"DELETE {PATH}/subscribe": (200, "{}"),
            f"PUT {PATH}/notifications": [
                (200, {"notifications": {"enabled": 0}}),
                (200, {"notifications": {"enabled": 1}}),
            ],
            f"GET {PATH}/notifications": (200, {"notifications": {"enabled": 1}}),
        }
    )
    async with with_session(rest.client()) as cube:
        await cube.dialogs.clear_history(DIALOG_ID)
        assert rest.query() == []
        await cube.dialogs.clear_history(DIALOG_ID, force=True)
        assert rest.query() == [("force", "1")]
        assert (await cube.dialogs.subscribe(DIALOG_ID)).type is DialogType.PUBLIC
        await cube.dialogs.unsubscribe(DIALOG_ID)
        assert await cube.dialogs.set_notifications(DIALOG_ID, False) is False
        assert rest.body() == {"enabled": 0}
        assert await cube.dialogs.set_notifications(DIALOG_ID, True) is True
        assert rest.body() == {"enabled": 1}
        assert await cube.dialogs.get_notifications(DIALOG_ID) is True


@pytest.mark.parametrize("item", [USER, {"user": USER}, USER | {"user": USER}])
async def test_occupants_in_every_form(item: dict[str, Any]) -> None:
    answer = {"total_entries": 2, "skip": 0, "limit": 20, "items": [item]}
    rest = FakeRest({f"GET {PATH}/occupants": (200, answer)})
    async with with_session(rest.client()) as cube:
        page = await cube.dialogs.occupants(DIALOG_ID, limit=20)
    assert rest.query() == [("limit", "20"), ("skip", "0")]
    assert (page[0], page.total) == (User.from_json(USER), 2)


async def test_count() -> None:
    rest = FakeRest({"GET /chat/Dialog": (200, {"items": {"count": 12}})})
    async with with_session(rest.client()) as cube:
        assert await cube.dialogs.count(type__in=[2], extensions={"location": "Oslo"}, params={"data[seats]": 4}) == 12
    assert rest.query() == [("count", "1"), ("type[in][]", "2"), ("extensions[location]", "Oslo"), ("data[seats]", "4")]


Act = Callable[[Client], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda cube: cube.dialogs.create(DialogType.GROUP, occupants_ids=[88]), "name"),
        (lambda cube: cube.dialogs.create_public(""), "name"),
        (lambda cube: cube.dialogs.create(DialogType.PRIVATE, occupants_ids=[88, 99]), "exactly one"),
        (lambda cube: cube.dialogs.create_private(0), "no user's id"),
        (lambda cube: cube.dialogs.create_group("Lunch", [-1]), "no user's id"),
        (lambda cube: cube.dialogs.update(DIALOG_ID), "what to change"),
        (lambda cube: cube.dialogs.update("Lunch", name="x"), "24"),
        (lambda cube: cube.dialogs.update(DIALOG_ID, add_occupants=[88], remove_occupants=[88]), "both"),
        (lambda cube: cube.dialogs.update(DIALOG_ID, pin="x"), "pin must be 24"),
        (lambda cube: cube.dialogs.update_admins(DIALOG_ID), "whom"),
        (lambda cube: cube.dialogs.update_admins(DIALOG_ID, add=[88], remove=[88]), "both"),
        (lambda cube: cube.dialogs.delete(f"{DIALOG_ID},{OTHER_ID}"), "24"),
        (lambda cube: cube.dialogs.delete_many([]), "empty"),
        (lambda cube: cube.dialogs.delete_many([DIALOG_ID, "x"]), "24"),
        (lambda cube: cube.dialogs.clear_history("../x"), "24"),
        (lambda cube: cube.dialogs.subscribe(""), "24"),
        (lambda cube: cube.dialogs.unsubscribe(DIALOG_ID.upper()), "24"),
        (lambda cube: cube.dialogs.occupants("x"), "24"),
        (lambda cube: cube.dialogs.occupants(DIALOG_ID, limit=0), "limit"),
        (lambda cube: cube.dialogs.set_notifications("x", True), "24"),
        (lambda cube: cube.dialogs.get_notifications("x"), "24"),
        (lambda cube: cube.dialogs.get("x"), "24"),
        (lambda cube: cube.dialogs.count(type__over=1), "operator"),
    ],
)
async def test_mistakes_are_refused_before_any_request(act: Act, reason: str) -> None:
    rest = FakeRest()
    async with with_session(rest.client()) as cube:
        with pytest.raises(ValueError, match=reason):
            await act(cube)
    assert rest.requests == []
