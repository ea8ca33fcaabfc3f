package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway"
)

// IAM is the decider of calls that are signed with AWS Signature Version 4, as API Gateway's
// AWS_IAM authorization, but for credentials of our own: only AWS knows the secrets of its users.
// A call is verified as it came, in the Authorization header or as a presigned URL; its body is
// hashed before the backend sees it.
//
// Refusals are worded as API Gateway's, so that SDKs understand them, but for the canonical
// request that it repeats: explain shows that.
type IAM struct {
	Default Auth // of calls whose rule says nothing
	Rules   *Rules
	Bodies  *Bodies

	Credentials map[string]*Credential // by access key id
	Region      string                 // that signatures are scoped to; "" is any
	Service     string                 // likewise; "" is execute-api
	Skew        time.Duration          // between clocks; 0 is 5 min
	Unsigned    bool                   // take UNSIGNED-PAYLOAD: the body may then be anybody's
	Header      string                 // gets the credential's Name, and nobody else may send it; "" is none

	once sync.Once
	own  ownHeaders
}

// Credential is what a caller signs with.
type Credential struct {
	Name         string
	Secret       tapway.Secret
	SessionToken tapway.Secret // "" when the caller must not send any
	Routes       []Pattern     // what it may call; nil: everything
}

// DefaultSkew is API Gateway's; MaxSkew is the largest that AWS has anywhere.
const (
	DefaultSkew = 5 * time.Minute
	MaxSkew     = 15 * time.Minute
)

func (*IAM) Phase() Phase { return Authentication }
func (*IAM) Name() string { return "iam" }

func (d *IAM) init() {
	d.once.Do(func() {
		if d.Header != "" {
			d.own = newOwnHeaders(map[string]string{d.Header: ""})
		}
		if d.Service == "" {
			d.Service = "execute-api"
		}
		if d.Skew == 0 {
			d.Skew = DefaultSkew
		}
	})
}

// sigError is API Gateway's answer to a signature that it does not take. reason is for the record.
func sigError(kind, message, reason string) *Refusal {
	body := append(appendEscaped([]byte(`{"message":"`), message), `"}`...)
	return &Refusal{Status: http.StatusForbidden, Type: kind, Body: string(body), Reason: "iam: " + reason}
}

const mismatchText = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."

var (
	sigMissing   = sigError("MissingAuthenticationTokenException", "Missing Authentication Token", "signature missing")
	sigTwice     = sigError("InvalidSignatureException", "The request is signed in its header and in its query. Sign it once.", "signed twice")
	sigV4a       = sigError("IncompleteSignatureException", "AWS4-ECDSA-P256-SHA256 (Signature Version 4A) is not supported. Sign with AWS4-HMAC-SHA256.", "SigV4a")
	sigUnknown   = sigError("UnrecognizedClientException", "The security token included in the request is invalid.", "unknown access key")
	sigSession   = sigError("UnrecognizedClientException", "The security token included in the request is invalid.", "session token")
	sigRegion    = sigError("InvalidSignatureException", "Credential should be scoped to a valid region.", "scope: region")
	sigScopeDate = sigError("InvalidSignatureException", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.", "scope: date")
	sigWrong     = sigError("InvalidSignatureException", mismatchText, "signature wrong")
	sigChanged   = sigError("InvalidSignatureException", mismatchText, "signature wrong, of a call that the front may have changed")
	sigBody      = sigError("InvalidSignatureException", mismatchText, "body is not the one that was signed")
	sigUnsigned  = sigError("InvalidSignatureException", "The payload has to be signed.", "unsigned payload")
	sigChunks    = sigError("InvalidSignatureException", "Signatures of chunks (STREAMING-…) are not supported. Sign the payload as a whole.", "chunk signatures")
	sigRoute     = &Refusal{Status: http.StatusForbidden, Type: "AccessDeniedException", Body: `{"Message":"User is not authorized to access this resource"}`, Reason: "iam: route"}
)

func sigIncomplete(message string) *Refusal {
	return sigError("IncompleteSignatureException", message, "signature malformed")
}

// Decide is Decider.
func (d *IAM) Decide(r *Request) *Refusal {
	d.init()
	d.own.strip(r)
	if !d.Rules.demands(r, d.Default, ByIAM) {
		r.Because("no signature is asked for")
		return nil
	}
	s, refusal := readSigV4(r.HTTP, r.facts)
	if refusal != nil {
		r.Because("%s", refusal.Reason)
		return refusal
	}
	c := d.Credentials[s.keyID]
	if c == nil {
		r.Because("the access key %q is not known", s.keyID)
		return sigUnknown
	}
	if refusal = d.judge(r, s, c); refusal == nil {
		refusal = d.verify(r, s, c)
	}
	if refusal == nil && !c.may(r) {
		refusal = sigRoute
	}
	if refusal != nil {
		if r.because == "" || refusal != sigWrong && refusal != sigChanged {
			r.Because("the signature is %q's: %s", c.Name, refusal.Reason)
		}
		return refusal
	}
	r.credential = c
	r.Because("the signature is %q's, and valid", c.Name)
	if d.Header != "" && !r.Dry {
		r.header()[canonical(d.Header)] = []string{c.Name}
	}
	return nil
}

// judge looks at all but the signature itself.
func (d *IAM) judge(r *Request, s *sigV4, c *Credential) *Refusal {
	if !hmac.Equal([]byte(s.session), []byte(c.SessionToken.Reveal())) {
		return sigSession
	}
	switch {
	case s.service != d.Service:
		return sigError("InvalidSignatureException", "Credential should be scoped to correct service: '"+d.Service+"'.", "scope: service")
	case d.Region != "" && s.region != d.Region:
		return sigRegion
	case s.scopeDate != s.date[:8]:
		return sigScopeDate
	}
	signed, err := time.Parse(sigTime, s.date)
	if err != nil {
		return sigIncomplete("X-Amz-Date must be in ISO-8601 'basic format'.")
	}
	from, until := signed.Add(-d.Skew), signed.Add(d.Skew)
	if s.presigned {
		until = signed.Add(s.expires)
	}
	now := r.Now.UTC()
	skew := fmt.Sprintf("%d min.)", int(d.Skew.Minutes()))
	switch {
	case now.Before(from):
		return sigError("InvalidSignatureException", "Signature not yet current: "+s.date+" is still later than "+now.Add(d.Skew).Format(sigTime)+" ("+now.Format(sigTime)+" + "+skew, "signature not yet valid")
	case now.After(until) && s.presigned:
		return sigError("InvalidSignatureException", "Signature expired: "+now.Format(sigTime)+" is later than "+until.Format(sigTime), "signature expired")
	case now.After(until):
		return sigError("InvalidSignatureException", "Signature expired: "+s.date+" is now earlier than "+now.Add(-d.Skew).Format(sigTime)+" ("+now.Format(sigTime)+" - "+skew, "signature expired")
	}
	return nil
}

const (
	sigTime         = "20060102T150405Z"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// verify compares signatures. A call that says what its body's hash is has to prove that it
// knows the secret before the body is read.
func (d *IAM) verify(r *Request, s *sigV4, c *Credential) *Refusal {
	payload := s.payload
	switch {
	case payload == unsignedPayload && !d.Unsigned:
		return sigUnsigned
	case payload == "":
		body, refusal := d.Bodies.read(r)
		if refusal != nil {
			return refusal
		}
		sum := sha256.Sum256(body)
		payload = hex.EncodeToString(sum[:])
	}
	if refusal := s.matches(r, c.Secret, payload); refusal != nil {
		return refusal
	}
	if s.payload == "" || payload == unsignedPayload {
		return nil
	}
	body, refusal := d.Bodies.read(r)
	if refusal != nil {
		return refusal
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != payload {
		return sigBody
	}
	return nil
}

// may reports whether a credential's routes take every reading of the call, with each method that it asks for.
func (c *Credential) may(r *Request) bool {
	methods, ok := r.methods()
	for _, method := range methods {
		ok = ok && c.mayMethod(r, method)
	}
	return ok || c.Routes == nil
}

func (c *Credential) mayMethod(r *Request, method string) bool {
	if c.Routes == nil {
		return true
	}
	paths, ok := r.foldedReadings()
	for _, path := range paths {
		ok = ok && slices.ContainsFunc(c.Routes, func(p Pattern) bool { return p.takes(method, path) })
	}
	return ok
}

// mayMethod reports whether the credential that has signed a call may also be used with another method.
func (i *IAM) mayMethod(r *Request, method string) bool {
	return r.credential == nil || r.credential.mayMethod(r, method)
}

// byMethod reports whether there is a credential for some methods only.
func (i *IAM) byMethod() bool {
	for _, c := range i.Credentials {
		if slices.ContainsFunc(c.Routes, func(p Pattern) bool { return p.method != "" }) {
			return true
		}
	}
	return false
}
