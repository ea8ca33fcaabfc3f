package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"maps"
	"net/http"
)

// SecretHeader carries the secret by which tapway at a public URL knows that a call comes from an API that is
// attached to it. API Gateway adds it to every call.
const SecretHeader = "X-Tapway-Secret"

// MinSecret is how short such a secret may be, in bytes.
const MinSecret = 16

// CheckSecret tells what is wrong with a secret, without repeating it.
func CheckSecret(value string) error {
	if len(value) < MinSecret {
		return fmt.Errorf("a secret has at least %d characters, this one has %d", MinSecret, len(value))
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("character %d of the secret cannot stand in a header", i+1)
		}
	}
	return nil
}

// Secret is the decider that asks for SecretHeader, and takes it off what the backend gets.
type Secret struct {
	hashes []Hash

	// Exempt calls need no secret: those of an API that invokes a function and cannot send one. nil
	// exempts none.
	Exempt func(*http.Request) bool
}

// NewSecret makes a Secret that takes any of the values: two while one replaces the other.
func NewSecret(values ...string) *Secret {
	s := new(Secret)
	for _, v := range values {
		s.hashes = append(s.hashes, sha256.Sum256([]byte(v)))
	}
	return s
}

func (*Secret) Phase() Phase { return Authentication }
func (*Secret) Name() string { return "secret" }

var (
	secretMissing = Forbidden("secret: missing")
	secretWrong   = Forbidden("secret: wrong")
)

// Decide is Decider.
func (s *Secret) Decide(r *Request) *Refusal {
	lines := r.HTTP.Header[SecretHeader]
	if len(lines) > 0 {
		in := *r.HTTP
		in.Header = maps.Clone(in.Header)
		delete(in.Header, SecretHeader)
		r.HTTP = &in
	}
	switch {
	case s.Exempt != nil && s.Exempt(r.HTTP):
		r.Because("the call comes through an API that is attached to this function")
		return nil
	case len(lines) == 0:
		r.Because("there is no %s", SecretHeader)
		return secretMissing
	case len(lines) > 1 || !s.knows(lines[0]):
		r.Because("%s does not hold the secret", SecretHeader)
		return secretWrong
	}
	r.Because("%s holds the secret", SecretHeader)
	return nil
}

// knows takes the same time for every value of the same length.
func (s *Secret) knows(value string) bool {
	hash, found := sha256.Sum256([]byte(value)), 0
	for i := range s.hashes {
		found |= subtle.ConstantTimeCompare(hash[:], s.hashes[i][:])
	}
	return found == 1
}
