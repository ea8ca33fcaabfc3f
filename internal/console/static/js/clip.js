// A recorded request as a command or a program. Redacted values stand as they were recorded:
// whoever pastes it puts their own in.

export const HOP = /^(connection|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade|content-length|host|expect)$/i;

export function parts(d, base) {
  return {
    method: d.method, url: base.replace(/\/$/, "") + d.path + (d.query ? `?${d.query}` : ""),
    headers: d.request.headers.filter(([n]) => !HOP.test(n) && !(d.request.decoded && /^content-encoding$/i.test(n))),
  };
}

const sh = (t) => `'${t.replaceAll("'", `'\\''`)}'`;
const str = (t) => JSON.stringify(t);

export function base64(bytes) {
  let out = "";
  for (let i = 0; i < bytes.length; i += 0x8000) out += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(out);
}

// curl is a command for a shell. All of it is a stranger's: a method may be "A|sh", a body "@file", and a
// control character may end a terminal's paste.
export function curl(p, text, bytes) {
  const method = /^[A-Z]+$/.test(p.method) ? p.method : sh(p.method);
  const out = [`curl -i ${p.method === "GET" ? "" : p.method === "HEAD" ? "-I " : `-X ${method} `}${/[[\]{}]/.test(p.url) ? "-g " : ""}${sh(p.url)}`, ...p.headers.map(([n, v]) => `-H ${sh(`${n}: ${v}`)}`)];
  if (!bytes.length) return out.join(" \\\n  ");
  if (text !== null && !/[\x00-\x08\x0b-\x1f\x7f]/.test(text)) return [...out, `--data-raw ${sh(text)}`].join(" \\\n  ");
  return `echo ${base64(bytes)} | base64 -d | ${[...out, "--data-binary @-"].join(" \\\n  ")}`;
}

export function js(p, text, bytes) {
  const body = !bytes.length ? "" : text !== null ? `\n  body: ${str(text)},` : `\n  body: Uint8Array.from(atob("${base64(bytes)}"), (c) => c.charCodeAt(0)),`;
  return `const response = await fetch(${str(p.url)}, {\n  method: ${str(p.method)},\n  headers: [\n${p.headers.map(([n, v]) => `    [${str(n)}, ${str(v)}],\n`).join("")}  ],${body}\n});\nconsole.log(response.status, await response.text());\n`;
}

export function go(p, text, bytes) {
  const body = !bytes.length ? "nil" : text !== null ? `strings.NewReader(${str(text)})` : `bytes.NewReader([]byte{${[...bytes].join(", ")}})`;
  const pkg = !bytes.length ? [] : text !== null ? ["strings"] : ["bytes"];
  return `package main\n\nimport (\n${[...pkg, "fmt", "io", "log", "net/http"].sort().map((i) => `\t"${i}"\n`).join("")})\n\nfunc main() {\n\treq, err := http.NewRequest(${str(p.method)}, ${str(p.url)}, ${body})\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n${p.headers.map(([n, v]) => `\treq.Header.Add(${str(n)}, ${str(v)})\n`).join("")}\tresp, err := http.DefaultClient.Do(req)\n\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n\tdefer resp.Body.Close()\n\tanswer, err := io.ReadAll(resp.Body)\n\tfmt.Println(resp.Status, string(answer), err)\n}\n`;
}

export function python(p, text, bytes) {
  const body = !bytes.length ? "None" : text !== null ? `${str(text)}.encode()` : `base64.b64decode("${base64(bytes)}")`;
  return `import base64, urllib.request\n\nrequest = urllib.request.Request(${str(p.url)}, method=${str(p.method)}, data=${body})\n${p.headers.map(([n, v]) => `request.add_header(${str(n)}, ${str(v)})\n`).join("")}try:\n    response = urllib.request.urlopen(request)\nexcept urllib.error.HTTPError as error:\n    response = error\nprint(response.status, response.read())\n`;
}

export function raw(d, text, bytes) {
  const body = text !== null ? text : `[${bytes.length} bytes that are no text]`;
  return `${d.method} ${d.path}${d.query ? `?${d.query}` : ""} HTTP/1.1\nHost: ${d.from || ""}\n${d.request.headers.filter(([n]) => !/^host$/i.test(n)).map(([n, v]) => `${n}: ${v}\n`).join("")}\n${bytes.length ? body : ""}`;
}
