package console_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// browser is a headless Chromium with one page, driven over its DevTools protocol.
type browser struct {
	t    *testing.T
	conn *websocket.Conn

	session string // of the page

	mu      sync.Mutex
	last    int
	answers map[int]chan answer
	said    []string // console messages and exceptions, CSP reports among them
}

type answer struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// newBrowser starts Chromium. Where there is none the test is left out, except where
// TAPWAY_BROWSER=required says that there must be one.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		if os.Getenv("TAPWAY_BROWSER") == "required" {
			t.Fatal("no Chromium here: install Debian's package chromium")
		}
		t.Skip("no Chromium here: install Debian's package chromium to drive the console")
	}
	dir, err := os.MkdirTemp("", "tapway-browser-*")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
		"--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0", "--user-data-dir="+dir, "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		cmd.Wait()
		for range 20 { // its children write a moment longer
			if os.RemoveAll(dir) == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	b := &browser{t: t, answers: map[int]chan answer{}}
	var port []byte
	b.eventually("Chromium to listen", func() bool {
		port, err = os.ReadFile(filepath.Join(dir, "DevToolsActivePort"))
		return err == nil && strings.Count(string(port), "\n") > 0
	})
	lines := strings.Split(strings.TrimSpace(string(port)), "\n")
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:"+lines[0]+lines[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(64 << 20)
	b.conn = conn
	var session string
	go b.read(ctx)
	target := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"})
	session = b.call("", "Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})["sessionId"].(string)
	b.session = session
	for _, domain := range []string{"Page", "Runtime", "Log", "Audits"} {
		b.do(domain+".enable", nil)
	}
	return b
}

func (b *browser) read(ctx context.Context) {
	for {
		_, text, err := b.conn.Read(ctx)
		if err != nil {
			return
		}
		var m struct {
			ID     int
			Method string
			Params json.RawMessage
			answer
		}
		if json.Unmarshal(text, &m) != nil {
			continue
		}
		b.mu.Lock()
		switch {
		case m.ID != 0:
			if c := b.answers[m.ID]; c != nil {
				c <- m.answer
			}
		case m.Method == "Runtime.exceptionThrown" || m.Method == "Log.entryAdded" && strings.Contains(string(m.Params), `"level":"error"`) ||
			m.Method == "Audits.issueAdded" && strings.Contains(string(m.Params), "ContentSecurityPolicy"):
			b.said = append(b.said, m.Method+" "+string(m.Params))
		}
		b.mu.Unlock()
	}
}

func (b *browser) call(session, method string, params map[string]any) map[string]any {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	got := make(chan answer, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.answers[id] = got
	b.mu.Unlock()
	m := map[string]any{"id": id, "method": method}
	if params != nil {
		m["params"] = params
	}
	if session != "" {
		m["sessionId"] = session
	}
	text, err := json.Marshal(m)
	if err == nil {
		err = b.conn.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case a := <-got:
		if a.Error != nil {
			b.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		out := map[string]any{}
		if err := json.Unmarshal(a.Result, &out); err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		return out
	case <-ctx.Done():
		b.t.Fatalf("%s: no answer", method)
	}
	return nil
}

// do asks the page.
func (b *browser) do(method string, params map[string]any) map[string]any {
	b.t.Helper()
	return b.call(b.session, method, params)
}

// js evaluates an expression, waiting for a promise, and gives its JSON value.
func (b *browser) js(expr string) any {
	b.t.Helper()
	got := b.do("Runtime.evaluate", map[string]any{"expression": expr, "returnByValue": true, "awaitPromise": true, "userGesture": true})
	if e, ok := got["exceptionDetails"]; ok {
		b.t.Fatalf("%s: %v", expr, e)
	}
	return got["result"].(map[string]any)["value"]
}

// until waits for an expression to be true; one that throws, as of an element that is not there
// yet, is not.
func (b *browser) until(what, expr string) {
	b.t.Helper()
	b.eventually(what+" ("+expr+")", func() bool {
		return b.js("(() => { try { return Boolean("+expr+"); } catch { return false; } })()") == true
	})
}

func (b *browser) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			if b.conn != nil {
				b.shoot("failed")
				b.t.Fatalf("waited in vain for %s\nthe page: %v\nit said: %v", what, b.js("document.body.innerText.slice(0, 3000)"), b.messages())
			}
			b.t.Fatalf("waited in vain for %s", what)
		}
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.do("Page.navigate", map[string]any{"url": url})
}

// click clicks the middle of the first element that a selector finds, as a mouse does. Where the element had moved away
// before the click came, it is clicked again.
func (b *browser) click(selector string) {
	b.t.Helper()
	b.eventually("a click on "+selector, func() bool {
		at, ok := b.js(fmt.Sprintf(`(() => {
			const selector = %q, e = document.querySelector(selector);
			if (!e) return null;
			e.scrollIntoView({ block: "center" });
			const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
			if (!e.contains(document.elementFromPoint(x, y))) return null;
			window.clicked = false;
			// What is clicked may by then be another element in e's place: the page was drawn anew.
			document.addEventListener("click", (click) => { window.clicked = click.target.closest(selector) !== null; }, { once: true, capture: true });
			return [x, y];
		})()`, selector)).([]any)
		if !ok {
			return false
		}
		for _, kind := range []string{"mousePressed", "mouseReleased"} {
			b.do("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1})
		}
		return b.js(`window.clicked !== false`) == true // another page knows nothing of it
	})
}

// key presses a key; one that makes a character types it.
func (b *browser) key(key string) {
	b.t.Helper()
	down := map[string]any{"type": "keyDown", "key": key}
	if len(key) == 1 {
		down["text"] = key
	} else if key == "Enter" {
		down["text"], down["windowsVirtualKeyCode"] = "\r", 13
	}
	b.do("Input.dispatchKeyEvent", down)
	b.do("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key})
}

func (b *browser) typeText(text string) {
	b.t.Helper()
	b.do("Input.insertText", map[string]any{"text": text})
}

// look sets the theme that the system prefers, and the window's size.
func (b *browser) look(theme string, width, height int) {
	b.t.Helper()
	b.do("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": theme}}})
	b.do("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 720})
}

// shoot keeps a picture in $TAPWAY_SCREENSHOTS, if that is set, and among those of the documents, if they have it.
func (b *browser) shoot(name string) {
	b.t.Helper()
	if dir := os.Getenv("TAPWAY_SCREENSHOTS"); dir != "" {
		b.picture(filepath.Join(dir, name+".png"))
	}
	if *pictures && documented[name] != "" {
		b.picture(filepath.Join(images, documented[name]))
	}
}

// picture writes what is in sight to a file.
func (b *browser) picture(file string) {
	b.t.Helper()
	got := b.do("Page.captureScreenshot", map[string]any{"format": "png"})
	png, err := base64.StdEncoding.DecodeString(got["data"].(string))
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

func (b *browser) messages() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.said...)
}
