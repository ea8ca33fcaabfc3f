// A chart over time: bars that stand on each other, or lines. One step is pointed at with the
// mouse or the arrow keys, a span of steps by dragging or with Shift. Behind it is a table.

import { h, put, s } from "./dom.js";

const HEIGHT = 168, LEFT = 46, RIGHT = 10, TOP = 10, BOTTOM = 22;
const two = (n) => String(n).padStart(2, "0");

// seconds of a step, by its name in the API.
export const seconds = { "10s": 10, "1m": 60, "5m": 300, "1h": 3600 };

export function moment(at, step) {
  const d = new Date(at);
  const day = step >= 3600 ? `${d.toLocaleDateString(undefined, { month: "short", day: "numeric" })}, ` : "";
  return `${day}${two(d.getHours())}:${two(d.getMinutes())}${step < 60 ? `:${two(d.getSeconds())}` : ""}`;
}

// ticks are round values from 0 up to at least top.
function ticks(top, whole, bytes) {
  if (!(top > 0)) return [0, 1];
  const raw = top / 3;
  const unit = bytes ? 2 ** (10 * Math.floor(Math.log2(Math.max(1, raw)) / 10)) : 10 ** Math.floor(Math.log10(raw));
  const steps = bytes ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 2.5, 5, 10];
  const by = Math.max(whole ? 1 : 0, steps.map((m) => m * unit).find((v) => v >= raw && (!whole || v < 1 || Number.isInteger(v))));
  const out = [];
  for (let v = 0; out.length < 2 || out.at(-1) < top; v += by) out.push(v);
  return out;
}

// Times of the day at which the axis has a mark, in seconds.
const MARKS = [10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 432000];

// timeChart draws lines = [{name, kind, of(point)}]; write turns a value into text. onpoint and
// onselect get indices, onopen is Enter or a double click.
export function timeChart({ title, note, lines, bars, bytes, write, onpoint, onselect, onopen }) {
  let points = [], step = 10, width = 0, at = -1, span = null, from = -1;
  const svg = s("svg", { "aria-hidden": "true", class: "plot" });
  const tip = h("div", { class: "tip", hidden: true });
  const box = h("div", { class: "plotbox", role: "slider", tabindex: "0", "aria-label": `${title}, by time. Arrow keys move, with Shift they select, Enter shows the calls.`, "aria-valuemin": "0", "aria-valuemax": "0", "aria-valuenow": "0" }, svg, tip);
  const table = h("details", { class: "behind" }, h("summary", {}, "As a table"));
  const legend = h("ul", { class: "legend" }, lines.map((l) => h("li", {}, h("i", { class: `k-${l.kind}` }), l.name)));
  const el = h("figure", { class: "card chart" }, h("figcaption", {}, h("h2", {}, title, note ? h("small", {}, note) : null), legend), box, table);
  const cursor = s("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const band = s("rect", { class: "band", y: TOP, height: HEIGHT - TOP - BOTTOM, visibility: "hidden" });
  const dots = lines.map((l) => s("circle", { class: `dot k-${l.kind}`, r: 3.5, visibility: "hidden" }));

  const each = () => (width - LEFT - RIGHT) / Math.max(1, points.length);
  const x = (i) => LEFT + i * each();
  let top = 1;
  const y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / top);

  function draw() {
    width = box.clientWidth;
    if (!width || !points.length) return;
    const high = points.map((p) => { const all = lines.map((l) => l.of(p) || 0); return bars ? all.reduce((a, b) => a + b, 0) : Math.max(...all); });
    const grid = ticks(Math.max(...high), bars, bytes);
    top = grid.at(-1);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    put(svg, grid.map((v) => [s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(v), y2: y(v) }), s("text", { class: "tick end", x: LEFT - 7, y: y(v) + 4 }, write(v, true))]),
      axis(), band, bars ? stacked() : curves(), cursor, bars ? null : dots);
    mark();
  }

  // axis marks round times, as many as there is room for.
  function axis() {
    const room = Math.max(2, Math.floor((width - LEFT - RIGHT) / 92));
    const all = points.length * step;
    const by = MARKS.find((m) => m >= step && all / m <= room + 0.5) || MARKS.at(-1);
    const out = [];
    points.forEach((p, i) => {
      const d = new Date(p.at);
      const local = Math.round(d / 1000) - d.getTimezoneOffset() * 60;
      if (local % by || x(i) > width - 24) return;
      const text = local % 86400 === 0 && by >= 3600 ? d.toLocaleDateString(undefined, { month: "short", day: "numeric" }) : moment(p.at, by >= 60 ? 60 : 10);
      out.push(s("line", { class: "grid short", x1: x(i), x2: x(i), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }), s("text", { class: "tick middle", x: x(i), y: HEIGHT - 5 }, text));
    });
    return out;
  }

  function stacked() {
    const gap = each() > 5 ? 1 : each() > 2.5 ? 0.5 : 0;
    const base = points.map(() => 0);
    return lines.map((l) => s("path", { class: `fill k-${l.kind}`, d: points.map((p, i) => {
      const v = l.of(p) || 0;
      if (!v) return "";
      const low = y(base[i]);
      base[i] += v;
      const high = Math.min(y(base[i]), low - 1);
      return `M${(x(i) + gap / 2).toFixed(1)} ${low.toFixed(1)}V${high.toFixed(1)}h${Math.max(0.8, each() - gap).toFixed(1)}V${low.toFixed(1)}z`;
    }).join("") }));
  }

  function curves() {
    return lines.map((l) => {
      let open = false;
      return s("path", { class: `line k-${l.kind}`, d: points.map((p, i) => {
        const v = l.of(p);
        if (v === undefined) { open = false; return ""; }
        const go = `${open ? "L" : "M"}${(x(i) + each() / 2).toFixed(1)} ${y(v).toFixed(1)}${open ? "" : "h.1"}`;
        open = true;
        return go;
      }).join("") });
    });
  }

  function say(i) {
    const p = points[i];
    return `${moment(p.at, step)}: ${lines.map((l) => `${l.name} ${l.of(p) === undefined ? "none" : write(l.of(p))}`).join(", ")}`;
  }

  // mark shows the step pointed at and the span selected.
  function mark() {
    const p = points[at];
    cursor.setAttribute("visibility", p ? "visible" : "hidden");
    dots.forEach((d, n) => {
      const v = p && lines[n].of(p);
      d.setAttribute("visibility", v === undefined || bars ? "hidden" : "visible");
      if (v !== undefined && !bars) { d.setAttribute("cx", x(at) + each() / 2); d.setAttribute("cy", y(v)); }
    });
    if (p) for (const name of ["x1", "x2"]) cursor.setAttribute(name, x(at) + each() / 2);
    band.setAttribute("visibility", span ? "visible" : "hidden");
    if (span) { band.setAttribute("x", x(span[0])); band.setAttribute("width", (span[1] - span[0] + 1) * each()); }
    if (p) { box.setAttribute("aria-valuenow", at); box.setAttribute("aria-valuetext", say(at)); }
  }

  function hint(i) {
    const p = points[i];
    tip.hidden = !p;
    if (!p) return;
    put(tip, h("b", {}, moment(p.at, step)), lines.map((l) => h("span", {}, h("i", { class: `k-${l.kind}` }), l.name, h("b", {}, l.of(p) === undefined ? "–" : write(l.of(p))))));
    const right = x(i) > width / 2;
    tip.style.left = right ? "auto" : `${x(i) + each() + 12}px`;
    tip.style.right = right ? `${width - x(i) + 12}px` : "auto";
  }

  const index = (e) => Math.max(0, Math.min(points.length - 1, Math.floor((e.clientX - box.getBoundingClientRect().left - LEFT) / each())));
  const range = (a, b) => [Math.min(a, b), Math.max(a, b)];
  box.addEventListener("pointermove", (e) => {
    if (!points.length) return;
    const i = index(e);
    onpoint(i);
    hint(from < 0 ? i : -1);
    if (from >= 0 && (i !== from || span)) onselect(range(from, i));
  });
  box.addEventListener("pointerleave", () => { if (from < 0) { onpoint(-1); hint(-1); } });
  box.addEventListener("pointerdown", (e) => {
    if (e.button || !points.length) return;
    from = index(e);
    box.setPointerCapture(e.pointerId);
    onselect(null);
  });
  box.addEventListener("pointerup", (e) => { if (from >= 0) { onselect(range(from, index(e))); from = -1; } });
  box.addEventListener("pointercancel", () => { from = -1; });
  box.addEventListener("dblclick", () => onopen());
  box.addEventListener("blur", () => hint(-1));
  box.addEventListener("keydown", (e) => {
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: points.length - 1, PageUp: at - 10, PageDown: at + 10 }[e.key];
    if (e.key === "Enter") onopen();
    else if (e.key === "Escape" && span) onselect(null);
    else if (to === undefined || !points.length) return;
    else {
      const i = at < 0 ? points.length - 1 : Math.max(0, Math.min(points.length - 1, to));
      if (e.shiftKey) {
        const fixed = span ? (at === span[0] ? span[1] : span[0]) : Math.max(at, 0);
        onpoint(i);
        onselect(range(fixed, i));
      } else onpoint(i);
      hint(i);
    }
    e.preventDefault();
    e.stopPropagation();
  });
  table.addEventListener("toggle", tabulate);
  function tabulate() {
    for (const old of table.querySelectorAll(".scroll")) old.remove();
    if (!table.open) return;
    table.append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${title}, as a table` }, h("table", { class: "wide" }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "From"), lines.map((l) => h("th", { scope: "col", class: "n" }, l.name)))),
      h("tbody", {}, points.toReversed().map((p) => h("tr", {}, h("th", { scope: "row" }, moment(p.at, step)), lines.map((l) => h("td", { class: "n" }, l.of(p) === undefined ? "–" : write(l.of(p))))))))));
  }
  const watcher = new ResizeObserver(draw);
  watcher.observe(box);
  return {
    el,
    show(list, width) { points = list; step = width; box.setAttribute("aria-valuemax", Math.max(0, points.length - 1)); if (at >= points.length) at = -1; draw(); tabulate(); },
    point(i) { at = i; mark(); },
    select(a) { span = a; mark(); },
    leave() { watcher.disconnect(); },
  };
}
