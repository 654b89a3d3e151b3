"""Messages that are sealed here are understood there, and anything else is refused."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import json
from typing import Any

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from jupyter_client.jsonutil import parse_date
from jupyter_client.session import Session

from IPython.parallel import engine_bundle

envelope = engine_bundle.load().envelope

KEY = b"the key of this cluster"
contents = st.dictionaries(
    st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=20), st.booleans()), max_size=4
)
idents = st.lists(
    st.binary(max_size=10).filter(lambda ident: ident != envelope.DELIMITER), max_size=3
)
buffers = st.lists(st.binary(max_size=100), max_size=3)


def session(key: bytes = KEY) -> Session:
    return Session(key=key)


def frames(*data: bytes) -> list[zmq.Frame]:
    return [zmq.Frame(each) for each in data]


def sealed(sender: Session, kind: str = "apply_request", **content: Any) -> list[bytes]:
    header = sender.pack(envelope.make_header(sender, kind))
    metadata = sender.pack({envelope.MARK: True})
    return envelope.seal(
        sender, header, sender.pack({"of": "a parent"}), metadata, sender.pack(content)
    )


def opened(receiver: Session, data: list[bytes]) -> Any:
    return envelope.unseal(receiver, envelope.split(frames(*data))[1])


class TestThereAndBack:
    @given(idents, contents, contents, buffers)
    def test_what_is_sealed_is_unsealed(
        self, idents: Any, content: Any, parent: Any, buffers: Any
    ) -> None:
        sender, receiver = session(), session()
        header = sender.pack(envelope.make_header(sender, "apply_request"))
        parts = [
            header,
            sender.pack(parent),
            sender.pack({envelope.MARK: True}),
            sender.pack(content),
        ]
        data = [*idents, *envelope.seal(sender, *parts), *buffers]
        found, rest = envelope.split(frames(*data))
        assert found == idents
        assert envelope.is_ours(rest)
        message = envelope.unseal(receiver, rest)
        assert list(message[:4]) == parts
        assert [bytes(buffer) for buffer in message.buffers] == buffers

    def test_ids_are_the_messages_own(self) -> None:
        one, other = session(), session()
        headers = [envelope.make_header(sender, "x") for sender in (one, one, other, one)]
        assert len({header["msg_id"] for header in headers}) == 4

    def test_the_time_is_one_that_jupyter_reads(self) -> None:
        assert parse_date(envelope.now()).utcoffset().total_seconds() == 0


class TestJupyter:
    """The other side may be a session of Jupyter's: the controller, the Hub, a kernel."""

    @given(contents, buffers)
    def test_a_session_understands_what_is_sealed(self, content: Any, buffers: Any) -> None:
        sender, receiver = session(), session()
        header = sender.pack(envelope.make_header(sender, "apply_request"))
        parts = [header, sender.pack({}), sender.pack({envelope.MARK: True}), sender.pack(content)]
        data = [b"an engine", *envelope.seal(sender, *parts), *buffers]
        found, rest = receiver.feed_identities(frames(*data), copy=False)
        message = receiver.deserialize(rest, copy=False)
        assert found == [b"an engine"]
        assert (message["content"], message["metadata"]) == (content, {envelope.MARK: True})
        assert [bytes(buffer) for buffer in message["buffers"]] == buffers
        assert message["msg_type"] == "apply_request"
        assert (message["header"]["session"], message["header"]["username"]) == (
            sender.session,
            sender.username,
        )
        # Whether a session reads dates is a matter of its version and of who else is loaded.
        assert parse_date(message["header"]["date"]).tzinfo is not None

    @given(contents)
    def test_what_a_session_sends_is_unsealed(self, content: Any) -> None:
        sender, receiver = session(), session()
        message = sender.msg("apply_reply", content, metadata={envelope.MARK: True})
        found, rest = envelope.split(frames(*sender.serialize(message, ident=b"a client")))
        assert found == [b"a client"]
        assert envelope.is_ours(rest)
        assert receiver.unpack(envelope.unseal(receiver, rest).content) == content

    def test_header_has_the_fields_of_a_sessions_own(self) -> None:
        sender = session()
        assert envelope.make_header(sender, "x").keys() == sender.msg_header("x").keys()
        headers = envelope.make_header(sender, "x"), sender.msg_header("x")
        major, own = (header["version"].partition(".")[0] for header in headers)
        assert major == own

    def test_messages_of_others_are_not_ours(self) -> None:
        sender = session()
        for metadata in ({}, {"_ipython_parallel_000000000000": True}):
            message = sender.msg("apply_request", {"text": envelope.MARK}, metadata=metadata)
            assert not envelope.is_ours(envelope.split(frames(*sender.serialize(message)))[1])


class TestRefused:
    @given(st.integers(0, 4), st.data())
    def test_a_flipped_bit(self, part: int, data: Any) -> None:
        message = sealed(session(), text="pay 10")
        flipped = bytearray(message[1 + part])
        at = data.draw(st.integers(0, 8 * len(flipped) - 1))
        flipped[at // 8] ^= 1 << at % 8
        message[1 + part] = bytes(flipped)
        with pytest.raises(ValueError, match="signed"):
            opened(session(), message)

    def test_parts_in_another_order(self) -> None:
        delimiter, signature, header, parent, metadata, content = sealed(session(), text="pay 10")
        with pytest.raises(ValueError, match="signed"):
            opened(session(), [delimiter, signature, header, metadata, parent, content])

    @given(st.binary(min_size=1, max_size=40).filter(lambda key: key != KEY))
    def test_another_key(self, key: bytes) -> None:
        with pytest.raises(ValueError, match="signed"):
            opened(session(), sealed(session(key)))

    @pytest.mark.parametrize("signature", [b"", b"0" * 64, "ä".encode() * 32])
    def test_no_signature(self, signature: bytes) -> None:
        message = sealed(session())
        message[1] = signature
        with pytest.raises(ValueError, match="signed"):
            opened(session(), message)

    def test_a_message_that_comes_twice(self) -> None:
        receiver, message = session(), sealed(session())
        opened(receiver, message)
        with pytest.raises(ValueError, match="twice"):
            opened(receiver, message)
        assert opened(receiver, sealed(session()))

    def test_a_message_that_a_session_has_had(self) -> None:
        receiver, message = session(), sealed(session())
        receiver.deserialize(frames(*message[1:]), copy=False)
        with pytest.raises(ValueError, match="twice"):
            opened(receiver, message)

    def test_a_session_refuses_one_that_was_had_here(self) -> None:
        receiver, message = session(), sealed(session())
        opened(receiver, message)
        with pytest.raises(ValueError, match="Duplicate"):
            receiver.deserialize(frames(*message[1:]), copy=False)

    def test_a_refused_message_does_not_keep_the_true_one_out(self) -> None:
        receiver, message = session(), sealed(session(), text="pay 10")
        forged = [*message[:5], message[5].replace(b"10", b"99")]
        with pytest.raises(ValueError, match="signed"):
            opened(receiver, forged)
        assert json.loads(opened(receiver, message).content) == {"text": "pay 10"}

    def test_signatures_seen_are_forgotten_as_the_sessions_own_are(self) -> None:
        receiver = Session(key=KEY, digest_history_size=10)
        for _ in range(50):
            opened(receiver, sealed(session()))
        assert len(receiver.digest_history) <= 11

    @pytest.mark.parametrize("kept", range(6))
    def test_truncated_messages_are_not_ours(self, kept: int) -> None:
        assert not envelope.is_ours(envelope.split(frames(*sealed(session())[:kept]))[1])

    @given(
        st.lists(
            st.binary(max_size=10).filter(lambda frame: frame != envelope.DELIMITER), max_size=8
        )
    )
    def test_without_a_delimiter_there_are_no_parts(self, data: list[bytes]) -> None:
        assert envelope.split(frames(*data)) == (data, ())
        assert not envelope.is_ours(())

    def test_a_delimiter_among_the_buffers_is_a_buffer(self) -> None:
        _, parts = envelope.split(frames(*sealed(session()), envelope.DELIMITER))
        assert [bytes(buffer) for buffer in envelope.unseal(session(), parts).buffers] == [
            envelope.DELIMITER
        ]


class TestUnauthenticated:
    """A cluster whose user wanted no signatures."""

    def test_messages_are_understood(self) -> None:
        assert json.loads(opened(session(b""), sealed(session(b""), x=1)).content) == {"x": 1}

    def test_a_session_understands_them(self) -> None:
        message = session(b"").deserialize(frames(*sealed(session(b""), x=1)[1:]), copy=False)
        assert message["content"] == {"x": 1}

    def test_one_that_has_a_key_does_not_believe_one_that_has_none(self) -> None:
        with pytest.raises(ValueError, match="signed"):
            opened(session(), sealed(session(b"")))
