package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// browser is a headless Chromium that is told what to open over HTTP.
type browser struct {
	base string
	cmd  *exec.Cmd
	dir  string
}

func startBrowser() (*browser, error) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		return nil, err
	}
	b := &browser{}
	if b.dir, err = os.MkdirTemp("", "tapway-bench-browser-*"); err != nil {
		return nil, err
	}
	b.cmd = exec.Command(path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions", // #nosec G204 -- the system's own
		"--disable-background-networking", "--disable-component-update", "--window-size=1440,900", "--remote-debugging-port=0", "--user-data-dir="+b.dir, "about:blank")
	b.cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_RUNTIME_DIR="+b.dir)
	if err := b.cmd.Start(); err != nil {
		b.stop()
		return nil, err
	}
	for range 400 {
		text, err := os.ReadFile(filepath.Join(b.dir, "DevToolsActivePort"))
		if port, _, whole := strings.Cut(string(text), "\n"); err == nil && whole {
			b.base = "http://127.0.0.1:" + port
			return b, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	b.stop()
	return nil, errors.New("it does not listen")
}

func (b *browser) stop() {
	if b.cmd.Process != nil {
		b.cmd.Process.Kill()
		b.cmd.Wait()
	}
	for range 20 { // its children write a moment longer
		if os.RemoveAll(b.dir) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// ask asks a browser's own HTTP interface.
func (b *browser) ask(method, path string, answer any) error {
	req, err := http.NewRequest(method, b.base+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	return err
}

// open opens a page of the console, waits until it is there, and gives what closes it.
func (b *browser) open(url string) (stop func(), err error) {
	var page struct{ ID, Title string }
	if err := b.ask(http.MethodPut, "/json/new?"+url, &page); err != nil {
		return nil, err
	}
	stop = func() { b.ask(http.MethodGet, "/json/close/"+page.ID, nil) }
	for range 100 {
		var all []struct{ ID, Title string }
		if err := b.ask(http.MethodGet, "/json/list", &all); err != nil {
			return stop, err
		}
		for _, one := range all {
			if one.ID == page.ID && strings.HasPrefix(one.Title, "Traffic") {
				return stop, nil
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	stop()
	return func() {}, fmt.Errorf("the browser does not show %s", url)
}
