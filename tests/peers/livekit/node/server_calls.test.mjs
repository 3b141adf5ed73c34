// Calls of an application's server, by LiveKit's package for Node.

import { AgentDispatchClient, EgressClient, RoomServiceClient, TwirpError } from 'livekit-server-sdk';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { key, roomName, secret, url } from './tokens.mjs';

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
