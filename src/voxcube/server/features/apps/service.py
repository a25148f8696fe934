"""The rules of applications: making them with their keys, and changing their settings."""

import dataclasses
import re
import secrets
from collections.abc import Callable, Collection, Coroutine, Mapping
from typing import Any, Protocol, TypeVar

from voxcube.server.core.clock import Clock
from voxcube.server.core.errors import Invalid, NotFound
from voxcube.server.core.models import VISIBLE_TO, App, AppSettings, NewApp
from voxcube.server.storage import apps, counters, extensions
from voxcube.server.storage.database import Tx

T = TypeVar("T")

MAX_NAME = 255
#: The keys of an application that can be replaced.
KEYS = ("auth_key", "auth_secret", "admin_api_key")
MAX_CUSTOM_FIELDS = 3  # rest §2
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LARGEST = {"password_min_length": 128}
_CHOICES = {"email_visible_to": VISIBLE_TO, "phone_visible_to": VISIBLE_TO}
_ZERO = {"message_days"}  # may be 0


class Transactions(Protocol):
    """Runs a function in a transaction and commits it: the writer in a server, the database itself in the CLI.

    With ``dialog`` the messages that were accepted for that dialog before are committed before.
    """

    async def run(self, fn: Callable[[Tx], Coroutine[Any, Any, T]], /, *, dialog: str | None = None) -> T: ...


class AppService:
    """Makes and changes applications; every change raises the generation, so that running servers follow."""

    def __init__(
        self, transactions: Transactions, clock: Clock, new_key: Callable[[], str] = lambda: secrets.token_hex(16)
    ) -> None:
        self._transactions = transactions
        self._clock = clock
        self._new_key = new_key

    async def create(self, name: str, settings: AppSettings | None = None) -> NewApp:
        """A new application with keys of its own; ``settings``: the defaults when absent. Raises Invalid."""
        name = name.strip()
        if not name or len(name) > MAX_NAME or "\0" in name:
            raise Invalid({"name": [f"must have 1 to {MAX_NAME} characters"]})

        admin_api_key = self._new_key()

        async def make(tx: Tx) -> NewApp:
            app = NewApp(
                id=await counters.next_value(tx, "apps"),
                name=name,
                auth_key=self._new_key(),
                auth_secret=self._new_key(),
                admin_api_key=admin_api_key,
                admin_key_hash=apps.key_hash(admin_api_key),
                settings=settings or AppSettings(),
            )
            await apps.add(tx, app, self._clock.now())
            await counters.raise_generation(tx)
            return app

        return await self._transactions.run(make)

    async def every(self) -> list[App]:
        """All applications by id."""
        return await self._transactions.run(apps.every)

    async def get(self, app_id: int) -> App:
        """One application. Raises NotFound."""
        app = await self._transactions.run(lambda tx: apps.by_id(tx, app_id))
        if app is None:
            raise NotFound(f"there is no application {app_id}")
        return app

    @staticmethod
    def is_admin_key(app: App, admin_api_key: str) -> bool:
        """Whether this is the application's administration key."""
        return apps.key_hash(admin_api_key) == app.admin_key_hash

    async def rotate_keys(self, app_id: int, names: Collection[str]) -> dict[str, str]:
        """Replaces keys of an application (of KEYS) by new ones, and returns these; the old ones stop working.

        Raises NotFound for an unknown application, Invalid for an unknown key.
        """
        if wrong := [name for name in names if name not in KEYS]:
            raise Invalid(f"{wrong[0]!r} is not a key; there are {', '.join(KEYS)}")
        new = {name: self._new_key() for name in KEYS if name in names}

        async def rotate(tx: Tx) -> None:
            app = await apps.by_id(tx, app_id)
            if app is None:
                raise NotFound(f"there is no application {app_id}")
            changes = dict(new)
            if admin_api_key := changes.pop("admin_api_key", None):
                changes["admin_key_hash"] = apps.key_hash(admin_api_key)
            await apps.set_keys(tx, dataclasses.replace(app, **changes))  # type: ignore[arg-type]
            await counters.raise_generation(tx)

        await self._transactions.run(rotate)
        return new

    async def lock_out(self, app_id: int) -> None:
        """Replace all keys of an application by ones that nobody gets to know. Raises NotFound."""
        await self.rotate_keys(app_id, KEYS)

    async def change(self, app_id: int, texts: Mapping[str, str]) -> App:
        """Sets settings from texts such as {"dialog_custom_fields": "city,level"}.

        Raises NotFound for an unknown application, Invalid for an unknown key or an unacceptable value.
        """

        async def change(tx: Tx) -> App:
            app = await apps.by_id(tx, app_id)
            if app is None:
                raise NotFound(f"there is no application {app_id}")
            before, app = app.settings, dataclasses.replace(app, settings=changed(app.settings, texts))
            await apps.set_settings(tx, app_id, app.settings)
            if set(before.dialog_custom_fields) - set(app.settings.dialog_custom_fields):
                await extensions.keep_only(tx, app_id, app.settings.dialog_custom_fields)
            await counters.raise_generation(tx)
            return app

        return await self._transactions.run(change)


def changed(settings: AppSettings, texts: Mapping[str, str]) -> AppSettings:
    """`settings` with the values that `texts` spell. Raises Invalid with every mistake by key."""
    known = {field.name: getattr(settings, field.name) for field in dataclasses.fields(AppSettings)}
    values: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for key, text in texts.items():
        if key not in known:
            errors[key] = ["is not a setting; there are " + ", ".join(known)]
            continue
        try:
            values[key] = _read(key, known[key], text)
        except ValueError as error:
            errors[key] = [str(error)]
    if errors:
        raise Invalid(errors)
    return dataclasses.replace(settings, **values)


def _read(key: str, current: object, text: str) -> object:
    """`text` as a value of the type that `current` has. Raises ValueError with what is wrong."""
    text = text.strip()
    if isinstance(current, bool):
        if text.lower() not in ("true", "false", "1", "0", "on", "off"):
            raise ValueError("must be true or false")
        return text.lower() in ("true", "1", "on")
    if isinstance(current, int):
        smallest, largest = int(key not in _ZERO), _LARGEST.get(key, 999_999)
        if not re.fullmatch(r"[0-9]{1,6}", text) or not smallest <= int(text) <= largest:
            raise ValueError(f"must be a whole number from {smallest} to {largest}")
        return int(text)
    if key in _CHOICES:
        if text not in _CHOICES[key]:
            raise ValueError(f"must be one of {', '.join(_CHOICES[key])}")
        return text
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(names) > MAX_CUSTOM_FIELDS:
        raise ValueError(f"may have at most {MAX_CUSTOM_FIELDS} names")
    if wrong := [name for name in names if not _FIELD_NAME.fullmatch(name)]:
        raise ValueError(f"{wrong[0]!r} is not a name of letters, digits and _")
    return names
