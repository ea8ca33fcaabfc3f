// Traffic: the live list and beside it one exchange.

import { button, dialog, h, put, teach, toast } from "./dom.js";
import { clock, ms, num, size, statusClass } from "./format.js";
import { query } from "./api.js";
import { Feed } from "./feed.js";
import { VirtualList } from "./list.js";
import { filterBox } from "./filterbox.js";
import { detail } from "./detail.js";

const feed = new Feed(); // outlives the view, so that coming back finds the list as it was
let understood = false; // what the view of a tap on AWS can show
const MARKS = 150; // what a filter of ids can hold

const phone = matchMedia("(max-width: 719px)");

// What a row can show: name, head, width, what it says. Status, method and path are always there.
const columns = [
  ["status", "Status", "52px", (r) => r.status || "–"], ["method", "Method", "66px", (r) => r.method], ["path", "Path", "minmax(0, 1fr)"],
  ["host", "Host", "minmax(0, .35fr)", (r) => r.from || ""], ["route", "Route", "minmax(0, .4fr)", (r) => r.route || ""], ["client", "Client", "112px", (r) => r.client_ip || ""], ["origin", "Answered by", "92px", (r) => r.origin],
  ["time", "Time", "98px", (r) => clock(r.time)], ["took", "Took", "72px", (r) => ms(r.duration_ms)], ["own", "tapway", "72px", (r) => ms(r.overhead_ms)], ["sent", "Request", "78px", (r) => size(r.request_size)], ["size", "Response", "78px", (r) => size(r.response_size)],
];
const always = ["status", "method", "path"], usual = ["time", "took", "size"], right = ["took", "own", "sent", "size"];
const COLUMNS = "tapway.columns";

function chosenColumns() {
  try {
    const list = JSON.parse(localStorage.getItem(COLUMNS));
    if (Array.isArray(list)) return list.filter((n) => columns.some(([c]) => c === n));
  } catch { /* as usual, then */ }
  return usual;
}

function columnDialog(use) {
  const boxes = columns.filter(([n]) => !always.includes(n)).map(([n, head]) => [n, h("input", { type: "checkbox", checked: chosenColumns().includes(n), onchange: save, "data-column": n }), head]);
  function save() {
    try { localStorage.setItem(COLUMNS, JSON.stringify(boxes.filter(([, b]) => b.checked).map(([n]) => n))); } catch { toast("This browser keeps nothing: the columns stay as they are", "error"); }
    use();
  }
  dialog("Columns", (close) => h("div", { class: "stack" }, h("p", { class: "hint" }, "Status, method and path are always there. The choice stays in this browser."), h("div", { class: "choices" }, boxes.map(([, box, head]) => h("label", {}, box, head))),
    h("p", { class: "end" }, button("Reset", () => { boxes.forEach(([n, b]) => { b.checked = usual.includes(n); }); save(); }, {}), " ", button("Done", close, { kind: "primary" }))));
}

// searchStrip tells how far the look at what was before is, where that takes a while.
function searchStrip() {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "How far the search is" });
  const text = h("span", { class: "grow" });
  const stop = button("Stop", () => feed.halt(), { kind: "small", id: "search-stop" });
  const go = button("Search on", () => feed.more(true), { kind: "small", icon: "search", id: "search-on" });
  const el = h("div", { class: "searching", role: "status", hidden: true }, text, bar, stop, go);
  function show() {
    const s = feed.search;
    el.hidden = !s || (s.state === "runs" && (!s.total || Date.now() - s.since < 300));
    if (el.hidden) return;
    const runs = s.state === "runs";
    bar.hidden = stop.hidden = !runs;
    go.hidden = runs;
    bar.value = s.total ? s.searched / s.total : 0;
    el.classList.toggle("broken", s.state === "broken");
    const far = s.total ? `${num(s.searched)} of ${num(s.total)} calls searched` : "";
    text.textContent = [runs ? "" : s.state === "stopped" ? "Stopped" : `The search broke off: ${s.error.message}`, far, s.total ? `${num(s.found)} found` : ""].filter(Boolean).join(" · ");
  }
  return { el, show };
}

export function traffic(main, at, place) {
  let open = "", focus = -1, pane;
  const marks = new Set();
  let filter = at.params.get("filter") || "";

  const box = filterBox({ value: filter, label: "Filter the calls", use: (t) => go({ filter: t, id: open }) });
  const status = h("p", { class: "livestate", role: "status" });
  const notice = h("div", { class: "notice", hidden: true });
  const pauseButton = h("span", {});
  const actions = h("span", { class: "actions" });
  const empty = h("div", { class: "over" });
  const search = searchStrip();
  let shown = [];
  function makeRow() {
    const row = h("div", { role: "option", "aria-selected": "false" }, h("span", { class: "mark" }));
    row.cells = shown.map(([name]) => h("span", { class: name }, name === "path" ? [h("span", { class: "p" }), h("span", { class: "q" })] : null));
    row.append(...row.cells);
    return row;
  }
  const list = new VirtualList({
    label: "Calls, newest first", height: () => (phone.matches ? 54 : 32), make: makeRow, show: showRow,
    onopen: (i, e) => { const row = feed.at(i); (e.ctrlKey || e.metaKey || e.target.closest(".mark")) ? toggle(row.id) : go({ id: row.id }); },
    onend: () => feed.more(),
  });
  list.at = (i) => feed.at(i);
  const side = h("section", { class: "side", "aria-label": "The call that is open", hidden: true });
  const head = h("div", { class: "listhead", "aria-hidden": "true" });
  const root = h("div", { class: "traffic" }, h("div", { class: "bar" }, box.el, h("div", { class: "tools" }, pauseButton, actions, status)), notice,
    h("div", { class: "split" }, h("section", { class: "listing", "aria-label": "Calls" }, head, list.el, search.el, empty), side));
  put(main, root);

  // layout puts the chosen columns into force; beside an open call there is room for a few.
  let laid = "";
  function layout() {
    const wanted = phone.matches ? ["time", "took"] : open ? ["took"] : chosenColumns();
    const now = `${wanted} ${phone.matches}`;
    if (now === laid) return;
    laid = now;
    shown = columns.filter(([n]) => always.includes(n) || wanted.includes(n));
    root.style.setProperty("--columns", `26px ${shown.map(([, , w]) => w).join(" ")}`);
    put(head, h("span", {}), shown.map(([n, text]) => h("span", { class: right.includes(n) ? "right" : "" }, text)));
    list.rebuild();
  }

  // go changes the address; what is shown follows from it.
  function go(to) {
    const next = { filter, id: open, ...to };
    const path = next.id ? `#/exchange/${next.id}` : "#/traffic";
    const q = query({ filter: next.filter });
    location.hash = q ? `${path}?${q}` : path;
  }

  function change(now) {
    const wanted = now.params.get("filter") || "";
    if (wanted !== filter || feed.filter !== wanted) {
      filter = wanted;
      if (box.value.trim() !== wanted) box.show(wanted);
      focus = -1;
      feed.open(filter, place);
    }
    const id = now.name === "exchange" ? now.parts[0] || "" : "";
    if (id === open) return;
    open = id;
    pane?.leave();
    pane = undefined;
    side.hidden = !open;
    root.classList.toggle("opened", Boolean(open));
    layout();
    if (open) {
      pane = detail(side, open, place, { close: () => go({ id: "" }), filter: (t) => go({ filter: t }) });
      const i = feed.indexOf(open);
      if (i >= 0) { focus = i; list.reveal(i); }
    }
    list.soon();
  }

  function showRow(el, row, i) {
    const on = row.id === open;
    const key = `${row.id}${on}${marks.has(row.id)}${i === focus}`;
    if (el.key === key) return;
    el.key = key;
    el.id = `row-${row.seq || i}`;
    el.className = `vrow ${statusClass(row.status)}${on ? " open" : ""}${marks.has(row.id) ? " marked" : ""}${i === focus ? " focus" : ""}`;
    el.setAttribute("aria-selected", String(marks.has(row.id) || on));
    el.firstChild.textContent = marks.has(row.id) ? "✓" : "";
    shown.forEach(([name, , , say], n) => {
      const cell = el.cells[n];
      if (name !== "path") {
        cell.textContent = say(row);
        if (name === "took") cell.className = `took${row.duration_ms >= 1000 ? " slow" : ""}`;
        return;
      }
      cell.children[0].textContent = row.path;
      cell.children[1].textContent = row.query ? `?${row.query}` : "";
      cell.title = row.path + (row.query ? `?${row.query}` : "");
    });
  }

  function toggle(id) {
    if (marks.has(id)) marks.delete(id);
    else if (marks.size < MARKS) marks.add(id);
    else toast(`At most ${MARKS} calls can be marked; a filter takes more`, "error");
    tools();
    list.soon();
  }

  function exportLink(format) {
    const ids = [...marks].map((id) => `"${id}"`).join(", ");
    return `/api/v1/export?${query({ format, filter: marks.size ? `id in [${ids}]` : filter })}`;
  }

  function tools() {
    put(pauseButton, place.elsewhere ? button("Load again", () => feed.open(filter, place), { icon: "replay", id: "again" }) : button(feed.paused ? `Resume${feed.waiting.length ? ` (${num(feed.waiting.length)} new)` : ""}` : "Pause", () => feed.pause(!feed.paused), { icon: feed.paused ? "play" : "pause", kind: feed.paused ? "primary" : "", id: "pause" }));
    const which = marks.size ? `${marks.size} marked` : filter ? "what the filter takes" : "all";
    put(actions,
      phone.matches ? null : button("Columns", () => columnDialog(layout), { icon: "columns", quiet: true, id: "columns" }),
      place.history ? ["ndjson", "har"].map((f) => h("a", { class: "btn", href: exportLink(f), download: `tapway.${f}`, title: `Export ${which} as ${f.toUpperCase()}` }, f.toUpperCase())) : null,
      marks.size === 2 ? button("Compare", doCompare, { icon: "compare", kind: "primary", id: "compare" }) : null,
      marks.size ? button(`Unmark ${marks.size}`, () => { marks.clear(); tools(); list.soon(); }, { kind: "ghost" }) : null);
  }

  function doCompare() {
    const [a, b] = [...marks].sort();
    location.hash = `#/compare/${a}/${b}`;
  }

  let toolsKey = "";
  function onchange({ detail: d }) {
    if (d.added && focus >= 0) focus += d.added;
    list.update(feed.rows.length, d.reset ? 0 : d.added);
    const key = `${feed.paused}${feed.waiting.length}`;
    if (key !== toolsKey) { toolsKey = key; tools(); }
    const state = feed.paused ? "paused" : feed.state;
    status.className = `livestate ${state}`;
    status.textContent = { live: "Live", connecting: "Connecting…", lost: feed.error?.status ? "Failed, trying again…" : "Connection lost, trying again…", still: "Nothing new comes here", error: "Stopped", paused: "Paused" }[state];
    status.title = `${num(feed.rows.length)} calls in this list`;
    notice.hidden = !feed.skipped && !(place.elsewhere && feed.rows.length && !understood);
    notice.classList.toggle("info", Boolean(place.elsewhere));
    if (place.elsewhere) notice.hasChildNodes() || put(notice, h("span", {}, place.elsewhere.notes.traffic), button("Do not show this again", () => { understood = true; notice.hidden = true; }, { icon: "close", quiet: true, kind: "ghost" }));
    else if (feed.skipped) put(notice, `${num(feed.skipped)} skipped: more calls came than a list can show. They are recorded all the same. `, button("Load the list again", () => feed.open(filter, place), { kind: "ghost small" }));
    if (feed.state === "error") {
      const m = /^filter: column (\d+): (.*)$/s.exec(feed.error.message);
      if (m) box.tell({ column: Number(m[1]), error: m[2] });
    }
    search.show();
    put(empty, emptyState());
  }

  function emptyState() {
    if (feed.rows.length) return null;
    if (feed.state === "error") return teach("error", "That did not work", feed.error.message, button("Show all calls", () => box.set(""), {}));
    if (feed.error?.status) return teach("error", "The calls cannot be read", feed.error.message, "It is tried again by itself.");
    if (feed.state === "lost") return teach("error", "tapway does not answer", "The list continues by itself as soon as it does.");
    if (feed.search?.state === "broken") return teach("error", "The calls cannot be read", feed.search.error.message, button("Try again", () => feed.more(true), { kind: "primary" }));
    if (feed.search) return feed.search.total ? h("p", { class: "boot" }, feed.search.state === "runs" ? "Nothing found so far." : "Nothing found up to here.") : h("p", { class: "boot" }, "Loading…");
    if (!feed.loaded) return h("p", { class: "boot" }, "Loading…");
    if (filter) return teach("none", "No call matches", h("p", {}, "Nothing recorded, and nothing new so far, satisfies ", h("code", {}, filter)), button("Show all calls", () => box.set(""), { kind: "primary" }));
    if (place.elsewhere) return teach("", "No calls to show", place.elsewhere.notes.traffic, h("a", { class: "btn primary", href: "#/delivery" }, "To the dead letters"));
    return teach("", "No calls yet", "Send one through the gateway and it appears here:", place.gateway ? h("pre", { class: "mono" }, `curl -i ${place.gateway}/`) : null);
  }

  function move(by) {
    if (!feed.rows.length) return;
    focus = Math.max(0, Math.min(feed.rows.length - 1, focus < 0 ? 0 : focus + by));
    list.reveal(focus);
    list.el.setAttribute("aria-activedescendant", `row-${feed.at(focus).seq || focus}`);
    if (open) go({ id: feed.at(focus).id });
  }

  function keys(e) {
    const row = focus >= 0 ? feed.at(focus) : undefined;
    const act = {
      "/": () => { box.input.focus(); box.input.select(); }, j: () => move(1), k: () => move(-1), ArrowDown: () => move(1), ArrowUp: () => move(-1), Enter: () => row && go({ id: row.id }),
      x: () => row && toggle(row.id), p: () => (place.elsewhere ? feed.open(filter, place) : feed.pause(!feed.paused)), r: () => pane?.replay(), c: () => marks.size === 2 && doCompare(), Escape: () => open && go({ id: "" }),
    }[e.key];
    if (!act || (/^(Enter|Arrow)/.test(e.key) && e.target !== document.body && e.target !== list.el && e.target !== main)) return false;
    act();
    return true;
  }

  feed.addEventListener("change", onchange);
  const relayout = () => { layout(); tools(); list.update(feed.rows.length); };
  phone.addEventListener("change", relayout);
  if (feed.filter !== filter || !feed.stop) feed.open(filter, place);
  tools();
  layout();
  change(at);
  onchange({ detail: {} });
  return { change, keys, leave() { feed.removeEventListener("change", onchange); phone.removeEventListener("change", relayout); pane?.leave(); } };
}
