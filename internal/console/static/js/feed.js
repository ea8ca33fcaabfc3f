// The calls of a list: what was before, then what comes, in the order of their positions.

import { awake, hidden, lines, query, reach } from "./api.js";

const FIRST = 100; // rows of the first page: more than a screen
const PAGE = 300;
const MOST = 20000; // rows kept; the oldest give way
export const asleep = { after: 15000 }; // ms: who has not looked at the page for so long is sent nothing

export class Feed extends EventTarget {
  rows = []; // ascending
  filter = "";
  skipped = 0;
  paused = false;
  waiting = []; // what came while paused
  state = "connecting"; // live, connecting, lost, still, error
  error = null;
  loaded = false; // the first page is there
  older = true; // there may be more before the first row
  search = null; // the look at what was before: {searched, total, found, since, state, error}; state is "runs", "stopped" or "broken"

  // open begins anew with a filter.
  open(filter, place) {
    this.close();
    Object.assign(this, { rows: [], waiting: [], skipped: 0, filter, place, loaded: false, older: place.history, error: null, position: undefined, before: undefined, search: null });
    this.stop = new AbortController();
    this.tell(true);
    this.run(this.stop.signal);
  }

  close() {
    this.stop?.abort();
  }

  // tell: reset means that the rows are others than before.
  tell(reset = false, added = 0) {
    this.dispatchEvent(new CustomEvent("change", { detail: { reset, added } }));
  }

  set(state, error = null) {
    this.state = state;
    this.error = error;
    this.tell();
  }

  async run(signal) {
    if (this.place.elsewhere) { // nothing there can be watched
      this.set("still");
      return this.more();
    }
    for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
      await awake();
      const unseen = hidden(asleep.after);
      try {
        this.set("connecting", this.error);
        const q = query({ filter: this.filter, after: this.position });
        for await (const line of lines(`/api/v1/live?${q}`, { signal: AbortSignal.any([signal, unseen.signal]) })) {
          wait = 500;
          this.take(line);
        }
        if (!signal.aborted) this.set("lost");
      } catch (err) {
        if (signal.aborted) return;
        if (unseen.signal.aborted) continue; // and goes on there when somebody looks again
        if (err.status >= 400 && err.status < 500) return this.set("error", err);
        if (err.status === 501) {
          this.set("still");
          return this.more();
        }
        this.set("lost", err);
      } finally {
        unseen.done();
      }
      await reach.again(wait);
    }
  }

  take(line) {
    const first = this.position === undefined;
    this.position = line.position;
    this.skipped += line.skipped || 0;
    if (first) {
      this.before = line.position + 1;
      if (!this.place.history) this.loaded = true;
    }
    if (this.state !== "live") this.set("live");
    if (first || this.search?.state === "broken") this.more(true);
    if (line.calls) this.add(line.calls);
    else if (line.skipped) this.tell();
  }

  add(calls) {
    if (this.paused) {
      this.waiting.push(...calls);
      if (this.waiting.length > 5000) this.skipped += this.waiting.splice(0, this.waiting.length - 5000).length;
      return this.tell();
    }
    this.rows.push(...calls);
    if (this.rows.length > MOST) {
      this.rows.splice(0, this.rows.length - MOST);
      this.before = this.rows[0].seq;
      this.older = true;
    }
    this.tell(false, calls.length);
  }

  pause(on) {
    this.paused = on;
    if (!on) this.add(this.waiting.splice(0));
    this.tell();
  }

  // more looks for a page of what was before the first row, and shows what is found as it is found.
  // One that was stopped, or broke off, goes on only when it is asked to again.
  async more(again = false) {
    if (!this.older && !this.loaded) {
      this.loaded = true;
      this.tell();
    }
    if (!this.older || this.rows.length >= MOST || this.search?.state === "runs" || (this.search && !again)) return;
    const stop = new AbortController();
    const mine = (this.search = { searched: 0, total: 0, found: 0, since: Date.now(), state: "runs", stop });
    const limit = this.rows.length ? PAGE : FIRST;
    let some = [], timer = 0;
    const show = () => {
      clearTimeout(timer);
      timer = 0;
      if (this.search !== mine) return; // the list is another one by now
      if (some.length) {
        this.before = some.at(-1).seq;
        mine.found += some.length;
        this.rows.unshift(...some.reverse());
        some = [];
        this.loaded = true;
      }
      this.tell();
    };
    try {
      let next;
      const q = query({ filter: this.filter, limit, before: this.before, progress: 1 });
      for await (const line of lines(`/api/v1/exchanges?${q}`, { signal: AbortSignal.any([this.stop.signal, stop.signal]) })) {
        if (!line.progress) {
          some.push(line);
          timer ||= setTimeout(show, 30);
          continue;
        }
        ({ searched: mine.searched, total: mine.total } = line.progress);
        if (line.progress.ended) next = line.progress.next;
        show();
        if (line.progress.at && this.search === mine) this.before = Math.min(this.before ?? Infinity, line.progress.at);
      }
      show();
      if (this.search !== mine) return;
      this.older = next !== undefined || (!mine.total && mine.found === limit);
      if (next) this.before = Math.min(this.before ?? Infinity, next);
      this.loaded = true;
      this.search = null;
    } catch (err) {
      show();
      if (this.search !== mine) return;
      Object.assign(mine, stop.signal.aborted ? { state: "stopped" } : { state: "broken", error: err });
      if (this.place.elsewhere && !this.rows.length && mine.state === "broken") return this.set("error", err);
    } finally {
      clearTimeout(timer);
    }
    this.tell();
  }

  // halt ends the look at what was before; what it has found stays.
  halt() {
    if (this.search?.state === "runs") this.search.stop.abort();
  }

  // at counts from the newest.
  at(i) {
    return this.rows[this.rows.length - 1 - i];
  }

  indexOf(id) {
    const i = this.rows.findLastIndex((r) => r.id === id);
    return i < 0 ? -1 : this.rows.length - 1 - i;
  }
}
