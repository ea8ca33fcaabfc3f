// Delivery: each destination as it stands, and the dead letters.

import { button, calm, dialog, h, put, s, teach, toast } from "./dom.js";
import { ago, ms, num, plural, span } from "./format.js";
import { json, request, awake } from "./api.js";
import { letters } from "./letters.js";

const EVERY = 2000;
const FAR = 5000; // what AWS is asked for
const KEPT = 60; // points of a curve: two minutes

const seen = new Map(); // destination → [{at, delivered}], kept while the page is open

// metrics reads attempts and their time per destination from the Prometheus text.
async function metrics(signal) {
  const out = {};
  let text;
  try {
    text = await (await request("/metrics", { signal })).text();
  } catch {
    return out;
  }
  for (const m of text.matchAll(/^tapway_delivery_(attempts_total|attempt_duration_seconds_(?:sum|count|bucket))\{(.*)\} (\S+)$/gm)) {
    const label = Object.fromEntries([...m[2].matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, n, v]) => [n, v]));
    const d = (out[label.destination] ||= { attempts: {}, sum: 0, count: 0, buckets: [] });
    if (m[1] === "attempts_total") d.attempts[label.class] = Number(m[3]);
    else if (m[1].endsWith("sum")) d.sum = Number(m[3]);
    else if (m[1].endsWith("count")) d.count = Number(m[3]);
    else d.buckets.push([label.le === "+Inf" ? Infinity : Number(label.le), Number(m[3])]);
  }
  return out;
}

// quantile of a histogram, as its bucket's upper bound, in milliseconds.
function quantile(d, q) {
  const hit = d.buckets.sort((a, b) => a[0] - b[0]).find(([, n]) => n >= q * d.count);
  return hit && hit[0] !== Infinity ? `≤ ${ms(hit[0] * 1000)}` : "–";
}

export function delivery(main, at, place) {
  const stop = new AbortController();
  const cards = h("div", { class: "cards" });
  const storage = h("p", { class: "hint" });
  const dead = h("section", { "aria-label": "Dead letters", hidden: true }); // until what stands above it is there: it would be pushed down
  put(main, h("div", { class: "page" }, h("div", { class: "pagehead" }, h("h1", {}, "Delivery"), h("span", { class: "grow" }), storage), place.elsewhere ? h("p", { class: "lead hint" }, place.elsewhere.notes.delivery) : null, cards, dead));
  let timer, turn = 0;
  const tray = letters(dead, at, place, () => tick());

  // tick looks again. An earlier look that is still under way is too old then.
  async function tick() {
    clearTimeout(timer);
    const mine = ++turn;
    await awake();
    try {
      const [q, l, m] = await Promise.all([json("/api/v1/queue", { signal: stop.signal }), place.elsewhere ? {} : json("/api/v1/ledger", { signal: stop.signal }), place.elsewhere ? {} : metrics(stop.signal)]);
      const bytes = q.limit ? `${q.bytes < 0.01 * q.limit ? "less than 1" : Math.round((100 * q.bytes) / q.limit)} % of the disk it may use` : "";
      storage.textContent = place.elsewhere ? "" : place.queue === "disk" ? `${plural(q.records, "record")} kept${bytes ? ` · ${bytes}` : ""}` : "SQS counts approximately, about a minute behind";
      await calm();
      if (stop.signal.aborted || mine !== turn) return;
      dead.hidden = false;
      q.tap ? drawTap(q) : draw(q, l, m);
      tray.counts(q.destinations);
    } catch (err) {
      if (err.name === "AbortError" || mine !== turn) return;
      dead.hidden = false;
      if (err.status || !cards.hasChildNodes()) put(cards, teach("error", "The state of delivery cannot be read", err.message));
    }
    if (!stop.signal.aborted) timer = setTimeout(tick, place.elsewhere ? FAR : EVERY);
  }

  function draw(q, l, m) {
    if (!q.destinations.length) {
      put(cards, teach("", "No destination", "Records are kept in the history and delivered nowhere. Name a destination:", h("pre", { class: "mono" }, "destinations:\n  - {name: siem, url: \"https://siem.example.com/in\"}")));
      return;
    }
    const now = Date.now();
    const held = document.activeElement?.id;
    put(cards, q.destinations.map((d) => {
      const line = (l.destinations || []).find((x) => x.destination === d.destination) || {};
      const points = seen.get(d.destination) || [];
      points.push({ at: now, delivered: line.delivered || 0 });
      if (points.length > KEPT) points.shift();
      seen.set(d.destination, points);
      return card(d, line, (q.live || []).find((x) => x.destination === d.destination), m[d.destination], points);
    }));
    if (held) document.getElementById(held)?.focus();
  }

  function card(d, line, live, m, points) {
    const rates = points.slice(1).map((p, i) => (1000 * Math.max(0, p.delivered - points[i].delivered)) / (p.at - points[i].at));
    const rate = rates.slice(-5).reduce((a, b) => a + b, 0) / Math.max(1, Math.min(5, rates.length));
    const tries = m ? Object.values(m.attempts).reduce((a, b) => a + b, 0) : 0;
    const settled = (line.delivered || 0) + (d.dead || 0);
    const fact = (name, value, cls = "") => h("div", { class: cls }, h("dt", {}, name), h("dd", {}, value));
    const paused = live?.state === "paused";
    const words = { closed: "working", open: "circuit open", "half-open": "probing", paused: "paused" };
    return h("article", { class: "card dest" },
      h("header", {}, h("h2", {}, d.destination), live ? h("span", { class: `state ${live.state}` }, words[live.state] || live.state) : h("span", { class: "state" }, "not configured"), h("span", { class: "grow" }),
        live ? button(paused ? "Resume" : "Pause", () => control(d.destination, paused), { icon: paused ? "play" : "pause", kind: paused ? "primary" : "", id: `pause-${d.destination}` }) : null),
      live ? h("p", { class: "mono hint url" }, live.url) : null,
      live && live.state !== "closed" ? h("p", { class: "reason" }, [live.reason === live.last_error ? "" : live.reason, live.since ? `${paused ? "Paused" : "Left alone"} for ${span((Date.now() - new Date(live.since)) / 1000)}` : "", live.next ? `next probe ${new Date(live.next) > new Date() ? `in ${span((new Date(live.next) - Date.now()) / 1000)}` : "now"}` : ""].filter(Boolean).join(" · ")) : null,
      spark(rates, rate),
      h("dl", { class: "numbers" },
        fact("Queued", num(d.queued), d.queued > 0 ? "some" : ""), fact("Oldest", d.oldest_queued ? span((Date.now() - new Date(d.oldest_queued)) / 1000) : "–"), fact("Retrying", num(d.retrying), d.retrying ? "warn" : ""),
        fact("Dead", d.dead ? h("a", { href: `#/delivery/dead?${new URLSearchParams({ destination: d.destination })}` }, num(d.dead)) : "0", d.dead ? "bad" : ""),
        line.delivered !== undefined ? fact("Delivered", num(line.delivered)) : null, settled && line.delivered !== undefined ? fact("Success", `${+((100 * line.delivered) / settled).toFixed(2)} %`, line.delivered === settled ? "" : "bad") : null,
        m ? fact("Attempts", num(tries)) : null, m?.count ? fact("Latency, mean", ms((1000 * m.sum) / m.count)) : null, m?.count ? fact("Latency, p95", quantile(m, 0.95)) : null, live ? fact("In flight", num(live.in_flight)) : null),
      live?.last_error && (live.consecutive_failures || live.state !== "closed") ? h("p", { class: "lasterror" }, h("b", {}, "Last error "), live.last_error, live.consecutive_failures ? ` (${plural(live.consecutive_failures, "failure")} in a row)` : "") : null,
      live?.last_success || (tries && tries < settled) ? h("p", { class: "hint" }, [live?.last_success ? `Last success ${ago(live.last_success)}` : "", tries && tries < settled ? "attempts and latency since tapway started" : ""].filter(Boolean).join(" · ")) : null);
  }

  // spark is the throughput of the last minutes.
  function spark(rates, rate) {
    const top = Math.max(1, ...rates);
    const x = (i) => 240 - (rates.length - 1 - i) * (240 / (KEPT - 2));
    const points = rates.map((r, i) => `${x(i).toFixed(1)},${(46 - (42 * r) / top).toFixed(1)}`);
    return h("figure", { class: "spark" }, h("figcaption", {}, h("b", {}, !rates.length ? "–" : rate < 10 ? rate.toFixed(1) : num(Math.round(rate))), " delivered a second"),
      s("svg", { viewBox: "0 0 240 48", preserveAspectRatio: "none", role: "img", "aria-label": `${rate.toFixed(1)} records delivered a second, at most ${top.toFixed(1)}` },
        points.length > 1 ? [s("polygon", { class: "area", points: `${x(0).toFixed(1)},48 ${points.join(" ")} 240,48` }), s("polyline", { class: "curve", points: points.join(" ") })] : s("line", { class: "curve", x1: 0, x2: 240, y1: 46, y2: 46 })));
  }

  async function control(name, resume) {
    const act = async (body) => {
      try {
        await request(`/api/v1/destinations/${encodeURIComponent(name)}/${resume ? "resume" : "pause"}`, { method: "POST", body });
        toast(resume ? `${name} is delivered to again` : `${name} is paused: its records wait in the queue`);
        tick();
      } catch (err) {
        toast(err.message, "error");
      }
    };
    if (resume) return act({});
    dialog(`Pause ${name}?`, (close) => h("div", { class: "stack" }, h("p", {}, "Nothing is lost: records wait in the queue until you resume."), h("p", { class: "end" }, button("Keep delivering", close), " ", button("Pause", () => { close(); act({}); }, { kind: "primary", icon: "pause", id: "do-pause" }))));
  }

  // drawTap shows what AWS tells of a tap that is deployed there.
  function drawTap({ tap: t, destinations }) {
    const fact = (name, value, cls = "") => h("div", { class: cls }, h("dt", {}, name), h("dd", {}, value));
    const n = (v) => (v === null || v === undefined ? "not known" : num(v));
    const many = (v) => (v === null || v === undefined ? "–" : num(v));
    put(cards,
      t.unread.map((u) => h("p", { class: "notice", role: "alert" }, h("b", {}, `${u.part}: `), u.error)),
      t.queues.map((q) => {
        const loud = q.alarms.filter((a) => a.state === "ALARM");
        const fed = /^(|Enabled|Enabling|Creating|Updating)$/.test(q.forwarder || "");
        return h("article", { class: "card dest" },
          h("header", {}, h("h2", {}, q.destination), h("span", { class: `state ${loud.length ? "dead" : fed ? "closed" : "paused"}` }, loud.length ? "alarm" : !fed ? `trigger ${q.forwarder}` : q.forwarder ? "trigger enabled" : "trigger not known"), h("span", { class: "grow" })),
          h("p", { class: "mono hint url" }, `sqs://${q.queue}`),
          h("dl", { class: "numbers" }, fact("Waiting", n(q.visible), q.visible ? "some" : ""), fact("In flight", n(q.in_flight)), fact("Delayed", n(q.delayed)), fact("Oldest", q.oldest_age_s === null ? "–" : span(q.oldest_age_s)),
            fact("Dead", q.dead ? h("a", { href: `#/delivery/dead?${new URLSearchParams({ destination: q.destination })}` }, num(q.dead)) : n(q.dead), q.dead ? "bad" : "")),
          q.alarms.length ? h("p", {}, q.alarms.map((a, i) => [i ? ", " : "", h("a", { href: "#/alarms" }, a.name), ` ${{ ALARM: "fires", OK: "is quiet" }[a.state] || "has too little data"}`])) : h("p", { class: "hint" }, "No alarm watches it, or none can be read."));
      }),
      t.functions.length ? h("article", { class: "card dest" }, h("header", {}, h("h2", {}, "Functions"), h("span", { class: "hint" }, `last ${span(t.window_s)}`)),
        h("table", { class: "functions" }, h("thead", {}, h("tr", {}, ["Function", "Invoked", "Errors", "Throttled"].map((n, i) => h("th", { scope: "col", class: i ? "n" : "" }, n)))),
          h("tbody", {}, t.functions.map((f) => h("tr", {}, h("th", { scope: "row", class: "mono" }, f.name), h("td", { class: "n" }, many(f.invocations)), h("td", { class: `n${f.errors ? " bad" : ""}` }, many(f.errors)), h("td", { class: `n${f.throttles ? " bad" : ""}` }, many(f.throttles))))))) : null);
  }

  tick();
  return { leave() { stop.abort(); clearTimeout(timer); tray.leave(); }, change: tray.change, keys: tray.keys };
}
