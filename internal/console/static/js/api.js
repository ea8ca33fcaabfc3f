// The admin API. A session is a cookie that no script can read; what changes something
// carries the session's CSRF token beside it.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let csrf = "";
export const session = { needed: false, logged_in: true, version: "" };

function took(state) {
  Object.assign(session, { csrf: "" }, state);
  csrf = state.csrf || "";
  return session;
}

// reach knows whether tapway answers, and asks again while it does not.
class Reach extends EventTarget {
  lost = false;

  say(answers) {
    if (this.lost === !answers) return;
    this.lost = !answers;
    this.dispatchEvent(new Event("change"));
    if (this.lost) this.ask(500);
  }

  async ask(wait) {
    await new Promise((done) => setTimeout(done, wait));
    await awake();
    if (!this.lost) return;
    try {
      this.version = (await (await fetch("/healthz", { cache: "no-store" })).json()).version;
      this.say(true);
    } catch {
      this.ask(Math.min(2 * wait, 5000));
    }
  }

  // again waits some milliseconds, or until tapway answers again.
  again(wait) {
    return new Promise((done) => {
      const end = () => { clearTimeout(timer); this.removeEventListener("change", end); done(); };
      const timer = setTimeout(end, wait);
      if (this.lost) this.addEventListener("change", end);
    });
  }
}
export const reach = new Reach();

// awake waits until somebody looks at the page: until then nothing needs to be asked.
export async function awake() {
  while (document.visibilityState === "hidden") await new Promise((done) => document.addEventListener("visibilitychange", done, { once: true }));
}

// hidden gives a signal for when nobody has looked at the page for some milliseconds.
export function hidden(after) {
  const stop = new AbortController();
  let timer;
  const look = () => {
    clearTimeout(timer);
    if (document.visibilityState === "hidden") timer = setTimeout(() => stop.abort(), after);
  };
  document.addEventListener("visibilitychange", look);
  look();
  return { signal: stop.signal, done() { clearTimeout(timer); document.removeEventListener("visibilitychange", look); } };
}

export async function request(path, { method = "GET", body, signal } = {}) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-Tapway-Csrf"] = csrf;
  let resp;
  try {
    resp = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch (err) {
    if (err.name === "AbortError") throw err;
    reach.say(false);
    throw new ApiError(0, "tapway does not answer. Is it still running?");
  }
  reach.say(true);
  if (resp.ok) return resp;
  let message = `${resp.status} ${resp.statusText}`;
  try {
    message = (await resp.json()).message || message;
  } catch { /* not JSON: the status has to do */ }
  if (resp.status === 401 && path !== "/api/v1/session") document.dispatchEvent(new Event("tapway:login"));
  throw new ApiError(resp.status, message);
}

export const json = async (path, options) => (await request(path, options)).json();

// lines reads a stream of JSON lines; a line {"error": …} throws.
export async function* lines(path, options) {
  const resp = await request(path, options);
  const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      rest += value || "";
      const parts = rest.split("\n");
      rest = parts.pop();
      for (const part of parts) {
        if (!part) continue;
        const v = JSON.parse(part);
        if (v.error !== undefined && Object.keys(v).length === 1) throw new ApiError(500, v.error);
        yield v;
      }
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export async function all(path, options) {
  const out = [];
  for await (const v of lines(path, options)) out.push(v);
  return out;
}

export const query = (o) => new URLSearchParams(Object.entries(o).filter(([, v]) => v !== undefined && v !== null && v !== "")).toString();

export const checkSession = async () => took(await json("/api/v1/session"));
export const login = async (token) => took(await json("/api/v1/session", { method: "POST", body: { token } }));
export const logout = async () => took(await json("/api/v1/session", { method: "DELETE" }));

let known;
// place tells what this gateway has; it is asked once.
export const place = () => (known ||= json("/api/v1/place").catch((err) => { known = null; throw err; }));
