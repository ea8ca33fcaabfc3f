// Two exchanges side by side; what differs stands out.

import { button, h, put, teach } from "./dom.js";
import { clock, ms, size } from "./format.js";
import { json } from "./api.js";
import { statusText } from "./detail.js";
import { fetchBody } from "./body.js";
import * as pretty from "./pretty.js";

// diff aligns two lists: pairs [a, b], one of them undefined where there is no counterpart.
export function diff(a, b) {
  let start = 0;
  const out = [];
  while (start < a.length && start < b.length && a[start] === b[start]) out.push([a[start], b[start++]]);
  let endA = a.length, endB = b.length;
  const tail = [];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) tail.unshift([a[--endA], b[--endB]]);
  const [x, y] = [a.slice(start, endA), b.slice(start, endB)];
  if (x.length * y.length > 4e6) { // too much to align: as they come
    for (let i = 0; i < Math.max(x.length, y.length); i++) out.push([x[i], y[i]]);
    return out.concat(tail);
  }
  const wide = y.length + 1;
  const best = new Uint32Array((x.length + 1) * wide);
  for (let i = x.length - 1; i >= 0; i--) for (let j = y.length - 1; j >= 0; j--) best[i * wide + j] = x[i] === y[j] ? best[(i + 1) * wide + j + 1] + 1 : Math.max(best[(i + 1) * wide + j], best[i * wide + j + 1]);
  const gone = [], came = [];
  const flush = () => { for (let n = 0; n < Math.max(gone.length, came.length); n++) out.push([gone[n], came[n]]); gone.length = came.length = 0; };
  let i = 0, j = 0;
  while (i < x.length || j < y.length) {
    if (i < x.length && j < y.length && x[i] === y[j]) { flush(); out.push([x[i++], y[j++]]); }
    else if (j >= y.length || (i < x.length && best[(i + 1) * wide + j] >= best[i * wide + j + 1])) gone.push(x[i++]);
    else came.push(y[j++]);
  }
  flush();
  return out.concat(tail);
}

// byName puts header lines of one name beside each other.
function byName(a, b) {
  const names = [...new Set([...a, ...b].map(([n]) => n))].sort();
  return names.flatMap((name) => {
    const [x, y] = [a, b].map((list) => list.filter(([n]) => n === name).map(([n, v]) => `${n}: ${v}`));
    return Array.from({ length: Math.max(x.length, y.length) }, (_, i) => [x[i], y[i]]);
  });
}

const differ = (n) => (n === 1 ? "1 differs" : `${n} differ`);

const table = (label, pairs) => h("table", { class: "diff mono", "aria-label": label }, h("tbody", {}, pairs.map(([a, b]) => h("tr", { class: a === b ? "" : "differs" }, h("td", { class: a === undefined ? "none" : a === b ? "" : "gone" }, a ?? ""), h("td", { class: b === undefined ? "none" : a === b ? "" : "came" }, b ?? "")))));

async function bodyLines(d, side) {
  const m = d[side];
  if (m.withheld) return ["(withheld)"];
  if (!m.kept) return [];
  const { bytes } = await fetchBody(d.id, side);
  const text = pretty.utf8(bytes, m.truncated);
  if (text === null) return pretty.hex(bytes, 8192).map((l) => l.map(([, t]) => t).join(""));
  const lines = text.length < 300000 && pretty.best(m.type, text, !m.truncated);
  return (lines ? lines[1].map((l) => l.map(([, t]) => t).join("")) : text.split("\n")).slice(0, 4000);
}

export function compare(main, at) {
  const [one, two] = at.parts;
  put(main, h("div", { class: "page" }, h("p", { class: "boot" }, "Loading…")));
  const box = main.firstChild;
  load().catch((err) => put(box, teach("error", "The calls cannot be compared", err.message, h("p", {}, h("a", { href: "#/traffic" }, "Back to the traffic")))));

  async function load() {
    const [a, b] = await Promise.all([one, two].map((id) => json(`/api/v1/exchanges/${id}/detail`)));
    const bodies = await Promise.all([bodyLines(a, "request"), bodyLines(b, "request"), bodyLines(a, "response"), bodyLines(b, "response")]);
    const line = (d) => [`${d.method} ${d.path}${d.query ? `?${d.query}` : ""}`, statusText(d.status), `took ${ms(d.duration_ms)}, first byte ${ms(d.first_byte_ms)}`, `${size(d.request_size)} in, ${size(d.response_size)} out`, `from ${d.client_ip || "?"}, route ${d.route || "none"}`];
    const facts = line(a).map((t, i) => [t, line(b)[i]]);
    const none = (pairs) => (pairs.length ? pairs : [["(none)", "(none)"]]);
    const section = (title, pairs) => h("section", { class: "card" }, h("h2", {}, title, h("small", {}, pairs.some(([x, y]) => x !== y) ? differ(pairs.filter(([x, y]) => x !== y).length) : "the same")), table(title, none(pairs)));
    put(box, h("div", { class: "pagehead" }, h("h1", {}, "Compare"), button("Swap", () => { location.hash = `#/compare/${two}/${one}`; }, { icon: "compare" }), h("span", { class: "grow" }), h("a", { class: "btn", href: "#/traffic" }, "Back to the traffic")),
      h("div", { class: "duo" }, [a, b].map((d) => h("a", { class: "mono", href: `#/exchange/${d.id}` }, `${clock(d.time)}  ${d.method} ${d.path}`))),
      section("Overview", facts), section("Request headers", byName(a.request.headers, b.request.headers)), section("Request body", diff(bodies[0], bodies[1])),
      section("Response headers", byName(a.response.headers, b.response.headers)), section("Response body", diff(bodies[2], bodies[3])));
  }
  return { keys: (e) => e.key === "Escape" && ((location.hash = "#/traffic"), true), change: (now) => { if (now.parts.join() !== at.parts.join()) compare(main, (at = now)); } };
}
