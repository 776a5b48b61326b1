// What the modules of the SDK are to each other. Types only: browsers never load this.

import type { Answer, Clock, Command, Frame, Pending, Position, RoomEvent, StorageLike, WebSocketLike } from '../c2c.js';
import type { C2CError, Pacer } from './policy.js';
import type { Http } from './sse.js';
import type { Room } from './room.js';

/** What the SDK needs of the world. */
export interface Environment {
  WebSocket: (new (url: string) => WebSocketLike) | undefined;
  fetch: typeof fetch;
  storage: StorageLike | undefined;
  random: () => number;
  clock: Clock;
  page: any;
}

/** A command that can be told from others. */
export type Numbered = Command & { id: string };

/** A connection, whatever carries it. Answers are undefined when it ended before they came. */
export interface Link {
  readonly transport: 'websocket' | 'sse';
  readonly pacer: Pacer;
  /** It ended because nothing was heard. */
  readonly silent: boolean;
  ask(command: Numbered): Promise<Answer | undefined>;
  join(roomId: string, since?: Position): Promise<Answer | undefined>;
  leave(roomId: string): Promise<unknown>;
  /** Makes sure that it is alive. */
  check(): void;
  close(code: number): void;
}

/** What a link tells its client. */
export interface Hooks {
  /** Signed in; as whom, where it is known already. */
  welcome(link: Link, me?: string): void;
  /** What is no answer to a command. */
  frame(link: Link, frame: Frame): void;
  /** Not after `close`. */
  end(link: Link, code: number, reason: string): void;
  /** What is joined or to be joined. */
  rooms(): { roomId: string; since?: Position }[];
}

/** What a room needs of its client. */
export interface Owner {
  readonly env: Environment;
  ask(link: Link, command: Numbered): Promise<Answer | undefined>;
  rejoin(room: Room): void;
  leave(room: Room): Promise<void>;
  http(): Http;
}

/** A command as it stands in the storage. */
export interface Kept {
  command: Pending['command'];
  /** When the page sent it, in ms since 1970; no two of a room are alike. */
  at: number;
  /** When it went out first, as far as the server may remember it. */
  first?: number;
  /** Where the room stood then: its event can only be behind that. */
  from?: Position;
  /** Why it failed. */
  code?: string;
  message?: string;
  /** Where its event stands by the answer, and when that came: until it is safe there. */
  answered?: Position & { at: number };
}

/** A command on its way, with what only this page knows of it. */
export interface Entry extends Kept {
  state: 'queued' | 'sending' | 'failed' | 'answered';
  /** An earlier page, or another tab, has put it into the storage. */
  adopted: boolean;
  /** How often the server asked to try again. */
  tries: number;
  /** How many connections fell silent on it. */
  silences: number;
  resolve(answer: Answer): void;
  reject(error: C2CError): void;
}

/** The room of an outbox, and what is round it. */
export interface Host {
  readonly roomId: string;
  readonly env: Environment;
  readonly position: Position | undefined;
  /** Where commands can go at the moment. */
  readonly link: Link | undefined;
  ask(link: Link, command: Numbered): Promise<Answer | undefined>;
  rejoin(): void;
  /** A page of the room's log; undefined when nobody answered. */
  readLog(after: number): Promise<{ events: RoomEvent[]; epoch: string; seq: number } | undefined>;
  changed(): void;
}
