package main

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

func newEgress() *cobra.Command {
	cmd := &cobra.Command{
		Use: "egress", Short: "Where tapway may go: which rule decides about an address",
		Example: "  tapway egress explain api.internal:8443",
	}
	return group(cmd, newEgressExplain())
}

// explanation is what is printed about one host.
type explanation struct {
	Host       string   `json:"host"`
	Port       uint16   `json:"port"`
	Source     string   `json:"source"` // "configured" or "stranger"
	Allowed    bool     `json:"allowed"`
	ReportOnly bool     `json:"report_only"`
	Addresses  []ruling `json:"addresses"`
}

type ruling struct {
	Address string `json:"address,omitempty"` // none: the name itself was refused
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule"`
}

func newEgressExplain() *cobra.Command {
	var file, as string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain HOST[:PORT]", Short: "Resolve a host and tell of each address whether it may be dialled, and by which rule",
		Long: "Resolves a host and tells of each address whether it may be dialled, and by which rule; nothing is dialled. A URL is taken\n" +
			"as well; the port is 443 if there is none. Exit status 1: none of its addresses may be.",
		Example: "  tapway egress explain api.internal:8443\n  tapway egress explain https://siem.example.com/in --json\n  tapway egress explain 169.254.169.254:80 --as stranger",
		Args:    args(1, 1, "one host"),
		RunE: func(cmd *cobra.Command, given []string) error {
			host, port, err := hostAndPort(given[0])
			if err != nil {
				return err
			}
			d, from, err := egressOf(configFile(file), as, host, port)
			if err != nil {
				return err
			}
			rulings, err := d.Judge(cmd.Context(), host, port, from)
			if err != nil {
				return err
			}
			e := explanation{Host: host, Port: port, Source: from.String(), ReportOnly: d.Policy.ReportOnly()}
			for _, r := range rulings {
				one := ruling{Allowed: r.Verdict.Allowed, Rule: r.Verdict.Rule}
				if r.Addr.IsValid() {
					one.Address = r.Addr.String()
				}
				e.Addresses = append(e.Addresses, one)
				e.Allowed = e.Allowed || one.Allowed
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), e)
			} else {
				err = e.print(cmd.OutOrStdout(), rulings)
			}
			if err == nil && !e.Allowed {
				err = errSilent
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	cmd.Flags().StringVar(&as, "as", "", "who named the host: configured or stranger (default: configured if the file has a backend or destination there)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// egressOf gives the dialer of a configuration, and who names the host.
func egressOf(file, as, host string, port uint16) (*egress.Dialer, egress.Source, error) {
	if as != "" && as != egress.Configured.String() && as != egress.Stranger.String() {
		return nil, 0, usagef("--as: %q is neither configured nor stranger", as)
	}
	c := config.Default()
	if file != "" {
		loaded, problems, err := config.Peek(config.Source{File: file})
		if err != nil {
			return nil, 0, err
		}
		// What is wrong elsewhere is no matter, and neither is a backend that could never be
		// dialled: one asks because of that.
		if wrong := problems.At("egress"); len(wrong) > 0 {
			return nil, 0, wrong
		}
		c = loaded
	}
	policy, err := c.Egress.Policy()
	if err != nil {
		return nil, 0, err
	}
	d := &egress.Dialer{Policy: policy}
	from := egress.Stranger
	switch {
	case as == egress.Configured.String():
		from = egress.Configured
	case as == "":
		var urls []string
		for _, one := range c.Destinations {
			urls = append(urls, one.URL)
		}
		known := egress.URLs(urls...)(strings.ToLower(host), port)
		if routes, err := stages.NewRoutes(c, d); err == nil {
			known = known || routes.Known(strings.ToLower(host), port)
		}
		if known {
			from = egress.Configured
		}
	}
	return d, from, nil
}

// hostAndPort reads HOST, HOST:PORT, [IPv6]:PORT or a URL.
func hostAndPort(text string) (string, uint16, error) {
	if strings.Contains(text, "://") {
		host, port, ok := egress.HostOf(text)
		if !ok {
			return "", 0, usagef("%q is not a URL with a host; write https://host/path, or host:port", text)
		}
		return host, port, nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"), "443"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, usagef("%q is not a host with a port from 1 to 65535; write api.internal:8443 or [2001:db8::1]:443", text)
	}
	return host, uint16(n), nil
}

func (e *explanation) print(out io.Writer, rulings []egress.Ruling) error {
	who := "which nothing in the configuration names"
	if e.Source == egress.Configured.String() {
		who = "which the configuration names"
	}
	fmt.Fprintf(out, "%s, %s:\n", printable(net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))), who)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i, r := range rulings {
		address := e.Addresses[i].Address
		if address == "" {
			address = "(not resolved)"
		}
		fmt.Fprintf(t, "  %s\t%s\n", printable(address), r.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case !e.Allowed && e.ReportOnly:
		fmt.Fprintln(out, "It would be denied, but report_only lets it pass.")
	case !e.Allowed:
		fmt.Fprintln(out, "It is denied.")
	}
	return nil
}
