package access

// Auth is how a caller has to prove who it is. As in API Gateway, a route has one; API keys and
// client certificates go beside it.
type Auth uint8

const (
	InheritAuth Auth = iota // as everywhere else
	NoAuth
	ByJWT
	ByIAM
	ByWebhook
)

var authNames = [...]string{"", "none", "jwt", "iam", "webhook"}

func (a Auth) String() string { return authNames[a] }

// ParseAuth reads a name as the configuration has it; "" is InheritAuth.
func ParseAuth(name string) (Auth, bool) {
	for i, one := range authNames {
		if one == name {
			return Auth(i), true
		}
	}
	return InheritAuth, false
}

// auth is what one rule asks for; a nil one, or one that says nothing, leaves it at otherwise.
func (rule *Rule) auth(otherwise Auth) Auth {
	switch {
	case rule == nil:
		return otherwise
	case rule.Webhook != nil:
		return ByWebhook
	case rule.Auth != InheritAuth:
		return rule.Auth
	}
	return otherwise
}

// demands reports whether any of a call's rules asks for want.
func (rs *Rules) demands(r *Request, otherwise, want Auth) bool {
	for _, rule := range rs.of(r) {
		if rule.auth(otherwise) == want {
			return true
		}
	}
	return false
}
