"""People in a room: each a LiveKit client of its own, with what it saw and hears."""

import asyncio
import datetime
import time

from livekit import api, rtc

from servers import LIVEKIT_KEY, LIVEKIT_SECRET
from sound import Ear, Tone

EVENTS = [
    "active_speakers_changed",
    "data_received",
    "disconnected",
    "participant_attributes_changed",
    "participant_connected",
    "participant_disconnected",
    "participant_metadata_changed",
    "participant_name_changed",
    "reconnected",
    "reconnecting",
    "room_metadata_changed",
    "track_muted",
    "track_published",
    "track_subscribed",
    "track_unmuted",
    "track_unpublished",
    "track_unsubscribed",
]


async def until(condition, what: str, within_s: float = 15):
    """Waits until the condition is true and gives what it gave; fails with the sentence and what is known."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within_s} s not: {what() if callable(what) else what}")
        await asyncio.sleep(0.02)
    return result


async def until_async(ask, wanted, within_s: float = 15):
    """Asks until the answer is what is wanted."""
    deadline = time.monotonic() + within_s
    while (answer := await ask()) != wanted:
        if time.monotonic() > deadline:
            raise AssertionError(f"within {within_s} s not {wanted}: {answer}")
        await asyncio.sleep(0.02)


def token(identity: str, room: str, *, config=None, ttl_s: float = 600, secret: str = LIVEKIT_SECRET, **grants) -> str:
    """A token as an application signs it."""
    grants = {"room_join": True, "can_update_own_metadata": True} | grants
    signed = api.AccessToken(LIVEKIT_KEY, secret).with_identity(identity).with_name(identity.title())
    signed = signed.with_ttl(datetime.timedelta(seconds=ttl_s)).with_grants(api.VideoGrants(room=room, **grants))
    return (signed.with_room_config(config) if config else signed).to_jwt()


class Peer:
    """One client in one room."""

    def __init__(self):
        self.room = rtc.Room()
        self.seen: list[tuple] = []
        self.ears: dict[str, Ear] = {}
        self.tones: list[Tone] = []
        for event in EVENTS:
            self.room.on(event, self.remember(event))
        self.room.on("track_subscribed", self.listen)

    def remember(self, event):
        def on_event(*arguments):
            self.seen.append((event, *arguments))

        return on_event

    def listen(self, track, publication, _participant):
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self.ears[publication.sid] = Ear(track)

    @property
    def me(self) -> rtc.LocalParticipant:
        return self.room.local_participant

    @property
    def others(self):
        return self.room.remote_participants

    def saw(self, event: str) -> list[tuple]:
        """The arguments of all events of that name."""
        return [arguments for name, *arguments in self.seen if name == event]

    async def speak(self, frequency_hz: float, source=rtc.TrackSource.SOURCE_MICROPHONE):
        """Publishes a tone."""
        tone = Tone(frequency_hz)
        self.tones.append(tone)
        return await self.me.publish_track(tone.track, rtc.TrackPublishOptions(source=source))

    async def hears(self, sid: str, frequency_hz: float, within_s: float = 15):
        """Waits until the track is heard with this tone."""
        await until(
            lambda: sid in self.ears and self.ears[sid].hears(frequency_hz),
            lambda: f"{self.me.identity} hears {frequency_hz} Hz on {sid}; it hears {self.tones_heard()}, saw {self.seen[-12:]}",
            within_s,
        )

    def tones_heard(self) -> dict:
        return {sid: ear.frequency_hz() for sid, ear in self.ears.items()}

    async def sees(self, identity: str) -> rtc.RemoteParticipant:
        """Waits until somebody is there."""
        return await until(lambda: self.others.get(identity), f"{identity} is seen by {self.me.identity}")

    async def leave(self):
        for tone in self.tones:
            await tone.stop()
        for ear in self.ears.values():
            ear.task.cancel()
        await asyncio.gather(*(ear.task for ear in self.ears.values()), return_exceptions=True)
        await asyncio.wait_for(self.room.disconnect(), 15)


class Company:
    """Who joined within one test; all of them leave at its end."""

    def __init__(self, url: str, room: str, single: bool | None):
        self.url = url
        self.room = room
        self.single = single
        self.peers: list[Peer] = []

    async def join(self, identity: str, *, single: bool | None = None, jwt: str | None = None, url: str | None = None, auto_subscribe=True, **grants) -> Peer:
        options = rtc.RoomOptions(auto_subscribe=auto_subscribe, single_peer_connection=self.single if single is None else single)
        peer = Peer()
        jwt = jwt or token(identity, self.room, **grants)
        await asyncio.wait_for(peer.room.connect(url or self.url, jwt, options), 20)
        self.peers.append(peer)
        return peer

    async def pair(self) -> tuple[Peer, Peer]:
        """Two people who see each other."""
        anna, ben = await self.join("anna"), await self.join("ben")
        await anna.sees("ben")
        await ben.sees("anna")
        return anna, ben

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await asyncio.gather(*(peer.leave() for peer in self.peers), return_exceptions=True)
