// What the navigation tells of alarms, asked for now and then wherever one is.

import { json } from "./api.js";
import { calm } from "./dom.js";

const EVERY = 10000;

class News extends EventTarget {
  known = false; // this tapway has alarms
  alarms = null; // the last answer
  firing = []; // those that nobody has acknowledged or silenced
  error = null;
  turn = 0; // an answer to an earlier question than the last is too old

  // look asks now, and then again and again until it is known that there are none to ask for.
  async look() {
    clearTimeout(this.timer);
    const mine = ++this.turn;
    let none = false;
    try {
      const got = await json("/api/v1/alarms");
      if (mine !== this.turn) return;
      this.alarms = got;
      this.known = true;
      this.error = null;
      this.firing = (this.alarms.alarms || []).filter((a) => a.state === "firing" && !a.acknowledged && !(new Date(a.silenced_until) > new Date()));
    } catch (err) {
      if (mine !== this.turn) return;
      this.error = err;
      none = err.status === 404 || err.status === 501;
      this.known &&= !none;
    }
    await calm();
    if (mine !== this.turn) return;
    this.dispatchEvent(new Event("change"));
    if (!none) this.timer = setTimeout(() => this.look(), document.visibilityState === "hidden" ? 6 * EVERY : EVERY);
  }

  stop() {
    clearTimeout(this.timer);
    this.turn++;
    this.known = false;
  }
}

export const news = new News();
