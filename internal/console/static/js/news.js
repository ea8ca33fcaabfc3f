// What the navigation tells of alarms, asked for now and then wherever one is.

import { json } from "./api.js";
import { calm } from "./dom.js";

const EVERY = 10000;

class News extends EventTarget {
  known = false; // this tapway has alarms
  alarms = null; // the last answer
  firing = []; // those that nobody has acknowledged or silenced
  error = null;

  // look asks now, and then again and again until it is known that there are none to ask for.
  async look() {
    clearTimeout(this.timer);
    try {
      this.alarms = await json("/api/v1/alarms");
      this.known = true;
      this.error = null;
      this.firing = (this.alarms.alarms || []).filter((a) => a.state === "firing" && !a.acknowledged && !(new Date(a.silenced_until) > new Date()));
    } catch (err) {
      this.error = err;
      if (err.status === 404 || err.status === 501) this.known = false;
    }
    await calm();
    this.dispatchEvent(new Event("change"));
    if (this.known || !this.error) this.timer = setTimeout(() => this.look(), EVERY);
  }

  stop() {
    clearTimeout(this.timer);
    this.known = false;
  }
}

export const news = new News();
