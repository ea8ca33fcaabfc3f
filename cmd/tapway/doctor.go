package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/route"
	"github.com/tapway/tapway/internal/stages"
	"github.com/tapway/tapway/internal/terminal"
)

// finding is one thing the doctor looked at.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

func newDoctor() *cobra.Command {
	var file, data string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Tell what is missing here: configuration, ports, disk, backends, destinations",
		Example: "  tapway doctor\n  tapway doctor -c /etc/tapway/tapway.yaml",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, bad := cmd.OutOrStdout(), 0
			paint := coloursFor(out)
			findings := []finding{}
			examine(cmd.Context(), configFile(file), data, func(f finding) {
				findings = append(findings, f)
				if !f.OK {
					bad++
				}
				if !asJSON {
					f.print(out, paint)
				}
			})
			if asJSON {
				if err := printJSON(out, findings); err != nil {
					return err
				}
			}
			if bad > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "tapway: %s to mend\n", plural(int64(bad), "thing"))
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	cmd.Flags().StringVar(&data, "data", "", "data directory (default: what the configuration says)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f finding) print(out io.Writer, paint colours) {
	mark := paint.paint("32", "ok  ")
	if !f.OK {
		mark = paint.paint("31", "FAIL")
	}
	const margin = "\n                      "
	fmt.Fprintf(out, "%s  %-14s  %s", mark, f.Check, strings.ReplaceAll(printableLines(f.Detail), "\n", margin))
	if f.Advice != "" {
		fmt.Fprint(out, margin, "→ ", f.Advice)
	}
	fmt.Fprintln(out)
}

// examine looks at one thing after the other and reports each as soon as it is known:
// dialling what does not answer takes seconds.
func examine(ctx context.Context, file, data string, report func(finding)) {
	c := config.Default()
	if file == "" {
		report(finding{"configuration", true, "no tapway.yaml here, defaults used", "write one with `tapway config init > tapway.yaml`, or use flags"})
	} else if loaded, err := config.Load(config.Source{File: file, Resolve: cloud.Secrets(ctx)}); err != nil {
		report(finding{"configuration", false, err.Error(), ""})
	} else {
		c = loaded
		report(finding{"configuration", true, file, ""})
	}
	if data != "" {
		c.Data = data
	}
	running := false
	for _, f := range examineData(c.Data) {
		running = running || f.Check == "running"
		report(f)
	}
	if !running {
		report(examinePort("port", c.Listen))
		if c.Admin.Listen != "off" {
			report(examinePort("admin port", c.Admin.Listen))
		}
	}
	policy, err := c.Egress.Policy()
	if err != nil {
		report(finding{"egress", false, err.Error(), ""})
		return
	}
	dial := (&egress.Dialer{Policy: policy}).For(egress.Operator)
	seen := map[string]bool{}
	backend := func(to string, t config.ClientTLS) {
		if u, err := url.Parse(to); err == nil && !seen[u.Scheme+u.Host] && !strings.ContainsAny(u.Host, "{}") {
			seen[u.Scheme+u.Host] = true
			report(examineURL(ctx, dial, "backend", u.Scheme+"://"+u.Host, t))
		}
	}
	if c.Backend != "" {
		backend(c.Backend, c.Proxy.TLS)
	}
	for _, r := range c.Routes {
		if r.TLS != nil {
			backend(r.Backend, *r.TLS)
		} else {
			backend(r.Backend, c.Proxy.TLS)
		}
	}
	if c.OpenAPI != "" {
		report(examineExport(c.OpenAPI, c.StageVariables))
	}
	for _, d := range c.Destinations {
		report(examineURL(ctx, dial, d.Name, d.URL, d.TLS))
	}
}

// examineExport counts what can be served of an API Gateway export.
func examineExport(file string, variables map[string]string) finding {
	text, err := os.ReadFile(file)
	if err != nil {
		return finding{"openapi", false, err.Error(), ""}
	}
	d, err := route.ReadOpenAPI(text, route.OpenAPIOptions{StageVariables: variables})
	if err != nil {
		return finding{"openapi", false, file + ": " + err.Error(), ""}
	}
	can := 0
	for _, op := range d.Operations {
		if op.Tappable {
			can++
		}
	}
	f := finding{"openapi", can > 0, fmt.Sprintf("%d of %s in %s can be served here", can, plural(int64(len(d.Operations)), "route"), file), ""}
	if can < len(d.Operations) {
		f.Advice = "`tapway discover --openapi " + file + "` tells why not the others"
	}
	return f
}

// examineData writes and syncs a file where the queue will live.
func examineData(dir string) []finding {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	where := abs
	for {
		if info, err := os.Stat(where); err == nil {
			if !info.IsDir() {
				return []finding{{"data", false, where + " is not a directory", "name another one with data: or --data"}}
			}
			break
		}
		where = filepath.Dir(where)
	}
	f, err := os.CreateTemp(where, ".tapway-doctor-*")
	if err != nil {
		return []finding{{"data", false, err.Error(), "give the user who runs tapway write access to " + where}}
	}
	defer os.Remove(f.Name())
	defer f.Close()
	began := time.Now()
	if _, err = f.Write(make([]byte, 4096)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return []finding{{"data", false, err.Error(), ""}}
	}
	out := []finding{{"data", true, fmt.Sprintf("%s can be written; a synced write took %s", abs, time.Since(began).Round(10*time.Microsecond)), ""}}
	if free, err := app.FreeSpace(where); err == nil {
		f := finding{"disk", free >= 1<<30, terminal.Bytes(free) + " free", ""}
		if !f.OK {
			f.Advice = "less than 1 GiB: make room, or lower storage.limit"
		}
		out = append(out, f)
	}
	if _, err := os.Stat(abs); err != nil {
		return out
	}
	_, closeStore, err := app.Offline(abs, versionText())
	var busy *app.BusyError
	switch {
	case errors.Is(err, app.ErrNoStore): // it will be made
	case errors.Is(err, app.ErrOutbox):
		out = append(out, finding{"queue", true, "is on SQS; the next gateway here sends what waits", ""})
	case errors.As(err, &busy):
		out = append(out, finding{"running", true, err.Error(), ""})
	case err != nil:
		out = append(out, finding{"queue", false, err.Error(), "if it stays so, move the directory away and start with a new one"})
	default:
		closeStore()
		out = append(out, finding{"queue", true, "opens", ""})
	}
	return out
}

func examinePort(name, addr string) finding {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return finding{name, false, err.Error(), "stop what listens there, or choose another address"}
	}
	l.Close()
	return finding{name, true, addr + " is free", ""}
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// examineURL dials, with TLS where the URL says so; it sends no request.
func examineURL(ctx context.Context, dial dialFunc, name, to string, t config.ClientTLS) finding {
	u, err := url.Parse(to)
	if err != nil {
		return finding{name, false, "not a URL", ""}
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	began := time.Now()
	addr := net.JoinHostPort(u.Hostname(), port)
	conn, err := dial(ctx, "tcp", addr)
	if errors.As(err, new(*egress.DeniedError)) {
		return finding{name, false, err.Error(), "`tapway egress explain " + printable(addr) + "` tells more; the rules are under egress:"}
	}
	if err != nil {
		return finding{name, false, err.Error(), "is it running, and reachable from here?"}
	}
	defer conn.Close()
	if u.Scheme == "https" {
		settings, err := stages.ClientTLS(t)
		if err != nil {
			return finding{name, false, err.Error(), ""}
		}
		if settings.ServerName == "" {
			settings.ServerName = u.Hostname()
		}
		if err := tls.Client(conn, settings).HandshakeContext(ctx); err != nil {
			return finding{name, false, addr + ": " + err.Error(), "set tls.ca to the CA that signed its certificate"}
		}
	}
	return finding{name, true, fmt.Sprintf("%s answers in %s", addr, time.Since(began).Round(100*time.Microsecond)), ""}
}
