// Elements without a framework. Data reaches the page here only, and as text nodes only.

const SVG = "http://www.w3.org/2000/svg";

function fill(el, props, children) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") el.setAttribute("class", value);
    else if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "selected") el[name] = value;
    else el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

// h makes an element: h("a", {href: "#"}, "text", child).
export const h = (tag, props, ...children) => fill(document.createElement(tag), props, children);

// s makes an SVG element.
export const s = (tag, props, ...children) => fill(document.createElementNS(SVG, tag), props, children);

// put replaces what an element holds.
export function put(el, ...children) {
  el.replaceChildren(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

const paths = {
  stop: "M7 7h10v10H7z",
  pause: "M7 5v14M17 5v14", play: "M8 5l11 7-11 7z", sun: "M12 4V2M12 22v-2M4 12H2M22 12h-2M5.6 5.6L4.2 4.2M19.8 19.8l-1.4-1.4M5.6 18.4l-1.4 1.4M19.8 4.2l-1.4 1.4M12 8a4 4 0 100 8 4 4 0 000-8z",
  moon: "M20 14.5A8 8 0 119.5 4a6.5 6.5 0 0010.5 10.5z", help: "M9 9a3 3 0 115 2.2c-1.2.9-2 1.4-2 2.8M12 18v.5", close: "M6 6l12 12M18 6L6 18", copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  replay: "M4 12a8 8 0 108-8H6M9 1L6 4l3 3", star: "M12 3l2.7 5.8 6.3.8-4.6 4.3 1.2 6.2L12 17l-5.6 3.1 1.2-6.2L3 9.6l6.3-.8z", download: "M12 3v12M7 11l5 5 5-5M4 20h16", compare: "M4 5h6v14H4zM14 5h6v14h-6z",
  check: "M5 13l4 4L19 7", info: "M12 3a9 9 0 100 18 9 9 0 000-18zM12 11.5v5M12 7.5v.5", warn: "M12 4l9 16H3zM12 10v4M12 17v.5", back: "M15 5l-7 7 7 7", search: "M11 4a7 7 0 100 14 7 7 0 000-14zM16 16l5 5", out: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9", link: "M10 14a4 4 0 006 0l3-3a4 4 0 00-6-6l-1 1M14 10a4 4 0 00-6 0l-3 3a4 4 0 006 6l1-1", mute: "M6 9a6 6 0 0110-4M18 11v3l2 3H8M6 10v4l-2 3h2M10 20h4M4 3l17 18", mail: "M3 6h18v12H3zM3 7l9 7 9-7", columns: "M4 5h16v14H4zM10 5v14M15 5v14", trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
};

// icon is a drawing that says nothing to a screen reader: the label is the button's.
export const icon = (name) => s("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" }, s("path", { d: paths[name] }));

// button with an icon, a label, or both; a label that is not shown is still read out.
export function button(label, onclick, { icon: name, quiet, kind = "", title, disabled, pressed, id } = {}) {
  return h("button", { type: "button", class: `btn ${kind}${quiet ? " only" : ""}`, onclick, title: title || (quiet ? label : null), "aria-label": quiet ? label : null, disabled, id, "aria-pressed": pressed === undefined ? null : String(pressed) },
    name ? icon(name) : null, quiet ? null : h("span", {}, label));
}

// sentence begins with a capital letter; what the admin API says does not.
const sentence = (t) => (/^(tapway|https?:)/.test(t) ? t : t.charAt(0).toUpperCase() + t.slice(1));

// teach is an empty or an error state: what it is, and what to do. Its kind is "error", "good", "none" where a filter takes nothing, or "".
export function teach(kind, title, ...lines) {
  return h("div", { class: `teach ${kind}`, role: kind === "error" ? "alert" : null }, icon({ error: "warn", good: "check", none: "search" }[kind] || "info"),
    h("h2", {}, title), lines.map((l) => (typeof l === "string" ? h("p", {}, sentence(l)) : l)));
}

let pressed = 0; // since when a button of the mouse or a finger is down
addEventListener("pointerdown", () => { pressed = Date.now(); }, true);
for (const name of ["pointerup", "pointercancel", "blur"]) addEventListener(name, () => { setTimeout(() => { pressed = 0; }); }, true);

// calm waits until nothing is pressed: what is drawn anew in the middle of a click is not clicked.
export async function calm() {
  while (pressed && Date.now() - pressed < 3000) await new Promise((done) => setTimeout(done, 30));
}

let toasts;
// toast says something for a few seconds.
export function toast(text, kind = "") {
  if (!toasts) document.body.append((toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" })));
  const one = h("div", { class: `toast ${kind}` }, text);
  toasts.append(one);
  setTimeout(() => one.remove(), kind === "error" ? 9000 : 3500);
}

// dialog shows a modal dialog; build gets a function that closes it.
export function dialog(title, build, { wide } = {}) {
  const box = h("dialog", { class: wide ? "wide" : "", "aria-label": title });
  const close = () => box.close();
  box.append(h("div", { class: "dialog-head" }, h("h2", {}, title), button("Close", close, { icon: "close", quiet: true, kind: "ghost" })), build(close));
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (e) => { if (e.target === box) close(); });
  document.body.append(box);
  box.showModal();
  return box;
}

export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // clipboards want a secure context: plain HTTP off loopback has none
    const area = h("textarea", { class: "offscreen", value: text });
    const held = document.activeElement;
    (document.querySelector("dialog[open]") || document.body).append(area);
    area.focus(); // what has no focus is not copied
    area.select();
    document.execCommand("copy");
    area.remove();
    held?.focus();
  }
  toast(`Copied ${what}`);
}
