// Dead letters: grouped by why, put back or thrown away, one by one or all that a filter takes.

import { button, calm, dialog, h, put, teach, toast } from "./dom.js";
import { ago, num, plural, statusClass } from "./format.js";
import { lines, query } from "./api.js";
import { filterBox } from "./filterbox.js";

const MOST = 2000; // letters that are listed
const SHOWN = 200; // of one group
export const undo = { seconds: 5 }; // in which a redrive can still be called off

export function letters(box, at, place, onchange) {
  let destination = at.params.get("destination") || "";
  let filter = at.params.get("filter") || "";
  let stop = new AbortController();
  let reading, drawn = "", list = [], total = 0, state = "loading", problem = null, stats = [];
  const marks = new Set(); // "destination id"
  const openGroups = new Set();
  const key = (l) => `${l.destination} ${l.exchange.id}`;
  const scope = h("select", { class: "btn", "aria-label": "Destination", onchange: () => go({ destination: scope.value }) });
  const search = filterBox({ value: filter, label: "Filter the dead letters", id: "dead-filter", use: (t) => go({ filter: t }) });
  const tools = h("div", { class: "tools" });
  const groups = h("div", { class: "groups" });
  put(box, h("div", { class: "pagehead dead" }, h("h2", {}, "Dead letters"), scope), h("div", { class: "bar" }, search.el, tools), groups);

  const go = (to) => {
    const q = query({ destination, filter, ...to });
    location.hash = `#/delivery/dead${q ? `?${q}` : ""}`;
  };
  const selection = () => ({ destination, filter });

  const load = () => (reading = read());
  async function read() {
    stop.abort();
    stop = new AbortController();
    const { signal } = stop;
    state = "loading";
    problem = null;
    let found;
    try {
      for (let again = place.elsewhere ? 3 : 0; ; again--) { // on AWS who has just looked has hidden them for a moment
        found = [];
        for await (const l of lines(`/api/v1/deadletters?${query({ ...selection(), limit: MOST + 1 })}`, { signal })) found.push(l);
        if (found.length || again <= 0 || !stats.some((d) => d.dead && (!destination || d.destination === destination))) break;
        await new Promise((done) => setTimeout(done, 1000));
      }
      list = found.slice(0, MOST);
      total = found.length;
      state = "done";
    } catch (err) {
      if (err.name === "AbortError") return;
      state = "error";
      problem = err;
      const m = /^filter: column (\d+): (.*)$/s.exec(err.message);
      if (m) search.tell({ column: Number(m[1]), error: m[2] });
    }
    await calm();
    if (signal.aborted) return;
    const alive = new Set(list.map(key));
    for (const k of marks) if (!alive.has(k)) marks.delete(k);
    const now = JSON.stringify([list, total, state, stats, destination, filter]);
    if (now !== drawn || problem) draw(); // what is open and under the mouse stays as it is
    drawn = now;
  }

  function draw() {
    put(scope, h("option", { value: "" }, "All destinations"), stats.map((d) => h("option", { value: d.destination, selected: d.destination === destination }, `${d.destination} (${num(d.dead)})`)));
    const what = marks.size ? `${num(marks.size)} marked` : filter ? "what the filter takes" : destination ? `all of ${destination}` : "all";
    put(tools, list.length ? [button(`Redrive ${what}`, () => act("redrive", chosen()), { icon: "replay", kind: "primary", id: "redrive" }), button(`Purge ${what}`, () => act("purge", chosen()), { icon: "trash", id: "purge" })] : null);
    if (state === "error") return put(groups, teach("error", "The dead letters cannot be read", problem.message));
    if (state === "loading" && !list.length) return put(groups, h("p", { class: "boot" }, "Loading…"));
    if (!list.length) return put(groups, teach(filter ? "none" : "good", filter ? "No dead letter matches" : "No dead letters", filter ? h("p", {}, "Nothing satisfies ", h("code", {}, filter)) : "A record that a destination will not take, however often it is tried, is kept here with the reason, until you redrive or purge it."));
    const by = new Map();
    for (const l of list) {
      const g = `${l.destination}\n${l.unreadable ? "record cannot be read" : l.reason}`;
      by.has(g) ? by.get(g).push(l) : by.set(g, [l]);
    }
    put(groups, total > MOST ? h("p", { class: "notice" }, `The oldest ${num(MOST)} are shown. Redrive and purge without marks take all of them.`) : null,
      [...by].sort((a, b) => b[1].length - a[1].length).map(([name, of]) => group(name, of)));
  }

  function group(name, of) {
    const [dest, reason] = name.split("\n");
    const all = of.every((l) => marks.has(key(l)));
    const check = h("input", { type: "checkbox", checked: all, "aria-label": `Mark all of: ${reason}`, onchange: () => { of.forEach((l) => (all ? marks.delete(key(l)) : marks.add(key(l)))); draw(); } });
    const el = h("details", { class: "card group", open: openGroups.has(name) }, h("summary", {}, h("b", { class: "count" }, num(of.length)), h("span", { class: "why" }, reason), h("span", { class: "hint" }, `${dest} · ${ago(of.reduce((a, l) => (l.died > a ? l.died : a), ""))}`)));
    el.addEventListener("toggle", () => {
      el.open ? openGroups.add(name) : openGroups.delete(name);
      if (el.open && el.children.length === 1) el.append(rows(of));
    });
    if (el.hasAttribute("open")) el.append(rows(of));
    return h("div", { class: "grouped" }, check, el);
  }

  function rows(of) {
    return h("div", { class: "scroll" }, h("table", { class: "letters" }, h("thead", {}, h("tr", {}, ["", "Call", "Died", "Attempts", ""].map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, of.slice(0, SHOWN).map((l) => h("tr", {},
        h("td", {}, h("input", { type: "checkbox", checked: marks.has(key(l)), "aria-label": `Mark ${l.exchange.method} ${l.exchange.path}`, onchange: () => { marks.has(key(l)) ? marks.delete(key(l)) : marks.add(key(l)); draw(); } })),
        h("td", { class: "mono" }, l.unreadable ? l.exchange.id : h("a", { href: `#/exchange/${l.exchange.id}` }, h("span", { class: `st ${statusClass(l.exchange.status)}` }, l.exchange.status || "–"), ` ${l.exchange.method} ${l.exchange.path}`)),
        h("td", { class: "hint" }, ago(l.died)), h("td", {}, num(l.attempts)),
        h("td", { class: "end" }, button("Redrive", () => act("redrive", [{ destination: l.destination, ids: [l.exchange.id] }]), { kind: "small" })))))),
      of.length > SHOWN ? h("p", { class: "hint" }, `and ${num(of.length - SHOWN)} more`) : null);
  }

  // chosen is what an action is about: selections of the admin API, one per destination.
  function chosen() {
    if (!marks.size) return [selection()];
    const by = {};
    for (const k of marks) {
      const [d, id] = k.split(" ");
      (by[d] ||= []).push(id);
    }
    return Object.entries(by).map(([d, ids]) => ({ destination: d, ids }));
  }

  // count asks how many are meant, and tells how many have been seen so far. On AWS to look at a letter hides
  // it for a moment, from this count too: where the list has some, it looks again.
  async function count(what, selections, signal, tell) {
    await reading;
    for (let again = place.elsewhere && list.length ? 3 : 0; ; again--) {
      let n = 0;
      for (const sel of selections) {
        for await (const p of lines(`/api/v1/deadletters/${what}`, { method: "POST", signal, body: { ...sel, dry_run: true } })) {
          if (p.done) n += p.matched;
          else if (p.seen) tell(n + p.matched, p.seen);
        }
      }
      if (n || again <= 0) return n;
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  // act counts first, asks, waits a moment, and then tells how far it is.
  function act(what, selections) {
    const running = new AbortController();
    dialog(what === "purge" ? "Purge dead letters" : "Redrive dead letters", (close) => {
      const said = h("p", { role: "status" }, "Counting…");
      const box = h("div", { class: "stack" }, said, h("p", { class: "end" }, button("Cancel", close)));
      count(what, selections, running.signal, (n, seen) => { said.textContent = `Counting… ${num(n)} of ${num(seen)} looked at`; }).then((n) => {
        if (n) put(box, ask(what, selections, n, running, close));
        else put(box, h("p", {}, place.elsewhere ? "None can be found just now: they are no longer dead, or somebody else looks at them, which hides them for a moment." : "None of them is dead any more."), h("p", { class: "end" }, button("Close", close, { kind: "primary" })));
      }, (err) => { if (err.name !== "AbortError") put(box, h("p", { class: "callerror", role: "alert" }, err.message), h("p", { class: "end" }, button("Close", close))); });
      return box;
    }).addEventListener("close", () => running.abort());
  }

  // ask asks whether count letters are meant, and then does it.
  function ask(what, selections, count, running, close) {
    const rate = h("input", { type: "number", min: "0", step: "any", placeholder: "as fast as it goes", "aria-label": "Records a second" });
    const sure = h("input", { type: "text", class: "mono", autocomplete: "off", "aria-label": `Type ${count} to confirm` });
    const progress = h("div", { role: "status" });
    const bottom = h("p", { class: "end" });
    const start = button(what === "purge" ? `Purge ${num(count)}` : `Redrive ${num(count)}`, () => begin(), { kind: what === "purge" ? "danger" : "primary", disabled: what === "purge", id: "do-it" });
    sure.addEventListener("input", () => { start.disabled = sure.value.trim() !== String(count); });
    put(bottom, button("Cancel", close), " ", start);

    async function begin() {
      rate.disabled = sure.disabled = true;
      if (what === "redrive") {
        const back = button("Undo", () => { running.abort(); close(); toast("Called off: nothing was redriven"); });
        put(bottom, back);
        for (let left = undo.seconds; left > 0 && !running.signal.aborted; left--) {
          put(progress, h("p", {}, `Starts in ${left} s`));
          await new Promise((r) => setTimeout(r, 1000));
        }
        if (running.signal.aborted) return;
      }
      put(bottom, button("Stop", () => running.abort(), { icon: "stop" }));
      const sum = { ok: 0, failed: 0, error: "" };
      try {
        for (const sel of selections) {
          let last = { ok: 0, failed: 0 };
          for await (const p of lines(`/api/v1/deadletters/${what}`, { method: "POST", signal: running.signal, body: { ...sel, rate: Number(rate.value) || 0 } })) {
            last = p;
            put(progress, bar(sum.ok + sum.failed + p.ok + p.failed, count), h("p", {}, `${num(sum.ok + p.ok)} of ${num(count)}${p.note ? ` · ${p.note}` : ""}`));
          }
          sum.ok += last.ok;
          sum.failed += last.failed;
          sum.error ||= last.last_error;
        }
        put(progress, bar(count, count), h("p", { class: sum.failed ? "callerror" : "good" }, `${plural(sum.ok, "letter")} ${what === "purge" ? "purged; the ledger counts them as dropped" : "back in the queue"}${sum.failed ? `, ${num(sum.failed)} could not be: ${sum.error}` : ""}.`));
      } catch (err) {
        put(progress, h("p", { class: "callerror" }, err.name === "AbortError" ? "Stopped. What was not done stays dead." : err.message));
      }
      marks.clear();
      put(bottom, button("Done", close, { kind: "primary", id: "done" }));
      load();
      onchange();
    }
    return [
      h("p", {}, h("b", {}, plural(count, "dead letter")), what === "purge" ? " will be gone for good: never delivered, counted as dropped in the ledger." : " will go back into the queue with no attempts made."),
      what === "purge" ? h("label", { class: "row" }, h("span", {}, "Type ", h("code", {}, count), " to confirm"), sure) : h("label", { class: "row" }, h("span", {}, "Records a second"), rate), progress, bottom];
  }

  const bar = (n, of) => h("progress", { max: of, "aria-label": "Progress", value: n });

  // counts hears what the queue says; when deaths changed, the list is read again.
  function counts(now) {
    const before = stats.map((d) => d.dead).join();
    stats = now;
    if (stats.map((d) => d.dead).join() !== before && !document.querySelector("dialog[open]") && !box.contains(document.activeElement?.closest("input[type=text]"))) load();
  }
  load();
  return {
    counts, leave: () => stop.abort(),
    change(next) {
      destination = next.params.get("destination") || "";
      filter = next.params.get("filter") || "";
      search.input.value = filter;
      marks.clear();
      load();
      if (next.parts[0] === "dead") box.scrollIntoView({ block: "start" });
    },
    keys(e) {
      if (e.key !== "/") return false;
      search.input.focus();
      return true;
    },
  };
}
