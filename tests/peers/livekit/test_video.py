"""Pictures: frames are decoded at the other side, in several sizes."""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from livekit import rtc

from people import until

WIDTH, HEIGHT = 1280, 720


class Screen:
    """Decodes one track; keeps the sizes and the last picture."""

    def __init__(self, track):
        self.sizes: list[tuple[int, int]] = []
        self.last = None
        self.task = asyncio.create_task(self.watch(track))

    async def watch(self, track):
        async for event in rtc.VideoStream(track, format=rtc.VideoBufferType.RGBA):
            frame = event.frame
            self.sizes.append((frame.width, frame.height))
            self.last = np.frombuffer(frame.data, np.uint8).reshape(frame.height, frame.width, 4)

    def shows_two_halves(self) -> bool:
        """The left is red, the right is blue, as the camera sends them."""
        if self.last is None:
            return False
        height, width, _ = self.last.shape
        left, right = self.last[height // 2, width // 4], self.last[height // 2, width * 3 // 4]
        return left[0] > 150 > left[2] and right[2] > 150 > right[0]


@asynccontextmanager
async def camera(peer, codec=rtc.VideoCodec.VP8, simulcast=True):
    """Publishes a moving picture, red on the left and blue on the right."""
    source = rtc.VideoSource(WIDTH, HEIGHT)
    track = rtc.LocalVideoTrack.create_video_track("camera", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_CAMERA, simulcast=simulcast, video_codec=codec)
    publication = await peer.me.publish_track(track, options)

    async def film():
        picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
        picture[:, : WIDTH // 2, 0] = 230
        picture[:, WIDTH // 2 :, 2] = 230
        number = 0
        while True:
            line = (number * 9) % (HEIGHT // 4)
            moved = picture.copy()
            moved[line : line + 20, :, 1] = 200
            source.capture_frame(rtc.VideoFrame(WIDTH, HEIGHT, rtc.VideoBufferType.RGBA, moved.tobytes()))
            number += 1
            # The rate of the camera; nothing waits for it.
            await asyncio.sleep(1 / 15)

    task = asyncio.create_task(film())
    try:
        yield publication
    finally:
        task.cancel()


def watching(peer) -> dict[str, Screen]:
    """A screen for each track that is subscribed from now on."""
    screens = {}

    def on_track(track, publication, _participant):
        if track.kind == rtc.TrackKind.KIND_VIDEO:
            screens[publication.sid] = Screen(track)

    peer.room.on("track_subscribed", on_track)
    return screens


async def test_pictures_in_several_sizes_are_decoded_on_both_sides(company):
    async with company:
        anna, ben = await company.pair()
        at_anna, at_ben = watching(anna), watching(ben)
        async with camera(anna) as a, camera(ben) as b:
            for screens, sid in ((at_ben, a.sid), (at_anna, b.sid)):
                await until(lambda: sid in screens and len(screens[sid].sizes) > 10 and screens[sid].shows_two_halves(), "ten pictures are decoded", 25)
            assert ben.others["anna"].track_publications[a.sid].simulcasted


async def test_who_asks_for_a_small_picture_gets_it_and_the_large_one_again(company):
    async with company:
        anna, ben = await company.pair()
        screens = watching(ben)
        async with camera(anna) as published:
            screen = await until(lambda: screens.get(published.sid), "ben is subscribed")
            await until(lambda: screen.sizes[-1:] == [(WIDTH, HEIGHT)], lambda: f"the large one arrives; {screen.sizes[-3:]}", 25)
            seen = ben.others["anna"].track_publications[published.sid]
            seen.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_LOW)
            await until(lambda: screen.sizes[-1][0] <= WIDTH // 4, lambda: f"a small one arrives; {screen.sizes[-3:]}", 20)
            seen.set_video_quality(rtc.VideoQuality.VIDEO_QUALITY_HIGH)
            await until(lambda: screen.sizes[-1][0] == WIDTH, lambda: f"the large one is back; {screen.sizes[-3:]}", 20)
            assert screen.shows_two_halves()


async def test_who_comes_later_sees_the_picture_soon(gathering):
    async with gathering:
        anna = await gathering.join("anna")
        first = await gathering.join("first")
        screens = watching(first)
        async with camera(anna) as published:
            await until(lambda: published.sid in screens and screens[published.sid].shows_two_halves(), "the first sees it", 25)
            late = await gathering.join("late")
            # Its subscription may have come before this line.
            at_late = watching(late)
            for participant in late.others.values():
                for publication in participant.track_publications.values():
                    if publication.track and publication.sid not in at_late:
                        at_late[publication.sid] = Screen(publication.track)
            await until(lambda: published.sid in at_late and at_late[published.sid].shows_two_halves(), "who comes later sees it", 10)


async def codecs_of(track) -> set[str]:
    """What a track is sent or received as, by the client's own statistics."""
    entries = await track.get_stats()
    return {entry.codec.codec.mime_type for entry in entries if entry.WhichOneof("stats") == "codec"}


@pytest.mark.parametrize("codec", ["H264", "VP9", "AV1"])
async def test_another_codec_passes_through_and_is_named(gathering, codec):
    async with gathering:
        anna, ben = await gathering.pair()
        screens = watching(ben)
        async with camera(anna, rtc.VideoCodec.Value(codec), simulcast=False) as published:
            await until(lambda: published.sid in screens and len(screens[published.sid].sizes) > 5, "pictures are decoded", 30)
            assert screens[published.sid].shows_two_halves()
            sent = await codecs_of(published.track)
            if sent != {f"video/{codec}"}:
                pytest.skip(f"this wheel does not send {codec}; it sent {sent}")
            seen = ben.others["anna"].track_publications[published.sid]
            assert await codecs_of(seen.track) == sent
            await until(lambda: seen.mime_type == f"video/{codec}", lambda: f"the track is said to be {codec}; it is said to be {seen.mime_type}", 5)
