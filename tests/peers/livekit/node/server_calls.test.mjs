// Calls of an application's server, by LiveKit's package for Node.

import { AudioSource, dispose, LocalAudioTrack, Room, RoomEvent, TrackPublishOptions } from '@livekit/rtc-node';
import { AgentDispatchClient, DataPacket_Kind, EgressClient, RoomServiceClient, TwirpError } from 'livekit-server-sdk';
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { key, roomName, secret, token, until, url } from './tokens.mjs';

const host = url.replace('ws', 'http');
const rooms = new RoomServiceClient(host, key, secret);

test('a room is made, listed, described and ended', async () => {
  const name = roomName();
  const made = await rooms.createRoom({ name, metadata: 'agenda', emptyTimeout: 60 });
  assert.match(made.sid, /^RM_/);
  assert.deepEqual((await rooms.listRooms([name])).map((room) => [room.name, room.metadata]), [[name, 'agenda']]);
  assert.equal((await rooms.updateRoomMetadata(name, 'point 2')).metadata, 'point 2');
  assert.deepEqual(await rooms.listParticipants(name), []);
  await rooms.deleteRoom(name);
  assert.deepEqual(await rooms.listRooms([name]), []);
});

after(async () => {
  await dispose();
  // The native part keeps threads that would hold the process.
  setImmediate(() => process.exit());
});

test('who is in a room is listed, changed, muted, written to and put out', async () => {
  const name = roomName();
  const anna = new Room();
  const seen = [];
  anna.on(RoomEvent.DataReceived, (payload, from, _kind, topic) => seen.push([new TextDecoder().decode(payload), from, topic]));
  anna.on(RoomEvent.Disconnected, () => seen.push('disconnected'));
  await anna.connect(url, await token('anna', name), { autoSubscribe: true });
  const track = LocalAudioTrack.createAudioTrack('voice', new AudioSource(48000, 1));
  const { sid } = await anna.localParticipant.publishTrack(track, new TrackPublishOptions());

  const listed = async () => (await rooms.listParticipants(name)).map((it) => [it.identity, it.tracks.map((one) => one.sid)]);
  // The track is live once its section is negotiated, which its publisher does not wait for.
  await until(async () => JSON.stringify(await listed()) === JSON.stringify([['anna', [sid]]]), listed);
  assert.equal((await rooms.updateParticipant(name, 'anna', { metadata: 'speaker' })).metadata, 'speaker');
  await until(() => anna.localParticipant.metadata === 'speaker', 'anna knows');
  assert.equal((await rooms.mutePublishedTrack(name, 'anna', sid, true)).muted, true);
  assert.equal((await rooms.getParticipant(name, 'anna')).tracks[0].muted, true);
  await rooms.sendData(name, new TextEncoder().encode('hello'), DataPacket_Kind.RELIABLE, { topic: 'greeting' });
  await until(() => seen.length > 0, 'the packet arrives');
  assert.deepEqual(seen, [['hello', undefined, 'greeting']]);
  await rooms.removeParticipant(name, 'anna');
  await until(() => seen.includes('disconnected'), 'anna is put out');
});

test('an agent is sent, listed and taken back', async () => {
  const name = roomName();
  const agents = new AgentDispatchClient(host, key, secret);
  const made = await agents.createDispatch(name, 'nobody-of-this-name', { metadata: 'take notes' });
  const listed = await agents.listDispatch(name);
  assert.deepEqual(listed.filter((it) => it.id === made.id).map((it) => [it.agentName, it.metadata]), [['nobody-of-this-name', 'take notes']]);
  await agents.deleteDispatch(made.id, name);
  assert.ok((await agents.listDispatch(name)).every((it) => it.id !== made.id));
});

test('who is not there, and what is not offered, is refused with a code', async () => {
  await assert.rejects(rooms.removeParticipant(roomName(), 'nobody'), (error) => error instanceof TwirpError && error.status === 404);
  const egress = new EgressClient(host, key, secret);
  await assert.rejects(egress.listEgress(), (error) => error instanceof TwirpError && [501, 503].includes(error.status));
});

test('a forged token is refused', async () => {
  const forged = new RoomServiceClient(host, key, 'z'.repeat(40));
  await assert.rejects(forged.listRooms(), (error) => error instanceof TwirpError && error.status === 401);
});
