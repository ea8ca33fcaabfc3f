package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
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
			findings := examine(cmd.Context(), configFile(file), data)
			out, bad := cmd.OutOrStdout(), 0
			paint := coloursFor(out)
			for _, f := range findings {
				if !f.OK {
					bad++
				}
				if asJSON {
					continue
				}
				mark := paint.paint("32", "ok  ")
				if !f.OK {
					mark = paint.paint("31", "FAIL")
				}
				fmt.Fprintf(out, "%s  %-14s %s\n", mark, f.Check, f.Detail)
				if f.Advice != "" {
					fmt.Fprintf(out, "                      → %s\n", f.Advice)
				}
			}
			if asJSON {
				if err := printJSON(out, findings); err != nil {
					return err
				}
			}
			if bad > 0 {
				return fmt.Errorf("%s to mend", plural(int64(bad), "thing"))
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (default: ./tapway.yaml if it is there)")
	cmd.Flags().StringVar(&data, "data", "", "data directory (default: what the configuration says)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func examine(ctx context.Context, file, data string) []finding {
	var out []finding
	c := config.Default()
	if file != "" {
		loaded, err := config.Load(config.Source{File: file})
		if err != nil {
			out = append(out, finding{"configuration", false, err.Error(), ""})
		} else {
			c = loaded
			out = append(out, finding{"configuration", true, file, ""})
		}
	} else {
		out = append(out, finding{"configuration", true, "no tapway.yaml here, defaults used", "write one with `tapway config init > tapway.yaml`, or use flags"})
	}
	if data != "" {
		c.Data = data
	}
	out = append(out, examineData(c.Data)...)
	running := out[len(out)-1].Check == "running"
	if !running {
		out = append(out, examinePort("port", c.Listen))
		if c.Admin.Listen != "off" {
			out = append(out, examinePort("admin port", c.Admin.Listen))
		}
	}
	if c.Backend != "" {
		out = append(out, examineURL(ctx, "backend", c.Backend, c.Proxy.TLS))
	}
	for _, r := range c.Routes {
		if u, err := url.Parse(r.Backend); err == nil {
			t := c.Proxy.TLS
			if r.TLS != nil {
				t = *r.TLS
			}
			out = append(out, examineURL(ctx, "backend", u.Scheme+"://"+u.Host, t))
		}
	}
	for _, d := range c.Destinations {
		out = append(out, examineURL(ctx, d.Name, d.URL, d.TLS))
	}
	return out
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
		f := finding{"disk", free >= 1<<30, bytesText(free) + " free", ""}
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
	case errors.As(err, &busy):
		out = append(out, finding{"running", true, err.Error(), ""})
	case err != nil:
		out = append(out, finding{"queue", false, err.Error(), "run `tapway queue check --data " + dir + "`"})
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

// examineURL dials, with TLS where the URL says so; it sends no request.
func examineURL(ctx context.Context, name, to string, t config.ClientTLS) finding {
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
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return finding{name, false, err.Error(), "is it running, and reachable from here?"}
	}
	defer conn.Close()
	if u.Scheme == "https" {
		settings, err := app.ClientTLS(t)
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
