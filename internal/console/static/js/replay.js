// Sending a recorded request again, as it was or edited.

import { button, dialog, h, put } from "./dom.js";
import { ms } from "./format.js";
import { all, json, query } from "./api.js";
import { fetchBody } from "./body.js";
import { utf8 } from "./pretty.js";
import { HOP, base64 } from "./clip.js";

const encode = (text) => base64(new TextEncoder().encode(text));

// backends are the bases of the routes that stand for one server.
function backends(place) {
  const out = new Set();
  for (const r of place.routes || []) {
    try { out.add(new URL(r.backend.replace(/\{[^}]*\}/g, "x")).origin); } catch { /* a template of another kind */ }
  }
  return [...out];
}

export function replayDialog(d, place) {
  dialog("Replay this call", (close) => {
    const row = (label, el) => h("label", { class: "row" }, h("span", {}, label), el);
    const to = h("select", { id: "replay-to" }, place.gateway ? h("option", { value: place.gateway }, `Through the gateway (recorded): ${place.gateway}`) : null, backends(place).map((b) => h("option", { value: b }, `To the backend: ${b}`)), h("option", { value: "" }, "Another URL…"));
    const other = h("input", { type: "url", class: "mono", placeholder: "https://staging.example.com", "aria-label": "Another URL" });
    const where = row("URL", other);
    const method = h("input", { class: "mono", value: d.method, size: 8, "aria-label": "Method" });
    const path = h("input", { class: "mono grow", value: d.path + (d.query ? `?${d.query}` : ""), "aria-label": "Path and query" });
    const own = d.request.headers.filter(([n]) => !HOP.test(n)); // the others belong to the first connection
    const heads = h("textarea", { class: "mono", rows: Math.min(10, own.length + 1), value: own.map(([n, v]) => `${n}: ${v}`).join("\n"), spellcheck: "false" });
    const bodyText = h("textarea", { class: "mono", rows: 6, spellcheck: "false", placeholder: "no body" });
    const result = h("div", { class: "result", role: "status" });
    const send = button("Send", go, { icon: "replay", kind: "primary", id: "replay-send" });
    const hints = [];
    if (d.request.headers.some(([, v]) => v.includes("[REDACTED"))) hints.push("Headers that still say [REDACTED] are left out: their values were never stored. Put your own in to send them.");
    const broken = d.request.withheld || d.request.truncated;
    if (broken) hints.push("The recorded body is not whole: write one, or send none.");
    let keep = false, recorded = "";
    if (d.request.kept && !broken) {
      keep = true;
      fetchBody(d.id, "request").then(({ bytes }) => {
        const text = utf8(bytes);
        if (text === null) bodyText.placeholder = `${bytes.length} bytes that are no text: sent as recorded unless you write something else`;
        else bodyText.value = recorded = text;
        if (text?.includes("[REDACTED")) hint("The body says [REDACTED] where a secret was: put your own value in.");
      }).catch((err) => hint(err.message));
    }
    const hintBox = h("ul", { class: "hints" }, hints.map((t) => h("li", {}, t)));
    const hint = (t) => hintBox.append(h("li", {}, t));
    const swap = () => { where.hidden = to.value !== ""; };
    to.addEventListener("change", swap);
    swap();

    async function go() {
      const lines = heads.value.split("\n").filter((l) => l.trim());
      const [p, ...q] = path.value.trim().split("?");
      const same = keep && bodyText.value === recorded;
      const coding = !same; // an edited body is sent plain
      const body = {
        id: d.id, to: to.value || other.value.trim(), method: method.value.trim(), path: p, query: q.join("?"), keep: same,
        headers: lines.map((l) => [l.slice(0, l.indexOf(":")).trim(), l.slice(l.indexOf(":") + 1).trim()]).filter(([n]) => !(coding && /^content-encoding$/i.test(n))),
      };
      if (!same) body.body = encode(bodyText.value);
      if (!body.to) {
        put(result, h("p", { class: "callerror", role: "alert" }, "Write the URL that it is to be sent to, such as https://staging.example.com"));
        return other.focus();
      }
      send.disabled = true;
      put(result, h("p", { class: "hint" }, "Sending…"));
      try {
        const started = Date.now();
        const got = await json("/api/v1/resend", { method: "POST", body });
        put(result, h("p", { class: "good" }, "Answered ", h("b", {}, got.status), ` in ${ms(got.duration_ms)}; the recorded call got `, h("b", {}, d.status || "no status"), ` in ${ms(d.duration_ms)}.`),
          to.value === place.gateway && place.history ? await found(started) : h("p", { class: "hint" }, "What was answered is not shown: only what goes through the gateway is redacted and recorded."));
      } catch (err) {
        put(result, h("p", { class: "callerror", role: "alert" }, h("b", {}, err.status === 502 ? "No answer: " : "Not sent: "), err.message));
      }
      send.disabled = false;
    }

    // found links to the record of the replay.
    async function found(started) {
      for (let i = 0; i < 10; i++) {
        const filter = `headers["x-tapway-replay"] == "${d.id}" && time >= "${new Date(started - 1000).toISOString()}"`;
        const [row] = await all(`/api/v1/exchanges?${query({ filter, limit: 1 })}`);
        if (row) return h("p", {}, h("a", { href: `#/exchange/${row.id}`, onclick: close }, "Open the new call"), " · ", h("a", { href: `#/compare/${d.id}/${row.id}`, onclick: close }, "Compare both"));
        await new Promise((r) => setTimeout(r, 200));
      }
      return null;
    }
    return h("div", { class: "stack replay" }, row("To", to), where, h("div", { class: "row" }, h("span", {}, "Request"), h("div", { class: "reqline" }, method, path)), row("Headers", heads), row("Body", bodyText), hintBox, result, h("p", { class: "end" }, send));
  }, { wide: true });
}
