package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	var file, env, data string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Tell what is missing here: configuration, ports, disk, backends, destinations",
		Long: "Reads the configuration as `tapway serve` would, tries the ports, writes to the disk, and dials the\n" +
			"backends and destinations. It sends no call and no record. Exit status 1: something is to be mended.\n\n" +
			"For the service of a package:\n" +
			"  sudo tapway doctor -c /etc/tapway/tapway.yaml --env-file /etc/tapway/tapway.env",
		Example: "  tapway doctor\n  tapway doctor -c /etc/tapway/tapway.yaml --env-file /etc/tapway/tapway.env",
		Args:    args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, bad := cmd.OutOrStdout(), 0
			paint := coloursFor(out)
			findings, wrong := []finding{}, error(nil)
			examine(cmd.Context(), configFile(file), env, data, func(f finding) {
				findings = append(findings, f)
				if !f.OK {
					bad++
				}
				if !asJSON && wrong == nil {
					wrong = f.print(out, paint)
				}
			})
			if wrong != nil {
				return wrong
			}
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
	cmd.Flags().StringVar(&env, "env-file", "", envFileHelp)
	cmd.Flags().StringVar(&data, "data", "", "data directory (default: what the configuration says)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (f finding) print(out io.Writer, paint colours) error {
	mark := paint.paint("32", "ok  ")
	if !f.OK {
		mark = paint.paint("31", "FAIL")
	}
	const margin = "\n                      "
	advice := ""
	if f.Advice != "" {
		advice = margin + "→ " + f.Advice
	}
	_, err := fmt.Fprintf(out, "%s  %-14s  %s%s\n", mark, f.Check, strings.ReplaceAll(printableLines(f.Detail), "\n", margin), advice)
	return err
}

// examineConfig reads the configuration. What it gives is the part that can be read when there are
// problems, so that the rest is looked at all the same.
func examineConfig(ctx context.Context, file, env string, report func(finding)) *config.Config {
	getenv, problems, err := environment(env)
	if err != nil {
		report(finding{"variables", false, err.Error(), ""})
		return config.Default()
	}
	if file == "" {
		report(finding{"configuration", true, "no tapway.yaml here, defaults used", "write one with `tapway config init > tapway.yaml`, or use flags"})
		return config.Default()
	}
	source := config.Source{File: file, OTel: true, Resolve: cloud.Secrets(ctx), Getenv: getenv}
	found, err := config.Check(source)
	if err != nil {
		report(finding{"configuration", false, err.Error(), ""})
		return config.Default()
	}
	if problems = append(problems, found...); len(problems) > 0 {
		report(finding{"configuration", false, problems.Error(), envHint(file, env, problems)})
	} else {
		report(finding{"configuration", true, file, ""})
	}
	c, found, err := config.Peek(source)
	if err != nil {
		return config.Default()
	}
	return withoutBroken(c, found)
}

// withoutBroken replaces what has a problem, which has been told, by its default.
func withoutBroken(c *config.Config, problems config.Problems) *config.Config {
	for _, p := range problems {
		if p.Key == "" { // nothing could be read
			return config.Default()
		}
	}
	standard := config.Default()
	for key, reset := range map[string]func(){
		"listen":       func() { c.Listen = standard.Listen },
		"admin.listen": func() { c.Admin.Listen = standard.Admin.Listen },
		"data":         func() { c.Data = standard.Data },
		"backend":      func() { c.Backend = "" },
		"openapi":      func() { c.OpenAPI = "" },
		"proxy.tls":    func() { c.Proxy.TLS = standard.Proxy.TLS },
		"egress":       func() { c.Egress = standard.Egress },
	} {
		if len(problems.At(key)) > 0 {
			reset()
		}
	}
	for i := range c.Routes {
		if len(problems.At(fmt.Sprintf("routes[%d]", i))) > 0 {
			c.Routes[i].Backend = ""
		}
	}
	for i := range c.Destinations {
		at := fmt.Sprintf("destinations[%d]", i)
		if len(problems.At(at+".url"))+len(problems.At(at+".tls")) > 0 {
			c.Destinations[i].URL = ""
		}
	}
	return c
}

// examine looks at one thing after the other and reports each as soon as it is known:
// dialling what does not answer takes seconds.
func examine(ctx context.Context, file, env, data string, report func(finding)) {
	c := examineConfig(ctx, file, env, report)
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
		if u, err := url.Parse(to); to != "" && err == nil && !seen[u.Scheme+u.Host] && !strings.ContainsAny(u.Host, "{}") {
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
		if d.URL != "" {
			report(examineURL(ctx, dial, cmp.Or(d.Name, "destination"), d.URL, d.TLS))
		}
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
		advice := ""
		if errors.Is(err, syscall.ENOSPC) {
			advice = "make room on that disk, or name another directory with data: or --data"
		}
		return []finding{{"data", false, err.Error(), advice}}
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
		handBack(abs)
		out = append(out, finding{"queue", true, "opens", ""})
	}
	return out
}

func examinePort(name, addr string) finding {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		advice := "stop what listens there, or choose another address"
		switch {
		case errors.Is(err, fs.ErrPermission):
			advice = "a port below 1024 wants root, or CAP_NET_BIND_SERVICE as the unit in the packages has it"
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			advice = "this machine has no such address: \":PORT\" is all of its addresses"
		case errors.As(err, new(*net.DNSError)):
			advice = "write an address instead of the name, or \":PORT\" for all"
		}
		return finding{name, false, err.Error(), advice}
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
		advice := "is it running, and reachable from here?"
		if errors.As(err, new(*net.DNSError)) {
			advice = "is the name right, and does this machine's resolver know it?"
		}
		return finding{name, false, err.Error(), advice}
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
			return finding{name, false, addr + ": " + err.Error(), tlsAdvice(err)}
		}
	}
	return finding{name, true, fmt.Sprintf("%s answers in %s", addr, time.Since(began).Round(100*time.Microsecond)), ""}
}

// tlsAdvice says what to do when TLS could not begin.
func tlsAdvice(err error) string {
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	switch {
	case errors.As(err, new(tls.RecordHeaderError)):
		return "nothing speaks TLS there: is it http://, or another port?"
	case errors.As(err, &other) && len(other.Certificate.DNSNames) > 0:
		return "set tls.server_name to a name that is in the certificate: " + printable(strings.Join(other.Certificate.DNSNames, ", "))
	case errors.As(err, &other):
		return "the certificate holds no name; it has to be made anew, with a subjectAltName"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "it closed the connection: does it speak TLS on this port?"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate there; or is the clock of this machine wrong? It is " + time.Now().UTC().Format(time.DateTime) + " UTC here"
	}
	return "set tls.ca to the CA that signed its certificate"
}
