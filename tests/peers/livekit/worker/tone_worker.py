"""An agent worker as its users write one: it goes where it is sent and is heard there.

Without a name it talks through an `AgentSession` whose voice is a tone; with one it publishes a tone itself.
"""

import os

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, APIConnectOptions, JobContext, cli, tts

NAME = os.environ.get("AGENT_NAME", "")
TONE_HZ = int(os.environ["AGENT_TONE_HZ"])
RATE_HZ = 48000

# One machine with two busy cores is full by the defaults before it starts; port 0 is any free one.
server = AgentServer(host="127.0.0.1", port=0, load_threshold=2.0, num_idle_processes=1)


def tone(seconds: float, start: int = 0) -> bytes:
    at = (np.arange(int(RATE_HZ * seconds)) + start) / RATE_HZ
    return (np.sin(2 * np.pi * TONE_HZ * at) * 12000).astype(np.int16).tobytes()


class ToneVoice(tts.TTS):
    """Says everything as one tone."""

    def __init__(self):
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=RATE_HZ, num_channels=1)

    def synthesize(self, text, *, conn_options=APIConnectOptions()):
        return Spoken(tts=self, input_text=text, conn_options=conn_options)


class Spoken(tts.ChunkedStream):
    async def _run(self, emitter):
        emitter.initialize(request_id="tone", sample_rate=RATE_HZ, num_channels=1, mime_type="audio/pcm")
        emitter.push(tone(8))
        emitter.flush()


@server.rtc_session(agent_name=NAME)
async def attend(job: JobContext):
    await (publish(job) if NAME else talk(job))


async def talk(job: JobContext):
    session = AgentSession(tts=ToneVoice())
    await session.start(agent=Agent(instructions="greet"), room=job.room)
    await session.say("welcome everybody", allow_interruptions=False)


async def publish(job: JobContext):
    await job.connect()
    await job.room.local_participant.set_attributes({"told": job.job.metadata, "tone": str(TONE_HZ)})
    source = rtc.AudioSource(RATE_HZ, 1)
    track = rtc.LocalAudioTrack.create_audio_track("agent", source)
    await job.room.local_participant.publish_track(track)
    position = 0
    while True:
        await source.capture_frame(rtc.AudioFrame(tone(0.01, position), RATE_HZ, 1, RATE_HZ // 100))
        position += RATE_HZ // 100


if __name__ == "__main__":
    cli.run_app(server)
