"""What is fuzzed, and what must hold, one sentence each: ``TARGETS``."""

from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from fuzzing import deflate, handshake, machine, wire

PHASES = (Phase.explicit, Phase.generate, Phase.target, Phase.shrink)


class Target(NamedTuple):
    """One thing that is fuzzed.

    Args:
        name: what it is called on the command line.
        invariant: what must hold, in one sentence.
        check: takes one drawn input, and raises when the invariant does not hold.
        inputs: the strategy that inputs are drawn from.
        corpus: inputs from the corpus, by name.
    """

    name: str
    invariant: str
    check: Any
    inputs: Any
    corpus: dict[str, Any]

    def run(self, examples, seed):
        """Check this many drawn inputs; raises what ``check`` raises, for the smallest input that does it."""
        body = given(self.inputs)(lambda drawn: self.check(drawn))
        with_seed(seed)(_settings(examples)(body))()


class Machine(NamedTuple):
    """A state machine in the place of a ``Target``; an input is a series of actions."""

    name: str
    invariant: str
    machine: Any
    corpus: dict[str, Any]

    def run(self, examples, seed):
        """Take this many series of actions; raises what one raises, for the shortest that does it."""
        seeded = with_seed(seed)(type("Seeded", (self.machine,), {}))
        run_state_machine_as_test(seeded, settings=_settings(examples))


def _settings(examples):
    return settings(
        max_examples=examples,
        stateful_step_count=70,
        deadline=None,
        database=None,
        phases=PHASES,
        suppress_health_check=list(HealthCheck),
    )


TARGETS = [
    Target(
        "scan",
        "the scanner takes the whole, plain frames from the front of any bytes, and leaves the rest untouched",
        wire.check_scan,
        wire.SCAN_INPUTS,
        dict(wire.scan_corpus()),
    ),
    Target(
        "inbound",
        "any bytes, cut anywhere, give the messages and the end that RFC 6455 gives them, within the limits",
        wire.check_inbound,
        wire.inbound_inputs(),
        dict(wire.inbound_corpus()),
    ),
    Target(
        "streams",
        "a random stream of frames has the same meaning for each build as for RFC 6455 read aloud",
        wire.check_stream,
        st.integers(0, 2**64),
        {},
    ),
    Target(
        "inflate",
        "any bytes, cut anywhere, inflate to what zlib makes of them byte by byte, or are refused by both",
        deflate.check_inflate,
        deflate.inflate_inputs(),
        dict(deflate.inflate_corpus()),
    ),
    Target(
        "deflate",
        "what one side compresses is what the other inflates, whatever they agreed on and whoever forgets",
        deflate.check_deflate,
        deflate.DEFLATE_INPUTS,
        dict(deflate.deflate_corpus()),
    ),
    Target(
        "request",
        "any bytes, cut anywhere, give a server the same upgrade or the same refusal, with a status",
        handshake.check_request,
        handshake.REQUESTS,
        dict(handshake.head_corpus("requests")),
    ),
    Target(
        "response",
        "any bytes, cut anywhere, give a client the same acceptance or the same refusal",
        handshake.check_response,
        handshake.RESPONSES,
        dict(handshake.head_corpus("responses")),
    ),
    Machine(
        "cores",
        "what one core says is what the other hears, in order and once, until a close frame or a cut",
        machine.TwoCores,
        {},
    ),
]
