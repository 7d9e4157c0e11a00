"""What only the loops of asyncio do: reading by themselves, and tasks of their own for clients."""

import asyncio
import errno
import logging
import os
import resource
import socket

import anyio
import pytest
from anyio.abc import SocketAttribute

from anyws.net._asyncio import AsyncioNetwork, _Tasks
from anyws.net._selector import SelectorTransport
from anyws.net.network import current_network
from anyws.net.transport import HIGH_WATER

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[
        pytest.param(("asyncio", {"debug": True}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ]
)
def anyio_backend(request):
    return request.param


async def connect(tg, socket_peer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        transport = await current_network(tg).connect_tcp("127.0.0.1", port)
        return transport, socket_peer(listener.accept()[0])


async def test_the_network_of_this_loop(socket_peer):
    async with anyio.create_task_group() as tg:
        assert isinstance(current_network(tg), AsyncioNetwork)
        transport, peer = await connect(tg, socket_peer)
        assert isinstance(transport, SelectorTransport)
        assert transport.reads_by_itself
        address = peer.sock.getsockname()
        assert transport.extra(SocketAttribute.remote_address) == address
        assert transport.extra(SocketAttribute.local_address) == peer.sock.getpeername()
        assert transport.extra(SocketAttribute.family) == socket.AF_INET
        peer.close()
        await transport.aclose()


async def test_bytes_come_without_a_reader(socket_peer, sink_class):
    sink = sink_class()
    async with anyio.create_task_group() as tg:
        transport, peer = await connect(tg, socket_peer)
        transport.attach(sink)
        await peer.send(b"data")
        await peer.send_eof()
        await sink.ended.wait()
        assert sink.data == b"data"
        peer.close()
        await transport.aclose()


async def test_a_paused_transport_receives_nothing(socket_peer, sink_class):
    sink = sink_class()
    async with anyio.create_task_group() as tg:
        transport, peer = await connect(tg, socket_peer)
        transport.attach(sink)
        transport.pause_reading()
        transport.pause_reading()
        await peer.send(b"data")
        await peer.send_eof()
        await anyio.wait_all_tasks_blocked()
        assert not sink.data
        transport.resume_reading()
        transport.resume_reading()
        await sink.ended.wait()
        assert sink.data == b"data"
        peer.close()
        await transport.aclose()
        transport.pause_reading()
        transport.resume_reading()


async def test_a_paused_transport_that_is_lost_stays_paused(socket_peer, sink_class):
    sink = sink_class()
    async with anyio.create_task_group() as tg:
        transport, peer = await connect(tg, socket_peer)
        transport.attach(sink)
        await peer.send(b"data")
        transport.pause_reading()
        transport.abort()
        await sink.gone.wait()
        transport.resume_reading()
        peer.close()
    assert (sink.lost, sink.data) == ([None], b"")


async def test_before_attach_no_more_is_kept_than_the_high_water_mark(socket_peer):
    async with anyio.create_task_group() as tg:
        transport, peer = await connect(tg, socket_peer)
        tg.start_soon(peer.send, bytes(2**23))
        await transport.receive(1)
        transport.pause_reading()
        await anyio.wait_all_tasks_blocked()
        kept = len(transport._receiver.data)
        assert kept < 2 * HIGH_WATER
        received = 1
        while received < 2**23:
            received += len(await transport.receive())
            assert len(transport._receiver.data) < 2 * HIGH_WATER
        peer.close()
        await transport.aclose()


async def test_accepting_goes_on_after_running_out_of_descriptors(caplog):
    caplog.set_level(logging.CRITICAL, "asyncio")
    accepted = []
    here, there = anyio.create_memory_object_stream(10)

    async def connected(transport):
        accepted.append(transport)
        await transport.aclose()
        here.send_nowait(transport)

    errors = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context["exception"]))
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.socket()
    client.setblocking(False)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    spare = []
    async with anyio.create_task_group() as tg:
        listening = await current_network(tg).listen([listener], connected, handshake_timeout=5)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 30, limits[1]))
            with pytest.raises(OSError) as caught:
                while True:
                    spare.append(os.dup(0))
            assert caught.value.errno == errno.EMFILE
            client.connect_ex(listener.getsockname())
            await anyio.wait_all_tasks_blocked()
            assert not accepted
        finally:
            for number in spare:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            client.close()
        # libuv accepts and closes what came meanwhile, asyncio takes it a second later.
        with socket.create_connection(listener.getsockname()), anyio.fail_after(5):
            await there.receive()
            listening.close()
        tg.cancel_scope.cancel()
    here.close()
    there.close()
    assert all(error.errno == errno.EMFILE for error in errors)


async def test_cancelling_the_server_cancels_each_clients_task():
    ended = []
    started = anyio.Event()

    async def connected(transport):
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await transport.aclose()
            ended.append(anyio.current_effective_deadline())

    listener = socket.create_server(("127.0.0.1", 0))
    async with anyio.create_task_group() as tg:
        listening = await current_network(tg).listen([listener], connected, handshake_timeout=5)
        with socket.create_connection(listener.getsockname()):
            await started.wait()
            tg.cancel_scope.cancel()
            listening.close()
    assert len(ended) == 1


async def test_a_client_that_comes_while_the_server_ends_is_cancelled_too():
    tasks = _Tasks()
    ended = []

    async def late():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("late")

    async def first():
        try:
            await anyio.sleep_forever()
        finally:
            tasks.start(late())
            ended.append("first")

    async with anyio.create_task_group() as tg:
        tasks.start(first())
        tg.start_soon(tasks.supervise)
        await anyio.wait_all_tasks_blocked()
        tg.cancel_scope.cancel()
    assert ended == ["first", "late"]
    assert not tasks._tasks


async def test_a_failing_clients_task_ends_the_server():
    async def connected(transport):
        transport.abort()
        raise LookupError("from the task")

    listener = socket.create_server(("127.0.0.1", 0))
    with anyio.fail_after(5), pytest.raises(ExceptionGroup) as caught:
        async with anyio.create_task_group() as tg:
            listening = await current_network(tg).listen([listener], connected, handshake_timeout=5)
            with socket.create_connection(listener.getsockname()):
                try:
                    await anyio.sleep_forever()
                finally:
                    listening.close()
    assert [type(error) for error in caught.value.exceptions] == [LookupError]
