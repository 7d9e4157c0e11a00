"""Many connections with random faults, for minutes: ``python tests/faults/soak.py --minutes 10 --loop trio``.

Clients connect through a relay that cuts, resets, half-closes, stalls or lets bytes through one by one; they cancel what
they do at random moments, read slowly, or leave; handlers return early or raise. Messages are numbered, and everybody
notes what was sent and received. A message that is lost, doubled, changed or out of order is a finding, and so is an
exception that is not documented; and at the end what is left of tasks, file descriptors, objects and memory.
"""

import argparse
import collections
import ctypes
import gc
import logging
import os
import pathlib
import random
import sys
import time
import traceback
import zlib
from functools import partial

import anyio
from soak_relay import HARMFUL, HARMLESS, SILENT, Relay

import anyws

#: What the ends do, the network being in order.
APPLICATION = ("cancel", "slow reader", "leave", "handler returns", "handler raises")
END = "end"
LOOPS = {
    "asyncio": {"backend": "asyncio"},
    "uvloop": {"backend": "asyncio", "backend_options": {"use_uvloop": True}},
    "trio": {"backend": "trio"},
}


class Session:
    """One connection, and what its two ends say of it."""

    def __init__(self, key, seed, silent, pace):
        self.key = key
        self.random = random.Random(f"{seed} {key}")
        self.plan = self.random.choice(
            HARMLESS + HARMFUL + (SILENT if silent else ()) + APPLICATION
        )
        self.network = "nothing" if self.plan in APPLICATION else self.plan
        self.count = self.random.randrange(1, 12)
        self.pause = pace * self.random.choice((0.5, 8, 30))
        #: Seconds that a stall, and a reader who sleeps, may take.
        self.stall = min(3, 10 * pace)
        #: Numbers of the messages that were admitted, and of those of which nobody can know.
        self.sent, self.unknown = [], set()
        self.at_server, self.echoed, self.at_client = [], [], []
        self.serving = anyio.Event()
        self.served = anyio.Event()
        self.complete = False
        self.ended_with = {}
        #: How far it came, as the relay saw it.
        self.stages = []

    def relay_plan(self):
        """Return what the relay does to it; the handshake may be hit as well."""
        after = self.random.choice((self.random.randrange(600), self.random.randrange(30_000)))
        return self.network, self, after, self.random.random() < 0.5

    def message(self, number):
        """Return the message of that number, always the same."""
        source = random.Random(f"{self.key} {number}")
        size = source.choice((0, 10, 300, 3000))
        if self.plan == "slow reader":
            size = 50_000
        filler = source.randbytes(size // 2).hex()
        text = f"{number} {filler}"
        text = f"{zlib.crc32(text.encode())} {text}"
        return text if number % 2 else text.encode()

    def number(self, message):
        """Return the number of a message, having looked at all of it."""
        text = message if isinstance(message, str) else message.decode()
        if text == END:
            return END
        number = int(text.split(" ", 2)[1])
        assert message == self.message(number), f"message {number} is changed"
        return number

    def judge(self):
        """Raise ``AssertionError`` for what is lost, doubled or out of order."""
        assert self.at_client == self.echoed[: len(self.at_client)], "echoes are not in order"
        numbers = [number for number in self.at_server if number != END]
        assert numbers == sorted(set(numbers)), "messages are doubled or out of order"
        assert set(numbers) <= set(self.sent) | self.unknown, "messages come from nowhere"
        last = numbers[-1] if numbers else -1
        missing = [number for number in self.sent if number < last and number not in numbers]
        assert not missing, f"messages {missing} are lost"
        if self.plan in (*HARMLESS, "cancel", "slow reader"):
            assert self.complete, f"nothing was wrong, and yet it ended: {self.ended_with}"
            assert set(self.sent) <= set(numbers), "messages are lost at the end"
            assert self.at_client == self.echoed == self.at_server
        elif self.plan == "handler raises" and "client" in self.ended_with:
            assert self.ended_with["client"].received.code == 1011
        elif self.plan == "handler returns" and "client" in self.ended_with:
            assert self.ended_with["client"].received.code == 1000


class Soak:
    """A server, a relay and clients.

    Args:
        seed: of everything that is random.
        silent: whether peers may vanish without a word, which takes the time of the keepalive to find.
        wait: seconds of keepalive and of closing.
    """

    def __init__(self, seed, *, silent, wait=20.0):
        self.seed = seed
        self.silent = silent
        self.wait = wait
        self.sessions = {}
        self.findings = []
        self.done = collections.Counter()
        self.messages = 0

    async def run(self, seconds, connections, progress=lambda _: None):
        """Keep so many connections busy for so many seconds."""
        self._deadline = deadline = time.monotonic() + seconds
        # The more there are, the more slowly each goes, so that the load stays that of one core at most.
        self._pace = connections / 500
        async with anyio.create_task_group() as tg:
            options = {
                "ping_interval": self.wait,
                "ping_timeout": self.wait,
                "close_timeout": self.wait,
                # Hundreds begin at once, and a machine may be busy.
                "open_timeout": 6 * self.wait,
            }
            serve = partial(anyws.serve, self._handle, "0.0.0.0", **options)
            server = await tg.start(serve)
            relay = Relay(server.port, self._plan)
            port = await tg.start(relay.serve)
            async with anyio.create_task_group() as clients:
                clients.start_soon(self._tell, progress, deadline, seconds)
                for number in range(connections):
                    clients.start_soon(self._client, number, port, deadline, options)
            with anyio.move_on_after(5 * self.wait):
                while server.clients or server._connections:
                    await anyio.sleep(0.02)
            self._check(not server.clients, f"clients are left: {server.clients}")
            self._check(server._connections == 0, f"{server._connections} connections are left")
            tg.cancel_scope.cancel()

    def _plan(self, target):
        session = self.sessions.get(target[1:])
        return session and session.relay_plan()

    def _check(self, true, finding):
        if not true:
            # At once, since a run may be broken off.
            print(finding, flush=True)
            self.findings.append(finding)

    async def _tell(self, progress, deadline, seconds):
        while (left := deadline - time.monotonic()) > 0:
            progress(1 - left / seconds)
            await anyio.sleep(min(left, max(1.0, seconds / 60)))

    async def _client(self, number, port, deadline, options):
        # Not all at once.
        await anyio.sleep(random.Random(f"{self.seed} {number}").uniform(0, 10 * self._pace))
        turn = 0
        while time.monotonic() < deadline and len(self.findings) < 10:
            turn += 1
            key = f"{self.seed}.{number}.{turn}"
            session = self.sessions[key] = Session(key, self.seed, self.silent, self._pace)
            try:
                # An address of its own, so that no port is used again that the kernel still remembers.
                host = f"127.1.{turn % 250}.{number % 250 + 1}"
                await self._connect(session, f"ws://{host}:{port}/{key}", options)
                if session.serving.is_set():
                    with anyio.fail_after(5 * self.wait):
                        await session.served.wait()
                session.judge()
            except Exception as error:
                text = "".join(traceback.format_exception(error))
                facts = {name: value for name, value in vars(session).items() if name != "random"}
                self._check(False, f"{key}, {session.plan}: {text}{facts}\n")
            del self.sessions[key]
            self.done[session.plan] += 1
            self.messages += len(session.at_client)

    async def _connect(self, session, url, options):
        try:
            async with anyws.connect(url, **options) as websocket:
                with anyio.move_on_after(None) as scope:
                    if session.plan == "leave":
                        scope.deadline = anyio.current_time() + session.random.uniform(0, 1)
                    try:
                        async with anyio.create_task_group() as tg:
                            tg.start_soon(self._send, session, websocket)
                            tg.start_soon(self._receive, session, websocket, tg.cancel_scope)
                    finally:
                        if session.plan == "leave" and session.random.random() < 0.5:
                            # In a scope that is cancelled already: the connection is dropped.
                            with anyio.CancelScope() as dropped:
                                dropped.cancel()
                                await websocket.aclose()
        except (anyws.HandshakeError, OSError, anyio.BrokenResourceError) as error:
            assert session.network in HARMFUL + SILENT, f"{session.plan} hindered the handshake"
            assert "handshake" not in session.ended_with
            session.ended_with["handshake"] = error

    async def _send(self, session, websocket):
        choice = session.random
        try:
            for number in range(session.count):
                left = self._deadline - time.monotonic()
                await anyio.sleep(max(0, min(left, choice.uniform(0, session.pause))))
                if left < 0:
                    break
                session.unknown.add(number)
                message = session.message(number)
                with anyio.CancelScope() as scope:
                    if session.plan == "cancel" and choice.random() < 0.5:
                        scope.deadline = anyio.current_time() + choice.choice((-1, 0, 0.001))
                        await websocket.send(message)
                    else:
                        await self._send_somehow(choice, websocket, message)
                if not scope.cancelled_caught:
                    session.sent.append(number)
                    session.unknown.discard(number)
            await websocket.send(END)
        except anyws.ConnectionClosed as error:
            session.ended_with["client"] = error

    @staticmethod
    async def _send_somehow(choice, websocket, message):
        way = choice.randrange(4)
        half = len(message) // 2
        if way == 0 and half:
            async with websocket.writer.fragment() as stream:
                await stream.send(message[:half])
                await stream.send(message[half:])
        elif way == 1 and half:
            await websocket.writer.feed([message[:half], message[half:]])
        else:
            await websocket.send(message)

    async def _receive(self, session, websocket, scope):
        choice = session.random
        try:
            if session.plan == "slow reader":
                await anyio.sleep(choice.uniform(0, session.stall))
            while True:
                with anyio.CancelScope() as one:
                    if session.plan == "cancel":
                        one.deadline = anyio.current_time() + choice.choice((-1, 0, 0.001, 0.1))
                    number = session.number(await websocket.receive())
                    session.at_client.append(number)
                    if number == END:
                        session.complete = True
                        return
        except anyws.ConnectionClosed as error:
            session.ended_with["client"] = error
            scope.cancel()

    async def _handle(self, websocket):
        session = self.sessions[websocket.request.target[1:]]
        session.serving.set()
        try:
            async for message in websocket:
                number = session.number(message)
                session.at_server.append(number)
                # Noted before: it is out once it is admitted, whether or not ``send`` comes back.
                session.echoed.append(number)
                await websocket.send(message)
                if session.plan == "handler returns" and number == session.count // 2:
                    return
                if session.plan == "handler raises" and number == session.count // 2:
                    raise RuntimeError("on purpose")
        except anyws.ConnectionClosed as error:
            session.ended_with["server"] = error
        except AssertionError as error:
            self._check(False, f"{session.key}, {session.plan}: at the server: {error}")
        finally:
            session.served.set()


def tasks():
    """Return how many tasks there are."""
    return len(anyio.get_running_tasks())


def resources():
    """Return what is in use: tasks, file descriptors, objects, MiB of resident memory."""
    for _ in range(3):
        gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return {
        "tasks": tasks(),
        "file descriptors": len(os.listdir("/proc/self/fd")),
        "objects": len(gc.get_objects()),
        "MiB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
    }


#: How much more there may be at the end than after the warming up: caches, and a heap with holes.
SLACK = {"tasks": 0, "file descriptors": 0, "objects": 2000, "MiB": 8}
#: And for each connection that was open at a time.
SLACK_EACH = 1 / 16


async def soak(seed, seconds, connections, *, silent, progress=lambda *_: None):
    """Run for so many seconds; return findings, and the counts of sessions by plan, and the resources before and after."""
    # What is made once is made first: caches, threads, modules.
    warm = Soak(f"{seed}w", silent=False)
    await warm.run(min(10.0, seconds / 5), connections)
    before = resources()
    run = Soak(seed, silent=silent)
    await run.run(seconds, connections, lambda share: progress(share, run))
    findings = warm.findings + run.findings
    after = resources()
    slack = {**SLACK, "MiB": SLACK["MiB"] + SLACK_EACH * connections}
    for name, more in slack.items():
        if after[name] > before[name] + more:
            findings.append(f"{after[name]:.0f} {name} after it, {before[name]:.0f} before")
            print(findings[-1])
    return findings, run, before, after


def main():
    """Run what the command line says; the exit status is 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--loop", choices=sorted(LOOPS), default="asyncio")
    parser.add_argument("--connections", type=int, default=500, help="at a time (default 500)")
    parser.add_argument(
        "--seed", type=int, default=None, help="of what is random; a new one if not given"
    )
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    logging.getLogger("anyws").setLevel(logging.CRITICAL)
    print(f"{options.loop}, seed {seed}", flush=True)
    began = time.monotonic()

    def progress(share, run):
        count = sum(run.done.values())
        print(
            f"{100 * share:3.0f} % {time.monotonic() - began:5.0f} s  {count} connections,"
            f" {run.messages} messages, {len(run.findings)} findings",
            flush=True,
        )

    work = partial(
        soak, seed, options.minutes * 60, options.connections, silent=True, progress=progress
    )
    findings, run, before, after = anyio.run(work, **LOOPS[options.loop])
    print(", ".join(f"{plan} {count}" for plan, count in sorted(run.done.items())))
    for name in before:
        print(f"{name}: {before[name]:.0f} before, {after[name]:.0f} after")
    print(f"{run.messages} messages came back, {len(findings)} findings")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
