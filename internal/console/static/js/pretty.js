// Readable forms of bodies. Everything here gives lines of [class, text] pairs, never markup:
// JSON keeps its numbers as they were written, and damage is shown as it stands.

// json arranges a JSON text; null if it is not one. A body that was cut off shows what there is.
export function json(text, whole = true) {
  const token = /\s+|("(?:[^"\\]|\\.)*")|(-?\d[\d.eE+-]*)|(true|false|null)|([{}[\],:])/y;
  const out = [];
  let line = [];
  let depth = 0;
  const stack = [];
  let key = false;
  let empty = false;
  const end = () => { out.push(line); line = depth ? [["", "  ".repeat(depth)]] : []; };
  let at = 0;
  while (at < text.length) {
    token.lastIndex = at;
    const m = token.exec(text);
    if (!m) {
      if (whole) return null;
      line.push(["damage", text.slice(at)]);
      break;
    }
    at = token.lastIndex;
    const [, string, number, word, mark] = m;
    if (string !== undefined) {
      const redacted = string.includes("[REDACTED");
      line.push([redacted ? "redacted" : key && stack.at(-1) === "{" ? "key" : "string", string]);
    } else if (number !== undefined) line.push(["number", number]);
    else if (word !== undefined) line.push(["word", word]);
    else if (mark === "{" || mark === "[") {
      line.push(["", mark]);
      stack.push(mark);
      depth++;
      const close = /\s*[}\]]/y;
      close.lastIndex = at;
      empty = close.test(text);
      key = mark === "{";
      if (!empty) end();
    } else if (mark === "}" || mark === "]") {
      if (stack.pop() !== (mark === "}" ? "{" : "[")) return null;
      depth--;
      if (!empty) end();
      empty = false;
      line.push(["", mark]);
    } else if (mark === ",") {
      line.push(["", ","]);
      key = stack.at(-1) === "{";
      end();
    } else if (mark === ":") {
      line.push(["", ": "]);
      key = false;
    }
  }
  if (whole && stack.length) return null;
  out.push(line);
  return out;
}

const VOID = /^(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr)$/i;

// markup arranges XML or HTML by its tags.
export function markup(text) {
  const out = [];
  let depth = 0;
  const pad = () => ["", "  ".repeat(Math.max(0, depth))];
  for (const m of text.matchAll(/<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>|<(script|style)\b[^]*?<\/\1\s*>|<[^>]*>|[^<]+|</gi)) {
    const part = m[0].trim();
    if (!part) continue;
    if (!part.startsWith("<")) { out.push([pad(), ["", part.replace(/\s+/g, " ")]]); continue; }
    if (part.startsWith("<!") || part.startsWith("<?") || m[1]) {
      for (const l of part.split("\n")) out.push([pad(), [m[1] ? "" : "comment", l]]);
      continue;
    }
    if (part.startsWith("</")) depth--;
    out.push([pad(), ...tag(part)]);
    const name = /^<([\w:-]+)/.exec(part);
    if (name && !part.endsWith("/>") && !VOID.test(name[1])) depth++;
  }
  return join(out);
}

function tag(part) {
  const m = /^(<\/?[\w:.-]*)([^]*?)(\/?>)$/.exec(part);
  if (!m) return [["damage", part]];
  const out = [["key", m[1]]];
  for (const a of m[2].matchAll(/(\s+[^\s=]+)(\s*=\s*)?("[^"]*"|'[^']*'|[^\s"']+)?|\s+/g)) {
    if (!a[1]) continue;
    out.push(["word", a[1].replace(/\s+/g, " ")]);
    if (a[2]) out.push(["", "="]);
    if (a[3]) out.push([a[3].includes("[REDACTED") ? "redacted" : "string", a[3]]);
  }
  out.push(["key", m[3]]);
  return out;
}

// join puts <a>, text and </a> on one line where they are short.
function join(list) {
  const out = [];
  for (let i = 0; i < list.length; i++) {
    const [a, b, c] = [list[i], list[i + 1], list[i + 2]];
    if (b && c && b.length === 2 && b[1][0] === "" && c[1][1].startsWith("</") && !a[1][1].startsWith("</") && a[1][0] === "key" && b[1][1].length < 80) {
      out.push([...a, b[1], ...c.slice(1)]);
      i += 2;
    } else out.push(list[i]);
  }
  return out;
}

// form lists the fields of an urlencoded form.
export function form(text) {
  return text.split("&").map((pair) => {
    const [name, ...value] = pair.split("=");
    const plain = (t) => { try { return decodeURIComponent(t.replace(/\+/g, " ")); } catch { return t; } };
    const v = plain(value.join("="));
    return [["key", plain(name)], ["", " = "], [v.includes("[REDACTED") ? "redacted" : "string", v]];
  });
}

// hex shows offset, bytes and characters, sixteen to a line.
export function hex(bytes, most = 65536) {
  const out = [];
  for (let at = 0; at < Math.min(bytes.length, most); at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const pairs = row.map((b) => b.toString(16).padStart(2, "0"));
    out.push([["comment", at.toString(16).padStart(8, "0")], ["", `  ${pairs.slice(0, 8).join(" ").padEnd(23)}  ${pairs.slice(8).join(" ").padEnd(23)}  `],
      ["string", row.map((b) => (b >= 32 && b < 127 ? String.fromCharCode(b) : "·")).join("")]]);
  }
  if (bytes.length > most) out.push([["comment", `… ${bytes.length - most} more bytes: download the body to see them`]]);
  return out;
}

export const plain = (text) => text.split("\n").map((l) => [["", l]]);

// utf8 is the text of bytes, null if they are not text.
export function utf8(bytes, cut = false) {
  try {
    const text = new TextDecoder("utf-8", { fatal: !cut }).decode(bytes);
    return /[\0-\x08\x0e-\x1a\x1c-\x1f]/.test(text.slice(0, 4096)) ? null : text;
  } catch {
    return null;
  }
}

// best chooses the form for a body: [name, lines].
export function best(type, text, whole) {
  const kind = (type || "").split(";")[0].trim().toLowerCase();
  if (/[/+]json$/.test(kind) || (!kind && /^\s*[{[]/.test(text))) {
    const lines = json(text, whole);
    if (lines) return ["JSON", lines];
  }
  if (/[/+]xml$|html/.test(kind)) return [/html/.test(kind) ? "HTML" : "XML", markup(text)];
  if (kind === "application/x-www-form-urlencoded" && text) return ["Form", form(text)];
  return null;
}
