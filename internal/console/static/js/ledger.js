// The ledger as a picture: what was captured flows into what became of it, and must balance.

import { h, icon, put, s, teach } from "./dom.js";
import { num, span } from "./format.js";
import { json, awake } from "./api.js";

const EVERY = 2000;

const sum = (o) => Object.values(o || {}).reduce((a, b) => a + b, 0);

export function ledger(main, at, place) {
  const stop = new AbortController();
  const box = h("div", {});
  put(main, h("div", { class: "page" }, h("div", { class: "pagehead" }, h("h1", {}, "Ledger")), h("p", { class: "lead hint" }, place.elsewhere ? "Every call ends delivered, queued, dead, or dropped with a reason. CloudWatch adds up what the functions have counted." : "Every call ends delivered, queued, dead, or dropped with a reason. The parts are counted where they happen; they must add up."), box));
  let timer;
  async function tick() {
    await awake();
    try {
      const l = await json("/api/v1/ledger", { signal: stop.signal });
      l.scope === "window" ? drawWindow(l) : l.scope === "queue" ? queueOnly(l) : draw(l);
    } catch (err) {
      if (err.name === "AbortError") return;
      if (err.status || !box.hasChildNodes()) put(box, teach("error", "The ledger cannot be read", err.message));
    }
    if (!stop.signal.aborted) timer = setTimeout(tick, place.elsewhere ? 10 * EVERY : EVERY);
  }

  function verdict(difference, scope) {
    if (difference === null) return null;
    if (difference === 0) return h("p", { class: "balance even" }, icon("check"), "It balances.");
    const n = Math.abs(difference), one = n === 1;
    if (scope === "window") return h("p", { class: "balance" }, one ? "1 was under way, or its metrics are not there yet." : `${num(n)} were under way, or their metrics are not there yet.`);
    if (scope) return h("p", { class: "balance" }, `${num(n)} ${one ? "is" : "are"} counted by other processes: this ledger knows its own part only.`);
    return h("p", { class: "balance odd", role: "alert" }, icon("warn"), `${num(n)} ${difference < 0 ? "too many" : one ? "is missing" : "are missing"}. `, h("span", {}, "Run ", h("code", {}, "tapway queue check"), ": it names the place."));
  }

  function draw(l) {
    if (!l.calls && !l.destinations.length) {
      put(box, teach("", "No calls yet", "The ledger begins with the first call."));
      return;
    }
    put(box, h("div", { class: "accounts" }, account("Capture", "calls", l.calls, [["stored", l.stored, "delivered"], ...Object.entries(l.dropped || {}).map(([k, n]) => [`dropped: ${k}`, n, "dropped"])], l.difference, l.scope),
      l.destinations.map((d) => account(d.destination, "captured", d.captured, [["delivered", d.delivered, "delivered"], ["queued", d.queued, "queued"], ["dead", d.dead, "dead"], ...Object.entries(d.dropped || {}).map(([k, n]) => [`dropped: ${k}`, n, "dropped"])], (l.differences || {})[d.destination] || 0, l.scope))),
      l.spilled && sum(l.spilled) ? h("p", { class: "notice" }, `${num(sum(l.spilled))} records wait in the bucket because SQS did not take them: tapway recover sends them.`) : null);
  }

  // drawWindow shows what metrics add up to in a span of time: what is under way is in one part only.
  function drawWindow(l) {
    const long = span(l.window_s);
    const unread = l.unread.map((u) => h("p", { class: "notice", role: "alert" }, h("b", {}, `${u.part}: `), u.error));
    if (!l.known) {
      put(box, unread, teach("", `CloudWatch has no datum of the last ${long}`, "No call came, or its metrics are not there yet: CloudWatch is some minutes behind. A longer time is looked at with tapway console --aws --window 24h."));
      return;
    }
    const parts = (d) => [["delivered", d.delivered, "delivered"], ["dead", d.dead, "dead"], ...Object.entries(d.dropped || {}).map(([k, n]) => [`dropped: ${k}`, n, "dropped"])];
    put(box, unread, h("p", { class: "lead hint" }, `The functions' own metrics of the last ${long}, some minutes old. What was under way when it began, or is now, is in one part alone.`),
      h("div", { class: "accounts" }, account("Capture", "calls", l.calls, [["captured", l.stored, "delivered"], ...Object.entries(l.dropped || {}).map(([k, n]) => [`dropped: ${k}`, n, "dropped"])], l.difference, "window"),
        l.destinations.map((d) => account(d.destination, "settled", d.captured, parts(d), null, "window"))),
      h("p", { class: "hint after" }, l.destinations.map((d) => `${d.destination}: ${num(d.queued)} in the queue now, ${num(l.returned[d.destination] || 0)} given back to it to be tried again. `), l.spilled_n ? `${num(l.spilled_n)} of the captured went to the bucket because SQS did not take them. ` : "", l.logged_n ? `${num(l.logged_n)} of them are in the function's log alone. ` : ""));
  }

  function queueOnly(l) {
    put(box, h("p", { class: "notice" }, "SQS keeps no account of what passed through it. This is what lies there now."),
      l.destinations.map((d) => h("section", { class: "card" }, h("h2", {}, d.destination), h("dl", { class: "numbers" }, h("div", {}, h("dt", {}, "Queued"), h("dd", {}, num(d.queued))), h("div", { class: d.dead ? "bad" : "" }, h("dt", {}, "Dead"), h("dd", {}, num(d.dead)))))));
  }

  // account draws one balance: a bar on the left flows into its parts on the right.
  function account(title, whole, total, parts, difference, scope) {
    if (!total && !sum(Object.fromEntries(parts))) return h("section", { class: "card account" }, h("header", {}, h("h2", {}, title), verdict(difference, scope)), h("p", { class: "hint nothing" }, scope === "window" ? "Nothing in this time." : "Nothing so far."), h("p", { class: "equation" }, h("b", {}, "0"), ` ${whole}`));
    const shown = parts.filter(([, n], i) => n > 0 || i === 0);
    const equals = difference && !scope ? "≠" : "=";
    const label = `${num(total)} ${whole} ${equals} ${shown.map(([name, n]) => `${num(n)} ${name}`).join(" + ")}`;
    const H = Math.max(120, shown.length * 46), GAP = 14, top = 6;
    const room = H - 2 * top - GAP * (shown.length - 1);
    const all = Math.max(1, shown.reduce((a, [, n]) => a + n, 0), total);
    const small = 5;
    const heights = shown.map(([, n]) => (n ? Math.max(small, (room * n) / all) : 2));
    const over = heights.reduce((a, b) => a + b, 0) - room;
    if (over > 0) heights[heights.indexOf(Math.max(...heights))] -= over;
    const left = heights.reduce((a, b) => a + b, 0);
    const start = (H - left) / 2;
    let from = start, to = top;
    const flows = shown.map(([name, n, kind], i) => {
      const hgt = heights[i];
      const [a, b] = [from, to];
      from += hgt;
      to += hgt + GAP;
      return [s("path", { class: `flow ${kind}`, d: `M26 ${a} C190 ${a} 190 ${b} 360 ${b} L360 ${b + hgt} C190 ${b + hgt} 190 ${a + hgt} 26 ${a + hgt} Z` }), s("rect", { class: `part ${kind}`, x: 360, y: b, width: 12, height: Math.max(2, hgt), rx: 2 }),
        s("text", { x: 384, y: b + hgt / 2 - 2, class: "amount" }, num(n)), s("text", { x: 384, y: b + hgt / 2 + 15, class: "name" }, name)];
    });
    return h("section", { class: "card account" }, h("header", {}, h("h2", {}, title), verdict(difference, scope)),
      s("svg", { viewBox: `0 -8 560 ${H + 24}`, role: "img", "aria-label": label, class: "sankey" }, s("rect", { class: "whole", x: 14, y: start, width: 12, height: Math.max(2, left), rx: 2 }), flows),
      h("p", { class: "equation" }, h("b", {}, num(total)), ` ${whole} ${equals} `, shown.map(([name, n, kind], i) => [i ? " + " : "", h("span", { class: `term ${kind}` }, h("b", {}, num(n)), ` ${name}`)])));
  }
  tick();
  return { leave() { stop.abort(); clearTimeout(timer); } };
}
