// Routes: where calls go, and how each route has fared lately.

import { calm, h, put, teach } from "./dom.js";
import { ms, num } from "./format.js";
import { all, awake, query } from "./api.js";

const LOOK = 2000; // calls that are looked at
const EVERY = 15000;

export function routes(main, at, place) {
  const stop = new AbortController();
  const box = h("div", {});
  const note = h("p", { class: "hint" });
  const problem = h("div", {});
  put(main, h("div", { class: "page" }, h("div", { class: "pagehead" }, h("h1", {}, "Routes"), h("span", { class: "grow" }), note), problem, box));
  if (!place.routes?.length) {
    put(box, teach("", "No routes here", place.elsewhere?.notes.routes || "This process delivers records and passes no calls on. The gateway's own console shows its routes."));
    return {};
  }
  let timer, drawn = false;
  draw(null);
  if (place.history && !place.elsewhere) tick();

  // tick looks again now and then: the numbers are of the last calls.
  async function tick() {
    await awake();
    try {
      await usage();
      drawn = true;
    } catch (err) {
      if (err.name === "AbortError") return;
      if (err.status || !drawn) put(problem, teach("error", "The calls cannot be read", err.message, "Where calls go is told below all the same."));
    }
    if (!stop.signal.aborted) timer = setTimeout(tick, EVERY);
  }

  async function usage() {
    const calls = await all(`/api/v1/exchanges?${query({ limit: LOOK })}`, { signal: stop.signal });
    const by = new Map();
    for (const c of calls) {
      const u = by.get(c.route || "") || { n: 0, client: 0, server: 0, took: [] };
      by.set(c.route || "", u);
      u.n++;
      u.took.push(c.duration_ms);
      if (c.status >= 500 || !c.status) u.server++;
      else if (c.status >= 400) u.client++;
    }
    await calm();
    if (stop.signal.aborted) return;
    put(problem);
    note.textContent = calls.length ? `Numbers are of the last ${num(calls.length)} calls` : "No calls yet";
    draw(by);
  }

  function draw(by) {
    const list = [...place.routes];
    if (by?.has("")) list.push({ match: "(no route)", backend: "", none: true });
    const most = Math.max(1, ...[...(by?.values() || [])].map((u) => u.n));
    const count = (n) => (by ? num(n) : "–"); // not known yet
    put(box, h("div", { class: "scroll card flush" }, h("table", { class: "wide" }, h("thead", {}, h("tr", {}, ["Route", place.elsewhere ? "Before it was attached" : "Backend", ...(place.elsewhere ? [] : ["Calls", "4xx", "5xx", "Median", "p95"])].map((t, i) => h("th", { scope: "col", class: i > 1 ? "n" : i ? "roomy" : "" }, t)))),
      h("tbody", {}, list.map((r) => {
        const u = by?.get(r.none ? "" : r.match) || { n: 0, client: 0, server: 0, took: [] };
        u.took.sort((a, b) => a - b);
        const q = (p) => (u.took.length ? ms(u.took[Math.min(u.took.length - 1, Math.floor(p * u.took.length))]) : "–");
        const [method, path] = r.match.includes(" ") && !r.none ? r.match.split(" ") : ["", r.match];
        const filter = r.none ? 'route == ""' : `route == ${JSON.stringify(r.match)}`;
        const meter = h("i", { class: "meter" });
        meter.style.width = `${(100 * u.n) / most}%`;
        const where = r.unsupported ? `not served: ${r.unsupported}` : r.none ? "answered by tapway" : r.backend;
        return h("tr", {}, h("th", { scope: "row", class: "mono" }, h("a", { href: `#/traffic?${query({ filter })}` }, method ? h("b", {}, method, " ") : null, path), h("small", { class: "hint narrow" }, where)),
          h("td", { class: `mono ${r.unsupported ? "callerror" : "hint"} roomy` }, where), ...(place.elsewhere ? [] : [h("td", { class: "n" }, count(u.n), meter), h("td", { class: `n ${u.client ? "warn" : ""}` }, count(u.client)), h("td", { class: `n ${u.server ? "bad" : ""}` }, count(u.server)), h("td", { class: "n" }, q(0.5)), h("td", { class: "n" }, q(0.95))]));
      })))),
      place.routes.some((r) => r.match === "$default") ? h("p", { class: "hint" }, h("code", {}, "$default"), " takes every call that no other route takes.") : null);
  }
  return { leave() { stop.abort(); clearTimeout(timer); } };
}
