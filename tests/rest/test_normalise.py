"""The normaliser: every spelling of the same request gives the same tree, and nothing else gets through."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxcube.server.core.errors import BadRequest, Invalid
from voxcube.server.rest.normalise import Limits, normalise

FORM = "application/x-www-form-urlencoded"


def query(text: str) -> dict[str, Any]:
    return normalise(text.encode(), "", b"").tree


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("a=1&b=2", {"a": "1", "b": "2"}),
        ("a", {"a": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("a=x+y%20z", {"a": "x y z"}),
        ("a==&&b=%26", {"a": "=", "b": "&"}),
        ("user[login]=x&user[password]=y", {"user": {"login": "x", "password": "y"}}),
        ("user%5Blogin%5D=x", {"user": {"login": "x"}}),
        ("updated_at[gt]=5", {"updated_at": {"gt": "5"}}),
        ("id[in][]=1&id[in][]=2", {"id": {"in": ["1", "2"]}}),
        ("push_all[occupants_ids][]=1", {"push_all": {"occupants_ids": ["1"]}}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[1]=y&a[0]=x&a[10]=z", {"a": ["x", "y", "z"]}),
        ("a[0][t]=x&a[1][t]=y", {"a": [{"t": "x"}, {"t": "y"}]}),
        ("a[][t]=x", {"a": [{"t": "x"}]}),
        ("a[b][c][d]=1", {"a": {"b": {"c": {"d": "1"}}}}),
        ("a=1&a[gt]=2", {"a": {"eq": "1", "gt": "2"}}),
        ("a[gt]=2&a=1", {"a": {"eq": "1", "gt": "2"}}),
        ("a[]=1&a=2", {"a": ["1", "2"]}),
        ("a[b=1&c]=2", {"a[b": "1", "c]": "2"}),
        ("[]=1&[x]=2", {"[]": "1", "[x]": "2"}),
        ("0=a&1=b", {"0": "a", "1": "b"}),
        ("n=%C3%A9%F0%9F%98%80", {"n": "é😀"}),
    ],
)
def test_bracket_names(text: str, tree: dict[str, Any]) -> None:
    assert query(text) == tree
    assert normalise(b"", FORM, text.encode()).tree == tree
    assert normalise(b"", "", text.encode()).tree == tree  # curl -d without a type of its own


@pytest.mark.parametrize(
    ("content_type", "body", "tree"),
    [
        ("application/json", b'{"a": [1, null, {"b": true}]}', {"a": [1, None, {"b": True}]}),
        ("application/json; charset=UTF-8", b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
        ("application/json", b"", {}),
        ("application/json", b" \r\n", {}),
        ("application/json", b"null", {}),
        ("", b' {"a": 1}', {"a": 1}),
        ("text/plain", b'{"a": 1}', {"a": 1}),
        ("application/vnd.api+json", b'{"a": 1}', {"a": 1}),
        (FORM, b"force=1", {"force": "1"}),
        (FORM + "; charset=utf-8", b"a=%C3%A9\r\n", {"a": "é"}),
    ],
)
def test_bodies(content_type: str, body: bytes, tree: dict[str, Any]) -> None:
    assert normalise(b"", content_type, body).tree == tree


def test_multipart_fields_without_files() -> None:
    body = (
        b'preamble\r\n--xx\r\nContent-Disposition: form-data; name="user[login]"\r\n\r\nann\r\n'
        b'--xx\r\ncontent-disposition: form-data; name="file"; filename="a.png"\r\n\r\n\x89PNG\r\n'
        b"--xx\r\nContent-Disposition: form-data; name=plain\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--xx--\r\n"
    )
    tree = normalise(b"", 'multipart/form-data; boundary="xx"', body).tree
    assert tree == {"user": {"login": "ann"}, "plain": "a\r\nb"}


def test_the_body_wins_and_is_known_alone() -> None:
    found = normalise(b"a=1&b[x]=1&b[y]=2&c=3", "application/json", b'{"a": 5, "b": {"y": 6}}')
    assert found.tree == {"a": 5, "b": {"x": "1", "y": 6}, "c": "3"}
    assert found.body == {"a": 5, "b": {"y": 6}}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"a": 1'),
        ("application/json", b"{'a': 1}"),
        ("application/json", b"[1]"),
        ("application/json", b'"text"'),
        ("application/json", b"5"),
        ("application/json", b'{"a": NaN}'),
        ("application/json", b'{"a": 1e999}'),
        ("application/json", b'{"a": "\xff"}'),
        ("application/json", b'{"a": "\xed\xa0\x80"}'),
        ("application/json", b'{"a": "\\ud800"}'),
        ("application/json", b'{"a": "x\\u0000"}'),
        ("application/json", b'{"\\u0000": 1}'),
        ("application/json", b'{"a": ["\\u0000"]}'),
        ("application/json", b'{"a":' * 100_000),
        ("application/json", b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}"),
        ("application/json", b'{"a": [' + b"1," * 30_000 + b"1]}"),
        ("application/json; charset=latin-1", b'{"a": 1}'),
        (FORM, b"a=%00"),
        (FORM, b"%00=a"),
        (FORM, b"a=%FF"),
        (FORM, b"a=%ED%A0%80"),
        (FORM, b"a=\xff"),
        (FORM, b"a" + b"[b]" * 40 + b"=1"),
        (FORM, b"a[]=1&" * 30_000),
        (FORM, b"a=" + b"x" * 1024 * 1024),
        ("multipart/form-data", b"--xx--"),
        ("multipart/form-data; boundary=xx", b"--xx\r\n"),
        ("multipart/form-data; boundary=xx", b"--xx\r\nno end of head\r\n--xx--"),
        ("multipart/form-data; boundary=xx", b'--xx\r\nContent-Disposition: x; name="a"\r\n\r\n\xff\r\n--xx--'),
    ],
)
def test_refused(content_type: str, body: bytes) -> None:
    with pytest.raises(BadRequest):
        normalise(b"", content_type, body)
    if content_type == FORM and len(body) < 1024 * 1024:
        with pytest.raises(BadRequest):
            normalise(body, "", b"")


def test_limits_are_arguments() -> None:
    limits = Limits(body=10, depth=2, values=3)
    assert normalise(b"a[b]=1", "", b"", limits).tree == {"a": {"b": "1"}}
    for content_type, body in ((FORM, b"a=123456789"), (FORM, b"a[b][c]=1"), ("application/json", b'{"a":[[]]}')):
        with pytest.raises(BadRequest):
            normalise(b"", content_type, body, limits)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
NAME = st.text("abcxyz_é", min_size=1, max_size=4)
NODE = st.recursive(
    TEXT, lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(NAME, inner, min_size=1, max_size=3)
)


def flat(prefix: str, node: Any) -> list[tuple[str, str]]:
    if isinstance(node, dict):
        return [pair for name, inner in node.items() for pair in flat(f"{prefix}[{name}]", inner)]
    if isinstance(node, list):
        return [pair for index, inner in enumerate(node) for pair in flat(f"{prefix}[{index}]", inner)]
    return [(prefix, node)]


@given(st.dictionaries(NAME, NODE, max_size=4))
def test_brackets_and_json_say_the_same(tree: dict[str, Any]) -> None:
    pairs = [pair for name, node in tree.items() for pair in flat(name, node)]
    encoded = "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs).encode()
    assert normalise(encoded, "", b"").tree == tree
    assert normalise(b"", "application/json", json.dumps(tree).encode()).tree == tree


@given(st.binary(max_size=200), st.sampled_from([FORM, "application/json", "multipart/form-data; boundary=x", ""]))
def test_no_bytes_do_more_than_be_refused(body: bytes, content_type: str) -> None:
    for given_query, given_body in ((b"", body), (body, b"")):
        try:
            tree = normalise(given_query, content_type, given_body).tree
        except (BadRequest, Invalid):
            continue
        assert "\0" not in json.dumps(tree, ensure_ascii=False)
        json.dumps(tree, ensure_ascii=False).encode()


@given(st.text("ab[]=&01%", max_size=40))
def test_no_brackets_do_more_than_be_refused(text: str) -> None:
    try:
        query(text)
    except (BadRequest, Invalid):
        pass
