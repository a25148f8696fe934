"""Pieces of answers that several features share: the user object, dates, the fate of several ids (rest §1.7, §4.1)."""

from __future__ import annotations

import time

import msgspec

from voxcube.server.core.models import User


def iso(seconds: int) -> str:
    """Unix seconds as ``2026-01-31T10:15:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def iso_ms(milliseconds: int) -> str:
    """Unix milliseconds, shown in seconds."""
    return iso(milliseconds // 1000)


class UserBody(msgspec.Struct):
    """A user as every client sees one. All keys are always there; passwords never are."""

    id: int
    full_name: str | None
    email: str | None
    login: str | None
    phone: str | None
    website: str | None
    custom_data: str | None
    avatar: str | None
    created_at: str
    updated_at: str
    last_request_at: str | None
    external_user_id: int | None
    external_id: str | None
    facebook_id: str | None
    twitter_id: str | None
    blob_id: int | None
    user_tags: str | None  # comma-separated: Flutter splits the text (rest §4.1)
    timezone: int | None
    is_guest: bool


class UserAnswer(msgspec.Struct):
    """One user, wrapped as the clients expect."""

    user: UserBody


def user_body(user: User) -> UserBody:
    """``user`` as it goes out."""
    return UserBody(
        id=user.id,
        full_name=user.full_name,
        email=user.email,
        login=user.login,
        phone=user.phone,
        website=user.website,
        custom_data=user.custom_data,
        avatar=user.avatar,
        created_at=iso(user.created_at),
        updated_at=iso(user.updated_at),
        last_request_at=None if user.last_request_at is None else iso(user.last_request_at),
        external_user_id=user.external_user_id,
        external_id=user.external_id,
        facebook_id=user.facebook_id,
        twitter_id=user.twitter_id,
        blob_id=user.blob_id,
        user_tags=",".join(user.user_tags) or None,
        timezone=user.timezone,
        is_guest=user.is_guest,
    )


class IdsBody(msgspec.Struct):
    ids: list[str]


class OutcomeBody(msgspec.Struct, rename="pascal"):
    """What became of each of several objects in one request (rest §6.4)."""

    successfully_deleted: IdsBody
    not_found: IdsBody
    wrong_permissions: IdsBody
