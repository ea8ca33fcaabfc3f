// One exchange: what was asked, what came back, how long it took, and where its record is.

import { button, copy, h, put, teach, toast } from "./dom.js";
import { ago, full, ms, size, statusClass } from "./format.js";
import { json } from "./api.js";
import { bodyView, fetchBody } from "./body.js";
import { utf8 } from "./pretty.js";
import * as clip from "./clip.js";
import { replayDialog } from "./replay.js";

const reasons = { 0: "no status", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
  400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large", 415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests",
  500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout" };

export const statusText = (n) => (n ? `${n} ${reasons[n] || ""}`.trim() : "no status");

// detail shows exchange id in box.
export function detail(box, id, place, { close, filter }) {
  const stop = new AbortController();
  const leaves = [];
  let shown, timer;
  const back = button("Close", close, { icon: "close", quiet: true, kind: "ghost" });
  put(box, h("div", { class: "side-head" }, h("p", { class: "boot" }, "Loading…"), back));
  const load = () => json(`/api/v1/exchanges/${id}/detail`, { signal: stop.signal });
  load().then(show, (err) => {
    if (err.name === "AbortError") return;
    const gone = err.status === 404;
    put(box, h("div", { class: "side-head" }, h("h2", {}, "Call"), h("span", { class: "grow" }), back),
      teach("error", gone ? "This call is no longer here" : "The call cannot be shown", gone && place.elsewhere ? "It is neither in the bucket nor among the dead letters. A dead letter that somebody else looks at just now is hidden." : gone ? "The history keeps as much as storage.max_bytes and storage.history allow; older calls make room. If it was dead, its destination's dead letters are kept." : err.message));
  });

  function show(d) {
    shown = d;
    const deliveries = h("div", {});
    const section = (title, open, ...inner) => h("details", { open }, h("summary", {}, h("h3", {}, title)), inner);
    const message = (side) => {
      const m = d[side];
      const bodyBox = h("div", { class: "body" });
      leaves.push(bodyView(bodyBox, d, side));
      return section([side === "request" ? "Request" : "Response", h("small", {}, [m.type, size(m.size)].filter(Boolean).join(" · "))], true,
        h("details", { class: "heads", open: m.headers.length <= 12 }, h("summary", {}, `Headers (${m.headers.length})`), headers(m.headers)),
        m.trailers?.length ? h("details", { class: "heads" }, h("summary", {}, `Trailers (${m.trailers.length})`), headers(m.trailers)) : null, bodyBox);
    };
    put(box,
      h("div", { class: "side-head" },
        h("div", { class: "what" }, h("span", { class: `pill ${statusClass(d.status)}` }, statusText(d.status)), h("h2", { class: "mono" }, h("b", {}, d.method), " ", d.path, d.query ? h("span", { class: "q" }, `?${d.query}`) : null)), back),
      h("div", { class: "side-tools" }, place.elsewhere ? null : button("Replay", replay, { icon: "replay", kind: "primary" }), copyMenu(d),
        button("Copy a link to this call", () => copy(`${location.origin}/#/exchange/${d.id}`, "the link"), { icon: "link", quiet: true }),
        h("a", { class: "btn", href: `/api/v1/exchanges/${d.id}`, download: `${d.id}.json`, title: "The record as destinations get it" }, "Record")),
      d.error ? h("p", { class: "callerror" }, d.error) : null,
      section("Timing", true, timing(d)),
      section("Delivery", true, deliveries),
      message("request"), message("response"),
      section("Facts", false, facts(d, filter)));
    box.scrollTop = 0;
    delivered(d, deliveries);
  }

  // delivered shows the delivery states, and looks again while they may change.
  function delivered(d, el) {
    const open = d.deliveries.some((s) => /queued|leased|retrying/.test(s.state));
    put(el, d.deliveries.length ? h("ul", { class: "deliveries" }, d.deliveries.map((s) => h("li", {}, h("span", { class: `state ${s.state}` }, s.state), h("b", {}, s.destination), h("span", { class: "hint" },
      [s.attempts ? `${s.attempts} attempt${s.attempts > 1 ? "s" : ""}` : "", s.reason || "", s.next && new Date(s.next) > new Date() ? `next ${full(s.next)}` : ""].filter(Boolean).join(" · ")),
      s.state === "dead" ? h("a", { href: `#/delivery/dead?${new URLSearchParams({ destination: s.destination })}` }, "Dead letters") : null)))
      : h("p", { class: "hint" }, place.elsewhere ? "AWS keeps no account of a single record: it has been delivered, or waits in a queue." : "No destination took part when this call was made."));
    if (open) timer = setTimeout(() => load().then((next) => delivered(next, el), () => {}), 1500);
  }

  function replay() {
    if (place.elsewhere) toast("A call of a tap on AWS cannot be replayed from here");
    else if (shown) replayDialog(shown, place);
    else toast("The call is still loading");
  }
  return { replay, leave() { stop.abort(); clearTimeout(timer); leaves.forEach((f) => f()); } };
}

export function headers(list) {
  return h("table", { class: "headers mono" }, h("tbody", {}, list.map(([n, v]) => h("tr", {}, h("th", { scope: "row" }, n), h("td", {}, v.includes("[REDACTED") ? h("span", { class: "t-redacted" }, v) : v)))));
}

function timing(d) {
  const total = Math.max(d.duration_ms, 0.001);
  const gate = Math.min(d.access_ms || 0, d.overhead_ms, total);
  const own = Math.min(d.overhead_ms - gate, total);
  const connect = Math.min(d.connect_ms || 0, total - own - gate);
  const first = d.first_byte_ms ? Math.max(0, Math.min(d.first_byte_ms - connect - own - gate, total - own - gate - connect)) : 0;
  const parts = [["gate", "access", gate], ["own", "tapway", own], ["connect", "connecting", connect], ["wait", d.first_byte_ms ? "first byte" : "answered", first], ["read", d.first_byte_ms ? "receiving" : "waiting", Math.max(0, total - own - gate - connect - first)]].filter(([, , v]) => v > 0);
  const bar = h("div", { class: "timebar", role: "img", "aria-label": parts.map(([, name, v]) => `${name} ${ms(v)}`).join(", ") }, parts.map(([c, , v]) => {
    const el = h("span", { class: c });
    el.style.flexGrow = v / total;
    return el;
  }));
  return [bar, h("ul", { class: "legend" }, parts.map(([c, name, v]) => h("li", {}, h("i", { class: c }), name, " ", h("b", {}, ms(v)))), h("li", { class: "sum" }, "total ", h("b", {}, ms(d.duration_ms))))];
}

function facts(d, filter) {
  const only = (field, value) => (value ? h("button", { type: "button", class: "pick mono", title: "Show only these", onclick: () => filter(`${field} == ${JSON.stringify(value)}`) }, value) : "–");
  const rows = [["Time", `${full(d.time)} (${ago(d.time)})`], ["Id", h("span", { class: "mono" }, d.id)], ["Client", only("client_ip", d.client_ip)], ["Host", only("from", d.from)], ["Route", only("route", d.route)], ["Answered by", only("origin", d.origin)],
    ["Protocol", d.proto || "–"], ["Front", d.front], ["Trace", only("trace_id", d.trace_id)], ["Request", size(d.request_size)], ["Response", size(d.response_size)],
    ...(d.api ? [["API", `${d.api.id} / ${d.api.stage}, request ${d.api.request_id}`]] : []), ...(d.fidelity?.length ? [["Changed by the front", d.fidelity.join(", ")]] : [])];
  return h("dl", { class: "facts" }, rows.map(([n, v]) => h("div", {}, h("dt", {}, n), h("dd", {}, v))));
}

function copyMenu(d) {
  const menu = h("select", { class: "btn", "aria-label": "Copy the request as", onchange: async () => {
    const how = menu.value;
    menu.value = "";
    try {
      const { bytes } = d.request.kept ? await fetchBody(d.id, "request") : { bytes: new Uint8Array() };
      const text = utf8(bytes);
      const plain = { ...d, request: { ...d.request, decoded: true } };
      const p = clip.parts(plain, `http://${d.from}`);
      await copy(how === "raw" ? clip.raw(d, text, bytes) : clip[how](p, text, bytes), { curl: "as cURL", js: "as fetch", go: "as Go", python: "as Python", raw: "the raw request" }[how]);
    } catch (err) {
      toast(err.message, "error");
    }
  } }, h("option", { value: "" }, "Copy as…"), [["curl", "cURL"], ["js", "fetch"], ["go", "Go"], ["python", "Python"], ["raw", "Raw HTTP"]].map(([v, t]) => h("option", { value: v }, t)));
  return menu;
}
