"""One stream through each build and through the reference, and what came out compared."""

import random
from typing import NamedTuple

from fuzzing.frames import random_case
from fuzzing.reference import CODES, Reference, Settings


class Outcome(NamedTuple):
    """What one build made of a stream, in values that two builds have in common."""

    #: Opcode and payload of each message that was taken whole.
    messages: list[tuple[int, bytes]]
    #: Payloads of messages that a reader took as they came, by their place in ``messages``.
    read: dict[int, bytes]
    pings: list[bytes]
    pongs: list[bytes]
    rule: str | None
    close: tuple[int, str] | None
    cause: str
    state: str
    #: Code and reason of our own close frame, if there was one.
    answer: tuple[int, str] | None


class _Sink:
    """Collects a message while it comes, as a reader does that is read at once."""

    size = 0

    def __init__(self):
        self.data = bytearray()
        self.complete = False

    def write_nowait(self, data):
        assert data
        assert not self.complete
        self.data += data

    def feed_eof(self):
        assert not self.complete
        self.complete = True


class Driver:
    """Feeds one connection of one build, as its receiver does.

    Args:
        build: a ``fuzzing.builds.Build``.
        case: the stream.
    """

    def __init__(self, build, case):
        self._case = case
        self._turns = build.turns.Turns
        settings = case.settings
        limits = build.limits.Limits(
            message_size=settings.message_size,
            fragments=settings.fragments,
            receive_buffer=case.receive_buffer,
            pending_pongs=1000,
        )
        parameters = None
        if settings.deflate:
            agreed = build.deflate.Deflate(
                server_max_window_bits=15,
                client_max_window_bits=15,
                server_context_takeover=settings.takeover,
                client_context_takeover=settings.takeover,
            )
            _, parameters = agreed.accept([])
        role = build.enums.Role.SERVER if settings.masked else build.enums.Role.CLIENT
        self._connection = build.connection.Connection(role, limits, parameters)
        self._messages = []
        self._sinks = {}
        #: The same actions for each build.
        self._random = random.Random(case.seed)

    def run(self):
        """Feed the stream and return its outcome."""
        inbound = self._connection.inbound
        polite = self._random.random() < 0.5
        for piece in self._case.pieces:
            if polite:
                self._make_room()
            # After the end nothing is read, and room is made by nobody: what came before may stay.
            bounded = polite and not (inbound.hungry or inbound.ended)
            buffer = bytearray(piece + b"\xa5" * 9)
            inbound.receive_data(buffer, len(piece))
            if bounded:
                self._check_bound(len(piece))
            # It is used for another connection next.
            buffer[:] = bytes(len(buffer))
            self._act()
        inbound.hungry = True
        self._take(1000)
        while inbound.stopped:
            inbound.resume()
            self._take(1000)
        return self._outcome()

    def _act(self):
        choice, inbound = self._random, self._connection.inbound
        action = choice.randrange(12)
        if action == 0:
            inbound.hungry = not inbound.hungry
        elif action <= 4:
            self._take(choice.randrange(1, 4))
        elif action == 5:
            self._read()
        if inbound.stopped and not inbound.full:
            inbound.resume()

    def _take(self, count):
        for _ in range(count):
            message = self._connection.inbound.take(self._turns(1))
            if message is None:
                return
            text = isinstance(message, str)
            self._messages.append((1, message.encode()) if text else (2, message))
            self._give_way()

    def _read(self):
        """Read the message that is arriving, once those before it are taken."""
        inbound = self._connection.inbound
        self._take(1000)
        message = inbound.message
        if message is not None and message.sink is None:
            sink = _Sink()
            self._sinks[len(self._messages)] = sink
            self._messages.append((int(message.kind), b""))
            message.attach(sink)

    def _give_way(self):
        inbound = self._connection.inbound
        if inbound.stopped and not inbound.full:
            inbound.resume()

    def _check_bound(self, size):
        """Check what is held after ``size`` bytes have come to a connection that was not full."""
        inbound = self._connection.inbound
        waiting = sum(len(message) for message in inbound.messages if message is not None)
        # Above the limit there is what came at once, and one step of inflating.
        bound = self._case.receive_buffer + size + 65536 + 64
        assert inbound.held < bound
        assert waiting < bound

    def _make_room(self):
        """Read what is there, since a receiver reads no more from the peer while it is full."""
        inbound = self._connection.inbound
        inbound.hungry = False
        while inbound.full and not inbound.ended:
            if not inbound.messages:
                # What fills it is a message that has not come whole.
                inbound.hungry = True
            self._take(1000)
            self._give_way()

    def _outcome(self):
        connection = self._connection
        inbound = connection.inbound
        answer = connection.reach_end()
        assert connection.reach_end() == b""
        failure = inbound.failure
        sent = None
        if answer:
            # What we send goes the other way: whoever receives it sees the opposite mask.
            judged = Reference(answer, Settings(masked=not self._case.settings.masked))
            assert not judged.rules
            sent = judged.close
            assert sent == (connection.sent.code, connection.sent.reason)
        messages = list(self._messages)
        for index, sink in self._sinks.items():
            if sink.complete:
                messages[index] = (messages[index][0], bytes(sink.data))
        return Outcome(
            messages=messages,
            read={
                index: bytes(sink.data) for index, sink in self._sinks.items() if not sink.complete
            },
            pings=inbound.pings,
            pongs=inbound.pongs,
            rule=failure.rule.name if failure else None,
            close=tuple(inbound.close) if inbound.close else None,
            cause=connection.closed_error().cause.name,
            state=connection.state.name,
            answer=sent,
        )


def compare_with_reference(outcome, reference):
    """Raise ``AssertionError`` where ``outcome`` is not what the rules say."""
    expected = list(reference.messages)
    if outcome.read:
        # At most the last message is only half there.
        ((index, data),) = outcome.read.items()
        assert index == len(outcome.messages) - 1 == len(expected)
        opcode, payload = reference.unfinished
        assert outcome.messages[index][0] == opcode
        assert payload.startswith(data)
        expected.append((opcode, b""))
    assert outcome.messages == expected
    assert outcome.pings == reference.pings
    assert outcome.pongs == reference.pongs
    assert outcome.close == reference.close
    if reference.rules:
        assert outcome.rule in reference.rules
        code = CODES[outcome.rule]
        assert outcome.answer[0] == code
        assert outcome.cause == ("OVER_LIMIT" if code == 1009 else "PROTOCOL_ERROR")
        assert outcome.state == "CLOSING"
    elif reference.close:
        assert outcome.rule is None
        assert outcome.answer == (reference.close[0], "")
        assert (outcome.cause, outcome.state) == ("CLOSED_BY_PEER", "CLOSED")
    else:
        assert (outcome.rule, outcome.answer) == (None, None)
        assert (outcome.cause, outcome.state) == ("CONNECTION_LOST", "OPEN")


def check_seed(builds, seed):
    """Put the stream of ``seed`` through all builds; raise ``AssertionError`` where two differ."""
    return check_case(builds, random_case(seed))


def check_case(builds, case):
    """Put a stream through all builds; raise ``AssertionError`` where two differ."""
    reference = Reference(case.data, case.settings)
    outcomes = [Driver(build, case).run() for build in builds]
    for outcome in outcomes:
        assert outcome == outcomes[0]
    compare_with_reference(outcomes[0], reference)
    return reference
