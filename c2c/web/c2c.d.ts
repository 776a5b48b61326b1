/** The types of the c2c SDK. What is on the wire is described in `docs/protocol.md`, how to use it in `docs/sdk.md`. */

/** A place in a room's log. `epoch` names one life of the log, `seq` counts in it. */
export interface Position {
  readonly epoch: string;
  readonly seq: number;
}

/** Any frame of the server. */
export interface Frame {
  t: string;
  id?: string;
  roomId?: string;
  [field: string]: unknown;
}

/** A logged event has `seq`, `epoch`, `timestamp`, and `by`: the id of the command that caused it. */
export interface RoomEvent extends Frame {
  seq?: number;
  epoch?: string;
  timestamp?: string;
  by?: string;
}

/** The answer to a command: `ack` or the named one, such as `history`. */
export interface Answer extends Frame {
  epoch?: string;
  seq?: number;
}

/** A command by its fields on the wire; `roomId` is added, and `id` too unless you choose one (1–64 characters). */
export interface Command {
  t: string;
  id?: string;
  [field: string]: unknown;
}

export interface MsgEvent extends RoomEvent {
  t: 'msg';
  from: string;
  username: string;
  text: string;
}

export interface JoinedFrame extends RoomEvent {
  t: 'joined';
  roomId: string;
  kind: string;
  me: string;
  members: string[];
  presence: Record<string, string>;
  epoch: string;
  seq: number;
  recovered: boolean;
  reason?: string;
  state?: Record<string, unknown>;
}

/** Somebody, as the room of kind `presence` tells of them. */
export interface OnlineUser {
  userId: string;
  username: string;
  /** A URL, or empty. */
  avatar: string;
  status: 'online' | 'away' | 'busy' | 'offline';
  /** ISO 8601; null when nobody remembers. */
  lastSeen: string | null;
  roomId: string | null;
  connections: number;
}

/** In a room of kind `presence`: `users`, and the other fields if it is one. In other rooms: the other fields. */
export interface StatusEvent extends RoomEvent {
  t: 'user:status';
  users?: OnlineUser[];
  userId?: string;
  username?: string;
  status?: string;
  lastSeen?: string | null;
}

/** The state was thrown away: what was missed can't be had. `room.state` is new, and what follows follows on it. */
export interface Replaced extends Frame {
  t: 'replaced';
  roomId: string;
  /** `epoch`, `trimmed` or `ahead` as in the protocol; `rejoined`: a join had to be made twice. */
  reason: string;
  state: Record<string, unknown>;
  epoch: string;
  seq: number;
}

/** The room is over for this client, which did not leave it: for instance `ROOM_NOT_FOUND` when it was joined again. */
export interface RoomClosed extends Frame {
  t: 'closed';
  roomId: string;
  error: C2CError;
}

export interface RoomEvents {
  /** Everything but `pending`, in order. */
  '*': RoomEvent;
  /** The room was joined again; `members` and `presence` are what they are now. */
  joined: JoinedFrame;
  replaced: Replaced;
  closed: RoomClosed;
  /** `room.pending` has changed. */
  pending: Frame;
  msg: MsgEvent;
  user_joined: RoomEvent & { userId: string; username: string };
  user_left: RoomEvent & { userId: string; reason: string };
  typing: RoomEvent & { userId: string; typing: boolean };
  'user:status': StatusEvent;
}

/** A command that is kept until the server has answered it. */
export interface Pending {
  readonly id: string;
  /** As it goes over the wire, with `id` and `roomId`. */
  readonly command: Command & { id: string; roomId: string };
  /** When it was sent first by the page, in ms since 1970. */
  readonly at: number;
  /** `sending`: on its way or waiting for a connection. `failed`: not sent again unless `retry(id)` says so. */
  readonly state: 'sending' | 'failed';
  /** Why it failed. */
  readonly code?: string;
  readonly message?: string;
}

/**
 * What a promise is rejected with. `code` is the server's, such as `ROOM_NOT_FOUND`, or one of the SDK's own:
 *
 * - `TIMEOUT`: no answer within 5 s on a live connection; whether it was carried out is unknown
 * - `DISCONNECTED`: there is no connection, or it was lost, and the command is not one that is kept
 * - `CLOSED`: the client was closed or stopped, or the room left; kept commands stay in the storage
 * - `DISCARDED`: by `room.discard(id)`
 * - `QUEUE_FULL`: 500 commands are waiting already
 */
export class C2CError extends Error {
  constructor(code: string, message?: string, details?: Record<string, unknown>, id?: string);
  readonly code: string;
  /** The command's id. */
  readonly id?: string;
  /** The other fields of the error frame, for `CONFLICT` for instance `current`. */
  readonly details: Readonly<Record<string, unknown>>;
}

export interface SendOptions {
  /**
   * Keep the command until it is answered, across broken connections and reloads. Only right for commands that the
   * server carries out once per id. Without it: true for `msg` and the edits of line-ups, false for all others.
   */
  keep?: boolean;
}

/** A promise of a command's answer; `id` is the command's, at once. */
export type Sent = Promise<Answer> & { readonly id: string };

/** A room that was joined, and that is joined again after every broken connection. Made by `C2C.join`. */
export class Room {
  private constructor();
  readonly roomId: string;
  /** The kind's name, such as `chat`. */
  readonly kind: string;
  /** The snapshot of the last `joined` that had one; events do not change it. */
  readonly state: Readonly<Record<string, unknown>>;
  /** User ids of who is in the room. */
  readonly members: ReadonlySet<string>;
  /** User id → status. */
  readonly presence: ReadonlyMap<string, string>;
  /** Where the last event passed on stands; undefined before the first `joined`. */
  readonly position: Position | undefined;
  /** What is kept and not answered, in the order it was sent; also what an earlier page left behind, up to 24 h. */
  readonly pending: readonly Pending[];
  /** Calls `listener` for every event of this type, or `'*'`. Returns what ends that. */
  on<T extends keyof RoomEvents>(type: T, listener: (event: RoomEvents[T]) => void): () => void;
  on(type: string, listener: (event: RoomEvent) => void): () => void;
  /** Sends a command to the room. Rejected with a `C2CError`. */
  send(command: Command, options?: SendOptions): Sent;
  /** Sends a failed command again, with the same id and in its old place. */
  retry(id: string): Sent;
  /** Forgets a kept command. If it was on its way it may be carried out all the same. */
  discard(id: string): void;
  /** Leaves the room. Resolves when the server has heard it or can't be reached. */
  leave(): Promise<void>;
}

export type Status = 'connected' | 'connecting' | 'disconnected';

export interface Connection {
  readonly status: Status;
  /** What carries the frames: `sse` where WebSockets are blocked. While `connected`. */
  readonly transport?: 'websocket' | 'sse';
  /** Why it is not connected: the server's words, `closed`, `hidden` (a phone's page in the background), …. */
  readonly reason?: string;
  /** The close code, 0 where there was none. */
  readonly code?: number;
  /** When the next attempt is made, in ms since 1970. While waiting for it. */
  readonly retryAt?: number;
  /** How many attempts have failed since the last stable connection. While `connecting`. */
  readonly attempt?: number;
}

/** Time, for tests. */
export interface Clock {
  now(): number;
  setTimeout(work: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** The little of the WebSocket interface that is used; the browser's and `ws` of npm have it. */
export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export type StorageLike = Pick<Storage, 'getItem' | 'setItem' | 'removeItem' | 'key' | 'length'>;

export interface Options {
  /** The server: `/ws`, `wss://example.org/ws`, or its origin; relative to the page. Default: the page's origin. */
  url?: string;
  /** Asked at the first connection and again when the server finds the token invalid or expired. */
  token: () => string | Promise<string>;
  /** The language of error messages, `ko` or `en`. */
  lang?: string;
  /** Default: the browser's own. Where there is none, server-sent events are used. */
  WebSocket?: new (url: string) => WebSocketLike;
  fetch?: typeof fetch;
  /** Where kept commands survive a reload. Default: `localStorage`. `null`: nowhere. */
  storage?: StorageLike | null;
  random?: () => number;
  clock?: Clock;
  /** What tells of the page: `document`, `matchMedia`, `addEventListener`. Default: `globalThis`. */
  page?: any;
}

/** One user's connection, opened again whenever it breaks, and the rooms on it. */
export class C2C {
  constructor(options: Options);
  readonly status: Status;
  readonly connection: Connection;
  /** The user id that the server knows us by; empty before the first sign-in. */
  readonly me: string;
  /** The rooms that are joined or being joined, by id. */
  readonly rooms: ReadonlyMap<string, Room>;
  /** Used from the next connection on. */
  lang: string | undefined;
  /** Connects. Resolves when connected; rejected with `CLOSED` when the client is closed or the server ends it. */
  connect(): Promise<void>;
  /** Says goodbye and leaves all rooms. `connect` begins anew. */
  close(): void;
  /** Connects now, instead of when the waiting is over. */
  retryNow(): void;
  /** Joins a room, connecting if need be. Rejected with the server's code, such as `ROOM_NOT_FOUND`. */
  join(roomId: string): Promise<Room>;
  /** Sends a command that belongs to no room, such as `online:list`. Never kept. */
  send(command: Command): Sent;
  /** Calls `listener` whenever the connection's state changes. Returns what ends that. */
  on(type: 'status', listener: (connection: Connection) => void): () => void;
}
