package app

import (
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(tidy{m}) }

// tidy lets go of the connections that http.Get keeps before leaks are looked for.
type tidy struct{ *testing.M }

func (m tidy) Run() int {
	code := m.M.Run()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	return code
}
