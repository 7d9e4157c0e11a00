"""The chat room in memory: names, history, refusals, and pages that fall behind."""

import contextlib
import json

import anyio
import pytest

import anyws
from anyws.demo.chat import ChatRoom
from anyws.testing import WebSocketPair

pytestmark = pytest.mark.anyio


class Page:
    """A page of the demo, which ignores what a test does not ask for."""

    def __init__(self, websocket):
        self.websocket = websocket

    async def send(self, kind, **content):
        await self.websocket.send(json.dumps({"type": kind, **content}))

    async def receive(self, kind):
        while True:
            message = json.loads(await self.websocket.receive())
            if message["type"] == kind:
                return message

    async def close_code(self):
        with pytest.raises(anyws.ConnectionClosed) as caught:
            while True:
                await self.websocket.receive()
        return caught.value.code, caught.value.reason


class Named:
    """Somebody in the room who takes no part."""

    def __init__(self, name):
        self.name = name


@contextlib.asynccontextmanager
async def open_room():
    """Give a room, and a function that opens a page and says hello."""
    room = ChatRoom()
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tg, contextlib.AsyncExitStack() as stack:

            async def visit(name="Ada", *, hello=True):
                client, server = await stack.enter_async_context(WebSocketPair(close_timeout=5))
                tg.start_soon(room.serve, server)
                page = Page(client)
                if hello:
                    await page.send("hello", name=name)
                    page.welcome = await page.receive("welcome")
                return page

            yield room, visit
            for member in tuple(room._members):
                member.scope.cancel()


async def test_names_are_tidied():
    wishes = {
        "Ada": "Ada", "  Ada\t Lovelace\n": "Ada Lovelace", "": "Guest", " ": "Guest 2",
        None: "Guest 3", 7: "Guest 4", "x" * 40: "x" * 32, "y" * 31 + " z": "y" * 31,
    }  # fmt: skip
    async with open_room() as (room, _):
        for wish, name in wishes.items():
            assert room._free_name(wish) == name
            room._members.add(Named(name))
        room._members.clear()


async def test_nobody_has_the_name_of_another():
    async with open_room() as (_, visit):
        first, second, third = [await visit("Ada") for _ in range(3)]
        assert third.welcome["name"] == "Ada 3"
        assert third.welcome["people"] == ["Ada", "Ada 2", "Ada 3"]
        await second.send("hello", name="Grace")
        notice = await third.receive("notice")
        assert (notice["name"], notice["to"]) == ("Ada 2", "Grace")
        # A name that is free again is given again; one's own is free, and then nothing happens.
        await third.send("hello", name="Ada 2")
        await third.send("hello", name="Ada 2")
        renamed = [(await first.receive("notice")).get("to") for _ in range(4)]
        assert renamed == [None, None, "Grace", "Ada 2"]
        await second.send("hello", name="Hopper")
        assert (await first.receive("notice"))["to"] == "Hopper"


async def test_what_is_said_is_trimmed_and_cut():
    async with open_room() as (_, visit):
        ada, grace = await visit("Ada"), await visit("Grace")
        await ada.send("say", text=" é\n")
        message = await grace.receive("message")
        assert (message["name"], message["text"]) == ("Ada", "é")
        await ada.send("say", text="x" * 2001)
        assert (await grace.receive("message"))["text"] == "x" * 2000


async def test_nothing_said_is_passed_over():
    async with open_room() as (room, visit):
        ada = await visit()
        for content in ({"text": " \n"}, {"text": 7}, {"text": None}, {}):
            await ada.send("say", **content)
        await ada.send("ping", id=[1, "x"])
        assert (await ada.receive("pong"))["id"] == [1, "x"]
        assert not room._history


async def test_the_latest_is_remembered():
    async with open_room() as (_, visit):
        ada = await visit("Ada")
        for number in range(51):
            await ada.send("say", text=str(number))
            await ada.receive("message")
        history = (await visit("Late")).welcome["history"]
        assert [said["text"] for said in history] == [str(number) for number in range(1, 51)]


REFUSED = [
    ('{"type": "shout"}', 1008, "this type of message is not known here"),
    ("{}", 1008, "this type of message is not known here"),
    ("7", 1008, "a message is an object here"),
    ("{", 1007, "this is not JSON"),
    (b"\xff", 1007, "this is not JSON"),
    (b" " * 8193, 1009, "a message has at most 8192 bytes here"),
]


async def test_who_breaks_the_rules_is_sent_away_and_the_others_are_told():
    async with open_room() as (_, visit):
        ada = await visit("Ada")
        for data, code, reason in REFUSED:
            other = await visit("Other")
            await other.websocket.send(data)
            assert await other.close_code() == (code, reason)
            assert (await ada.receive("notice"))["event"] == "joined"
            notice = await ada.receive("notice")
            assert (notice["event"], notice["people"]) == ("left", ["Ada"])


async def test_a_message_of_the_largest_size():
    async with open_room() as (_, visit):
        ada = await visit("Ada")
        text = '{"type": "ping", "id": 7}'
        await ada.websocket.send(text.ljust(8192))
        assert (await ada.receive("pong"))["id"] == 7


async def test_hello_comes_first():
    async with open_room() as (room, visit):
        page = await visit(hello=False)
        await page.send("say", text="x")
        assert await page.close_code() == (1008, "say hello first")
        assert not room._members


async def test_who_leaves_before_the_hello_was_never_there():
    async with open_room() as (room, visit):
        ada = await visit("Ada")
        page = await visit(hello=False)
        await page.websocket.close()
        grace = await visit("Grace")
        # Had the other been announced, this would not be the first notice.
        assert (await ada.receive("notice"))["name"] == "Grace"
        assert grace.welcome["people"] == ["Ada", "Grace"]


@pytest.mark.parametrize("drop", [False, True])
async def test_who_goes_away_is_seen_to_leave(drop):
    async with open_room() as (room, visit):
        ada, grace = await visit("Ada"), await visit("Grace")
        if drop:
            grace.websocket.drop(anyws.CloseCause.ABORTED)
        else:
            await grace.websocket.close()
        await ada.receive("notice")
        notice = await ada.receive("notice")
        assert (notice["event"], notice["name"]) == ("left", "Grace")
        assert [member.name for member in room._members] == ["Ada"]


async def test_a_page_that_falls_behind_is_sent_away():
    async with open_room() as (room, visit):
        ada, slow = await visit("Ada"), await visit("Slow")
        (member,) = [member for member in room._members if member.name == "Slow"]
        for _ in range(1025):
            member.post('{"type": "notice"}')
        assert member.lagging
        assert (await slow.close_code())[1] == "too slow to keep up"
        await ada.receive("notice")
        assert (await ada.receive("notice"))["event"] == "left"


async def test_round_trips_are_told():
    async with open_room() as (_, visit):
        ada = await visit("Ada")
        assert (await ada.receive("rtt"))["ms"] > 0
