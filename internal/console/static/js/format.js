// How numbers, times and sizes are written.

export const num = (n) => Number(n || 0).toLocaleString("en-US");

export function ms(v) {
  if (v === undefined || v === null) return "–";
  if (v > 0 && v < 0.0005) return "< 1 µs";
  if (v < 1) return `${(v * 1000).toFixed(0)} µs`;
  if (v < 10) return `${v.toFixed(1)} ms`;
  if (v < 1000) return `${v.toFixed(0)} ms`;
  if (v < 60000) return `${(v / 1000).toFixed(v < 10000 ? 2 : 1)} s`;
  return `${Math.floor(v / 60000)}m ${Math.round((v % 60000) / 1000)}s`;
}

export function size(n) {
  if (!n) return "0 B";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return `${i === 0 || n >= 100 ? n.toFixed(0) : n.toFixed(1)} ${units[i]}`;
}

const two = (n) => String(n).padStart(2, "0");
export function clock(text) {
  const d = new Date(text);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}.${String(d.getMilliseconds()).padStart(3, "0")}`;
}

export const full = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function ago(text) {
  if (!text || text.startsWith("0001-")) return "never";
  const sec = (Date.now() - new Date(text)) / 1000;
  return sec < 1.5 ? "just now" : `${span(sec)} ago`;
}

export function span(sec) {
  if (sec < 90) return `${Math.round(sec)} s`;
  if (sec < 3570) return `${Math.round(sec / 60)} min`;
  if (sec < 129600) return `${+(sec / 3600).toFixed(1)} h`;
  return `${+(sec / 86400).toFixed(1)} days`;
}

// statusClass is the colour of a status: s2 … s5, s0 when the client left before there was one.
export const statusClass = (n) => `s${n >= 100 && n < 600 ? Math.floor(n / 100) : 0}`;

export const plural = (n, word) => `${num(n)} ${word}${n === 1 ? "" : "s"}`;
