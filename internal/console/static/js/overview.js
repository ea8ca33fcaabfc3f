// Overview: how many calls, how many failed, how long they took, and whether all is well behind them.

import { button, calm, h, put, teach } from "./dom.js";
import { ms, num, plural, size, span } from "./format.js";
import { json, query, awake } from "./api.js";
import { moment, seconds, timeChart } from "./chart.js";
import { news } from "./news.js";

const ranges = [["15m", 900, "15 min"], ["1h", 3600, "1 h"], ["6h", 21600, "6 h"], ["24h", 86400, "24 h"], ["7d", 604800, "7 days"], ["30d", 2592000, "30 days"]];

const short = (n) => (n >= 1e6 ? `${+(n / 1e6).toPrecision(3)}M` : n >= 1e5 ? `${+(n / 1e3).toPrecision(3)}k` : num(n));
const share = (n, all) => (!n || !all ? "0 %" : n / all < 0.0005 ? "< 0.1 %" : `${((100 * n) / all).toFixed(1)} %`);

// between is the filter of a span of time.
export const between = (from, to) => `time >= ${JSON.stringify(new Date(from).toISOString())} && time < ${JSON.stringify(new Date(to).toISOString())}`;

export function overview(main, at, place) {
  const page = h("div", { class: "page" });
  put(main, page);
  if (!place.charts) {
    put(page, h("div", { class: "pagehead" }, h("h1", {}, "Overview")), teach("", "No calls pass here", place.elsewhere?.notes.overview || "This process delivers records and passes no calls on. The gateway's own console has its charts.", h("a", { class: "btn primary", href: "#/delivery" }, "To the deliveries")));
    return {};
  }
  let range, fixed, got = { points: [] }, selected = null, told = "", timer, stop;
  const chips = h("div", { class: "segments", role: "group", "aria-label": "Time shown" });
  const tiles = h("div", { class: "tiles" });
  const behind = h("div", { class: "tiles behindall" });
  const picked = h("div", { class: "picked", hidden: true, role: "status" });
  const problem = h("div", {});
  const onpoint = (i) => charts.forEach((c) => c.point(i));
  const onopen = () => { if (selected) location.hash = `#/traffic?${query({ filter: between(...bounds()) })}`; };
  const shared = { onpoint, onselect, onopen };
  const far = place.elsewhere, took = (v, axis) => (axis && !v ? "0" : axis ? ms(v).replace(/\.0+ /, " ") : ms(v));
  const charts = far ? [
    timeChart({ ...shared, title: "Calls", bars: true, write: (v, axis) => (axis ? short(v) : num(v)), lines: [
      { name: "calls", kind: "ok", of: (p) => Math.max(0, p.calls - p.errors) }, { name: "the function failed", kind: "bad", of: (p) => p.errors }] }),
    timeChart({ ...shared, title: "Backend", write: took, lines: [{ name: "p50", kind: "low", of: (p) => p.p50 }, { name: "p90", kind: "mid", of: (p) => p.p90 }, { name: "p99", kind: "high", of: (p) => p.p99 }] }),
    timeChart({ ...shared, title: "Records", bars: true, write: (v, axis) => (axis ? short(v) : num(v)), lines: [
      { name: "delivered", kind: "ok", of: (p) => p.delivered }, { name: "to be tried again", kind: "warn", of: (p) => p.returned }, { name: "dead", kind: "bad", of: (p) => p.dead }] }),
  ] : [
    timeChart({ ...shared, title: "Calls", bars: true, write: (v, axis) => (axis ? short(v) : num(v)), lines: [
      { name: "answered", kind: "ok", of: (p) => p.calls - p.errors_4xx - p.errors_5xx }, { name: "4xx", kind: "warn", of: (p) => p.errors_4xx }, { name: "5xx", kind: "bad", of: (p) => p.errors_5xx }] }),
    timeChart({ ...shared, title: "Latency", write: took, lines: [
      { name: "p50", kind: "low", of: (p) => p.p50 }, { name: "p90", kind: "mid", of: (p) => p.p90 }, { name: "p99", kind: "high", of: (p) => p.p99 }] }),
    timeChart({ ...shared, title: "Bodies", bars: true, bytes: true, write: (v, axis) => (axis ? size(v).replace(".0 ", " ") : size(v)), lines: [
      { name: "responses", kind: "out", of: (p) => p.bytes_out }, { name: "requests", kind: "in", of: (p) => p.bytes_in }] }),
  ];
  const figures = h("div", {}, tiles, h("div", { class: "charts" }, charts.map((c) => c.el)), h("h2", { class: "part" }, "Behind the calls"), behind);
  put(page, h("div", { class: "pagehead" }, h("h1", {}, "Overview"), h("span", { class: "grow" }), chips), far ? h("p", { class: "lead hint" }, far.notes.overview) : null, problem, picked, figures);

  function change(now) {
    const one = now.params.get("range");
    fixed = now.params.get("from") && now.params.get("to") ? [now.params.get("from"), now.params.get("to")] : null;
    range = ranges.find(([n]) => n === one) || ranges[0];
    put(chips, ranges.map((r) => h("a", { class: "form", href: `#/overview?range=${r[0]}`, "aria-current": !fixed && r === range ? "true" : null }, r[2])),
      fixed ? h("a", { class: "form", href: location.hash, "aria-current": "true" }, "selection") : null);
    onselect(null);
    page.setAttribute("aria-busy", "true"); // what is shown is of another time
    tick();
  }

  async function tick() {
    clearTimeout(timer);
    stop?.abort();
    stop = new AbortController();
    const { signal } = stop;
    await awake();
    if (signal.aborted) return;
    try {
      const now = Date.now();
      const [from, to] = fixed || [new Date(now - 1000 * range[1]).toISOString(), new Date(now).toISOString()];
      const [c, q] = await Promise.all([json(`/api/v1/charts?${query({ from, to })}`, { signal }), json("/api/v1/queue", { signal }).catch(() => null)]);
      await calm();
      if (signal.aborted) return;
      put(problem);
      figures.hidden = false;
      draw(c, q);
    } catch (err) {
      if (err.name === "AbortError") return;
      if (page.hasAttribute("aria-busy")) figures.hidden = true; // they are of another time, or there are none
      page.removeAttribute("aria-busy");
      if (err.status || !got.points.length) put(problem, teach("error", "The charts cannot be read", err.message));
    }
    if (!signal.aborted && !fixed) timer = setTimeout(tick, range[1] > 3600 || far ? 30000 : 2000);
  }

  function draw(c, q) {
    const keep = selected && bounds();
    page.removeAttribute("aria-busy");
    got = c;
    const step = seconds[c.step];
    charts.forEach((one) => one.show(c.points, step));
    if (keep) { // the same time, now at other places
      const find = (t) => c.points.findIndex((p) => new Date(p.at) >= t);
      const a = find(keep[0]), b = find(keep[1]);
      onselect(a < 0 ? null : [a, (b < 0 ? c.points.length : b) - 1]);
    }
    if (far) return drawFar(c, q, step);
    const t = c.total, over = Math.max(1, c.points.length * step), rate = t.calls / over;
    const only = (status) => `#/traffic?${query({ filter: `status ${status} && ${fixed ? between(...fixed) : `time >= now-${range[0]}`}` })}`;
    put(tiles, tile("Calls", short(t.calls), `${rate < 10 ? rate.toFixed(2) : num(Math.round(rate))} a second`),
      tile("4xx", share(t.errors_4xx, t.calls), plural(t.errors_4xx, "call"), t.errors_4xx ? "warn" : "", only("== 4xx")), tile("5xx", share(t.errors_5xx, t.calls), plural(t.errors_5xx, "call"), t.errors_5xx ? "bad" : "", only("== 5xx")),
      tile("Median", t.calls ? ms(t.p50) : "–", "half are faster"), tile("p99", t.calls ? ms(t.p99) : "–", "one in a hundred is slower"), tile("Bodies", size(t.bytes_in + t.bytes_out), `${size(t.bytes_in)} in, ${size(t.bytes_out)} out`));
    const firing = news.firing.length;
    put(behind, (q?.destinations || []).map((d) => {
      const live = (q.live || []).find((l) => l.destination === d.destination);
      const words = { closed: "working", open: "circuit open", "half-open": "probing", paused: "paused" };
      return tile(d.destination, live ? words[live.state] || live.state : "not configured", [`${num(d.queued)} queued`, d.dead ? `${num(d.dead)} dead` : "", d.oldest_queued ? `oldest ${span((Date.now() - new Date(d.oldest_queued)) / 1000)}` : ""].filter(Boolean).join(" · "), d.dead || live?.state === "open" ? "bad" : live?.state === "closed" ? "good" : "warn", "#/delivery");
    }), news.known && news.alarms.alarms.length ? tile("Alarms", firing ? `${num(firing)} firing` : "all quiet", firing ? news.firing.slice(0, 2).map((a) => a.message).join(" · ") : "nothing is beyond its threshold", firing ? "bad" : "good", "#/alarms") : null,
    q && !q.destinations.length ? tile("Delivery", "no destination", "records are kept in the history only", "", "#/delivery") : null);
  }

  const tile = (name, value, note, cls = "", href = "") => h(href ? "a" : "div", { class: `tile ${cls}`, href: href || null }, h("span", {}, name), h("b", {}, value), h("small", {}, note));

  // drawFar tells what CloudWatch knows of a tap on AWS: percentiles of steps cannot be added up.
  function drawFar({ points }, q, step) {
    const sum = (f) => points.reduce((n, p) => n + p[f], 0), worst = (f) => points.reduce((n, p) => Math.max(n, p[f] ?? 0), 0);
    const [calls, errors, delivered, dead] = ["calls", "errors", "delivered", "dead"].map(sum);
    const rate = calls / Math.max(1, points.length * step);
    put(tiles, tile("Calls", short(calls), `${rate < 10 ? rate.toFixed(2) : num(Math.round(rate))} a second`), tile("Function errors", share(errors, calls), plural(errors, "call"), errors ? "bad" : ""),
      tile("Median", worst("p50") ? ms(worst("p50")) : "–", "in the slowest step"), tile("p99", worst("p99") ? ms(worst("p99")) : "–", "in the slowest step"), tile("Delivered", short(delivered), "records"), tile("Dead", short(dead), dead ? "given up on" : "none given up on", dead ? "bad" : "", dead ? "#/delivery" : ""));
    put(behind, (q?.tap?.queues || []).map((d) => {
      const loud = d.alarms.some((a) => a.state === "ALARM");
      return tile(d.destination, loud ? "alarm" : "no alarm", [d.visible === null ? "" : `${num(d.visible)} waiting`, d.dead ? `${num(d.dead)} dead` : "", d.oldest_age_s ? `oldest ${span(d.oldest_age_s)}` : ""].filter(Boolean).join(" · "), loud || d.dead ? "bad" : "good", "#/delivery");
    }));
  }

  // bounds is the time selected, from its first step to the end of its last.
  function bounds() {
    const [a, b] = selected;
    return [new Date(got.points[a].at), new Date(new Date(got.points[b].at).getTime() + 1000 * seconds[got.step])];
  }

  function onselect(a) {
    selected = a && got.points[a[0]] && got.points[a[1]] ? a : null;
    charts.forEach((c) => c.select(selected));
    picked.hidden = !selected;
    if (!selected) return void (told = "");
    const [from, to] = bounds();
    const now = JSON.stringify([from, to, got.points.slice(a[0], a[1] + 1)]);
    if (now === told) return; // what may be under the mouse stays
    told = now;
    const inside = got.points.slice(a[0], a[1] + 1);
    const sum = (f) => inside.reduce((n, p) => n + p[f], 0);
    const step = seconds[got.step];
    put(picked, h("b", {}, `${moment(from, step)} – ${moment(to, step)}`), h("span", { class: "hint" }, far ? `${plural(sum("calls"), "call")}, ${num(sum("errors"))} failed, ${num(sum("dead"))} dead` : `${plural(sum("calls"), "call")}, ${num(sum("errors_4xx"))} 4xx, ${num(sum("errors_5xx"))} 5xx`), h("span", { class: "grow" }),
      h("a", { class: "btn primary", id: "show-calls", href: `#/traffic?${query({ filter: between(from, to) })}` }, "Show these calls"),
      sum("errors_5xx") ? h("a", { class: "btn", href: `#/traffic?${query({ filter: `status == 5xx && ${between(from, to)}` })}` }, "Only 5xx") : null,
      to - from > 20 * step * 100 ? h("a", { class: "btn", href: `#/overview?${query({ from: from.toISOString(), to: to.toISOString() })}` }, "Zoom in") : null,
      button("Clear the selection", () => onselect(null), { icon: "close", quiet: true, kind: "ghost" }));
  }

  change(at);
  return { change, leave() { stop?.abort(); clearTimeout(timer); charts.forEach((c) => c.leave()); }, keys: (e) => e.key === "Escape" && selected && (onselect(null), true) };
}
