package lambdaapp

import (
	"testing"

	"github.com/tapway/tapway/internal/config"
)

// Every variable of the older systems, in every form that their values have.
func TestOlderValues(t *testing.T) {
	backend := func(c *config.Config) any { return c.Backend }
	filtered := func(c *config.Config) any { return c.Proxy.FilteredPaths }
	noHeaders := func(c *config.Config) any { return c.Proxy.NoHeaders }
	quota := func(c *config.Config) any { return int64(c.Proxy.MaxResponse) }
	timeout := func(c *config.Config) any { return c.Proxy.Timeout }
	for _, tt := range []struct {
		set  []string
		of   func(*config.Config) any
		want any
	}{
		{[]string{"REMOTE_URL=https://api.internal"}, backend, "https://api.internal"},
		{[]string{"REMOTE_URL=http://10.0.0.1:8080/base/"}, backend, "http://10.0.0.1:8080/base/"},
		{[]string{"URL=https://api.internal"}, backend, "https://api.internal"},
		{[]string{"URL=https://url", "REMOTE_URL=https://remote"}, backend, "https://remote"},
		{[]string{"REMOTE_URL=https://remote", "TAPWAY_BACKEND=https://own"}, backend, "https://own"},
		{[]string{"URL=https://url", "TAPWAY_BACKEND=https://own"}, backend, "https://own"},
		{[]string{"FILTERED_PATH=/foobar"}, filtered, "[/foobar]"},
		{[]string{"FILTERED_PATH=/foobar|/baz"}, filtered, "[/foobar /baz]"},
		{[]string{"FILTERED_PATH=foobar|"}, filtered, "[foobar ]"}, // the filter ignores an empty one
		{[]string{"FILTERED_PATH="}, filtered, "[]"},
		{[]string{"NO_HEADERS=1"}, noHeaders, true},
		{[]string{"NO_HEADERS=true"}, noHeaders, true},
		{[]string{"NO_HEADERS=True"}, noHeaders, true},
		{[]string{"NO_HEADERS=yes"}, noHeaders, true},
		{[]string{"NO_HEADERS=Y"}, noHeaders, true},
		{[]string{"NO_HEADERS= on "}, noHeaders, true},
		{[]string{"NO_HEADERS="}, noHeaders, false},
		{[]string{"NO_HEADERS=0"}, noHeaders, false},
		{[]string{"NO_HEADERS=False"}, noHeaders, false},
		{[]string{"NO_HEADERS=no"}, noHeaders, false},
		{[]string{"PAYLOAD_QUOTA=5242880"}, quota, 5 << 20},
		{[]string{"PAYLOAD_QUOTA=5242880.0"}, quota, 5 << 20},
		{[]string{"PAYLOAD_QUOTA= 100 "}, quota, 100},
		{[]string{"PAYLOAD_QUOTA=5MiB"}, quota, 5 << 20},
		{[]string{"PAYLOAD_QUOTA=0"}, quota, 0},
		{[]string{"PAYLOAD_QUOTA="}, quota, 0},
		{[]string{"REQUEST_TIMEOUT=11"}, timeout, "11s"},
		{[]string{"REQUEST_TIMEOUT=11.0"}, timeout, "11s"},
		{[]string{"REQUEST_TIMEOUT=2.5"}, timeout, "2.5s"},
		{[]string{"REQUEST_TIMEOUT=0"}, timeout, "0s"},
		{[]string{"REQUEST_TIMEOUT=250ms"}, timeout, "250ms"},
		{[]string{"REQUEST_TIMEOUT="}, timeout, "11s"},
		{[]string{"APP_NAME=Sample Application"}, func(c *config.Config) any { return c.Proxy.AppName }, "Sample Application"},
		{[]string{"GENERAL_ERROR=Gateway | Error"}, func(c *config.Config) any { return c.Proxy.ErrorTitle }, "Gateway | Error"},
		{[]string{"FILTERED_URL_MSG=Not here, sorry."}, func(c *config.Config) any { return c.Proxy.FilteredMessage }, "Not here, sorry."},
		{[]string{"FILTERED_URL_MSG=${NAME}"}, func(c *config.Config) any { return c.Proxy.FilteredMessage }, "${NAME}"},
	} {
		w := newWorld(t)
		delete(w.env, "TAPWAY_BACKEND")
		set := tt.set
		if tt.of(&config.Config{Backend: "x"}) != "x" {
			set = append(set, "REMOTE_URL=https://api.internal")
		}
		c, err := loadConfig(t.Context(), Proxy, w.options(new(function), Proxy, set...).Getenv, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", tt.set, err)
			continue
		}
		same(t, tt.set[0], tt.of(c), tt.want)
	}
}
