package access

import (
	"crypto/sha256"
	"fmt"
)

// The length of an API key, in bytes, as in API Gateway.
const (
	MinKey = 20
	MaxKey = 128
)

// CheckKey tells what is wrong with an API key, without repeating it.
func CheckKey(value string) error {
	if len(value) < MinKey || len(value) > MaxKey {
		return fmt.Errorf("an API key has %d to %d characters, this one has %d", MinKey, MaxKey, len(value))
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c >= 0x7f {
			return fmt.Errorf("character %d of the API key cannot stand in a header", i+1)
		}
	}
	return nil
}

// Hash is what is kept of an API key. Keys are long and random, so a plain SHA-256 cannot be
// guessed back; and looking a hash up takes no time that tells of the key.
type Hash [sha256.Size]byte

// HashKey is the hash of a key. A key of the usual length costs no allocation.
func HashKey(value string) Hash {
	var room [MaxKey]byte
	return sha256.Sum256(append(room[:0], value...))
}

// Client is whom an API key belongs to.
type Client struct {
	ID   string // under which its calls are counted
	Name string
	Plan string // "" is none: only routes and the gateway as a whole bound it
	used *meter
}

// NewClient gives a key's owner what the state remembers of it.
func NewClient(id, name, plan string, s *State) *Client {
	return &Client{ID: id, Name: name, Plan: plan, used: s.meter(id)}
}

// KeySet finds the owner of a key. It is not changed once it is in use.
type KeySet map[Hash]*Client

// Keys is the decider that asks for an API key where one is required, in x-api-key as in API
// Gateway or where another decider of phase Authentication found it (Request.APIKey).
type Keys struct {
	Default    Need // where no rule says otherwise
	Rules      *Rules
	Configured KeySet
	File       *KeyFile // nil: none
	Plans      map[string]*UsagePlan
}

func (*Keys) Phase() Phase { return Authentication }
func (*Keys) Name() string { return "api_key" }

var (
	keyMissing = Forbidden("api key: missing")
	keyTwice   = Forbidden("api key: there more than once")
	keyUnknown = Forbidden("api key: unknown")
	keyNoPlan  = Forbidden("api key: its usage plan is not configured")
)

// Decide is Decider.
func (k *Keys) Decide(r *Request) *Refusal {
	if !k.required(r) {
		r.Because("no API key is required here")
		return nil
	}
	value := r.APIKey
	if value == "" && !r.Keyed {
		lines := r.HTTP.Header["X-Api-Key"]
		if len(lines) > 1 { // the backend might take another than the one that was checked
			r.Because("there is more than one x-api-key")
			return keyTwice
		}
		if len(lines) > 0 {
			value = lines[0]
		}
	}
	if value == "" {
		r.Because("an API key is required and there is none in %s", map[bool]string{false: "x-api-key", true: "the token"}[r.Keyed])
		return keyMissing
	}
	client := k.find(value)
	if client == nil {
		r.Because("the API key is not known, or revoked")
		return keyUnknown
	}
	if client.Plan != "" && k.Plans[client.Plan] == nil {
		r.Because("the API key is %q's, whose usage plan %q is not in the configuration", client.Name, client.Plan)
		return keyNoPlan
	}
	r.key = client
	if !r.Dry {
		client.used.show(r.Now)
	} else {
		r.Because("the API key is %q's (%s)", client.Name, client.ID)
	}
	return nil
}

func (k *Keys) find(value string) *Client {
	if len(value) > MaxKey {
		return nil
	}
	hash := HashKey(value)
	if c := k.Configured[hash]; c != nil {
		return c
	}
	if k.File != nil {
		return k.File.find(hash)
	}
	return nil
}

func (k *Keys) required(r *Request) bool {
	for _, rule := range k.Rules.of(r) {
		need := k.Default
		if rule != nil && rule.APIKey != Inherit {
			need = rule.APIKey
		}
		if need == Required {
			return true
		}
	}
	return false
}
