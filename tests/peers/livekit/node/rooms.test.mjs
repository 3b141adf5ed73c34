// Node's own LiveKit client: sound, data, calls and texts between two of them.

import { AudioFrame, AudioSource, AudioStream, dispose, LocalAudioTrack, Room, RoomEvent, TrackPublishOptions, TrackSource } from '@livekit/rtc-node';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { roomName, token, until, url } from './tokens.mjs';

const RATE_HZ = 48000;

after(async () => {
  await dispose();
  // The native part keeps threads that would hold the process.
  setImmediate(() => process.exit());
});

async function pair() {
  const room = roomName();
  const anna = new Room();
  const ben = new Room();
  await anna.connect(url, await token('anna', room), { autoSubscribe: true });
  await ben.connect(url, await token('ben', room), { autoSubscribe: true });
  await until(() => anna.remoteParticipants.has('ben') && ben.remoteParticipants.has('anna'), 'they see each other');
  return { anna, ben };
}

async function part(...rooms) {
  await Promise.all(rooms.map((room) => room.disconnect()));
}

// The frequency by counting how often the wave rises through zero in the last half second.
function listen(track) {
  const ear = { samples: [], frequencyHz: () => undefined };
  ear.frequencyHz = () => {
    const last = ear.samples.slice(-RATE_HZ / 2);
    if (last.length < RATE_HZ / 2 || Math.max(...last) < 200) return undefined;
    let rises = 0;
    for (let i = 1; i < last.length; i += 1) if (last[i - 1] < 0 && last[i] >= 0) rises += 1;
    return rises * 2;
  };
  (async () => {
    for await (const frame of new AudioStream(track, { sampleRate: RATE_HZ, numChannels: 1 })) ear.samples.push(...frame.data);
  })();
  return ear;
}

function speak(frequencyHz) {
  const source = new AudioSource(RATE_HZ, 1);
  let going = true;
  const done = (async () => {
    for (let position = 0; going; position += 480) {
      const wave = Int16Array.from({ length: 480 }, (_, i) => Math.sin((2 * Math.PI * frequencyHz * (position + i)) / RATE_HZ) * 12000);
      await source.captureFrame(new AudioFrame(wave, RATE_HZ, 1, 480));
    }
  })();
  return { track: LocalAudioTrack.createAudioTrack('voice', source), stop: () => { going = false; return done; } };
}

test('one hears the tone that the other sends', async () => {
  const { anna, ben } = await pair();
  let ear;
  ben.on(RoomEvent.TrackSubscribed, (track) => { ear = listen(track); });
  const voice = speak(500);
  const options = new TrackPublishOptions();
  options.source = TrackSource.SOURCE_MICROPHONE;
  await anna.localParticipant.publishTrack(voice.track, options);
  await until(() => ear && Math.abs((ear.frequencyHz() ?? 0) - 500) < 10, 'ben hears 500 Hz', 20_000);
  await voice.stop();
  await part(anna, ben);
});

test('data, a call and a text arrive', async () => {
  const { anna, ben } = await pair();
  const packets = [];
  ben.on(RoomEvent.DataReceived, (payload, participant, _kind, topic) => packets.push([new TextDecoder().decode(payload), participant?.identity, topic]));
  await anna.localParticipant.publishData(new TextEncoder().encode('hello'), { reliable: true, topic: 'greeting' });
  await until(() => packets.length > 0, 'the packet arrives');
  assert.deepEqual(packets, [['hello', 'anna', 'greeting']]);

  ben.localParticipant.registerRpcMethod('shout', async (call) => `${call.callerIdentity}: ${call.payload.toUpperCase()}`);
  const answer = await anna.localParticipant.performRpc({ destinationIdentity: 'ben', method: 'shout', payload: 'hear me' });
  assert.equal(answer, 'anna: HEAR ME');

  const texts = [];
  ben.registerTextStreamHandler('minutes', async (reader) => { texts.push(await reader.readAll()); });
  const long = 'Übermorgen tagt das Komitee. '.repeat(2000);
  await anna.localParticipant.sendText(long, { topic: 'minutes' });
  await until(() => texts.length > 0, 'the text arrives');
  assert.equal(texts[0], long);
  await part(anna, ben);
});

test('attributes are seen, and who leaves is gone', async () => {
  const { anna, ben } = await pair();
  await anna.localParticipant.setAttributes({ hand: 'up' });
  await until(() => ben.remoteParticipants.get('anna').attributes.hand === 'up', 'ben sees the hand');
  await anna.disconnect();
  await until(() => !ben.remoteParticipants.has('anna'), 'anna is gone', 5_000);
  await part(ben);
});
