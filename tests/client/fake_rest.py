"""A REST server in memory: canned replies by method and path, and a record of what was asked."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from voxcube.client import Client, Session

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]
EXPIRY = {"CB-Token-ExpirationDate": "2999-01-31 10:15:00 UTC"}
EXPIRED: Answer = (401, {"errors": {"base": ["Required session does not exist"]}})

USER: dict[str, Any] = {
    "id": 77,
    "full_name": "Ann Lee",
    "email": None,
    "login": "ann",
    "phone": None,
    "website": None,
    "custom_data": None,
    "avatar": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "last_request_at": None,
    "external_user_id": None,
    "external_id": None,
    "facebook_id": None,
    "twitter_id": None,
    "blob_id": None,
    "user_tags": "vip,early",
    "timezone": 60,
    "is_guest": False,
}
DIALOG_ID = "64c0ffee64c0ffee64c0ffee"
DIALOG: dict[str, Any] = {
    "_id": DIALOG_ID,
    "type": 3,
    "user_id": 77,
    "name": "Bob Ray",
    "description": None,
    "photo": None,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "xmpp_room_jid": None,
    "occupants_ids": [77, 88],
    "occupants_count": None,
    "admins_ids": [],
    "pinned_messages_ids": [],
    "last_message": "Lunch?",
    "last_message_id": "65a1b2c3d4e5f60718293a4b",
    "last_message_date_sent": 1767225600,
    "last_message_user_id": 77,
    "last_message_status": "delivered",
    "unread_messages_count": 2,
    "extensions": None,
    "permissions": {"allow_preview": True},
    "is_muted": None,
    "is_e2ee": None,
}
MESSAGE: dict[str, Any] = {
    "_id": "65a1b2c3d4e5f60718293a4b",
    "chat_dialog_id": DIALOG_ID,
    "message": "Lunch?",
    "date_sent": 1767225600,
    "sender_id": 77,
    "recipient_id": 88,
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:00:00Z",
    "attachments": [{"type": "image", "uid": "9a8b", "width": "640", "data": "%7B%22a%22%3A1%7D", "mood": "good"}],
    "read_ids": [77],
    "delivered_ids": [77, 88],
    "reactions": {"own": ["👍"], "total": {"👍": 2}},
    "views_count": 0,
    "edited_at": None,
    "read": 0,
    "city": "Oslo",
    "meta": {"a": "1"},
    "deleted_for_ids": [],
}


def session_json(token: str = "token-1", user: dict[str, Any] | None = USER) -> dict[str, Any]:
    return {
        "session": {
            "id": 4101,
            "user_id": user["id"] if user else 0,
            "application_id": 3,
            "token": token,
            "ts": 1767225600,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "user": user,
        }
    }


@dataclass
class FakeRest:
    """Answers requests from ``answers``; a list of answers is used up one by one, a function is called."""

    answers: dict[str, Answer | list[Answer] | Callable[[httpx.Request], Answer]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers[f"{request.method} {request.url.path}"]
        if isinstance(answer, list):
            answer = answer.pop(0)
        elif callable(answer):
            answer = answer(request)
        status, body, *rest = answer
        headers = rest[0] if rest else {}
        if isinstance(body, (dict, list)):
            return httpx.Response(status, json=body, headers=headers)
        return httpx.Response(status, text=body or "", headers=headers)

    def body(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)

    def query(self, index: int = -1) -> list[tuple[str, str]]:
        return self.requests[index].url.params.multi_items()

    def client(self, **options: Any) -> Client:
        defaults: dict[str, Any] = {
            "app_id": 3,
            "auth_key": "key",
            "api_url": "http://127.0.0.1:1/",
            "chat_host": "chat.example.org",
            "http_transport": httpx.MockTransport(self.handle),
        }
        return Client(**(defaults | options))


def with_session(cube: Client, token: str = "token-1") -> Client:
    cube._http.set_session(Session.from_json(session_json(token)["session"]))
    return cube
