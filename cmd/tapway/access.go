package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

func newAccess() *cobra.Command {
	cmd := &cobra.Command{
		Use: "access", Short: "Who may come in: which rule decides about a call",
		Example: "  tapway access explain --method GET --path /pets --ip 203.0.113.7",
	}
	return group(cmd, newAccessExplain(), newAccessRefresh())
}

// accessAnswer is what is printed about one call.
type accessAnswer struct {
	Method   string        `json:"method"`
	Path     string        `json:"path"`
	IP       string        `json:"ip"`
	Passes   bool          `json:"passes"`
	Status   int           `json:"status,omitempty"` // of the refusal
	Body     string        `json:"body,omitempty"`
	By       string        `json:"refused_by,omitempty"`
	Steps    []access.Step `json:"steps"`
	Warnings []string      `json:"warnings,omitempty"`
}

// imagined is a call that somebody asks about.
type imagined struct {
	method, path, ip, host, at string
	headers                    []string
	https                      bool
	vpc, vpce                  string
	body, bodyFile             string
	fetchKeys                  bool
	clientCert                 string
}

func newAccessExplain() *cobra.Command {
	var file, data string
	var asJSON bool
	var call imagined
	cmd := &cobra.Command{
		Use: "explain", Short: "Tell of a call which rule decides about it, and why",
		Long: "Asks the access rules of the configuration about a call, in their order, and tells what each says. Nothing is sent, but for\n" +
			"what --fetch-keys asks for, and nothing is counted: rates are taken as unused, quotas as they stand in the data directory.\n" +
			"--ip is the peer's address; a header of a trusted proxy counts as it would. Exit status 1: the call is refused.",
		Example: "  tapway access explain --method GET --path /pets/1 --ip 203.0.113.7\n" +
			"  tapway access explain --method POST --path /pets --ip 10.0.0.1 --header 'X-Forwarded-For: 203.0.113.7' --json\n" +
			"  tapway access explain --method POST --path /hooks/github --header 'X-Hub-Signature-256: sha256=…' --body-file payload.json",
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := call.request()
			if err != nil {
				return err
			}
			out, err := explainAccess(configFile(file), data, call, in)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), out)
			} else {
				err = out.print(cmd.OutOrStdout())
			}
			if err == nil && !out.Passes {
				err = errSilent
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&call.method, "method", "GET", "method")
	f.StringVar(&call.path, "path", "/", "path, with a query if there is one, as it stands in the request line")
	f.StringVar(&call.ip, "ip", "203.0.113.7", "address of the peer")
	f.StringVar(&call.host, "host", "localhost", "Host header")
	f.StringArrayVar(&call.headers, "header", nil, "header, 'Name: value'; may be repeated")
	f.BoolVar(&call.https, "https", false, "the call came over TLS")
	f.StringVar(&call.at, "at", "", "when, such as 2026-11-20T10:00:00Z (default: now)")
	f.StringVar(&call.body, "body", "", "body, for rules that verify it")
	f.StringVar(&call.bodyFile, "body-file", "", "file with the body, byte for byte as it was sent")
	f.StringVar(&call.clientCert, "client-cert", "", "file with the client's certificate, PEM, as if the handshake had verified it")
	f.BoolVar(&call.fetchKeys, "fetch-keys", false, "fetch the identity provider's keys, to check a token's signature")
	f.StringVar(&call.vpc, "vpc", "", "VPC it came through, as with a private API")
	f.StringVar(&call.vpce, "vpce", "", "VPC endpoint it came through, as with a private API")
	f.StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	f.StringVar(&data, "data", "", "data directory (default: what the configuration says)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// request is the call as a server would hand it over.
func (i *imagined) request() (*http.Request, error) {
	addr, err := netip.ParseAddr(i.ip)
	if err != nil {
		return nil, usagef("--ip: %q is not an address", i.ip)
	}
	r := &http.Request{
		Method: i.method, RequestURI: i.path, URL: new(url.URL), Host: i.host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: net.JoinHostPort(addr.String(), "0"),
	}
	for _, line := range i.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, usagef("--header: write 'Name: value'")
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if i.https {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true}
	}
	if err := i.takeBody(r); err != nil {
		return nil, err
	}
	if err := i.takeCertificate(r); err != nil {
		return nil, err
	}
	ctx := tapway.WithCall(r.Context(), new(tapway.Call))
	if i.vpc != "" || i.vpce != "" {
		ctx = tapway.WithFacts(ctx, &tapway.Facts{Front: tapway.FrontREST, VPC: i.vpc, VPCEndpoint: i.vpce})
	}
	return r.WithContext(ctx), nil
}

func (i *imagined) takeBody(r *http.Request) error {
	text := []byte(i.body)
	if i.bodyFile != "" {
		if i.body != "" {
			return usagef("--body and --body-file exclude each other")
		}
		var err error
		if text, err = os.ReadFile(i.bodyFile); err != nil {
			return fmt.Errorf("read the body: %w", err)
		}
	}
	if len(text) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	}
	return nil
}

func (i *imagined) takeCertificate(r *http.Request) error {
	if i.clientCert == "" {
		return nil
	}
	text, err := os.ReadFile(i.clientCert)
	if err != nil {
		return fmt.Errorf("read the client's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return usagef("--client-cert: %s holds no PEM certificate", i.clientCert)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return usagef("--client-cert: %s: %v", i.clientCert, err)
	}
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}, VerifiedChains: [][]*x509.Certificate{{cert}}}
	return nil
}

// explainAccess asks the rules of a configuration, and where the call would go then.
func explainAccess(file, data string, call imagined, in *http.Request) (*accessAnswer, error) {
	now := time.Now()
	if call.at != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, call.at); err != nil {
			return nil, usagef("--at: %q is not a time; write 2026-11-20T10:00:00Z", call.at)
		}
	}
	c := config.Default()
	if file != "" {
		loaded, problems, err := config.Peek(config.Source{File: file})
		if err != nil {
			return nil, err
		}
		wrong := problems.At("access")
		for _, key := range []string{"limits", "proxy.filtered_paths"} {
			for _, p := range problems.At(key) {
				if p.Key != "" {
					wrong = append(wrong, p)
				}
			}
		}
		if len(wrong) > 0 {
			return nil, wrong
		}
		c = loaded
	}
	if data == "" {
		data = c.Data
	}
	quiet := slog.New(slog.DiscardHandler)
	rules, err := explained(c, data, quiet)
	if err != nil {
		return nil, err
	}
	if rules.Keys, err = access.OpenKeyFile(app.KeysFile(data), rules.State, quiet); err != nil {
		return nil, err
	}
	if rules.Hooks, err = access.OpenHookFile(app.HooksFile(data), quiet); err != nil {
		return nil, err
	}
	if call.fetchKeys {
		policy, err := c.Egress.Policy()
		if err != nil {
			return nil, err
		}
		rules.Client = func(urls ...string) *http.Client {
			return stages.FetchClient(&egress.Dialer{Policy: policy, Log: quiet}, urls...)
		}
	}
	rules.Log = quiet
	chain, err := rules.Chain(c)
	if err != nil {
		return nil, err
	}
	chain.Now = func() time.Time { return now }
	steps, refusal := chain.Explain(in)
	out := &accessAnswer{Method: in.Method, Path: in.RequestURI, IP: tapway.CallFrom(in.Context()).ClientIP, Passes: refusal == nil, Steps: steps}
	if refusal != nil {
		out.Status, out.Body = refusal.Status, refusal.Body
		if out.Body == "" {
			out.Body = refusal.Message
		}
		for _, s := range steps {
			if s.Refusal != nil {
				out.By = s.Rule
			}
		}
	}
	out.backend(c, in)
	if policy, _ := c.Access.Policy(); policy != nil {
		out.Warnings = policy.Warnings()
	}
	return out, nil
}

// backend adds the last step: where the call goes, if that can be told.
func (a *accessAnswer) backend(c *config.Config, in *http.Request) {
	step := access.Step{Phase: "backend", Verdict: access.NotAsked}
	if a.Passes {
		routes, err := stages.NewRoutes(c, new(egress.Dialer))
		if err != nil {
			step.Verdict, step.Why = access.Absent, "not known: "+err.Error()
			a.Steps = append(a.Steps, step)
			return
		}
		defer routes.Close()
		path, query, hasQuery, _ := tapway.Target(in)
		hop, refusal := routes.Route(in, path, query, hasQuery)
		step.Verdict, step.Why = access.Passes, fmt.Sprintf("route %s, to %s://%s", hop.Route, hop.Scheme, hop.Host)
		if refusal != nil {
			step.Verdict, step.Rule, step.Why = access.Refuses, "routes", "no route takes it"
			a.Passes, a.Status, a.Body, a.By = false, refusal.Status, refusal.Message, step.Rule
			if refusal.Reason != "" {
				step.Why = refusal.Reason
			}
		}
	}
	a.Steps = append(a.Steps, step)
}

func (a *accessAnswer) print(out io.Writer) error {
	client := a.IP
	if client == "" {
		client = "an unknown address"
	}
	fmt.Fprintf(out, "%s %s from %s:\n", printable(a.Method), printable(a.Path), client)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range a.Steps {
		what := s.Phase
		if s.Rule != "" && s.Rule != s.Phase {
			what += ": " + s.Rule
		}
		line := fmt.Sprintf("  %s\t%s\t%s", what, s.Verdict, printable(s.Why))
		fmt.Fprintln(t, strings.TrimRight(line, " \t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if a.Passes {
		fmt.Fprintln(out, "It passes.")
	} else {
		fmt.Fprintf(out, "It is answered %d by %s: %s\n", a.Status, a.By, printable(a.Body))
	}
	for _, w := range a.Warnings {
		fmt.Fprintf(out, "Warning: %s.\n", printable(w))
	}
	return nil
}
