package delivery

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tapway/tapway"
)

// signer makes Standard Webhooks 1.0.0 signatures: "v1," and the base64 of the HMAC-SHA256
// of "id.timestamp.body", one per key with spaces between, so that a secret can be rotated.
type signer struct {
	keys []*signKey
}

// signKey keeps keyed hashes for reuse: keying one costs as much as hashing 128 bytes.
type signKey struct{ macs sync.Pool }

func newSigner(secrets []tapway.Secret) (*signer, error) {
	if len(secrets) == 0 {
		return nil, nil
	}
	s := new(signer)
	for i, secret := range secrets {
		key, err := signingKey(secret)
		if err != nil {
			return nil, fmt.Errorf("signing secret %d: %w", i+1, err)
		}
		s.keys = append(s.keys, &signKey{macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}})
	}
	return s, nil
}

// signingKey reads a secret: "whsec_" and base64, or any other text as it is. Its errors say
// what is wrong without showing the secret.
func signingKey(secret tapway.Secret) ([]byte, error) {
	text := secret.Reveal()
	encoded, ok := strings.CutPrefix(text, "whsec_")
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New("it is empty")
	case strings.HasPrefix(text, "whsk_") || strings.HasPrefix(text, "whpk_"):
		return nil, errors.New("it is an ed25519 key; only symmetric secrets (whsec_) are supported")
	case !ok:
		return []byte(text), nil
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "="))
	if err != nil {
		return nil, errors.New("what follows whsec_ is not base64") // the decoder's own error would tell positions only, but say nothing more useful
	}
	if len(key) == 0 {
		return nil, errors.New("nothing follows whsec_")
	}
	return key, nil
}

func (s *signer) sign(id string, unix int64, t *text) string {
	head := make([]byte, 0, 80)
	head = append(head, id...)
	head = append(head, '.')
	head = strconv.AppendInt(head, unix, 10)
	head = append(head, '.')
	head = append(head, t.prefix...)
	var sum [sha256.Size]byte
	out := make([]byte, 0, 48*len(s.keys))
	for i, key := range s.keys {
		mac := key.macs.Get().(hash.Hash)
		mac.Reset()
		mac.Write(head)
		mac.Write(t.middle)
		mac.Write([]byte(t.suffix))
		if i > 0 {
			out = append(out, ' ')
		}
		out = append(out, "v1,"...)
		out = base64.StdEncoding.AppendEncode(out, mac.Sum(sum[:0]))
		key.macs.Put(mac)
	}
	return string(out)
}

// requestID is the exchange's id, or for several an id made from all of theirs in any order:
// the same batch has the same id in every attempt.
func requestID(ids []tapway.ID) string {
	if len(ids) == 1 {
		return ids[0].String()
	}
	byID := func(a, b tapway.ID) int { return bytes.Compare(a[:], b[:]) }
	if !slices.IsSortedFunc(ids, byID) {
		ids = slices.Clone(ids)
		slices.SortFunc(ids, byID)
	}
	h := sha256.New()
	for i := range ids {
		h.Write(ids[i][:])
	}
	var sum [sha256.Size]byte
	return "batch_" + hex.EncodeToString(h.Sum(sum[:0])[:16])
}

// Signature makes what stands in the header webhook-signature of Standard Webhooks, for messages
// that are no records. nil without secrets; its error shows none of them.
func Signature(secrets []tapway.Secret) (func(id string, unix int64, body []byte) string, error) {
	s, err := newSigner(secrets)
	if s == nil || err != nil {
		return nil, err
	}
	return func(id string, unix int64, body []byte) string { return s.sign(id, unix, &text{middle: body}) }, nil
}
