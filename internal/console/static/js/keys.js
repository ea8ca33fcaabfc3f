// Keys: who may call, how much of it is used, and what the plans allow.

import { calm, h, icon, put, teach } from "./dom.js";
import { ago, full, num, plural, span } from "./format.js";
import { json, awake } from "./api.js";

const EVERY = 3000;
const periods = { DAY: "a day", WEEK: "a week", MONTH: "a month" };

// meter is a bar of how much is used; it says so in words too.
function meter(used, limit, label) {
  const part = Math.min(1, limit ? used / limit : 0);
  const fill = h("i", {});
  fill.style.width = `${100 * part}%`;
  return h("span", { class: `usage ${part >= 1 ? "bad" : part >= 0.8 ? "warn" : ""}`, role: "meter", "aria-label": label, "aria-valuemin": "0", "aria-valuemax": String(limit), "aria-valuenow": String(Math.min(used, limit)), "aria-valuetext": `${num(used)} of ${num(limit)}` }, fill);
}

const state = (k) => (k.revoked ? "revoked" : k.usage && k.usage.used >= k.usage.limit ? "used up" : "in force");

export function keys(main, at, place) {
  const stop = new AbortController();
  const box = h("div", {});
  const note = h("p", { class: "hint" });
  put(main, h("div", { class: "page" }, h("div", { class: "pagehead" }, h("h1", {}, "Keys"), h("span", { class: "grow" }), note), box));
  if (!place.keys) {
    put(box, teach("", "No keys here", place.elsewhere?.notes.keys || "This process passes no calls on. The gateway's own console shows its keys."));
    return {};
  }
  let timer, drawn = "";
  async function tick() {
    await awake();
    try {
      const got = await json("/api/v1/keys", { signal: stop.signal });
      await calm();
      if (stop.signal.aborted) return;
      const now = JSON.stringify(got) + Math.floor(Date.now() / 15000); // "2 min ago" grows older too
      if (now !== drawn) draw(got);
      drawn = now;
    } catch (err) {
      if (err.name === "AbortError") return;
      if (!err.status && drawn) return again();
      drawn = "";
      put(box, teach("error", "The keys cannot be read", err.message));
    }
    again();
  }
  const again = () => { if (!stop.signal.aborted) timer = setTimeout(tick, EVERY); };

  function draw(got) {
    if (!got.keys.length && !got.plans.length) {
      note.textContent = "";
      put(box, teach("", "No keys yet", "Anybody who reaches this gateway may call it. A plan bounds what a key may use:",
        h("pre", { class: "mono" }, "access:\n  api_key: required\n  usage_plans:\n    - {name: partner, rate: 50, burst: 100,\n       quota: {limit: 10000, period: DAY}}"), "Then make a key; it is shown once:", h("pre", { class: "mono" }, "tapway keys create mobile --plan partner")));
      return;
    }
    note.textContent = got.required ? "Calls that need a key send it as x-api-key." : "No call needs a key so far: access.api_key is off.";
    const most = (k) => (k.revoked ? -2 : k.usage ? k.usage.used / k.usage.limit : -1);
    const list = got.keys.toSorted((a, b) => most(b) - most(a) || a.name.localeCompare(b.name));
    put(box,
      got.plans.length ? h("div", { class: "cards plans" }, got.plans.map(planCard)) : null,
      list.length ? h("div", { class: "scroll card flush", tabindex: "0", role: "region", "aria-label": "Keys" }, h("table", { class: "wide keytable" }, h("thead", {}, h("tr", {}, [["Key"], ["Plan", "roomy"], ["Created", "roomy"], ["Last used"], ["Used of the quota"], ["State", "roomy"]].map(([t, c]) => h("th", { scope: "col", class: c }, t)))),
        h("tbody", {}, list.map(row)))) : teach("", "No keys yet", "Make one; it is shown once:", h("pre", { class: "mono" }, `tapway keys create mobile --plan ${got.plans[0].name}`)),
      h("p", { class: "hint fine" }, icon("check"), ` Keys made with tapway keys create are kept as hashes only. What is used is ${got.accuracy || "counted here"}.`));
  }

  function planCard(p) {
    const fact = (name, value, more) => h("div", {}, h("dt", {}, name), h("dd", {}, value, more ? h("small", {}, ` ${more}`) : null));
    return h("article", { class: "card plan" }, h("header", {}, h("h2", {}, p.name), h("span", { class: "state" }, plural(p.keys, "key"))),
      h("dl", { class: "numbers" }, fact("Rate", p.rate === undefined ? "no bound" : num(p.rate), p.rate === undefined ? "" : "a second"), p.rate === undefined ? null : fact("Burst", num(p.burst || p.rate), "at once"),
        fact("Quota", p.quota ? num(p.quota.limit) : "none", p.quota ? periods[p.quota.period] : ""), p.quota ? fact("Resets", `in ${span((new Date(p.quota.resets) - Date.now()) / 1000)}`) : null),
      p.routes?.length ? h("p", { class: "hint" }, "Other rates: ", p.routes.map((r, i) => [i ? ", " : "", h("code", {}, r.match), ` ${num(r.rate)} a second`])) : null,
      p.quota && p.keys ? h("p", { class: "hint" }, `All its keys together have used ${num(p.quota.used)}; each has ${num(p.quota.limit)} for itself.`) : null);
  }

  function row(k) {
    const u = k.usage, s = state(k);
    return h("tr", { class: k.revoked ? "gone" : "" }, h("th", { scope: "row" }, h("b", {}, k.name), h("small", { class: `hint${k.source === "file" ? " mono" : ""}` }, k.source === "configuration" ? "in the configuration" : k.id), h("small", { class: "hint narrow" }, [k.plan || "no plan", s === "in force" ? "" : `, ${s}`])),
      h("td", { class: "roomy" }, k.plan || h("span", { class: "hint" }, "none")), h("td", { class: "roomy", title: k.created ? full(k.created) : null }, k.created ? k.created.slice(0, 10) : h("span", { class: "hint" }, "–")),
      h("td", { title: k.last_used ? full(k.last_used) : null }, k.last_used ? ago(k.last_used) : h("span", { class: "hint" }, "never seen")),
      h("td", { class: "used" }, u ? [meter(u.used, u.limit, `What ${k.name} has used of its quota`), h("small", {}, h("b", {}, num(u.used)), ` of ${num(u.limit)} ${periods[u.period]}`)] : h("span", { class: "hint" }, "no quota")),
      h("td", { class: "roomy" }, h("span", { class: `state ${s === "in force" ? "closed" : s === "used up" ? "dead" : ""}` }, s), k.revoked ? h("small", { class: "hint" }, ` ${k.revoked.slice(0, 10)}`) : null));
  }
  tick();
  return { leave() { stop.abort(); clearTimeout(timer); } };
}
