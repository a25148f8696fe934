"""Queries of an archive and their results (XEP-0313, paging by XEP-0059)."""

from dataclasses import dataclass
from datetime import UTC, datetime

from voxcube.xmpp import ns
from voxcube.xmpp.xml import Element

__all__ = ["FIELDS", "Query", "decode_query", "encode_fin", "encode_form"]

#: The fields of the form that a query may fill in (XEP-0313 §4.1).
FIELDS = ("with", "start", "end")
_MAX_QUERY_ID = 1024  # characters: each message of the page repeats it
_KINDS = {"with": "jid-single", "start": "text-single", "end": "text-single"}


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for. `start` and `end` in milliseconds; `before` "" asks for the last page; `max` of the page."""

    query_id: str | None = None
    with_: str | None = None
    start: int | None = None
    end: int | None = None
    after: str | None = None
    before: str | None = None
    max: int | None = None


def decode_query(query: Element) -> Query:
    """Reads a `<query/>`. Raises ValueError with a text for whoever has asked."""
    if len(query.get("queryid") or "") > _MAX_QUERY_ID:
        raise ValueError(f"queryid is too long (maximum is {_MAX_QUERY_ID} characters)")
    given: dict[str, str] = {}
    form = query.find("x", ns.DATA_FORMS)
    for field in () if form is None else form.elements():
        name = field.get("var") or ""
        value = field.find("value")
        if field.name == "field" and name != "FORM_TYPE" and value is not None:
            if name not in FIELDS:
                raise ValueError(f"there is no field {name[:64]}")
            given[name] = value.text.strip()
    page = query.find("set", ns.RSM)
    after = before = most = None
    if page is not None:
        after, before, most = page.find("after"), page.find("before"), page.find("max")
        if page.find("index") is not None:
            raise ValueError("pages cannot be asked for by index")
    text = "" if most is None else most.text.strip()
    if most is not None and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError("max must be a number")
    return Query(
        query_id=query.get("queryid"),
        with_=given.get("with"),
        start=_time(given.get("start")),
        end=_time(given.get("end")),
        after=None if after is None else after.text.strip(),
        before=None if before is None else before.text.strip(),
        max=int(text) if text else None,
    )


def encode_form() -> Element:
    """The form with the fields that can be filled in (XEP-0313 §4.1.5)."""
    kind = Element("field", {"var": "FORM_TYPE", "type": "hidden"}, [Element("value", children=[ns.MAM])])
    fields = [Element("field", {"var": name, "type": _KINDS[name]}) for name in FIELDS]
    return Element(
        "query", {"xmlns": ns.MAM}, [Element("x", {"xmlns": ns.DATA_FORMS, "type": "form"}, [kind, *fields])]
    )


def encode_fin(first: str | None, last: str | None, *, complete: bool) -> Element:
    """The end of a page: the ids of its first and last message, and whether there is nothing beyond (XEP-0313 §4.3)."""
    ids = [Element(name, children=[id_]) for name, id_ in (("first", first), ("last", last)) if id_ is not None]
    fin = Element("fin", {"xmlns": ns.MAM}, [Element("set", {"xmlns": ns.RSM}, ids)])
    if complete:
        fin.attrs["complete"] = "true"
    return fin


def _time(text: str | None) -> int | None:
    """XEP-0082, in milliseconds."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise ValueError("times look like 2026-01-31T10:15:00Z") from None
