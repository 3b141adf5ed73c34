"""The whole way through our own API: an account, a meeting, a token, sound."""

import pytest
from livekit import rtc

from people import until


def joined(host, meeting_id: str, guest) -> dict:
    """Joins somebody and gives what they got at the door."""
    answer = guest.http.post(f"/api/meetings/{meeting_id}/join", json={})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def created(host) -> str:
    answer = host.http.post("/api/meetings", json={"title": "Sound check", "access": "open", "consent_policy": "implied"})
    assert answer.status_code == 201, answer.text
    return answer.json()["data"]["id"]


async def test_two_people_of_a_meeting_hear_each_other(company, person):
    host, guest = person("anna"), person("ben")
    meeting_id = created(host)
    a, b = (joined(host, meeting_id, one) for one in (host, guest))
    async with company:
        anna = await company.join("anna", jwt=a["livekit"]["token"], url=a["livekit"]["url"])
        ben = await company.join("ben", jwt=b["livekit"]["token"], url=b["livekit"]["url"])
        assert (anna.room.name, anna.me.identity, anna.me.name) == (meeting_id, a["participant"]["id"], "Anna")
        from_anna, from_ben = await anna.speak(440), await ben.speak(660)
        await ben.hears(from_anna.sid, 440)
        await anna.hears(from_ben.sid, 660)


async def test_who_was_removed_from_a_meeting_does_not_come_back_by_the_old_token(gathering, person):
    host, guest = person("anna"), person("ben")
    meeting_id = created(host)
    a, b = (joined(host, meeting_id, one) for one in (host, guest))
    old = {"jwt": b["livekit"]["token"], "url": b["livekit"]["url"]}
    async with gathering:
        anna = await gathering.join("anna", jwt=a["livekit"]["token"], url=a["livekit"]["url"])
        ben = await gathering.join("ben", **old)
        await anna.sees(ben.me.identity)
        await ben.room.disconnect()
        removed = host.http.delete(f"/api/meetings/{meeting_id}/participants/{b['participant']['id']}")
        assert removed.status_code in (200, 204), removed.text
        with pytest.raises(rtc.ConnectError):
            await gathering.join("ben", **old)
        # The others go on.
        assert anna.room.isconnected()


async def test_who_is_removed_while_in_the_room_is_put_out_of_it(gathering, person):
    host, guest = person("anna"), person("ben")
    meeting_id = created(host)
    a, b = (joined(host, meeting_id, one) for one in (host, guest))
    async with gathering:
        anna = await gathering.join("anna", jwt=a["livekit"]["token"], url=a["livekit"]["url"])
        ben = await gathering.join("ben", jwt=b["livekit"]["token"], url=b["livekit"]["url"])
        identity = ben.me.identity
        await anna.sees(identity)
        removed = host.http.delete(f"/api/meetings/{meeting_id}/participants/{b['participant']['id']}")
        assert removed.status_code in (200, 204), removed.text
        await until(lambda: ben.saw("disconnected"), "ben is disconnected")
        await until(lambda: identity not in anna.others, "anna sees that ben is gone")


async def test_a_viewer_of_a_meeting_hears_and_is_granted_no_more(gathering, person):
    host, guest = person("anna"), person("ben")
    meeting_id = created(host)
    a, b = (joined(host, meeting_id, one) for one in (host, guest))
    changed = host.http.patch(f"/api/meetings/{meeting_id}/participants/{b['participant']['id']}", json={"role": "viewer"})
    assert changed.status_code == 200, changed.text
    b = joined(host, meeting_id, guest)
    async with gathering:
        anna = await gathering.join("anna", jwt=a["livekit"]["token"], url=a["livekit"]["url"])
        ben = await gathering.join("ben", jwt=b["livekit"]["token"], url=b["livekit"]["url"])
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        assert ben.me.permissions.can_subscribe and not ben.me.permissions.can_publish


def test_each_meeting_has_its_own_room(person):
    host = person("anna")
    first, second = (joined(host, created(host), host)["livekit"] for _ in range(2))
    assert first["url"] == second["url"]
    assert first["token"] != second["token"]
