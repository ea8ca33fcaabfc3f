package awssqs

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
	service    = "sqs"
)

// signer makes AWS signatures of version 4. It keeps the key, which is the same for a day.
type signer struct {
	mu          sync.Mutex
	secret, day string
	region      string
	key         [sha256.Size]byte
}

// signed are the headers that a signature covers, sorted; those a request lacks are left out.
var signed = [...]struct{ lower, name string }{
	{"content-length", ""}, {"content-type", "Content-Type"}, {"host", ""}, {"x-amz-date", "X-Amz-Date"},
	{"x-amz-security-token", "X-Amz-Security-Token"}, {"x-amz-target", "X-Amz-Target"}, {"x-amzn-query-mode", "X-Amzn-Query-Mode"},
}

// sign gives the Authorization header of a POST to u. h has X-Amz-Date, which is now.
func (s *signer) sign(h http.Header, u *url.URL, region string, c aws.Credentials, now time.Time, length int64, sum [sha256.Size]byte) string {
	var room [1024]byte
	b := append(room[:0], "POST\n"...)
	b = append(appendEncoded(b, u.EscapedPath()), "\n\n"...)
	var names [160]byte
	list := names[:0]
	for _, header := range signed {
		value := ""
		switch header.lower {
		case "content-length":
			value = strconv.FormatInt(length, 10)
		case "host":
			value = hostHeader(u)
		default:
			if h[header.name] == nil {
				continue
			}
			value = strings.Join(strings.Fields(h[header.name][0]), " ")
		}
		b = append(append(append(b, header.lower...), ':'), value...)
		b = append(b, '\n')
		if len(list) > 0 {
			list = append(list, ';')
		}
		list = append(list, header.lower...)
	}
	b = append(append(append(b, '\n'), list...), '\n')
	b = hex.AppendEncode(b, sum[:])
	request := sha256.Sum256(b)

	date := h["X-Amz-Date"][0]
	scope := date[:dayLength] + "/" + region + "/" + service + "/aws4_request"
	b = append(room[:0], "AWS4-HMAC-SHA256\n"...)
	b = append(append(b, date...), '\n')
	b = append(append(b, scope...), '\n')
	b = hex.AppendEncode(b, request[:])
	key := s.keyFor(c.SecretAccessKey, date[:dayLength], region)
	signature := sumOf(key[:], b)

	b = append(room[:0], "AWS4-HMAC-SHA256 Credential="...)
	b = append(append(append(append(b, c.AccessKeyID...), '/'), scope...), ", SignedHeaders="...)
	b = append(append(b, list...), ", Signature="...)
	return string(hex.AppendEncode(b, signature[:]))
}

// keyFor derives the key of a day and region.
func (s *signer) keyFor(secret, day, region string) [sha256.Size]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret != secret || s.day != day || s.region != region {
		key := sumOf([]byte("AWS4"+secret), []byte(day))
		for _, next := range []string{region, service, "aws4_request"} {
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

// hostHeader is the host as it is signed: without the scheme's own port.
func hostHeader(u *url.URL) string {
	if port := u.Port(); u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.Host
}

// appendEncoded encodes an escaped path once more, as every service but S3 wants it.
func appendEncoded(b []byte, path string) []byte {
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
