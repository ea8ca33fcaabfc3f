// The frame around the views: who may come in, where we are, which keys do what.

import { button, dialog, h, icon, put, s, teach } from "./dom.js";
import { checkSession, login, logout, place, reach, session } from "./api.js";
import { traffic } from "./traffic.js";
import { news } from "./news.js";

// The list of calls comes at once, every other view when it is asked for or when the browser has nothing else to do.
const first = async () => traffic;
const later = (name) => () => import(`/js/${name}.js`).then((module) => module[name]);
const views = { traffic: first, exchange: first, overview: later("overview"), delivery: later("delivery"), routes: later("routes"), keys: later("keys"), alarms: later("alarms"), ledger: later("ledger"), compare: later("compare") };
const fetchAll = () => Object.values(views).forEach((view) => view().catch(() => { /* it is asked for again when it is shown */ }));
const tabs = [["traffic", "Traffic"], ["overview", "Overview"], ["delivery", "Delivery"], ["routes", "Routes"], ["keys", "Keys"], ["alarms", "Alarms"], ["ledger", "Ledger"]];

let current; // {view, root, leave, keys}
const where = h("span", { class: "version" }); // the tap, if it is not this process
const main = h("main", { id: "main", tabindex: "0" });

// route reads the address: #/view/part/part?name=value.
function route() {
  const [path, search = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...parts] = path.split("/").map(decodeURIComponent);
  return { name: views[name] ? name : "traffic", parts, params: new URLSearchParams(search) };
}

let title = "Traffic";
// entitle names the page, and tells of alarms where only its tab is seen.
const entitle = () => { document.title = `${news.firing.length ? `(${news.firing.length}) ` : ""}${title} · tapway`; };

async function show() {
  const at = route();
  const view = views[at.name];
  for (const a of document.querySelectorAll("nav a")) {
    const here = a.dataset.view === at.name || (a.dataset.view === "traffic" && ["exchange", "compare"].includes(at.name));
    here ? a.setAttribute("aria-current", "page") : a.removeAttribute("aria-current");
    if (here) a.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  if (current?.view === view && current.change) {
    current.change(at);
    return;
  }
  current?.leave?.();
  const mine = current = { view };
  title = tabs.find(([n]) => n === at.name)?.[1] || { compare: "Compare", exchange: "Call" }[at.name];
  entitle();
  try {
    const [p, build] = await Promise.all([place(), view()]);
    if (p.elsewhere) put(where, `${p.elsewhere.name} in ${p.elsewhere.where}`);
    if (current !== mine) return;
    Object.assign(mine, build(main, at, p));
    setTimeout(fetchAll, 1000);
  } catch (err) {
    if (current !== mine) return;
    current = undefined;
    if (err.status !== 401) put(main, teach("error", "The console cannot reach tapway", err.message, button("Try again", anew, { kind: "primary" })));
  }
}

// anew builds the view from the beginning.
function anew() {
  current?.leave?.();
  current = undefined;
  show();
}

function themeButton() {
  const dark = () => (document.documentElement.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const draw = () => put(b, icon(dark() ? "sun" : "moon"));
  const b = button("Light or dark", () => {
    const theme = dark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    try { localStorage.setItem("tapway.theme", theme); } catch { /* for this page only, then */ }
    draw();
  }, { icon: dark() ? "sun" : "moon", quiet: true, kind: "ghost", id: "theme" });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return b;
}

const shortcuts = [
  ["/", "to the filter"], ["j  k", "next, previous call"], ["Enter", "open the call"], ["x", "mark the call, for export and compare"], ["c", "compare the two marked calls"], ["r", "replay the open call"],
  ["p", "pause, resume the list"], ["Esc", "close what is open"], ["g t  g o  g d  g r", "Traffic, Overview, Delivery, Routes"], ["g k  g a  g l", "Keys, Alarms, Ledger"], ["←  →", "in a chart: the step before, the next; with Shift they select, Enter shows the calls"], ["?", "this help"],
];

function help() {
  dialog("Keyboard", () => h("dl", { class: "keys" }, shortcuts.map(([k, what]) => h("div", {}, h("dt", {}, k.split("  ").map((one) => h("kbd", {}, one))), h("dd", {}, what)))));
}

function shell() {
  const logo = s("svg", { viewBox: "0 0 32 32", class: "logo", "aria-hidden": "true" }, s("rect", { width: 32, height: 32, rx: 8, class: "logo-a" }),
    s("path", { d: "M5 13h22M16 13v12", class: "logo-b" }), s("circle", { cx: 16, cy: 13, r: 4.2, class: "logo-c" }));
  put(document.getElementById("app"), lost,
    h("header", { class: "top" },
      h("a", { href: "#/traffic", class: "brand", "aria-label": "tapway, to the traffic" }, logo, h("b", {}, "tapway")),
      h("nav", { "aria-label": "Views" }, tabs.map(([name, label]) => h("a", { href: `#/${name}`, "data-view": name }, label, name === "alarms" ? badge : null))),
      loud, h("span", { class: "grow" }), where, h("span", { class: "version" }, session.version),
      button("Keyboard shortcuts", help, { icon: "help", quiet: true, kind: "ghost" }), themeButton(),
      session.needed ? button("Log out", async () => { await logout(); location.reload(); }, { icon: "out", quiet: true, kind: "ghost" }) : null),
    main);
  news.look();
}

// lost stands above everything while tapway does not answer; what is below stays as it was.
const lost = h("div", { class: "unreached", role: "alert", hidden: true });
reach.addEventListener("change", () => {
  lost.hidden = !reach.lost && (!reach.version || reach.version === session.version);
  if (reach.lost) put(lost, icon("warn"), h("span", {}, h("b", {}, "tapway does not answer."), " What you see is as it was; it goes on by itself as soon as it does."));
  else if (!lost.hidden) put(lost, h("span", {}, `tapway ${reach.version} is running now.`), button("Load the console again", () => location.reload(), { kind: "small" }));
  if (!reach.lost && main.querySelector(".teach.error")) anew();
});

// On a phone the tab of the alarms may be out of sight: loud is seen beside the tabs.
const loud = h("a", { class: "loud", href: "#/alarms", hidden: true });
const badge = h("span", { class: "badge", hidden: true });
news.addEventListener("change", () => {
  const n = news.firing.length;
  badge.hidden = loud.hidden = !n;
  put(badge, String(n), h("span", { class: "offscreen" }, " firing"));
  put(loud, icon("warn"), String(n), h("span", { class: "offscreen" }, n === 1 ? " alarm fires" : " alarms fire"));
  entitle();
  for (const el of [badge, loud]) el.classList.toggle("critical", news.firing.some((a) => a.severity === "critical"));
});

function askLogin() {
  news.stop();
  current?.leave?.();
  current = undefined;
  const field = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const form = h("form", { class: "login" }, h("img", { src: "/icon.svg", alt: "", width: 48, height: 48 }), h("h1", {}, "tapway"),
    h("label", { for: "token" }, "Admin token"), field,
    h("p", { class: "hint" }, "It stands in the configuration as ", h("code", {}, "admin.token"), ", or in the environment as ", h("code", {}, "TAPWAY_TOKEN"), "."),
    problem, h("button", { class: "btn primary", type: "submit" }, "Log in"));
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    try {
      await login(field.value);
      shell();
      show();
    } catch (err) {
      problem.textContent = err.message;
      field.select();
    }
  });
  put(document.getElementById("app"), h("main", { id: "main" }, form));
  field.focus();
}

let chord = 0;
function keys(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
  const typing = e.target.matches?.("input, textarea, select");
  if (typing && e.key !== "Escape") return;
  if (Date.now() - chord < 1200) {
    chord = 0;
    const to = { t: "traffic", o: "overview", d: "delivery", r: "routes", k: "keys", a: "alarms", l: "ledger" }[e.key];
    if (to) location.hash = `#/${to}`;
    return;
  }
  if (e.key === "g") chord = Date.now();
  else if (e.key === "?") help();
  else if (!current?.keys?.(e)) return;
  e.preventDefault();
}

document.addEventListener("tapway:login", () => document.querySelector(".login") || askLogin());
addEventListener("hashchange", show);
addEventListener("keydown", keys);

try {
  await checkSession();
  if (session.logged_in) {
    shell();
    show();
  } else askLogin();
} catch (err) {
  put(document.getElementById("main"), teach("error", "The console cannot reach tapway", err.message, button("Try again", () => location.reload(), { kind: "primary" })));
}
