"""A client's core and a server's core back to back, and everything that may happen to them in any order."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fuzzing.wire import BUILDS

_ENDS = st.sampled_from([0, 1])
_WINDOWS = st.integers(9, 15)
# Messages that can refer to the ones before.
_AGAIN = st.sampled_from(["what refers to a message before " * 4, b"the same, again and again" * 9])
_PAYLOADS = (
    _AGAIN
    | _AGAIN
    | _AGAIN
    | st.text(max_size=40)
    | st.binary(max_size=300)
    | st.builds(lambda part, count: part * count, st.binary(max_size=9), st.integers(0, 9000))
    | st.builds(lambda part, count: part * count, st.text(max_size=5), st.integers(0, 300))
)
_SIZES = st.integers(1, 40) | st.sampled_from([200, 5000, 100_000])
_COMPRESS = st.sampled_from([None, True, False])


class Sink:
    """Takes a message while it comes."""

    size = 0

    def __init__(self):
        self.data = b""

    def write_nowait(self, data):
        self.data += data

    def feed_eof(self):
        pass


class End:
    """One connection, the bytes that are on the way from it, and what it has said and heard."""

    def __init__(self, build, role, limits, deflate):
        self.build = build
        self.connection = build.connection.Connection(role, limits, deflate)
        self.limits = limits
        self.wire = bytearray()
        #: Type and payload of the messages that were sent, of which the last may be unfinished.
        self.said = []
        self.unfinished = False
        #: What is left of a fragment that ended early, in the middle of a character maybe.
        self.tail = b""
        #: The same of those that were received; a ``Sink`` in place of a payload that is read as it comes.
        self.heard = []
        self.pings = []
        self.pongs = []
        self.lost = False

    @property
    def inbound(self):
        return self.connection.inbound

    @property
    def may_send(self):
        return self.connection.sent is None and not self.lost

    def take(self, count):
        """Take messages, as ``receive`` does."""
        turns = self.build.turns.Turns(count)
        while (message := self.inbound.take(turns)) is not None:
            text = isinstance(message, str)
            self.heard.append((text, message.encode() if text else message))
            self.go_on()

    def go_on(self):
        if self.inbound.stopped and not self.inbound.full:
            self.inbound.resume()

    def read(self):
        """Read the message that is arriving, once those before it are taken."""
        self.take(10_000)
        message = self.inbound.message
        if message is not None and message.sink is None:
            sink = Sink()
            self.heard.append((message.kind == 1, sink))
            message.attach(sink)
            self.go_on()

    def answer(self):
        """Answer pings and note pongs, as the receiver does when bytes have come."""
        inbound = self.inbound
        self.pongs += inbound.take_pongs()
        if self.may_send:
            for ping in inbound.take_pings():
                self.wire += self.connection.outbound.control(10, ping)

    def reach_end(self):
        """Come to the end, when all messages before it are taken."""
        if not self.lost and not self.inbound.messages and not self.inbound.stopped:
            self.wire += self.connection.reach_end()


class TwoCores(RuleBasedStateMachine):
    """What one end says is what the other hears, in order and once, until a close frame or a cut."""

    @initialize(
        builds=st.tuples(st.sampled_from(BUILDS), st.sampled_from(BUILDS)),
        room=st.sampled_from([1, 300, 65536]),
        settings=st.none()
        | st.fixed_dictionaries(
            {
                "server_max_window_bits": _WINDOWS,
                "client_max_window_bits": st.none() | _WINDOWS,
                "server_context_takeover": st.booleans(),
                "client_context_takeover": st.booleans(),
                "threshold": st.sampled_from([0, 50]),
            }
        ),
        other_bits=_WINDOWS,
    )
    def open(self, builds, room, settings, other_bits):
        agreed = [None, None]
        if settings is not None:
            ours, theirs = (build.deflate.Deflate for build in builds)
            offering = ours(**settings)
            answer, agreed[1] = theirs(server_max_window_bits=other_bits).accept(offering.offer())
            agreed[0] = offering.confirm(answer)
        self.ends = []
        for build, role, deflate in zip(builds, ("CLIENT", "SERVER"), agreed, strict=True):
            limits = build.limits.Limits(message_size=None, receive_buffer=room, pending_pongs=1000)
            self.ends.append(End(build, build.enums.Role[role], limits, deflate))

    # What an end says

    @precondition(lambda self: any(end.may_send and not end.unfinished for end in self.ends))
    @rule(end=_ENDS, payload=_PAYLOADS, compress=_COMPRESS)
    def send(self, end, payload, compress):
        end = self.ends[end]
        if end.may_send and not end.unfinished:
            text, payload = _encoded(payload)
            end.said.append((text, payload))
            end.wire += b"".join(end.connection.outbound.message(2 - text, payload, compress))

    @precondition(lambda self: any(end.may_send for end in self.ends))
    @rule(
        end=_ENDS,
        payload=_PAYLOADS,
        cut=st.integers(0, 50),
        final=st.booleans(),
        compress=_COMPRESS,
    )
    def fragment(self, end, payload, cut, final, compress):
        """Send the first or the next fragment of a message; of text it may end in the middle of a character."""
        end = self.ends[end]
        if not end.may_send:
            return
        opcode, before = 0, b""
        if end.unfinished:
            text, before = end.said.pop()
            payload = payload.hex() if text and isinstance(payload, bytes) else payload
            payload = end.tail + _encoded(payload)[1]
        else:
            text, payload = _encoded(payload)
            opcode = 2 - text
        kept = len(payload) if final else max(0, len(payload) - cut)
        piece, end.tail = payload[:kept], payload[kept:]
        end.wire += b"".join(
            end.connection.outbound.fragment(opcode, piece, final=final, compress=compress)
        )
        end.said.append((text, before + piece))
        end.unfinished = not final

    @rule(end=_ENDS, payload=st.binary(max_size=125))
    def ping(self, end, payload):
        end = self.ends[end]
        if end.may_send:
            end.pings.append(payload)
            end.wire += end.connection.outbound.control(9, payload)

    @rule(end=_ENDS)
    def forget(self, end):
        """Drop the compressor, as an idle connection does."""
        self.ends[end].connection.outbound.rest(1e6)

    @precondition(lambda self: self._much_said())
    @rule(
        end=_ENDS,
        code=st.sampled_from([1000, 1001, 1005, 1011, 4000]),
        reason=st.sampled_from(["", "why", "ü" * 61]),
    )
    def close(self, end, code, reason):
        end = self.ends[end]
        if end.may_send:
            end.wire += end.connection.send_close(code, "" if code == 1005 else reason)

    # What comes over, and what is done with it

    @rule(end=_ENDS, size=_SIZES)
    def deliver(self, end, size):
        """Let the next bytes arrive, unless the end holds so much that it does not read."""
        receiver, sender = self.ends[end], self.ends[1 - end]
        if not receiver.lost and not receiver.inbound.full:
            buffer = sender.wire[:size]
            del sender.wire[:size]
            receiver.inbound.receive_data(buffer + b"\xa5", len(buffer))
            buffer[:] = bytes(len(buffer))

    @rule(end=_ENDS, count=st.integers(1, 5))
    def take(self, end, count):
        self.ends[end].take(count)

    @rule(end=_ENDS)
    def flow(self, end):
        """Deliver all that is on the way, and take it."""
        self.deliver(end, len(self.ends[1 - end].wire))
        self.ends[end].take(10_000)

    @rule(end=_ENDS)
    def read(self, end):
        self.ends[end].read()

    @rule(end=_ENDS)
    def wait(self, end):
        """Wait for a message, be it as large as it likes, or stop waiting."""
        end = self.ends[end]
        end.inbound.hungry = not end.inbound.hungry
        end.go_on()

    @rule(end=_ENDS)
    def answer(self, end):
        self.ends[end].answer()

    @rule(end=_ENDS)
    def reach_end(self, end):
        self.ends[end].reach_end()

    @precondition(lambda self: self._much_said())
    @rule(end=_ENDS)
    def cut(self, end):
        """Lose the stream: the end hears nothing more, and what it has sent may still arrive."""
        end, other = self.ends[end], self.ends[1 - end]
        end.lost = True
        end.connection.lose()
        other.wire.clear()

    # What must hold

    @invariant()
    def in_step(self):
        for end, other in self._pairs():
            assert end.inbound.failure is None
            heard = [(text, _payload(payload)) for text, payload in end.heard]
            assert len(heard) <= len(other.said)
            for index, (mine, theirs) in enumerate(zip(heard, other.said, strict=False)):
                assert mine[0] == theirs[0]
                whole = mine[1] == theirs[1]
                # Only the last may be on its way, or the one that was being read when the stream was lost.
                assert whole or (index == len(heard) - 1 and theirs[1].startswith(mine[1]))
            assert end.pongs == end.pings[: len(end.pongs)]

    def teardown(self):
        """Let everything arrive; then all that was said was heard, but for what a cut has taken."""
        if not hasattr(self, "ends"):
            return
        for _ in range(4):
            for end, other in self._pairs():
                end.inbound.hungry = True
                end.go_on()
                if not end.lost:
                    data, other.wire = other.wire, bytearray()
                    end.inbound.receive_data(data, len(data))
                end.take(10_000)
                end.answer()
                end.reach_end()
        self.in_step()
        for end, other in self._pairs():
            if not end.lost:
                self._judge(end, other)

    def _judge(self, end, other):
        """What must hold for an end that was not cut off."""
        connection = end.connection
        expected = other.said[:-1] if other.unfinished else other.said
        heard = [(text, _payload(payload)) for text, payload in end.heard]
        assert heard[: len(expected)] == expected
        assert not end.inbound.stopped
        close = other.connection.sent
        assert (end.inbound.close and tuple(end.inbound.close)) == (close and tuple(close))
        if close is None:
            if not other.lost:
                assert connection.state.name == "OPEN"
                assert end.pongs == end.pings
            return
        assert connection.received == tuple(close)
        assert connection.sent is not None
        assert connection.state.name == "CLOSED"
        error = connection.closed_error()
        began = [error.began_by_us, other.connection.closed_error().began_by_us]
        fine = {close.code, connection.sent.code} <= {1000, 1001, 1005}
        assert (type(error).__name__ == "ConnectionClosedOK") == fine
        assert any(began)

    def _much_said(self):
        # Else most series would be over before they began.
        return sum(len(end.said) for end in self.ends) > 4

    def _pairs(self):
        ours, theirs = self.ends
        return [(ours, theirs), (theirs, ours)]


def _encoded(payload):
    text = isinstance(payload, str)
    return text, payload.encode() if text else payload


def _payload(payload):
    return payload.data if isinstance(payload, Sink) else payload
