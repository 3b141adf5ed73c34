"""Calls of an application's server, by LiveKit's own package."""

from contextlib import asynccontextmanager

import pytest
from livekit import api, rtc

from people import until, until_async
from servers import LIVEKIT_KEY, LIVEKIT_SECRET


@asynccontextmanager
async def calling(url: str, secret: str = LIVEKIT_SECRET):
    client = api.LiveKitAPI(url.replace("ws", "http", 1), LIVEKIT_KEY, secret)
    try:
        yield client
    finally:
        await client.aclose()


async def test_rooms_and_who_is_in_them_are_listed(gathering):
    async with gathering, calling(gathering.url) as server:
        anna, _ = await gathering.pair()
        track = await anna.speak(440)
        rooms = (await server.room.list_rooms(api.ListRoomsRequest(names=[gathering.room]))).rooms
        assert [(room.name, room.num_participants) for room in rooms] == [(gathering.room, 2)]

        async def tracks() -> dict:
            listed = (await server.room.list_participants(api.ListParticipantsRequest(room=gathering.room))).participants
            return {one.identity: [it.sid for it in one.tracks] for one in listed}

        # The track is live once its section is negotiated, which its publisher does not wait for.
        await until_async(tracks, {"anna": [track.sid], "ben": []})
        every = (await server.room.list_rooms(api.ListRoomsRequest())).rooms
        assert gathering.room in [room.name for room in every]


async def test_a_room_is_made_before_anybody_comes_and_ends_for_all(gathering):
    async with gathering, calling(gathering.url) as server:
        made = await server.room.create_room(api.CreateRoomRequest(name=gathering.room, metadata="agenda", max_participants=2))
        assert made.sid.startswith("RM_")
        anna, ben = await gathering.pair()
        assert anna.room.metadata == "agenda"
        with pytest.raises(rtc.ConnectError):
            await gathering.join("carl")
        await server.room.delete_room(api.DeleteRoomRequest(room=gathering.room))
        for peer in (anna, ben):
            await until(lambda: peer.saw("disconnected"), "everybody is disconnected")
            assert peer.saw("disconnected")[0][0] == rtc.DisconnectReason.ROOM_DELETED
        rooms = (await server.room.list_rooms(api.ListRoomsRequest(names=[gathering.room]))).rooms
        assert list(rooms) == []


async def test_the_metadata_of_a_room_reaches_who_is_in_it(company):
    async with company, calling(company.url) as server:
        anna = await company.join("anna")
        await server.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=company.room, metadata="point 2"))
        await until(lambda: anna.room.metadata == "point 2", "anna reads it")
        assert (await company.join("ben")).room.metadata == "point 2"


async def test_a_track_is_muted_for_its_owner_and_the_others(company):
    async with company, calling(company.url) as server:
        anna, ben = await company.pair()
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        muted = await server.room.mute_published_track(api.MuteRoomTrackRequest(room=company.room, identity="anna", track_sid=track.sid, muted=True))
        assert muted.track.muted
        await until(lambda: ben.saw("track_muted"), "ben sees it")
        await until(lambda: anna.me.track_publications[track.sid].muted, "anna knows it")
        await until(lambda: ben.ears[track.sid].hears_nothing(), "ben hears nothing")


async def test_who_is_put_out_is_disconnected_with_the_reason(company):
    async with company, calling(company.url) as server:
        anna, ben = await company.pair()
        await server.room.remove_participant(api.RoomParticipantIdentity(room=company.room, identity="ben"))
        await until(lambda: ben.saw("disconnected"), "ben is disconnected")
        assert ben.saw("disconnected")[0][0] == rtc.DisconnectReason.PARTICIPANT_REMOVED
        await until(lambda: "ben" not in anna.others, "anna sees that ben is gone")


async def test_a_participant_is_renamed_and_described(company):
    async with company, calling(company.url) as server:
        anna, ben = await company.pair()
        await server.room.update_participant(
            api.UpdateParticipantRequest(room=company.room, identity="anna", name="Dr. Anna", metadata="speaker", attributes={"seat": "1"})
        )
        seen = ben.others["anna"]
        await until(lambda: (seen.name, seen.metadata, seen.attributes) == ("Dr. Anna", "speaker", {"seat": "1"}), "ben sees it")
        await until(lambda: anna.me.metadata == "speaker", "anna sees it")
        read = await server.room.get_participant(api.RoomParticipantIdentity(room=company.room, identity="anna"))
        assert (read.name, dict(read.attributes)) == ("Dr. Anna", {"seat": "1"})


async def test_a_right_that_is_taken_ends_what_it_allowed(company):
    async with company, calling(company.url) as server:
        anna, ben = await company.pair()
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        permission = api.ParticipantPermission(can_subscribe=True, can_publish=False, can_publish_data=True)
        await server.room.update_participant(api.UpdateParticipantRequest(room=company.room, identity="anna", permission=permission))
        await until(lambda: ben.saw("track_unpublished"), "ben sees that the track is gone")
        await until(lambda: not anna.me.permissions.can_publish, "anna knows that she may not")


async def test_the_server_sends_data_to_all_or_to_one(company):
    async with company, calling(company.url) as server:
        anna, ben = await company.pair()
        await server.room.send_data(api.SendDataRequest(room=company.room, data=b"for ben", kind=rtc.DataPacketKind.KIND_RELIABLE, destination_identities=["ben"], topic="t"))
        await server.room.send_data(api.SendDataRequest(room=company.room, data=b"for all", kind=rtc.DataPacketKind.KIND_RELIABLE))
        await until(lambda: len(ben.saw("data_received")) == 2, "ben gets both")
        await until(lambda: anna.saw("data_received"), "anna gets one")
        assert [(packet.data, packet.topic) for (packet,) in ben.saw("data_received")] == [(b"for ben", "t"), (b"for all", "")]
        assert [(packet.data, packet.participant) for (packet,) in anna.saw("data_received")] == [(b"for all", None)]


async def test_the_server_subscribes_somebody_to_a_track(gathering):
    async with gathering, calling(gathering.url) as server:
        anna = await gathering.join("anna")
        ben = await gathering.join("ben", auto_subscribe=False)
        track = await anna.speak(440)
        await until(lambda: ben.saw("track_published"), "ben sees the track")
        await server.room.update_subscriptions(api.UpdateSubscriptionsRequest(room=gathering.room, identity="ben", track_sids=[track.sid], subscribe=True))
        await ben.hears(track.sid, 440)


async def test_what_is_not_there_is_refused_by_name(gathering):
    async with gathering, calling(gathering.url) as server:
        await gathering.join("anna")
        for call in (
            server.room.get_participant(api.RoomParticipantIdentity(room=gathering.room, identity="nobody")),
            server.room.remove_participant(api.RoomParticipantIdentity(room=gathering.room, identity="nobody")),
            server.room.list_participants(api.ListParticipantsRequest(room=gathering.room + "-none")),
            server.room.update_room_metadata(api.UpdateRoomMetadataRequest(room=gathering.room + "-none", metadata="x")),
        ):
            with pytest.raises(api.TwirpError) as refused:
                await call
            assert (refused.value.code, refused.value.status) == ("not_found", 404)


async def test_recording_by_the_other_service_is_refused_cleanly(gathering):
    async with gathering, calling(gathering.url) as server:
        await gathering.join("anna")
        for call in (
            server.egress.start_room_composite_egress(api.RoomCompositeEgressRequest(room_name=gathering.room)),
            server.egress.list_egress(api.ListEgressRequest()),
            server.ingress.list_ingress(api.ListIngressRequest()),
            server.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest()),
        ):
            with pytest.raises(api.TwirpError) as refused:
                await call
            assert refused.value.code in ("unimplemented", "unavailable"), refused.value
            assert refused.value.message


async def test_calls_with_a_forged_token_are_refused(gathering):
    async with gathering, calling(gathering.url, secret="y" * 40) as server:
        with pytest.raises(api.TwirpError) as refused:
            await server.room.list_rooms(api.ListRoomsRequest())
        assert refused.value.status == 401
