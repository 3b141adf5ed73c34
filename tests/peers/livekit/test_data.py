"""Words beside the sound: packets, calls, streams, attributes."""

import asyncio

import pytest
from livekit import rtc

from people import until


def packets(peer) -> list[tuple]:
    """What arrived as data: bytes, topic, sender, kind."""
    return [(packet.data, packet.topic, packet.participant and packet.participant.identity, packet.kind) for (packet,) in peer.saw("data_received")]


async def test_a_reliable_packet_arrives_with_its_topic_and_sender(company):
    async with company:
        anna, ben = await company.pair()
        await anna.me.publish_data(b"hello", reliable=True, topic="greeting")
        await until(lambda: packets(ben), "the packet arrives")
        assert packets(ben) == [(b"hello", "greeting", "anna", rtc.DataPacketKind.KIND_RELIABLE)]


async def test_a_lossy_packet_says_that_it_is_one(company):
    async with company:
        anna, ben = await company.pair()
        await anna.me.publish_data(b"maybe", reliable=False, topic="position")
        await until(lambda: packets(ben), "the packet arrives")
        assert packets(ben) == [(b"maybe", "position", "anna", rtc.DataPacketKind.KIND_LOSSY)]


async def test_many_reliable_packets_arrive_in_order(company):
    async with company:
        anna, ben = await company.pair()
        sent = [f"{number:04}".encode() * 250 for number in range(200)]
        for payload in sent:
            await anna.me.publish_data(payload)
        await until(lambda: len(packets(ben)) >= len(sent), lambda: f"all arrive, {len(packets(ben))} did")
        assert [payload for payload, *_ in packets(ben)] == sent


async def test_a_packet_for_one_is_not_given_to_another(company):
    async with company:
        anna, ben = await company.pair()
        carl = await company.join("carl")
        await anna.sees("carl")
        await anna.me.publish_data(b"for ben", destination_identities=["ben"])
        await anna.me.publish_data(b"for all")
        await until(lambda: len(packets(ben)) == 2, "ben gets both")
        await until(lambda: packets(carl), "carl gets one")
        assert [payload for payload, *_ in packets(carl)] == [b"for all"]
        assert packets(anna) == []


async def test_a_method_of_another_is_called(company):
    async with company:
        anna, ben = await company.pair()

        @ben.me.register_rpc_method("shout")
        async def shout(call):
            return f"{call.caller_identity}: {call.payload.upper()}"

        answer = await anna.me.perform_rpc(destination_identity="ben", method="shout", payload="hear me", response_timeout=10)
        assert answer == "anna: HEAR ME"


async def test_a_call_that_cannot_succeed_says_why(company):
    async with company:
        anna, ben = await company.pair()

        @ben.me.register_rpc_method("refuse")
        async def refuse(_call):
            raise rtc.RpcError(101, "not today")

        with pytest.raises(rtc.RpcError) as refused:
            await anna.me.perform_rpc(destination_identity="ben", method="refuse", payload="", response_timeout=10)
        assert (refused.value.code, refused.value.message) == (101, "not today")
        with pytest.raises(rtc.RpcError) as unknown:
            await anna.me.perform_rpc(destination_identity="ben", method="nothing", payload="", response_timeout=10)
        assert unknown.value.code == rtc.RpcError.ErrorCode.UNSUPPORTED_METHOD


async def test_a_long_text_arrives_whole(company):
    async with company:
        anna, ben = await company.pair()
        received = asyncio.get_running_loop().create_future()

        async def read(reader, identity):
            received.set_result((identity, reader.info.topic, dict(reader.info.attributes), await reader.read_all()))

        ben.room.register_text_stream_handler("minutes", lambda reader, identity: asyncio.ensure_future(read(reader, identity)))
        # More than one chunk of 15 kB, with letters of more than one byte.
        text = "Übermorgen tagt das Komitee. " * 3000
        await anna.me.send_text(text, topic="minutes", attributes={"language": "de"})
        identity, topic, attributes, read_text = await asyncio.wait_for(received, 15)
        assert (identity, topic, attributes["language"]) == ("anna", "minutes", "de")
        assert read_text == text


async def test_a_text_is_read_while_it_is_written(company):
    async with company:
        anna, ben = await company.pair()
        pieces = asyncio.Queue()

        async def read(reader):
            async for piece in reader:
                await pieces.put(piece)
            await pieces.put(None)

        ben.room.register_text_stream_handler("live", lambda reader, _: asyncio.ensure_future(read(reader)))
        writer = await anna.me.stream_text(topic="live")
        await writer.write("first")
        assert await asyncio.wait_for(pieces.get(), 15) == "first"
        await writer.write("second")
        assert await asyncio.wait_for(pieces.get(), 15) == "second"
        await writer.aclose()
        assert await asyncio.wait_for(pieces.get(), 15) is None


async def test_a_file_arrives_byte_by_byte(company):
    async with company:
        anna, ben = await company.pair()
        received = asyncio.get_running_loop().create_future()

        async def read(reader):
            chunks = [chunk async for chunk in reader]
            received.set_result((reader.info.name, reader.info.mime_type, b"".join(chunks)))

        ben.room.register_byte_stream_handler("files", lambda reader, _: asyncio.ensure_future(read(reader)))
        content = bytes(range(256)) * 800
        writer = await anna.me.stream_bytes("plan.bin", total_size=len(content), topic="files")
        await writer.write(content)
        await writer.aclose()
        assert await asyncio.wait_for(received, 20) == ("plan.bin", "application/octet-stream", content)


async def test_attributes_name_and_metadata_are_seen_by_others(company):
    async with company:
        anna, ben = await company.pair()
        await anna.me.set_attributes({"language": "en", "hand": "up"})
        await anna.me.set_name("Anna B.")
        await anna.me.set_metadata('{"seat": 3}')
        seen = ben.others["anna"]
        await until(lambda: (seen.attributes, seen.name, seen.metadata) == ({"language": "en", "hand": "up"}, "Anna B.", '{"seat": 3}'), lambda: f"all is seen, but {seen.attributes} {seen.name} {seen.metadata}")
        await anna.me.set_attributes({"hand": ""})
        await until(lambda: seen.attributes == {"language": "en"}, "the empty attribute is taken away")
        carl = await company.join("carl")
        assert (await carl.sees("anna")).attributes == {"language": "en"}
