package apitest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestBuild(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, again := newWorld(t), newWorld(t)
			again.Now = w.Now
			n := 1 + int(seed)
			api := w.BuildREST(rand.New(rand.NewPCG(seed, 1)), n)
			if got := len(w.REST(api).Methods()); got != n {
				t.Errorf("a REST API with %d methods, want %d", got, n)
			}
			if len(w.Export(api, "prod")) == 0 {
				t.Error("prod has no export")
			}
			h := w.BuildHTTP(rand.New(rand.NewPCG(seed, 2)), n)
			if got := len(w.HTTP(h).Routes); got < n {
				t.Errorf("an HTTP API with %d routes, want %d", got, n)
			}
		})
	}
}
