package access

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// GitHubHooks is the name of the addresses that GitHub's webhooks come from, wherever a list of
// networks can hold a named set.
const GitHubHooks = "github-hooks"

// GitHubMeta is where GitHub publishes its addresses.
const GitHubMeta = "https://api.github.com/meta"

//go:embed githubhooks.json
var bundledHooks []byte

// HookRanges are the networks of GitHub's webhooks at a date.
type HookRanges struct {
	Source string   `json:"source"`
	Date   string   `json:"date"` // 2026-01-17
	Hooks  []string `json:"hooks"`
}

// BundledHookRanges are those that this version was built with.
func BundledHookRanges() HookRanges {
	ranges, err := parseHookRanges(bundledHooks)
	if err != nil {
		panic("access: " + err.Error())
	}
	return ranges
}

func parseHookRanges(text []byte) (HookRanges, error) {
	var r HookRanges
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	_, err := r.set()
	return r, err
}

const (
	maxMeta   = 4 << 20 // bytes of GitHub's document
	maxRanges = 1000
)

// set checks the ranges. One that is wider than anybody's own network would open the door to
// everybody, whoever published it.
func (r HookRanges) set() (*Set, error) {
	if len(r.Hooks) == 0 || len(r.Hooks) > maxRanges {
		return nil, fmt.Errorf("%d networks under \"hooks\", which cannot be right", len(r.Hooks))
	}
	prefixes := make([]netip.Prefix, len(r.Hooks))
	for i, text := range r.Hooks {
		p, err := ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		if least := map[bool]int{true: 12, false: 24}[p.Addr().Unmap().Is4()]; p.Bits() < least || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%s is too wide to be GitHub's alone", p)
		}
		prefixes[i] = p
	}
	return NewSet(prefixes...), nil
}

// FetchHookRanges reads the ranges as GitHub publishes them at url.
func FetchHookRanges(ctx context.Context, client *http.Client, url string, now time.Time) (HookRanges, error) {
	text, _, err := fetch(ctx, client, url, maxMeta)
	if err != nil {
		return HookRanges{}, err
	}
	r, err := parseHookRanges(text)
	if err != nil {
		return HookRanges{}, fmt.Errorf("%s: %w", url, err)
	}
	r.Source, r.Date = url, now.UTC().Format(time.DateOnly)
	return r, nil
}

// fetch gets a document of bounded size. Redirects are errors: they would lead where nobody
// configured.
func fetch(ctx context.Context, client *http.Client, url string, limit int64) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "tapway")
	bound := *client
	bound.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := bound.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: answered %s", url, res.Status)
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	if int64(len(text)) > limit {
		return nil, nil, fmt.Errorf("%s: longer than %d bytes", url, limit)
	}
	return text, res.Header, nil
}

// Write puts the ranges into a file, which a running tapway takes up within HookLook.
func (r HookRanges) Write(file string) error {
	if _, err := r.set(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = replaceFile(file, text)
	}
	if err != nil {
		return fmt.Errorf("write GitHub's addresses: %w", err)
	}
	return nil
}

// HookLook is how often a HookFile looks whether its file has changed.
const HookLook = 30 * time.Second

// HookFile is the ranges of a file, or the bundled ones as long as there is none. Make one with
// OpenHookFile.
type HookFile struct {
	file   string // "" is none
	log    *slog.Logger
	ranges atomic.Pointer[hookSet]

	mu     sync.Mutex
	looked time.Time
	seen   fileStamp
}

type hookSet struct {
	*Set
	HookRanges
}

// OpenHookFile reads file; on Lambda there is none.
func OpenHookFile(file string, log *slog.Logger) (*HookFile, error) {
	if log == nil {
		log = slog.Default()
	}
	f := &HookFile{file: file, log: log}
	return f, f.reload()
}

func (f *HookFile) reload() error {
	f.seen = stampOf(f.file)
	ranges := BundledHookRanges()
	if f.file != "" {
		text, err := os.ReadFile(f.file)
		if err == nil {
			ranges, err = parseHookRanges(text)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read GitHub's addresses, %s: %w; write it anew with `tapway access refresh github-hooks`, or remove it", f.file, err)
		}
	}
	set, err := ranges.set()
	if err == nil {
		f.ranges.Store(&hookSet{set, ranges})
	}
	return err
}

func stampOf(file string) fileStamp {
	info, err := os.Stat(file)
	if err != nil {
		return fileStamp{}
	}
	return fileStamp{info.Size(), info.ModTime()}
}

// Contains reports whether GitHub's webhooks come from addr.
func (f *HookFile) Contains(addr netip.Addr) bool { return f.ranges.Load().Contains(addr) }

// Ranges are those in force.
func (f *HookFile) Ranges() HookRanges { return f.ranges.Load().HookRanges }

// tend reads the file again when it has changed. What cannot be read changes nothing.
func (f *HookFile) tend(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if since := now.Sub(f.looked); f.file == "" || since >= 0 && since < HookLook {
		return
	}
	f.looked = now
	if stampOf(f.file) == f.seen {
		return
	}
	if err := f.reload(); err != nil {
		f.log.Error("the addresses of GitHub's webhooks stay what they were", "err", err)
		return
	}
	f.log.Info("addresses of GitHub's webhooks read again", "date", f.Ranges().Date, "networks", len(f.Ranges().Hooks))
}

// Origins are the addresses that a webhook may come from.
type Origins struct {
	Set   *Set
	Hooks *HookFile // nil: none
}

// Contains reports whether addr is among them. An address that is not known is not.
func (o *Origins) Contains(addr netip.Addr) bool {
	return o.Set.Contains(addr) || o.Hooks != nil && addr.IsValid() && o.Hooks.Contains(addr)
}

// Tend is Tender: it takes up GitHub's addresses where one of the webhooks goes by them.
func (w *Webhooks) Tend(_ context.Context, now time.Time) {
	tend := func(hook *Webhook) {
		if hook != nil && hook.from != nil && hook.from.Hooks != nil {
			hook.from.Hooks.tend(now)
		}
	}
	tend(w.Webhook)
	if w.Rules != nil {
		for i := range w.Rules.List {
			tend(w.Rules.List[i].Webhook)
		}
	}
}
