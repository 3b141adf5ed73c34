"""Peers that do harm: they are closed with a reason, and two who talk do not notice."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from livekit.protocol import rtc as wire
from livekit.protocol.models import DisconnectReason
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from people import token

# The largest message that a client may send.
FRAME_BYTES = 2 * 1024 * 1024


@asynccontextmanager
async def undisturbed(gathering):
    """Anna is heard by ben the whole time, and neither of them has to connect again."""
    async with gathering:
        anna, ben = await gathering.pair()
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        watch = asyncio.create_task(longest_silence(ben.ears[track.sid]))
        yield
        assert await silence_until_now(watch) < 1
        for peer in (anna, ben):
            assert not peer.saw("reconnecting") and not peer.saw("disconnected")


async def longest_silence(ear) -> float:
    """Listens until it is cancelled; gives for how long, in seconds, the tone was not heard at most."""
    longest, last = 0.0, time.monotonic()
    try:
        while True:
            now = time.monotonic()
            longest = max(longest, now - last)
            if ear.hears(440):
                last = now
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        return longest


async def silence_until_now(watch) -> float:
    watch.cancel()
    return await watch


def door(gathering, jwt: str):
    return connect(f"{gathering.url}/rtc?access_token={jwt}&protocol=16&sdk=python&auto_subscribe=1", max_size=None)


async def closed(socket) -> ConnectionClosed:
    """Reads until the server closes."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 10)
    except ConnectionClosed as end:
        return end


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"\xff" * 64, 1007),
        (b"\x0a\xff\xff\xff\xff\x7f", 1007),
        ("{not json", 1007),
        (b"\x00" * (FRAME_BYTES + 1), 1009),
    ],
    ids=["no protobuf", "a length beyond the end", "no JSON", "too large"],
)
async def test_who_sends_what_is_no_message_is_closed_with_the_reason(gathering, frame, code):
    async with undisturbed(gathering):
        async with door(gathering, token("eve", gathering.room)) as socket:
            await socket.recv()
            await socket.send(frame)
            end = await closed(socket)
            assert (end.rcvd.code, bool(end.rcvd.reason)) == (code, True)


async def test_who_floods_with_offers_is_sent_away_with_the_reason(gathering):
    async with undisturbed(gathering):
        async with door(gathering, token("eve", gathering.room)) as socket:
            await socket.recv()
            offer = wire.SignalRequest(offer=wire.SessionDescription(type="offer", sdp="v=0\r\n"))
            reasons = []

            async def read():
                async for frame in socket:
                    said = wire.SignalResponse.FromString(frame)
                    if said.HasField("leave"):
                        reasons.append(said.leave.reason)

            reader = asyncio.create_task(read())
            try:
                for _ in range(500):
                    await socket.send(offer.SerializeToString())
            except ConnectionClosed:
                pass
            await asyncio.wait_for(reader, 10)
            assert reasons == [DisconnectReason.STATE_MISMATCH]


@pytest.mark.parametrize("forged", ["another secret", "no signature", "cut", "nothing"])
async def test_a_forged_token_opens_no_socket(gathering, forged):
    good = token("eve", gathering.room)
    header, body, signature = good.split(".")
    jwt = {
        "another secret": token("eve", gathering.room, secret="z" * 40),
        # {"alg":"none","typ":"JWT"}
        "no signature": f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.",
        "cut": f"{header}.{body}.{signature[:-8]}",
        "nothing": "",
    }[forged]
    with pytest.raises(InvalidStatus) as refused:
        async with door(gathering, jwt):
            pass
    assert refused.value.response.status_code == 401
