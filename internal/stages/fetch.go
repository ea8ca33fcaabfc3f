package stages

import (
	"net/http"
	"time"

	"github.com/tapway/tapway/internal/egress"
)

// FetchTimeout bounds the fetching of one document, such as an identity provider's keys.
const FetchTimeout = 5 * time.Second

// FetchClient gets documents through way. The hosts of urls are the configuration's; one that a
// document names is a stranger's. Connections are not kept: it is used once in an hour.
func FetchClient(way *egress.Dialer, urls ...string) *http.Client {
	return &http.Client{
		Timeout: FetchTimeout,
		Transport: &http.Transport{
			DialContext: way.For(egress.URLs(urls...)), DisableKeepAlives: true, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: FetchTimeout, MaxResponseHeaderBytes: 64 << 10,
		},
	}
}
