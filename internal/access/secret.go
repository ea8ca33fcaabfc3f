package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"github.com/tapway/tapway"
)

// SecretHeader carries what an API that tapway is attached to by URL proves itself with:
// API Gateway sends it, as a static value, with every call.
const SecretHeader = "X-Tapway-Secret" // #nosec G101 -- a name, not a value

// Secret lets only those calls pass that carry one of the secrets in SecretHeader, and takes the
// header away: it is neither the backend's nor the record's. Several are for rotating.
type Secret struct {
	hashes [][sha256.Size]byte

	// Exempt calls need none: those of an API that invokes a Lambda function and so cannot send one.
	// nil exempts none.
	Exempt func(*http.Request) bool
}

// NewSecret makes the decider; without a secret it lets nothing pass.
func NewSecret(secrets ...tapway.Secret) *Secret {
	s := new(Secret)
	for _, one := range secrets {
		s.hashes = append(s.hashes, sha256.Sum256([]byte(one.Reveal())))
	}
	return s
}

func (*Secret) Phase() Phase { return Authentication }
func (*Secret) Name() string { return "secret" }

var (
	secretMissing = Forbidden("secret: missing")
	secretWrong   = Forbidden("secret: wrong")
)

// Decide is Decider. The header must stand there once: which one of several counted would be
// chosen by whoever is in between.
func (s *Secret) Decide(r *Request) *Refusal {
	lines := r.HTTP.Header[SecretHeader]
	if s.Exempt != nil && s.Exempt(r.HTTP) {
		if !r.Dry {
			delete(r.HTTP.Header, SecretHeader)
		}
		r.Because("the call comes through an API that is attached to this function")
		return nil
	}
	if len(lines) == 0 {
		r.Because("there is no %s", SecretHeader)
		return secretMissing
	}
	if !r.Dry {
		delete(r.HTTP.Header, SecretHeader)
	}
	got, right := sha256.Sum256([]byte(lines[0])), 0
	for i := range s.hashes {
		right |= subtle.ConstantTimeCompare(got[:], s.hashes[i][:])
	}
	if right == 0 || len(lines) > 1 {
		r.Because("%s is not the configured one", SecretHeader)
		return secretWrong
	}
	r.Because("%s is right", SecretHeader)
	return nil
}
