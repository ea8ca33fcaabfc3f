// Alarms: what is beyond its threshold, since when, what to do, and who was told.

import { button, copy, dialog, h, icon, put, teach, toast } from "./dom.js";
import { ago, full, num, plural, size, span } from "./format.js";
import { json, request } from "./api.js";
import { news } from "./news.js";

const names = { dead_letters: "Dead letters", oldest_age: "Oldest record", backend_error_rate: "Backend errors", error_rate: "Backend errors", delivery_error_rate: "Delivery errors", disk: "Disk", ledger_drops: "Dropped calls" };
const title = (n) => names[n] || (n.charAt(0).toUpperCase() + n.slice(1)).replaceAll("_", " ");
const kinds = { json: "plain JSON", slack: "Slack", teams: "Teams", pagerduty: "PagerDuty" };
const waits = [["30m", "30 minutes"], ["2h", "2 hours"], ["8h", "8 hours"], ["24h", "a day"], ["168h", "a week"]];
const order = { firing: 0, pending: 1, ok: 2 };

function value(v, unit) {
  if (v === undefined || v === null) return "–";
  if (unit === "seconds") return span(v);
  if (unit === "ratio") return `${+(100 * v).toFixed(1)} %`;
  if (unit === "bytes") return size(v);
  return `${num(v)}${unit === "records" ? (v === 1 ? " record" : " records") : ""}`;
}

const future = (t) => t && new Date(t) > new Date();
const until = (t) => `${span((new Date(t) - Date.now()) / 1000)} more`;
const sentence = (t) => t.charAt(0).toUpperCase() + t.slice(1);
const bound = (a) => `${a.name === "disk" ? "at least" : "threshold"} ${value(a.threshold, a.unit)}`; // of free space too little is bad
const key = (a) => `${a.name} ${a.destination || ""}`;

export function alarms(main, at, place) {
  const far = place.elsewhere; // CloudWatch's: they can only be looked at
  const box = h("div", {});
  const tools = h("div", { class: "tools" });
  put(main, h("div", { class: "page" }, h("div", { class: "pagehead" }, h("h1", {}, "Alarms"), h("span", { class: "grow" }), tools), box));
  let drawn = "";

  function onchange() {
    const err = news.error;
    if (err && (err.status === 404 || err.status === 501)) {
      put(tools);
      put(box, teach("", "This tapway has no alarms", "A newer one watches dead letters, the age of the oldest record, error rates and the disk, and tells you by email or webhook. Until then the figures are at ", h("code", {}, "/metrics")));
      return;
    }
    if (err && !news.alarms) {
      put(box, teach("error", "The alarms cannot be read", err.message, button("Try again", () => news.look(), { kind: "primary" })));
      return;
    }
    const now = JSON.stringify(news.alarms) + Math.floor(Date.now() / 15000);
    if (now === drawn) return;
    drawn = now;
    draw(news.alarms);
  }

  function draw(got) {
    const held = document.activeElement?.id;
    const [list, silences, notify, history] = ["alarms", "silences", "notify", "history"].map((n) => got[n] || []);
    const sorted = list.toSorted((a, b) => order[a.state] - order[b.state] || title(a.name).localeCompare(title(b.name)));
    const loud = sorted.filter((a) => a.state !== "ok"), quiet = sorted.filter((a) => a.state === "ok");
    put(tools, list.length && !far ? button("Silence all…", () => silence({ name: "", destination: "" }), { icon: "mute", id: "silence-all" }) : null);
    put(box,
      far ? h("p", { class: "lead hint" }, far.notes.alarms) : null, (got.unread || []).map((u) => h("p", { class: "notice", role: "alert" }, h("b", {}, `${u.part}: `), u.error)),
      !list.length && far ? teach("", "No alarm is known", "CloudWatch has none whose name begins with the installation's. Name it with --project; tapway deploy makes them.") : !list.length ? (got.watching === false ? teach("", "Nobody watches here", "This process watches no alarms: those of a gateway are tapway serve's.") : teach("good", "Nothing to say", "No alarm has been looked at yet. They are on by default: dead letters, the oldest record, error rates and the disk.")) : !loud.length ? h("p", { class: "calm card" }, icon("check"), h("b", {}, "All quiet. "), `${plural(quiet.length, "alarm")} watched, none beyond its threshold.`) : null,
      h("div", { class: "alarmlist" }, loud.map(card)),
      silences.length ? h("section", {}, h("h2", { class: "part" }, "Silences"), h("ul", { class: "card plainlist" }, silences.map((s) => h("li", {}, icon("mute"), h("b", {}, s.name ? title(s.name) : "Every alarm"), s.destination ? ` of ${s.destination}` : s.name ? "" : " there is", h("span", { class: "hint" }, `${until(s.until)}, until ${full(s.until)}${s.note ? ` · ${s.note}` : ""}`), h("span", { class: "grow" }), button("End it", () => act("DELETE", `/api/v1/alarms/silence/${encodeURIComponent(s.id)}`, undefined, "The silence is over"), { kind: "small", id: `end-${s.id}` }))))) : null,
      quiet.length ? h("section", {}, h("h2", { class: "part" }, "Quiet"), h("div", { class: "scroll card flush", tabindex: "0", role: "region", "aria-label": "Quiet alarms" }, h("table", { class: "wide" }, h("thead", {}, h("tr", {}, [["Alarm"], ["Destination"], ["Now", "n"], ["Threshold", "n"], ["Quiet since", "n roomy"]].map(([t, c]) => h("th", { scope: "col", class: c }, t)))),
        h("tbody", {}, quiet.map((a) => h("tr", {}, h("th", { scope: "row" }, title(a.name)), h("td", {}, a.destination || h("span", { class: "hint" }, "–")), h("td", { class: "n", title: a.unknown || null }, a.unknown ? h("span", { class: "hint" }, "not known") : value(a.value, a.unit)), h("td", { class: "n hint" }, a.name === "disk" ? bound(a) : value(a.threshold, a.unit)), h("td", { class: "n roomy" }, a.since ? ago(a.since) : "–"))))))) : null,
      far || got.watching === false && !notify.length ? null : h("section", {}, h("h2", { class: "part" }, "Who is told"), notify.length ? h("div", { class: "cards" }, notify.map(notifier)) : teach("", "Nobody is told", "Alarms show up here and in the metrics only. Name an address:", h("pre", { class: "mono" }, "alarms:\n  notify:\n    - {webhook: \"https://chat.example.com/hook\"}"))),
      (got.watching === false || got.unread?.length) && !history.length ? null : h("section", {}, h("h2", { class: "part" }, "History"), history.length ? h("ol", { class: "card timeline" }, history.map((e) => h("li", { class: e.to }, h("time", { datetime: e.at, title: full(e.at) }, ago(e.at)), h("span", { class: `state ${look(e.to)}` }, e.to), h("span", {}, h("b", {}, title(e.name)), e.destination ? ` of ${e.destination}` : "", e.message ? h("span", { class: "hint" }, ` · ${e.message}`) : null)))) : h("p", { class: "hint" }, far ? "CloudWatch keeps no turn of these alarms." : "No alarm has fired so far.")));
    if (held) document.getElementById(held)?.focus();
  }

  const look = (state) => ({ firing: "dead", pending: "paused", ok: "closed" })[state] || "";

  function card(a) {
    const id = key(a).replace(/\W+/g, "-");
    const ratio = a.value > 0 ? Math.max(0.02, Math.min(1, a.threshold > 0 ? a.threshold / Math.max(a.value, a.threshold) : 0)) : 1;
    const limit = h("i", { class: "limit" });
    limit.style.left = `${100 * ratio}%`;
    const fill = h("i", { class: "fill" });
    fill.style.width = `${100 * Math.min(1, a.threshold > 0 ? a.value / Math.max(a.value, a.threshold) : 1)}%`;
    return h("article", { class: `card alarm ${a.state} ${a.severity}`, "aria-label": `${title(a.name)}${a.destination ? ` of ${a.destination}` : ""}, ${a.state}` },
      h("header", {}, h("span", { class: `state ${look(a.state)}` }, a.state), h("h2", {}, title(a.name), a.destination ? h("small", {}, a.destination) : null), h("span", { class: "hint" }, a.severity),
        h("span", { class: "grow" }),
        a.state === "firing" && !a.acknowledged && !far ? button("Acknowledge", () => acknowledge(a), { icon: "check", kind: "primary", id: `ack-${id}` }) : null,
        far || future(a.silenced_until) ? null : button("Silence…", () => silence(a), { icon: "mute", id: `silence-${id}` })),
      a.message ? h("p", {}, sentence(a.message)) : null,
      h("div", { class: "against" }, h("b", {}, value(a.value, a.unit)), h("span", { class: "gauge", "aria-hidden": "true" }, fill, limit), h("span", { class: "hint" }, bound(a)), h("span", { class: "hint" }, `for ${span((Date.now() - new Date(a.since)) / 1000)}`, h("span", { class: "roomy" }, `, since ${full(a.since)}`))),
      a.acknowledged ? h("p", { class: "said" }, icon("check"), `Acknowledged ${ago(a.acknowledged.at)}${a.acknowledged.note ? `: ${a.acknowledged.note}` : ""}`) : null,
      future(a.silenced_until) ? h("p", { class: "said" }, icon("mute"), `Silenced, ${until(a.silenced_until)}`) : null,
      a.unknown ? h("p", { class: "said" }, icon("warn"), far ? `The value is not known: ${a.unknown}` : `The value is the last one known: ${a.unknown}`) : null,
      a.last_error ? h("p", { class: "lasterror" }, h("b", {}, "Last error "), a.last_error) : null,
      a.records?.length ? h("p", {}, h("span", { class: "hint" }, "For example "), a.records.slice(0, 3).map((r, i) => [i ? ", " : "", h("a", { class: "mono", href: `#/exchange/${encodeURIComponent(r)}`, title: r }, `…${r.slice(-12)}`)])) : null,
      a.command ? h("div", { class: "command" }, h("span", { class: "hint" }, "Type"), h("code", {}, a.command), button("Copy the command", () => copy(a.command, "the command"), { icon: "copy", quiet: true, kind: "ghost" })) : null);
  }

  function notifier(n) {
    return h("article", { class: "card notifier" }, h("header", {}, icon(n.kind === "email" ? "mail" : "link"), h("h3", {}, n.name), h("span", { class: "state" }, n.kind === "email" ? "email" : kinds[n.format] || n.kind), h("span", { class: "grow" }),
      button("Send a test", () => test(n.name), { kind: "small", id: `test-${n.name}` })),
    h("p", { class: n.last_error ? "lasterror" : "hint" }, n.last_error ? [h("b", {}, n.failures > 1 ? `${plural(n.failures, "failure")} in a row: ` : "Not sent: "), n.last_error] : n.last_sent ? `Last sent ${ago(n.last_sent)}` : "Nothing sent so far"),
    n.last_error && n.last_sent ? h("p", { class: "hint" }, `Last sent ${ago(n.last_sent)}`) : null);
  }

  async function act(method, path, body, said) {
    try {
      await request(path, { method, body });
      toast(said);
    } catch (err) {
      toast(err.message, "error");
    }
    await news.look();
  }

  async function test(name) {
    try {
      const bad = (await json("/api/v1/alarms/test", { method: "POST", body: { notify: name } })).filter((r) => r.error);
      bad.length ? toast(bad.map((r) => `${r.name}: ${r.error}`).join("\n"), "error") : toast(`The test message to ${name} is sent`);
    } catch (err) {
      toast(err.message, "error");
    }
    await news.look();
  }

  const field = (label, input) => h("label", { class: "row" }, h("span", {}, label), input);

  function acknowledge(a) {
    dialog(`Acknowledge: ${title(a.name)}${a.destination ? ` of ${a.destination}` : ""}`, (close) => {
      const note = h("input", { type: "text", id: "ack-note", autocomplete: "off", placeholder: "who looks after it, a ticket" });
      return h("form", { class: "stack", onsubmit: (e) => { e.preventDefault(); close(); act("POST", "/api/v1/alarms/ack", { name: a.name, destination: a.destination || "", note: note.value.trim() }, "Acknowledged"); } },
        h("p", {}, "Nobody is reminded of it again. It stays here until it is over, and tells so then."), field("Note", note), h("p", { class: "end" }, h("button", { class: "btn primary", type: "submit", id: "do-ack" }, "Acknowledge")));
    });
  }

  function silence(a) {
    const what = a.name ? `${title(a.name)}${a.destination ? ` of ${a.destination}` : ""}` : "every alarm";
    dialog(`Silence ${what}`, (close) => {
      const time = h("select", { id: "silence-for" }, waits.map(([v, t]) => h("option", { value: v, selected: v === "2h" }, t)));
      const note = h("input", { type: "text", autocomplete: "off", id: "silence-note", placeholder: "maintenance of the destination" });
      return h("form", { class: "stack", onsubmit: (e) => { e.preventDefault(); close(); act("POST", "/api/v1/alarms/silence", { name: a.name, destination: a.destination || "", for: time.value, note: note.value.trim() }, `Silent: ${what}`); } },
        h("p", {}, "Nobody is told until then. What happens is seen here all the same."), field("For", time), field("Note", note), h("p", { class: "end" }, h("button", { class: "btn primary", type: "submit", id: "do-silence" }, "Silence")));
    });
  }

  news.addEventListener("change", onchange);
  if (news.alarms || news.error) onchange();
  else put(box, h("p", { class: "boot" }, "Loading…"));
  news.look();
  return { leave() { news.removeEventListener("change", onchange); } };
}
