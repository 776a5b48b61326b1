/**
 * Everybody who is online, put together from a snapshot, its further pages, and events.
 *
 * Whether an event is older than the page that comes after it, nobody knows. But every change behind the snapshot has
 * an event: whoever one has named is right without the page.
 * @module
 */

/** @typedef {import('../shell/status.js').Status} Status */
/**
 * `seenAt`: ms since 1970, 0: never. `roomId`: empty: in none. `sought`: what a search looks into.
 * @typedef {{userId: string, username: string, status: Status, seenAt: number, roomId: string, connections: number,
 *   sought: string}} Person
 */

/** So many of those who have gone stay in sight. */
const GONE = 200;
const STATUSES = ['online', 'away', 'busy', 'offline'];
const none = () => ({ online: 0, away: 0, busy: 0, offline: 0 });

export class Roster {
  /** @type {Map<string, Person>} */
  people = new Map();
  counts = none();
  /** Whether all pages are there. */
  complete = false;
  /** Changes with anything that is told. */
  version = 0;
  /** Changes when somebody comes, goes or is named differently, which may move others. */
  order = 0;
  /** @type {Set<string>} whom events have named, while pages are still to come */
  #named = new Set();
  /** @type {Set<string>} who has gone, the longest first */
  #gone = new Set();
  /** What the server counted, until we can do it ourselves. @type {Omit<ReturnType<typeof none>, 'offline'> | undefined} */
  #counted;
  #sorted = { key: '', ids: /** @type {string[]} */ ([]) };

  /** Begins anew. @param {any} state of a `joined`: the first page, and the number of all */
  replace(state) {
    this.people.clear();
    this.#named.clear();
    this.#gone.clear();
    this.counts = none();
    this.#counted = state.stats?.byStatus;
    this.order++;
    this.page(state.users, state.more === true);
  }

  /** @param {unknown} users a page of the list @param {boolean} more whether there is another */
  page(users, more) {
    for (const person of personList(users)) if (!this.#named.has(person.userId)) this.#put(person);
    this.complete = !more;
    if (more) return;
    this.#named.clear();
    this.#counted = undefined;
  }

  /** An event. @param {unknown} users as they are now */
  heard(users) {
    for (const person of personList(users)) {
      if (!this.complete) this.#named.add(person.userId);
      this.#put(person);
    }
  }

  /** @param {unknown} user somebody who is of interest even when offline */
  looked(user) {
    for (const person of personList([user])) if (!this.people.has(person.userId)) this.#put(person);
  }

  /** How many are there, by status. */
  get present() {
    const { online, away, busy } = this.#counted ?? this.counts;
    return { online, away, busy, total: online + away + busy };
  }

  /** @param {Person} person */
  #put(person) {
    const { userId, username, status } = person;
    const former = this.people.get(userId);
    const gone = status === 'offline';
    this.version++;
    if (former) this.counts[former.status]--;
    if (former?.username !== username || (former.status === 'offline') !== gone) this.order++;
    this.counts[status]++;
    this.people.set(userId, person);
    this.#gone.delete(userId);
    if (gone) this.#gone.add(userId);
    const [longest] = this.#gone;
    if (this.#gone.size <= GONE) return;
    this.#gone.delete(longest);
    this.people.delete(longest);
    this.counts.offline--;
  }

  /**
   * User ids in the order of a list: oneself, who is starred, who is there, who has gone; by name in each. A status
   * that changes moves nobody but who comes or goes.
   * @param {string} me
   * @param {ReadonlySet<string>} starred
   * @param {string} language
   * @returns {readonly string[]}
   */
  sorted(me, starred, language) {
    const key = `${this.order} ${me} ${[...starred].join(' ')} ${language}`;
    if (key === this.#sorted.key) return this.#sorted.ids;
    const { compare } = new Intl.Collator(language, { numeric: true });
    const ranked = [...this.people.values()].map(({ userId, username, status }) => {
      const rank = userId === me ? 0 : Number(status === 'offline') * 2 + Number(!starred.has(userId)) + 1;
      return { userId, username, rank };
    });
    ranked.sort((a, b) => a.rank - b.rank || compare(a.username, b.username) || (a.userId < b.userId ? -1 : 1));
    this.#sorted = { key, ids: ranked.map(({ userId }) => userId) };
    return this.#sorted.ids;
  }
}

/** @param {string} words */
export function soughtIn(words) {
  return words.normalize('NFC').toLowerCase().trim();
}

/** Anybody with redis-cli can publish: what is no person is left out. @param {unknown} users @returns {Person[]} */
function personList(users) {
  return Array.isArray(users) ? users.filter((user) => typeof user?.userId === 'string' && user.userId).map(person) : [];
}

/** @param {any} user */
function person({ userId, username, status, lastSeen, roomId, connections }) {
  const name = typeof username === 'string' && username ? username : userId;
  return {
    userId,
    username: name,
    status: STATUSES.includes(status) ? status : 'offline',
    seenAt: Date.parse(lastSeen) || 0,
    roomId: typeof roomId === 'string' ? roomId : '',
    connections: Number(connections) || 0,
    sought: soughtIn(`${name} ${userId}`),
  };
}
