"""Stream management counters against a naive model (XEP-0198, realtime §5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxcube.xmpp import sm
from voxcube.xmpp.errors import RemoteProtocolError
from voxcube.xmpp.sm import CountTooHigh, InboundAcks, OutboundQueue, Ticket
from voxcube.xmpp.xml import Element, serialize

# What happens: a stanza that counts, one that does not, a request, or a pending stanza (by position) is done or fails.
steps = st.lists(
    st.one_of(
        st.sampled_from(["counts", "passes", "request"]),
        st.tuples(st.sampled_from(["done", "done", "done", "failed"]), st.integers(0, 7)),
    ),
    max_size=60,
)


class Naive:
    """All that was ever received, in order; answers are found by reading it from the start."""

    def __init__(self) -> None:
        self.log: list[list[str]] = []  # [kind, state]
        self.answered = 0

    def answers(self) -> list[int]:
        h, answers = 0, []
        for kind, state in self.log:
            if kind == "request":
                answers.append(h)
            elif state != "done":
                break
            elif kind == "counts":
                h += 1
        new = answers[self.answered :]
        self.answered = len(answers)
        return new


@given(steps)
def test_acks_as_the_naive_model(script: list[str | tuple[str, int]]) -> None:
    acks, naive = InboundAcks(), Naive()
    pending: list[tuple[Ticket, list[str]]] = []
    for step in script:
        answers: list[int] = []
        if isinstance(step, tuple):
            if not pending:
                continue
            ticket, entry = pending.pop(step[1] % len(pending))
            entry[1] = step[0]
            if step[0] == "done":
                answers = acks.done(ticket)
            else:
                acks.failed(ticket)
        elif step == "request":
            naive.log.append(["request", ""])
            answers = acks.request()
        else:
            entry = [step, "pending"]
            naive.log.append(entry)
            pending.append((acks.received(step == "counts"), entry))
        assert answers == naive.answers()


def test_out_of_order() -> None:
    acks = InboundAcks()
    assert acks.request() == [0]
    first, typing, second = acks.received(), acks.received(False), acks.received()
    assert acks.request() == []
    assert acks.request() == []
    third = acks.received()
    assert acks.done(third) == []
    assert acks.done(second) == []
    assert acks.done(first) == []
    assert acks.done(typing) == [2, 2]
    assert acks.h == 3
    assert acks.request() == [3]


def test_a_failed_stanza_is_never_counted() -> None:
    acks = InboundAcks()
    first, second, third = acks.received(), acks.received(), acks.received()
    acks.failed(second)
    assert acks.done(third) == []
    assert acks.done(first) == []
    assert acks.h == 1
    assert acks.request() == []


def test_a_mark_is_reached_when_all_before_it_is_handled() -> None:
    acks, reached = InboundAcks(), []
    acks.when_handled(lambda: reached.append("at once"))
    assert reached == ["at once"]
    first, second = acks.received(), acks.received()
    acks.when_handled(lambda: reached.append(str(acks.h)))
    third = acks.received()
    acks.done(third)
    acks.done(second)
    assert reached == ["at once"]
    acks.done(first)
    assert reached == ["at once", "2"]
    assert acks.h == 3


def test_a_mark_behind_what_failed_is_never_reached() -> None:
    acks, reached = InboundAcks(), []
    first = acks.received()
    acks.when_handled(lambda: reached.append("never"))
    acks.failed(first)
    assert not reached


def test_h_wraps() -> None:
    acks = InboundAcks()
    acks.h = 2**32 - 1
    acks.done(acks.received())
    assert acks.h == 0


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=60), st.sampled_from([0, 2**32 - 5]))
def test_outbound_as_the_naive_model(script: list[int | None], start: int) -> None:
    queue: OutboundQueue[int] = OutboundQueue()
    queue._sent = start
    sent, acked = 0, 0
    for step in script:
        if step is None:
            sent += 1
            assert queue.sent(sent) == sent - acked
        elif acked <= step <= sent:
            assert queue.acked((start + step) % 2**32) == list(range(acked + 1, step + 1))
            acked = step
        else:
            with pytest.raises(CountTooHigh) as caught:
                queue.acked((start + step) % 2**32)
            assert caught.value.condition == "undefined-condition"
            assert serialize(caught.value.detail) == (
                b'<handled-count-too-high xmlns="urn:xmpp:sm:3" h="%d" send-count="%d"/>'
                % ((start + step) % 2**32, (start + sent) % 2**32)
            )
        assert queue.unacked() == list(range(acked + 1, sent + 1))
        assert len(queue) == sent - acked


@pytest.mark.parametrize("h", [-1, 2**32])
def test_h_out_of_range(h: int) -> None:
    with pytest.raises(RemoteProtocolError):
        OutboundQueue[str]().acked(h)


def test_elements() -> None:
    assert serialize(sm.enable()) == b'<enable xmlns="urn:xmpp:sm:3"/>'
    assert serialize(sm.enable(resume=True)) == b'<enable xmlns="urn:xmpp:sm:3" resume="true"/>'
    assert serialize(sm.enabled()) == b'<enabled xmlns="urn:xmpp:sm:3"/>'
    assert (
        serialize(sm.enabled(id_="x", max_seconds=300))
        == b'<enabled xmlns="urn:xmpp:sm:3" resume="true" id="x" max="300"/>'
    )
    assert serialize(sm.enabled(id_="x")) == b'<enabled xmlns="urn:xmpp:sm:3" resume="true" id="x"/>'
    assert serialize(sm.request()) == b'<r xmlns="urn:xmpp:sm:3"/>'
    assert serialize(sm.ack(7)) == b'<a xmlns="urn:xmpp:sm:3" h="7"/>'
    assert sm.read_h(sm.ack(2**32 - 1)) == 2**32 - 1
    assert serialize(sm.resume("x", 5)) == b'<resume xmlns="urn:xmpp:sm:3" previd="x" h="5"/>'
    assert serialize(sm.resumed("x", 5)) == b'<resumed xmlns="urn:xmpp:sm:3" previd="x" h="5"/>'
    assert serialize(sm.failed("item-not-found", 5)) == (
        b'<failed xmlns="urn:xmpp:sm:3" h="5"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>'
    )
    assert serialize(sm.failed("item-not-found")) == (
        b'<failed xmlns="urn:xmpp:sm:3"><item-not-found xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></failed>'
    )


@pytest.mark.parametrize(
    ("attrs", "wanted", "seconds"),
    [
        ({}, False, None),
        ({"resume": "false"}, False, None),
        ({"resume": "true"}, True, None),
        ({"resume": "1", "max": "60"}, True, 60),
        ({"resume": "true", "max": "-1"}, True, None),
        ({"resume": "true", "max": "9" * 5000}, True, None),
        ({"resume": "true", "max": "٣"}, True, None),
    ],
)
def test_the_wish_to_resume(attrs: dict[str, str], wanted: bool, seconds: int | None) -> None:
    element = Element("enable", {"xmlns": "urn:xmpp:sm:3", **attrs})
    assert sm.wants_resumption(element) is wanted
    assert sm.read_max(element) == seconds


@pytest.mark.parametrize("h", ["", "-1", "x", "1.5", "٣", "4294967296", "9" * 5000])
def test_bad_h(h: str) -> None:
    ack = sm.ack(0)
    ack.attrs["h"] = h
    with pytest.raises(RemoteProtocolError):
        sm.read_h(ack)
