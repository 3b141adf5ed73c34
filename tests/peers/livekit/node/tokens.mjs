// Tokens as an application signs them, and waiting with a limit.

import { AccessToken } from 'livekit-server-sdk';
import { setTimeout as pause } from 'node:timers/promises';

export const url = process.env.LIVEKIT_URL;
export const key = process.env.LIVEKIT_API_KEY;
export const secret = process.env.LIVEKIT_API_SECRET;

export function token(identity, room, grants = {}) {
  const signed = new AccessToken(key, secret, { identity, name: identity, ttl: '10m' });
  signed.addGrant({ room, roomJoin: true, canUpdateOwnMetadata: true, ...grants });
  return signed.toJwt();
}

export function roomName() {
  return `room-${crypto.randomUUID().slice(0, 8)}`;
}

// Waits until the condition gives something true, and gives that; fails with the sentence and what is known.
export async function until(condition, what, withinMs = 15_000) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`within ${withinMs} ms not: ${typeof what === 'function' ? await what() : what}`);
    await pause(20);
  }
}
