// The calls of a list: what was before, then what comes, in the order of their positions.

import { all, lines, query } from "./api.js";

const FIRST = 100; // rows of the first page: more than a screen
const PAGE = 300;
const MOST = 20000; // rows kept; the oldest give way

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

  // open begins anew with a filter.
  open(filter, place) {
    this.close();
    Object.assign(this, { rows: [], waiting: [], skipped: 0, filter, place, loaded: false, older: place.history, error: null, position: undefined });
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
      await this.more(signal).catch((e) => signal.aborted || this.set("error", e));
      this.loaded = true;
      return this.tell();
    }
    for (let wait = 500; !signal.aborted; wait = Math.min(wait * 2, 8000)) {
      try {
        this.set("connecting", this.error);
        const q = query({ filter: this.filter, after: this.position });
        for await (const line of lines(`/api/v1/live?${q}`, { signal })) {
          wait = 500;
          await this.take(line, signal);
        }
        if (!signal.aborted) this.set("lost");
      } catch (err) {
        if (signal.aborted) return;
        if (err.status >= 400 && err.status < 500) return this.set("error", err);
        if (err.status === 501) {
          this.set("still");
          await this.more(signal).catch((e) => this.set("error", e));
          return;
        }
        this.set("lost", err);
      }
      await new Promise((done) => setTimeout(done, wait));
    }
  }

  async take(line, signal) {
    const first = this.position === undefined;
    this.position = line.position;
    this.skipped += line.skipped || 0;
    if (first) {
      this.before = line.position + 1;
      if (this.place.history) await this.more(signal);
      else this.loaded = true;
    }
    if (this.state !== "live") this.set("live");
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
      this.older = true;
    }
    this.tell(false, calls.length);
  }

  pause(on) {
    this.paused = on;
    if (!on) this.add(this.waiting.splice(0));
    this.tell();
  }

  // more loads a page of what was before the first row.
  async more(signal = this.stop.signal) {
    if (this.loading || !this.older || this.rows.length >= MOST) return;
    this.loading = true;
    try {
      const before = this.rows.length ? this.rows[0].seq : this.before;
      const limit = this.rows.length ? PAGE : FIRST;
      const page = await all(`/api/v1/exchanges?${query({ filter: this.filter, limit, before })}`, { signal });
      if (signal.aborted) return;
      this.older = page.length === limit;
      this.rows.unshift(...page.reverse());
      this.loaded = true;
      this.tell();
    } finally {
      this.loading = false;
    }
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
