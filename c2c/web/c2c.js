/**
 * The c2c SDK: rooms that survive broken connections. Usable alone, in browsers and in Node 20; `docs/sdk.md` says how.
 *
 *     import { C2C } from '/static/c2c.js';
 *     const c2c = new C2C({ url: '/ws', token: async () => 'kim' });
 *     const room = await c2c.join('abc12345');
 *     room.on('msg', ({ from, text }) => console.log(from, text));
 *     await room.send({ t: 'msg', text: 'hi' });
 * @module
 */

export { C2C } from './sdk/client.js';
export { C2CError } from './sdk/policy.js';
