package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/contrib/waf"
)

// errSilent ends with 1 when all has been said.
var errSilent = errors.New("refused")

func newAccess() *cobra.Command {
	cmd := &cobra.Command{
		Use: "access", Short: "What the firewall decides about a call",
		Example: "  tapway-waf access explain --path '/items?id=1'",
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newExplain())
	return cmd
}

// imagined is a call that somebody asks about.
type imagined struct {
	method, path, ip, host, body, bodyFile string
	headers                                []string
}

func newExplain() *cobra.Command {
	var given settings
	var call imagined
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain", Short: "Tell of a call what the firewall decides, by which rules and with what score",
		Long: "Asks the firewall about a call, as waf.yaml configures it, and tells its verdict, the score, and the rules that matched with their texts.\n" +
			"Nothing is sent, logged or counted. The rules that come before the firewall are told by `tapway access explain`.\n" +
			"Exit status 1: the call is refused.",
		Example: "  tapway-waf access explain --path '/items?id=1%27%20OR%20%271%27=%271'\n" +
			"  tapway-waf access explain --method POST --path /items --header 'Content-Type: application/json' --body-file call.json --mode block --json",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := call.request()
			if err != nil {
				return err
			}
			c, _, err := given.load(cmd)
			if err != nil {
				return err
			}
			firewall, err := waf.New(c, new(waf.Memory), slog.New(slog.DiscardHandler))
			if err != nil {
				return err
			}
			e := firewall.Explain(in)
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), e)
			} else {
				err = printExplanation(cmd.OutOrStdout(), in, &e)
			}
			if err == nil && e.Status != 0 {
				err = errSilent
			}
			return err
		},
	}
	given.flags(cmd)
	f := cmd.Flags()
	f.StringVarP(&given.file, "config", "c", "", "tapway.yaml, beside which waf.yaml is looked for")
	f.StringVar(&call.method, "method", "GET", "method")
	f.StringVar(&call.path, "path", "/", "path, with a query if there is one, as it stands in the request line")
	f.StringVar(&call.ip, "ip", "203.0.113.7", "address of the client")
	f.StringVar(&call.host, "host", "localhost", "Host header")
	f.StringArrayVar(&call.headers, "header", nil, "header, 'Name: value'; may be repeated")
	f.StringVar(&call.body, "body", "", "body")
	f.StringVar(&call.bodyFile, "body-file", "", "file with the body, byte for byte as it was sent")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// request is the call as a server would hand it over.
func (i *imagined) request() (*http.Request, error) {
	addr, err := netip.ParseAddr(i.ip)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--ip: %q is not an address", i.ip)}
	}
	r := &http.Request{
		Method: i.method, RequestURI: i.path, URL: new(url.URL), Host: i.host, Header: http.Header{}, Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: net.JoinHostPort(addr.String(), "0"),
	}
	for _, line := range i.headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, &usageError{errors.New("--header: write 'Name: value'")}
		}
		r.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	text := []byte(i.body)
	if i.bodyFile != "" {
		if i.body != "" {
			return nil, &usageError{errors.New("--body and --body-file exclude each other")}
		}
		if text, err = os.ReadFile(i.bodyFile); err != nil {
			return nil, fmt.Errorf("read the body: %w", err)
		}
	}
	if len(text) > 0 {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	}
	return r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call))), nil
}

func printJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n", text)
	return err
}

func printExplanation(out io.Writer, in *http.Request, e *waf.Explanation) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %q\n  %s in mode %s: score %d, threshold %d\n", in.Method, in.RequestURI, e.Verdict, e.Mode, e.Score, e.Threshold)
	for _, rule := range e.Rules {
		fmt.Fprintf(&b, "  %d  %s\n", rule.ID, rule.Message)
	}
	if len(e.Variables) > 0 {
		fmt.Fprintf(&b, "  in %s\n", strings.Join(e.Variables, ", "))
	}
	if e.Why != "" {
		fmt.Fprintf(&b, "  %s\n", e.Why)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, "It is answered %d.\n", e.Status)
	}
	_, err := io.WriteString(out, b.String())
	return err
}
