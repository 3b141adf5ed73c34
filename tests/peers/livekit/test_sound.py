"""Sound between LiveKit's own clients: whoever speaks is heard, with the tone they sent."""

from livekit import rtc

from people import until
from sound import Chord


async def test_two_people_hear_each_other(company):
    async with company:
        anna, ben = await company.pair()
        a = await anna.speak(440)
        b = await ben.speak(660)
        await ben.hears(a.sid, 440)
        await anna.hears(b.sid, 660)


async def test_who_comes_later_hears_who_speaks_already(company):
    async with company:
        anna = await company.join("anna")
        track = await anna.speak(523)
        ben = await company.join("ben")
        await ben.hears(track.sid, 523)
        assert ben.others["anna"].track_publications[track.sid].source == rtc.TrackSource.SOURCE_MICROPHONE


async def test_clients_of_both_kinds_meet_in_one_room(gathering):
    async with gathering:
        old, new = await gathering.join("old", single=False), await gathering.join("new", single=True)
        from_old, from_new = await old.speak(400), await new.speak(700)
        await new.hears(from_old.sid, 400)
        await old.hears(from_new.sid, 700)


async def test_muting_silences_and_is_seen_until_it_is_undone(company):
    async with company:
        anna, ben = await company.pair()
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        track.track.mute()
        await until(lambda: ben.saw("track_muted"), "ben sees that anna is muted")
        await until(lambda: ben.ears[track.sid].hears_nothing(), "ben hears nothing")
        assert ben.others["anna"].track_publications[track.sid].muted
        track.track.unmute()
        await until(lambda: ben.saw("track_unmuted"), "ben sees that anna is not muted")
        await ben.hears(track.sid, 440)


async def test_a_track_is_taken_back_and_the_next_one_is_heard(company):
    async with company:
        anna, ben = await company.pair()
        for round_, tone in enumerate([400, 500, 600], start=1):
            track = await anna.speak(tone)
            await ben.hears(track.sid, tone)
            await anna.me.unpublish_track(track.sid)
            await until(lambda: len(ben.saw("track_unpublished")) == round_, "ben sees that the track is gone")
            assert track.sid not in ben.others["anna"].track_publications


async def test_five_tracks_of_one_person_are_heard_apart(company):
    async with company:
        anna, ben = await company.pair()
        wanted = {}
        for number in range(5):
            tone = 300 + 120 * number
            wanted[(await anna.speak(tone)).sid] = tone
        chord = Chord(ben.ears)
        await until(lambda: chord.is_complete(wanted), lambda: f"all of {wanted} are heard, but {chord}", 25)


async def test_three_people_hear_both_others(company):
    async with company:
        people = [await company.join(name) for name in ("anna", "ben", "carl")]
        wanted = {}
        for number, peer in enumerate(people):
            wanted[(await peer.speak(350 + 150 * number)).sid] = 350 + 150 * number
        for peer in people:
            own = peer.me.track_publications
            others = {sid: tone for sid, tone in wanted.items() if sid not in own}
            assert len(others) == 2
            for sid, tone in others.items():
                await peer.hears(sid, tone)


async def test_who_speaks_is_said_and_who_stopped_too(company):
    async with company:
        anna, ben = await company.pair()
        track = await anna.speak(440)

        def speakers() -> list[str]:
            changes = ben.saw("active_speakers_changed")
            return [speaker.identity for speaker in changes[-1][0]] if changes else []

        await until(lambda: speakers() == ["anna"], "anna is said to speak")
        track.track.mute()
        await until(lambda: speakers() == [], "nobody is said to speak")


async def test_who_does_not_subscribe_hears_only_what_it_asks_for(company):
    async with company:
        anna = await company.join("anna")
        ben = await company.join("ben", auto_subscribe=False)
        first, second = await anna.speak(400), await anna.speak(600)
        await until(lambda: len(ben.saw("track_published")) == 2, "ben sees both tracks")
        ben.others["anna"].track_publications[second.sid].set_subscribed(True)
        await ben.hears(second.sid, 600)
        assert first.sid not in ben.ears
        ben.others["anna"].track_publications[second.sid].set_subscribed(False)
        await until(lambda: ben.saw("track_unsubscribed"), "ben is unsubscribed")


async def test_who_leaves_is_gone_for_the_others(company):
    async with company:
        anna, ben = await company.pair()
        track = await anna.speak(440)
        await ben.hears(track.sid, 440)
        await anna.room.disconnect()
        await until(lambda: "anna" not in ben.others, "anna is gone", 5)
        assert [participant.identity for (participant,) in ben.saw("participant_disconnected")] == ["anna"]
