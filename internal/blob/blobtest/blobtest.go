// Package blobtest is the contract of [tapway.BlobStore]: every engine runs it, and every
// case says why it matters.
//
// What a newcomer gets wrong: keys come from us (a prefix and a UUID) but also from pointers
// that strangers put into a queue, so no key may reach outside the store.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tapway/tapway"
)

// Body makes n bytes that differ with seed and are neither text nor compressible.
func Body(n int, seed byte) []byte {
	b := make([]byte, n)
	x := uint32(seed)*2654435761 + 1
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

// Test runs the contract. open makes an empty store and closes it with t.Cleanup.
func Test(t *testing.T, open func(t *testing.T) tapway.BlobStore) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Log(c.why)
			c.run(fixture{t, open(t)})
		})
	}
}

type blobCase struct {
	name string
	why  string
	run  func(f fixture)
}

type fixture struct {
	*testing.T
	s tapway.BlobStore
}

func (f fixture) put(key string, body []byte) {
	f.Helper()
	if err := f.s.Put(f.Context(), key, body); err != nil {
		f.Fatal(err)
	}
}

func (f fixture) want(key string, body []byte) {
	f.Helper()
	got, err := f.s.Get(f.Context(), key)
	if err != nil {
		f.Fatal(err)
	}
	if !bytes.Equal(got, body) {
		f.Fatalf("%q: got %d bytes that are not the %d that were put", key, len(got), len(body))
	}
}

func (f fixture) wantNone(key string) {
	f.Helper()
	if got, err := f.s.Get(f.Context(), key); !errors.Is(err, tapway.ErrNotFound) {
		f.Fatalf("%q: %d bytes, error %v; want not found", key, len(got), err)
	}
}

const uuid = "0198c2f0-5b1e-7abc-8def-001122334455"

var cases = []blobCase{
	{"whole", "what comes out is what went in, whatever its size and bytes", func(f fixture) {
		for i, size := range []int{0, 1, 255, 4096, 300 << 10, 5<<20 + 1} {
			key := fmt.Sprintf("records/%d", size)
			f.put(key, Body(size, byte(i)))
			f.want(key, Body(size, byte(i)))
		}
	}},
	{"keys", "keys are told apart, however alike they look, and one is no folder of another", func(f fixture) {
		keys := []string{
			uuid, "a", "A", "a/b", "a/b/c", "a.b", "a/" + uuid, "a-b_c.d", "x/.hidden", "a/b.tmp", "%41",
			"tilde~", "a~/b", strings.Repeat("p/", 400) + uuid, strings.Repeat("k", 1000), strings.Repeat("k", 999) + "l",
		}
		for i, k := range keys {
			f.put(k, Body(10+i, byte(i)))
		}
		for i, k := range keys {
			f.want(k, Body(10+i, byte(i)))
		}
	}},
	{"replace", "the last Put wins as a whole, longer or shorter", func(f fixture) {
		for i, size := range []int{100, 10, 1000} {
			f.put(uuid, Body(size, byte(i)))
			f.want(uuid, Body(size, byte(i)))
		}
	}},
	{"missing", "a caller can tell that there is nothing from a failure", func(f fixture) {
		f.wantNone(uuid)
		f.wantNone("no/such/folder/" + uuid)
		f.put("a/b", []byte("x"))
		f.wantNone("a")
		f.wantNone("a/")
		f.wantNone("a/b/c")
	}},
	{"delete", "a delete that is tried again is no error", func(f fixture) {
		f.put("a/"+uuid, []byte("x"))
		f.put("a/other", []byte("y"))
		for range 2 {
			if err := f.s.Delete(f.Context(), "a/"+uuid); err != nil {
				f.Fatal(err)
			}
			f.wantNone("a/" + uuid)
		}
		f.want("a/other", []byte("y"))
		if err := f.s.Delete(f.Context(), "no/such/folder"); err != nil {
			f.Fatal(err)
		}
	}},
	{"list", "what is left of a prefix can be found again, all of it and nothing else", func(f fixture) {
		l, ok := f.s.(tapway.BlobLister)
		if !ok {
			f.Fatal("it cannot list")
		}
		list := func(prefix string) (keys []string) {
			f.Helper()
			for key, err := range l.List(f.Context(), prefix) {
				if err != nil {
					f.Fatal(err)
				}
				keys = append(keys, key)
			}
			slices.Sort(keys)
			return keys
		}
		if got := list(""); len(got) != 0 {
			f.Errorf("an empty store lists %q", got)
		}
		all := []string{"other/" + uuid, "spill", "spill.b", "spill/B/2026/01/02/" + uuid + ".json", "spill/a/2026/01/02/x y%&+.json", "spill/a/é.json", "spillage/x"}
		for _, key := range all {
			f.put(key, []byte(key))
		}
		for prefix, want := range map[string][]string{
			"": all, "spill/": all[3:6], "spill/a/": all[4:6], "spill": all[1:], "spill/B/2026/01/0": all[3:4], "nothing/": nil, all[5]: all[5:6],
		} {
			if got := list(prefix); !slices.Equal(got, want) {
				f.Errorf("%q: listed %q, want %q", prefix, got, want)
			}
		}
		for range l.List(f.Context(), "") {
			break // whoever has seen enough is not told more
		}
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		for key, err := range l.List(ctx, "") {
			if !errors.Is(err, context.Canceled) {
				f.Errorf("told to stop: %q, %v", key, err)
			}
		}
	}},
	{"long list", "more than one page of S3's is listed whole", func(f fixture) {
		const n = 1005
		for i := range n {
			f.put(fmt.Sprintf("p/%04d", i), nil)
		}
		seen := map[string]bool{}
		for key, err := range f.s.(tapway.BlobLister).List(f.Context(), "p/") {
			if err != nil {
				f.Fatal(err)
			}
			seen[key] = true
		}
		if len(seen) != n {
			f.Errorf("listed %d of %d", len(seen), n)
		}
	}},
	{"no key", "an empty key is a mistake of the caller", func(f fixture) {
		if err := f.s.Put(f.Context(), "", []byte("x")); err == nil {
			f.Error("Put took it")
		}
		if _, err := f.s.Get(f.Context(), ""); err == nil || errors.Is(err, tapway.ErrNotFound) {
			f.Errorf("Get: %v", err)
		}
		if err := f.s.Delete(f.Context(), ""); err == nil {
			f.Error("Delete took it")
		}
	}},
	{"own copy", "the caller may use its bytes again, and change what it got", func(f fixture) {
		b := Body(5000, 1)
		f.put(uuid, b)
		clear(b)
		got, err := f.s.Get(f.Context(), uuid)
		if err != nil {
			f.Fatal(err)
		}
		clear(got)
		f.want(uuid, Body(5000, 1))
	}},
	{"context", "who is told to stop stores nothing", func(f fixture) {
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		if err := f.s.Put(ctx, uuid, []byte("x")); !errors.Is(err, context.Canceled) {
			f.Errorf("Put: %v", err)
		}
		f.wantNone(uuid)
		f.put(uuid, []byte("x"))
		if _, err := f.s.Get(ctx, uuid); !errors.Is(err, context.Canceled) {
			f.Errorf("Get: %v", err)
		}
		if err := f.s.Delete(ctx, uuid); !errors.Is(err, context.Canceled) {
			f.Errorf("Delete: %v", err)
		}
		f.want(uuid, []byte("x"))
	}},
	{"concurrent", "who reads while others write sees one body or the other, never parts of both", func(f fixture) {
		f.put(uuid, bytes.Repeat([]byte{0}, 50_000))
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for range 5 {
					if err := f.s.Put(f.Context(), uuid, bytes.Repeat([]byte{byte(w)}, 50_000+w)); err != nil {
						f.Error(err)
					}
				}
			})
			wg.Go(func() {
				for range 10 {
					got, err := f.s.Get(f.Context(), uuid)
					if err != nil || len(got) < 50_000 || len(got) != 50_000+int(got[0]) || bytes.Count(got, got[:1]) != len(got) {
						f.Errorf("torn: %d bytes, error %v", len(got), err)
						return
					}
				}
			})
		}
		wg.Wait()
	}},
}
