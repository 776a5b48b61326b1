/**
 * REST as the one who has signed in, and the server's clock, by which "12 s ago" is right on a computer whose own is wrong.
 * @module
 */

import { authorization } from '../shell/identity.js';

/** @typedef {import('../shell/identity.js').Identity} Identity */

/** A difference that the way of an answer explains is none. */
const SKEW_MS = 3_000;

/** What the server refused. `details`: its `field` and `reason`, where it says so. */
export class Refused extends Error {
  /** @param {{code: string, message?: string, details?: Record<string, any>}} error */
  constructor({ code, message, details }) {
    super(message);
    this.code = code;
    this.details = details ?? {};
  }
}

let skewMs = 0;

/** What time it is for the server, in ms since 1970. */
export function serverNow() {
  return Date.now() + skewMs;
}

/**
 * @param {Identity} me
 * @returns {(method: string, path: string, body?: unknown, signal?: AbortSignal) => Promise<any>} `data`; raises Refused
 */
export function apiOf(me) {
  return async (method, path, body, signal) => {
    const headers = { ...authorization(me), ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) };
    const options = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
    const answer = await fetch(`/api/${path}`, options).then((found) => found.json()).catch((error) => {
      if (signal?.aborted) throw error;
      throw new Refused({ code: 'SERVICE_UNAVAILABLE' });
    });
    const ahead = Date.parse(answer.timestamp) - Date.now();
    skewMs = Math.abs(ahead) > SKEW_MS ? ahead : 0;
    if (answer.error) throw new Refused(answer.error);
    return answer.data;
  };
}

/** @typedef {ReturnType<typeof apiOf>} Api */
