// The search box: the one filter language, checked and completed as it is typed.

import { button, dialog, h, icon, put, toast } from "./dom.js";
import { json, query } from "./api.js";

const KEY = "tapway.filters";
const examples = ["status >= 500", "duration > 1s", "method == POST", 'path startsWith "/api/"', 'headers["user-agent"] contains "curl"', "time >= now-5m"];

let fields;
const known = () => (fields ||= json("/api/v1/filter/fields").catch(() => { fields = null; return []; }));

function saved() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) || "[]");
    return Array.isArray(list) ? list.filter((t) => typeof t === "string") : [];
  } catch {
    return [];
  }
}
function save(list) {
  try { localStorage.setItem(KEY, JSON.stringify(list.slice(0, 50))); } catch { toast("This browser keeps nothing: the filter is not saved", "error"); }
}

// words gives what could be typed next: [text, help].
function words(list, before) {
  const m = /([\w.]*)$/.exec(before);
  const part = m[1].toLowerCase();
  const head = before.slice(0, before.length - m[1].length).trimEnd();
  if (/["'`]$/.test(head) || (head.match(/"/g) || []).length % 2) return { part, options: [] };
  const last = /([\w]+)(\[[^\]]*\])?\s*(==|!=|<=|>=|<|>|\bin|\bcontains|\bstartsWith|\bendsWith|\bmatches)?$/i.exec(head);
  const field = last && list.find((f) => f.name === last[1]);
  let options;
  if (field && last[3]) options = (field.values || (field.name === "method" ? ["GET", "POST", "PUT", "PATCH", "DELETE"] : field.name === "status" ? ["200", "404", "4xx", "5xx"] : field.type === "time" ? ["now-5m", "now-1h"] : [])).map((v) => [v, field.help]);
  else if (field) options = field.operators.map((o) => [o, `${field.name} ${o} …`]);
  else if (head && !/(&&|\|\||\(|!|\band|\bor|\bnot)$/i.test(head)) options = [["&&", "both must hold"], ["||", "one must hold"]];
  else options = list.map((f) => [f.name, f.help]);
  return { part, options: options.filter(([t]) => t.toLowerCase().startsWith(part) && t.toLowerCase() !== part).slice(0, 9) };
}

// filterBox calls use(text) with every filter that can be read, when it is entered.
export function filterBox({ value = "", label = "Filter", use, id = "filter" }) {
  const input = h("input", { id, type: "text", class: "mono", value, placeholder: matchMedia("(max-width: 719px)").matches ? "Filter: status >= 500" : "Filter: status >= 500 && path startsWith \"/api/\"", "aria-label": label, spellcheck: "false", autocomplete: "off", autocapitalize: "off",
    role: "combobox", "aria-expanded": "false", "aria-controls": `${id}-list`, "aria-autocomplete": "list", "aria-describedby": `${id}-problem` });
  const menu = h("ul", { class: "menu", id: `${id}-list`, role: "listbox", "aria-label": "Completions", hidden: true });
  const problem = h("p", { class: "problem", id: `${id}-problem`, role: "status" });
  const clear = button("Clear the filter", () => { set(""); input.focus(); }, { icon: "close", quiet: true, kind: "ghost clear" });
  let options = [], chosen = -1, timer;

  const draw = () => {
    menu.hidden = !options.length;
    input.setAttribute("aria-expanded", String(!menu.hidden));
    chosen < 0 ? input.removeAttribute("aria-activedescendant") : input.setAttribute("aria-activedescendant", `${id}-o${chosen}`);
    put(menu, options.map(([t, help], i) => h("li", { role: "option", id: `${id}-o${i}`, "aria-selected": String(i === chosen), onmousedown: (e) => { e.preventDefault(); take(i); } }, h("code", {}, t), h("span", {}, help))));
  };
  const hide = () => { options = []; chosen = -1; draw(); };
  async function suggest() {
    const before = input.value.slice(0, input.selectionStart);
    const list = await known();
    if (document.activeElement !== input) return;
    ({ options } = words(list, before));
    chosen = -1;
    draw();
  }
  function take(i) {
    const at = input.selectionStart;
    const before = input.value.slice(0, at).replace(/[\w.]*$/, "");
    const text = `${before}${before && !/[\s(!]$/.test(before) ? " " : ""}${options[i][0]} `;
    input.value = text + input.value.slice(at);
    input.setSelectionRange(text.length, text.length);
    suggest();
    check();
  }
  async function check() {
    clear.hidden = !input.value;
    const text = input.value;
    const said = text.trim() ? await json(`/api/v1/filter?${query({ filter: text })}`).catch(() => ({})) : {};
    if (text !== input.value) return false;
    tell(said);
    return !said.error;
  }
  function tell(said) {
    input.setAttribute("aria-invalid", String(Boolean(said.error)));
    put(problem, said.error ? [h("code", {}, `${input.value.slice(0, said.column - 1)}▸${input.value.slice(said.column - 1)}`), ` ${said.error}`] : null);
  }
  function set(text) {
    input.value = text;
    tell({});
    clear.hidden = !text;
    hide();
    use(text);
  }
  input.addEventListener("input", () => {
    suggest();
    clearTimeout(timer);
    timer = setTimeout(check, 250);
  });
  input.addEventListener("focus", suggest);
  input.addEventListener("blur", hide);
  input.addEventListener("keydown", async (e) => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      if (!options.length) return;
      chosen = (chosen + (e.key === "ArrowDown" ? 1 : options.length + (chosen < 0 ? 0 : -1))) % options.length;
      draw();
    } else if (e.key === "Tab" && options.length && input.value) take(Math.max(chosen, 0));
    else if (e.key === "Enter") {
      if (chosen >= 0) take(chosen);
      else {
        hide();
        clearTimeout(timer);
        if (await check()) use(input.value.trim());
      }
    } else if (e.key === "Escape") {
      if (options.length) hide();
      else input.blur();
      e.stopPropagation();
    } else return;
    e.preventDefault();
  });
  clear.hidden = !value;

  function manage() {
    dialog("Saved filters", (close) => {
      const list = h("ul", { class: "saved" });
      const show = () => put(list, saved().map((t) => h("li", {}, h("button", { class: "pick mono", type: "button", onclick: () => { close(); set(t); } }, t),
        button("Remove", () => { save(saved().filter((o) => o !== t)); show(); }, { icon: "trash", quiet: true, kind: "ghost" }))),
        saved().length ? null : h("li", { class: "hint" }, "None yet. Type a filter and save it here; it stays in this browser."));
      show();
      return h("div", { class: "stack" }, input.value.trim() ? h("p", {}, button("Save this filter", () => { save([input.value.trim(), ...saved().filter((o) => o !== input.value.trim())]); show(); }, { icon: "star", kind: "primary" }), " ", h("code", {}, input.value)) : null, list,
        h("h3", {}, "Examples"), h("ul", { class: "saved" }, examples.map((t) => h("li", {}, h("button", { class: "pick mono", type: "button", onclick: () => { close(); set(t); } }, t)))));
    });
  }
  // show writes a filter that is in force already.
  function show(text) {
    input.value = text;
    tell({});
    clear.hidden = !text;
  }
  const el = h("div", { class: "filterbox" }, h("div", { class: "field" }, icon("search"), input, clear, menu), button("Saved filters", manage, { icon: "star", quiet: true }), problem);
  return { el, input, set, show, tell, get value() { return input.value; } };
}
