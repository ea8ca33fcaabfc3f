package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/proxy"
)

// oneBackend is a Router for everything below /api.
type oneBackend struct {
	host    string
	backend *proxy.Backend
}

func (o oneBackend) Route(_ *http.Request, path, query string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return proxy.Hop{}, &proxy.Refusal{Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	}
	return proxy.Hop{
		Route: "ANY /api/{proxy+}", Backend: o.backend,
		Scheme: "http", Host: o.host, Path: "/v1/" + rest, Query: query, HasQuery: hasQuery,
		BackendBase: "/v1", PublicBase: "/api",
	}, nil
}

func ExampleHandler() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the backend got %s", r.RequestURI)
	}))
	defer api.Close()
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()

	handler := proxy.New(proxy.Settings{
		Router: oneBackend{api.Listener.Addr().String(), &proxy.Backend{
			Transport: proxy.NetHTTP(transport),
			Timeout:   11 * time.Second,
		}},
		Log: slog.New(slog.DiscardHandler),
	})
	front := httptest.NewServer(handler)
	defer front.Close()

	for _, path := range []string{"/api/users/a%2Fb?x", "/elsewhere"} {
		res, err := http.Get(front.URL + path)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(res.StatusCode, string(body))
	}
	http.DefaultClient.CloseIdleConnections()
	// Output:
	// 200 the backend got /v1/users/a%2Fb?x
	// 403 {"message":"Missing Authentication Token"}
}
