// A body, in the forms it can be read in. What was captured is a stranger's: it is text, or
// an image from a blob, never markup.

import { button, copy, h, icon, put, teach } from "./dom.js";
import { size } from "./format.js";
import { request } from "./api.js";
import * as pretty from "./pretty.js";

const LARGE = 300 * 1024; // characters that are arranged without being asked
const MOST = 2 * 1024 * 1024; // characters that are shown at all

// fetchBody gives the bytes of one side, and why they could not be decoded.
export async function fetchBody(id, side, raw = false, signal) {
  const resp = await request(`/api/v1/exchanges/${id}/body/${side}${raw ? "?form=raw" : ""}`, { signal });
  const problem = resp.headers.get("X-Tapway-Decode-Error");
  return { bytes: new Uint8Array(await resp.arrayBuffer()), problem: problem ? decodeURIComponent(problem) : "" };
}

export function code(lines) {
  const pre = h("pre", { class: "code mono", tabindex: "0" });
  for (const line of lines) {
    pre.append(h("span", { class: "line" }, line.map(([c, t]) => (c ? h("span", { class: `t-${c}` }, t) : t)), "\n"));
  }
  return pre;
}

const imageType = (type) => /^image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml|x-icon|vnd\.microsoft\.icon)\b/i.exec(type || "")?.[0];

// bodyView shows one side's body in box; it gives a function that lets go of what it holds.
export function bodyView(box, d, side) {
  const m = d[side];
  const stop = new AbortController();
  let url = "";
  const leave = () => { stop.abort(); if (url) URL.revokeObjectURL(url); };
  if (m.withheld) {
    put(box, h("p", { class: "hint" }, `The body (${size(m.size)}) is withheld: it could not be redacted, or a rule keeps no bodies.`));
    return leave;
  }
  if (!m.kept) {
    put(box, h("p", { class: "hint" }, m.size ? `None of its ${size(m.size)} are recorded.` : "No body."));
    return leave;
  }
  const cut = m.truncated; // what was redacted is shorter than it was, too
  const content = h("div", { class: "content" });
  const tabs = h("div", { class: "forms", role: "group", "aria-label": `Form of the ${side} body` });
  put(box, tabs, content);
  load().catch((err) => { if (err.name !== "AbortError") put(content, teach("error", "The body cannot be read", err.message)); });

  async function load() {
    const plain = await fetchBody(d.id, side, false, stop.signal);
    const text = pretty.utf8(plain.bytes, cut);
    const forms = [];
    const image = imageType(m.type);
    if (image) forms.push(["Image", () => {
      url ||= URL.createObjectURL(new Blob([plain.bytes], { type: image }));
      return h("img", { src: url, class: "captured", alt: `The ${side} body, ${m.type}, ${size(plain.bytes.length)}` });
    }]);
    const arranged = text !== null && text.length <= LARGE ? pretty.best(m.type, text, !cut) : null;
    if (arranged) forms.push([arranged[0], () => code(arranged[1])]);
    if (text !== null) forms.push(["Text", () => code(pretty.plain(text.length > MOST ? `${text.slice(0, MOST)}\n… download the body for the rest` : text))]);
    forms.push(["Hex", () => code(pretty.hex(plain.bytes))]);
    if (m.coding) forms.push(["As sent", async () => code(pretty.hex((await fetchBody(d.id, side, true, stop.signal)).bytes))]);
    const notes = [m.coding ? `${m.coding}: ${size(m.kept)}, decoded ${size(plain.bytes.length)}` : m.decoded ? "stored decoded, after redaction" : "", cut ? `cut off: ${size(m.kept)} of ${size(m.size)} are recorded` : "", plain.problem ? `cannot be decoded: ${plain.problem}` : ""].filter(Boolean);

    async function choose(i) {
      [...tabs.querySelectorAll(".form")].forEach((b, n) => b.setAttribute("aria-pressed", String(n === i)));
      put(content, await forms[i][1]());
    }
    put(tabs, forms.map(([name], i) => h("button", { type: "button", class: "form", "aria-pressed": "false", onclick: () => choose(i) }, name)), h("span", { class: "hint" }, notes.join(" · ")), h("span", { class: "grow" }),
      text !== null ? button("Copy the body", () => copy(text, "the body"), { icon: "copy", quiet: true, kind: "ghost" }) : null,
      h("a", { class: "btn only ghost", href: `/api/v1/exchanges/${d.id}/body/${side}`, download: "", "aria-label": "Download the body", title: "Download the body" }, icon("download")));
    await choose(0);
  }
  return leave;
}

