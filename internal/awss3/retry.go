package awss3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// maxPause bounds the wait between two tries.
const maxPause = 20 * time.Second

// do makes a call, again where that may help, after waits that double, each drawn between a half of that and the whole. All calls can be
// made twice: they say what is to be, not what is to change.
func (c *Client) do(ctx context.Context, call *call) (*answer, error) {
	for n := 1; ; n++ {
		got, err := c.try(ctx, call)
		if err == nil {
			return got, nil
		}
		if n >= c.tries || ctx.Err() != nil || !c.passing(err) {
			return nil, told(call, n, err)
		}
		pause := min(c.pause<<min(n-1, 16), maxPause)
		pause = pause/2 + rand.N(pause/2+1) // #nosec G404 -- jitter
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= pause {
			return nil, told(call, n, err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, told(call, n, fmt.Errorf("%w while waiting to try again after: %w", ctx.Err(), err))
		}
	}
}

func told(call *call, n int, err error) error {
	if _, ok := errors.AsType[*Error](err); !ok {
		err = fmt.Errorf("S3 %s: %w", call.operation, err)
	}
	if n > 1 {
		err = fmt.Errorf("%w (tried %d times)", err, n)
	}
	return err
}

// passing reports whether the same call may do better a moment later. Of a clock that is wrong it takes S3's.
func (c *Client) passing(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Code == "RequestTimeTooSkewed" {
			return e.skewed
		}
		return e.passing()
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return false
	}
	_, way := errors.AsType[*wayError](err)
	return way
}

// passing reports whether a refusal is S3's trouble of a moment.
func (e *Error) passing() bool {
	switch e.Code {
	case "SlowDown", "RequestTimeout", "RequestTimeoutException", "RequestLimitExceeded", "TooManyRequestsException", "InternalError", "OperationAborted", "BadDigest":
		return true
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	case http.StatusNotImplemented:
		return false
	}
	return e.Status >= http.StatusInternalServerError || strings.Contains(e.Code, "Throttling") // a key's in KMS too
}

// Refused reports whether S3 will not do the same call later either, until somebody changes something: a permission, a
// key, the bucket's name. Clocks and credentials put themselves right.
func (e *Error) Refused() bool {
	switch e.Code {
	case "RequestTimeTooSkewed", "ExpiredToken", "ExpiredTokenException":
		return false
	}
	return !e.passing() && (e.Status == http.StatusMovedPermanently || e.Status/100 == 4)
}

// TooLarge reports whether err says that an object has more than the bytes that are read.
func TooLarge(err error) bool { return errors.Is(err, errTooLarge) }
