// Checked by tsc, never run: what `c2c.d.ts` promises is what the modules are, and it can be used as documented.
import type * as declared from '../../c2c/web/c2c.js';
import { C2C, C2CError } from '../../c2c/web/c2c.js';
import { C2C as Client } from '../../c2c/web/sdk/client.js';
import { C2CError as Failure } from '../../c2c/web/sdk/policy.js';
import { Room } from '../../c2c/web/sdk/room.js';

export const client: new (options: declared.Options) => Omit<declared.C2C, 'join'> = Client;
export const failure: new (...args: ConstructorParameters<typeof declared.C2CError>) => declared.C2CError = Failure;
export type Joined = Awaited<ReturnType<Client['join']>> extends Room ? true : never;
export const joined: Joined = true;
export const room = (actual: Room): Pick<declared.Room, keyof declared.Room> => actual;

export async function use(): Promise<void> {
  const c2c = new C2C({ url: '/ws', token: async () => 'kim', lang: 'ko' });
  const stop = c2c.on('status', ({ status, retryAt }) => console.log(status, retryAt ?? 0));
  const chat = await c2c.join('abc12345');
  chat.on('msg', ({ from, text }) => console.log(from.length, text.length));
  chat.on('replaced', ({ state, reason }) => console.log(state.messages, reason));
  chat.on('*', (event) => console.log(event.t, event.seq));
  chat.on('lineup-updated', (event) => console.log(event.row));
  try {
    const { id } = chat.send({ t: 'msg', text: 'hi' });
    const ack = await chat.retry(id);
    console.log(ack.seq);
  } catch (error) {
    if (error instanceof C2CError) console.log(error.code, error.details.current);
  }
  stop();
  await chat.leave();
  c2c.close();
}
