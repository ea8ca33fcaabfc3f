package tapway

import (
	"fmt"
	"log/slog"
)

const redacted = "[REDACTED]"

// Secret is a string that no log, error, JSON document or fmt verb prints. Only Reveal
// gives it out; write the call where the secret is used, never keep its result.
type Secret string

// Reveal gives the secret itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString, Format, MarshalText and LogValue keep %#v, %x, encoders and slog from printing it.
func (s Secret) GoString() string { return s.String() }

func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
