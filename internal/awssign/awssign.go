// Package awssign signs requests to AWS, with signatures of version 4 in their Authorization header. It is
// the SDK's signer without what the SDK links behind it, and keeps the key that it derives for a day.
//
// What a newcomer gets wrong: everything that is signed must stand in the request before Sign, and nothing
// of it may change afterwards, the headers' order excepted. S3 wants its paths as they are sent, every
// other service wants them encoded once more.
//
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html.
package awssign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	timeFormat = "20060102T150405Z"
	dayLength  = len("20060102")
)

// Signer signs requests to one service. Service is required, "s3" or "sqs"; a Signer is safe for concurrent
// use and must not be copied.
type Signer struct {
	Service string

	mu                  sync.Mutex
	secret, day, region string
	key                 [sha256.Size]byte
}

// header is one that a signature covers.
type header struct{ lower, value string }

// Sign sets X-Amz-Date, X-Amz-Security-Token, for S3 X-Amz-Content-Sha256 too, and Authorization. sum is the
// SHA-256 of the body that req.ContentLength counts.
func (s *Signer) Sign(req *http.Request, c aws.Credentials, region string, now time.Time, sum [sha256.Size]byte) {
	h, date := req.Header, now.UTC().Format(timeFormat)
	h["X-Amz-Date"] = []string{date}
	delete(h, "X-Amz-Security-Token")
	if c.SessionToken != "" {
		h["X-Amz-Security-Token"] = []string{c.SessionToken}
	}
	var hexSum [2 * sha256.Size]byte
	hex.Encode(hexSum[:], sum[:])
	if s.Service == "s3" {
		h["X-Amz-Content-Sha256"] = []string{string(hexSum[:])}
	}
	var some [16]header
	all := signed(some[:0], req)

	var room [1024]byte
	b := append(append(room[:0], req.Method...), '\n')
	b = append(s.appendPath(b, req.URL), '\n')
	b = append(appendQuery(b, req.URL), '\n')
	for _, one := range all {
		b = append(append(b, one.lower...), ':')
		b = append(append(b, one.value...), '\n')
	}
	b = append(appendNames(append(b, '\n'), all), '\n')
	request := sha256.Sum256(append(b, hexSum[:]...))

	scope := date[:dayLength] + "/" + region + "/" + s.Service + "/aws4_request"
	b = append(room[:0], "AWS4-HMAC-SHA256\n"...)
	b = append(append(b, date...), '\n')
	b = append(append(b, scope...), '\n')
	b = hex.AppendEncode(b, request[:])
	key := s.keyFor(c.SecretAccessKey, date[:dayLength], region)
	signature := sumOf(key[:], b)

	b = append(room[:0], "AWS4-HMAC-SHA256 Credential="...)
	b = append(append(append(append(b, c.AccessKeyID...), '/'), scope...), ", SignedHeaders="...)
	b = append(appendNames(b, all), ", Signature="...)
	h["Authorization"] = []string{string(hex.AppendEncode(b, signature[:]))}
}

// signed are the headers that a signature covers, sorted: all but those that change on the way.
func signed(all []header, req *http.Request) []header {
	all = append(all, header{"host", HostHeader(req.URL)})
	if req.ContentLength > 0 {
		all = append(all, header{"content-length", strconv.FormatInt(req.ContentLength, 10)})
	}
	for name, values := range req.Header {
		lower := lowerOf(name)
		if lower == "" {
			continue
		}
		value := ""
		for i, v := range values {
			if i > 0 {
				value += ","
			}
			value += oneSpace(v)
		}
		all = append(all, header{lower, value})
	}
	for i := range all { // there are ten of them at most
		for j := i; j > 0 && all[j].lower < all[j-1].lower; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return all
}

// lowerOf is a header's name as it is signed, "" if it is not: those that proxies change. The usual names cost no
// allocation.
func lowerOf(name string) string {
	switch name {
	case "Authorization", "User-Agent", "X-Amzn-Trace-Id", "Expect", "Transfer-Encoding", "Content-Length", "Host", "Accept-Encoding":
		return ""
	case "Content-Type":
		return "content-type"
	case "X-Amz-Date":
		return "x-amz-date"
	case "X-Amz-Security-Token":
		return "x-amz-security-token"
	case "X-Amz-Target":
		return "x-amz-target"
	case "X-Amzn-Query-Mode":
		return "x-amzn-query-mode"
	case "X-Amz-Content-Sha256":
		return "x-amz-content-sha256"
	}
	return strings.ToLower(name)
}

// oneSpace is a header's value as it is signed: without spaces around it, and one for several.
func oneSpace(v string) string {
	if v = strings.Trim(v, " "); !strings.Contains(v, "  ") {
		return v
	}
	for strings.Contains(v, "  ") {
		v = strings.ReplaceAll(v, "  ", " ")
	}
	return v
}

func appendNames(b []byte, all []header) []byte {
	for i, one := range all {
		if i > 0 {
			b = append(b, ';')
		}
		b = append(b, one.lower...)
	}
	return b
}

func (s *Signer) appendPath(b []byte, u *url.URL) []byte {
	path := u.EscapedPath()
	switch {
	case path == "":
		return append(b, '/')
	case s.Service == "s3":
		return append(b, path...)
	}
	return AppendEscaped(b, path)
}

// appendQuery writes the query sorted and with %20 for a space.
func appendQuery(b []byte, u *url.URL) []byte {
	if u.RawQuery == "" {
		return b
	}
	return append(b, strings.ReplaceAll(u.Query().Encode(), "+", "%20")...)
}

// AppendEscaped appends a path with everything escaped but slashes and what RFC 3986 calls unreserved, as
// S3 wants its keys.
func AppendEscaped(b []byte, path string) []byte {
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80, '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~', c == '/':
			b = append(b, c)
		default:
			const hexDigits = "0123456789ABCDEF"
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// HostHeader is the host as it is signed and must be sent: without the scheme's own port.
func HostHeader(u *url.URL) string {
	if port := u.Port(); u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Host
}

// keyFor derives the key of a day and region.
func (s *Signer) keyFor(secret, day, region string) [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret != secret || s.day != day || s.region != region {
		key := sumOf([]byte("AWS4"+secret), []byte(day))
		for _, next := range []string{region, s.Service, "aws4_request"} {
			key = sumOf(key[:], []byte(next))
		}
		s.secret, s.day, s.region, s.key = secret, day, region, key
	}
	return s.key
}

func sumOf(key, text []byte) (sum [sha256.Size]byte) {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	mac.Sum(sum[:0])
	return sum
}
