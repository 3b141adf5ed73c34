"""Tones to send, and an ear that says which tone it hears."""

import asyncio
import time
from collections import deque

import numpy as np
from livekit import rtc

RATE_HZ = 48000
FRAME = 480
# Long enough to tell tones 3 Hz apart, short enough that a change is heard soon.
WINDOW_S = 0.4
# Opus leaves a little noise where there is silence.
SILENCE = 200


class Tone:
    """A track that sends one tone until it is stopped."""

    def __init__(self, frequency_hz: float, name: str = "voice"):
        self.source = rtc.AudioSource(RATE_HZ, 1, queue_size_ms=100)
        self.track = rtc.LocalAudioTrack.create_audio_track(name, self.source)
        self.frequency_hz = frequency_hz
        self.task = asyncio.create_task(self.play())

    async def play(self):
        position = 0
        while True:
            at = (np.arange(FRAME) + position) / RATE_HZ
            wave = (np.sin(2 * np.pi * self.frequency_hz * at) * 12000).astype(np.int16)
            await self.source.capture_frame(rtc.AudioFrame(wave.tobytes(), RATE_HZ, 1, FRAME))
            position += FRAME

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class Ear:
    """Listens to one track."""

    def __init__(self, track: rtc.RemoteAudioTrack):
        self.frames = deque(maxlen=int(WINDOW_S * RATE_HZ / FRAME))
        self.task = asyncio.create_task(self.listen(track))

    async def listen(self, track):
        async for event in rtc.AudioStream(track, sample_rate=RATE_HZ, num_channels=1):
            samples = np.frombuffer(event.frame.data, dtype=np.int16)
            self.frames.append((time.monotonic(), samples))

    def recent(self) -> np.ndarray:
        """What arrived in the last moment; an old tone is not heard for ever."""
        since = time.monotonic() - 2 * WINDOW_S
        return np.concatenate([np.zeros(0)] + [samples for at, samples in list(self.frames) if at >= since])

    def frequency_hz(self) -> float | None:
        """The loudest tone of the last moment; nothing if it was silent, or too short to tell."""
        samples = self.recent()
        if len(samples) < WINDOW_S * RATE_HZ * 0.9 or np.abs(samples).max() < SILENCE:
            return None
        spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
        return float(np.argmax(spectrum) * RATE_HZ / len(samples))

    def hears(self, frequency_hz: float) -> bool:
        heard = self.frequency_hz()
        return heard is not None and abs(heard - frequency_hz) < 8

    def hears_nothing(self) -> bool:
        samples = self.recent()
        return len(samples) == 0 or np.abs(samples).max() < SILENCE


class Chord:
    """Listens for several tones of several tracks at once: each track must carry its own."""

    def __init__(self, ears: dict[str, Ear]):
        self.ears = ears

    def is_complete(self, wanted: dict[str, float]) -> bool:
        return all(sid in self.ears and self.ears[sid].hears(tone) for sid, tone in wanted.items())

    def __repr__(self):
        return repr({sid: ear.frequency_hz() for sid, ear in self.ears.items()})
