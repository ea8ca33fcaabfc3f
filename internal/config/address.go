package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

func checkAddr(s string) error {
	host, port, err := net.SplitHostPort(s)
	if scheme, rest, ok := strings.Cut(s, "://"); ok && (scheme == "http" || scheme == "https") && rest != "" {
		return fmt.Errorf("%q is a URL; write %s, and for HTTPS at the front the key tls", s, strings.TrimRight(rest, "/"))
	}
	if err != nil {
		return fmt.Errorf("%q is not an address to listen on; write \":8080\" or \"127.0.0.1:8080\"", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535; write \":8080\"", s)
	}
	if !hostName(host) && host != "" {
		return fmt.Errorf("%q is not an address to listen on; write \":8080\" or \"127.0.0.1:8080\"", s)
	}
	return nil
}

// hostName reports whether s can be the name or the address of a host. Names with an underscore are
// met inside networks.
func hostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	for _, c := range s {
		if !strings.ContainsRune(letters+"-._", c) {
			return false
		}
	}
	return s != ""
}

// checkBackend is checkURL for what every call goes to.
func checkBackend(s string) error {
	switch u, err := url.Parse(s); {
	case err == nil && u.User != nil:
		return errors.New("a URL must not hold a user name or password; leave them out: a backend gets the Authorization that its clients send")
	case err == nil && strings.ContainsAny(u.Path, "{}"):
		return fmt.Errorf("%q has a parameter in braces; write it without, or as a route: {match: \"ANY /{proxy+}\", backend: \"https://host/{proxy}\"}", s)
	}
	return checkURL(s, false)
}

func checkURL(s string, query bool) error {
	u, err := url.Parse(s)
	if rest, ok := strings.CutPrefix(s, "$"); ok && made(rest, letters+"_", 1, 64) {
		return fmt.Errorf("%q is not a URL; for the value of a variable write ${%s}", s, rest)
	}
	if host, _, ok := hostPort(s); ok { // url.Parse takes the host for a scheme, or fails
		scheme := "https"
		if loopback(host) {
			scheme = "http"
		}
		return fmt.Errorf("%q does not begin with http:// or https://; write %s://%s", s, scheme, s)
	}
	for _, scheme := range []string{"https", "http"} {
		if rest, ok := strings.CutPrefix(s, scheme); ok && rest != "" && strings.Trim(rest[:1], ":/") == "" && !strings.HasPrefix(rest, "://") {
			return fmt.Errorf("%q does not begin with http:// or https://; write %s://%s", withoutUser(s), scheme, withoutUser(strings.TrimLeft(rest, ":/")))
		}
	}
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a URL; write https://host/path", withoutUser(s))
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "":
		return fmt.Errorf("%q does not begin with http:// or https://; write https://host/path", withoutUser(s))
	case u.Scheme == "":
		return fmt.Errorf("%q does not begin with http:// or https://; write https://%s", withoutUser(s), withoutUser(s))
	case u.Host == "" || u.Hostname() == "":
		return fmt.Errorf("%q names no host; write https://host/path", withoutUser(s))
	case u.User != nil:
		return errors.New("a URL must not hold a user name or password; put it into headers")
	case !hostName(u.Hostname()):
		return fmt.Errorf("%q has a host that is no name and no address: %q; write https://host/path, and names with other letters as xn--…", s, u.Hostname())
	case u.Fragment != "":
		return fmt.Errorf("%q has a #fragment, which is never sent; remove it", s)
	case u.RawQuery != "" && !query:
		return fmt.Errorf("%q has a query; use routes for that", s)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q has no port between 1 and 65535", s)
		}
	}
	return nil
}

// hostPort takes host:port and host:port/path apart, as people write a URL without its scheme.
func hostPort(s string) (host, port string, ok bool) {
	authority, _, _ := strings.Cut(s, "/")
	host, port, err := net.SplitHostPort(authority)
	return host, port, err == nil && hostName(host) && made(port, "0123456789", 1, 5)
}

// withoutUser keeps a password in a mistyped URL out of the error.
func withoutUser(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// literal warns of segments that other routers take for parameters and these routes take as they are.
func (k *checker) literal(key, match string) {
	_, path, _ := strings.Cut(match, "/")
	for segment := range strings.SplitSeq(path, "/") {
		switch {
		case len(segment) > 1 && segment[0] == ':':
			k.warn(key, fmt.Sprintf("%q matches only these very characters", segment), fmt.Sprintf("a parameter is written {%s}", segment[1:]))
		case segment == "*" || segment == "**":
			k.warn(key, fmt.Sprintf("%q matches only this very character", segment), "one segment of any kind is {name}, and all that follows is {proxy+}")
		}
	}
}

// listeners tells of addresses that cannot be listened on together, and of calls that would come
// back to where they came from.
func (k *checker) listeners(c *Config) {
	if k.d.function || k.d.forwards || k.failed("listen") || k.failed("admin.listen") {
		return
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return
	}
	everywhere := func(host string) bool {
		ip, err := netip.ParseAddr(host)
		return host == "" || err == nil && ip.IsUnspecified()
	}
	if other, at, err := net.SplitHostPort(c.Admin.Listen); err == nil && at == port && (other == host || everywhere(other) || everywhere(host)) {
		k.fail("admin.listen", fmt.Sprintf("%s is taken by listen: %s", c.Admin.Listen, c.Listen), "choose another port for one of them")
	}
	mine := func(to string) bool {
		u, err := url.Parse(to)
		if err != nil {
			return false
		}
		at := u.Port()
		if at == "" {
			at = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		name := u.Hostname()
		return at == port && (name == host || loopback(name) && (everywhere(host) || loopback(host) && (name == "localhost" || host == "localhost")))
	}
	if mine(c.Backend) {
		k.warn("backend", "that is the gateway itself (listen: "+c.Listen+"): a call would come back to it for ever", "choose another port for listen, or another backend")
	}
	for i, r := range c.Routes {
		if mine(r.Backend) {
			k.warn(fmt.Sprintf("routes[%d].backend", i), "that is the gateway itself (listen: "+c.Listen+")", "choose another port for listen, or another backend")
		}
	}
	for i, dest := range c.Destinations {
		if mine(dest.URL) {
			k.warn(fmt.Sprintf("destinations[%d].url", i), "that is the gateway itself (listen: "+c.Listen+"): every record would be one more call", "name the destination's own address")
		}
	}
}
