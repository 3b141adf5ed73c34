"""What a token allows, and what it does not."""

import asyncio

import pytest
from livekit import rtc
from livekit.rtc.participant import PublishTrackError

from people import token, until
from servers import LIVEKIT_SECRET


# The client waits 10 s for a track that is not granted, so these two run once.
async def test_who_may_not_publish_is_refused_and_hears_the_others(gathering):
    async with gathering as company:
        anna = await company.join("anna")
        mute = await company.join("mute", can_publish=False)
        await anna.sees("mute")
        with pytest.raises(PublishTrackError):
            await asyncio.wait_for(mute.speak(500), 25)
        track = await anna.speak(440)
        await mute.hears(track.sid, 440)
        assert anna.saw("track_published") == []


async def test_only_the_allowed_sources_are_published(gathering):
    async with gathering as company:
        anna = await company.join("anna", can_publish_sources=["microphone"])
        ben = await company.join("ben")
        allowed = await anna.speak(440)
        with pytest.raises(PublishTrackError):
            await asyncio.wait_for(anna.speak(500, source=rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO), 25)
        await ben.hears(allowed.sid, 440)
        assert list(ben.others["anna"].track_publications) == [allowed.sid]


async def test_who_may_not_subscribe_sees_tracks_but_hears_nothing(company):
    async with company:
        anna, ben = await company.pair()
        deaf = await company.join("deaf", can_subscribe=False)
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        # An answer to what was sent later: whatever was to come before it has come.
        await deaf.me.publish_data(b"done")
        await until(lambda: ben.saw("data_received"), "ben gets the data")
        assert deaf.ears == {}
        assert deaf.saw("track_subscribed") == []


async def test_who_may_not_send_data_is_not_heard(company):
    async with company:
        anna, ben = await company.pair()
        silent = await company.join("silent", can_publish_data=False)
        await ben.sees("silent")
        try:
            await asyncio.wait_for(silent.me.publish_data(b"unwanted"), 10)
        except Exception:
            # Newer clients refuse it themselves.
            pass
        await anna.me.publish_data(b"wanted")
        await until(lambda: ben.saw("data_received"), "ben gets what is allowed")
        assert [packet.data for (packet,) in ben.saw("data_received")] == [b"wanted"]


async def test_who_may_not_change_itself_stays_as_it_was(company):
    async with company:
        ben = await company.join("ben")
        anna = await company.join("anna", can_update_own_metadata=False)
        seen = await ben.sees("anna")
        await asyncio.wait_for(anna.me.set_metadata("changed"), 10)
        await asyncio.wait_for(anna.me.set_attributes({"hand": "up"}), 10)
        await asyncio.wait_for(anna.me.set_name("Host"), 10)
        await anna.me.publish_data(b"after")
        await until(lambda: ben.saw("data_received"), "ben gets what came later")
        assert (seen.name, seen.metadata, seen.attributes) == ("Anna", "", {})


async def test_who_is_hidden_is_not_seen_and_hears(company):
    async with company:
        anna, ben = await company.pair()
        ghost = await company.join("ghost", hidden=True, can_publish=False)
        track = await anna.speak(440)
        await ghost.hears(track.sid, 440)
        await ben.hears(track.sid, 440)
        assert "ghost" not in anna.others and "ghost" not in ben.others


async def test_the_same_identity_takes_the_place_of_the_first(company):
    async with company:
        ben = await company.join("ben")
        first = await company.join("anna")
        await ben.sees("anna")
        second = await company.join("anna")
        await until(lambda: first.saw("disconnected"), "the first is disconnected")
        assert first.saw("disconnected")[0][0] == rtc.DisconnectReason.DUPLICATE_IDENTITY
        track = await second.speak(440)
        await ben.hears(track.sid, 440)
        assert ben.others["anna"].sid == second.me.sid


@pytest.mark.parametrize(
    "fault",
    [
        {"secret": "x" + LIVEKIT_SECRET},
        {"ttl_s": -3600},
        {"room_join": False},
    ],
    ids=["signed with another secret", "expired", "not for joining"],
)
async def test_a_token_that_is_not_good_opens_nothing(company, fault):
    async with company:
        with pytest.raises(rtc.ConnectError):
            await company.join("anna", jwt=token("anna", company.room, **fault))
