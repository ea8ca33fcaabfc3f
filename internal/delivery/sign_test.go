package delivery

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapway/tapway"
)

// The first case is the example that the Standard Webhooks libraries test against; both were
// also made with openssl dgst -sha256 -mac HMAC.
func TestSign(t *testing.T) {
	const id, unix = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
	body := &text{`{"test"`, []byte(": 24322"), "32314}"}
	const published = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	const raw = "v1,OHuJfE0XDTiJkWS6x0mt8iAupLiXBJV9AJWrIlH+Scw="
	for _, c := range []struct {
		secrets []tapway.Secret
		want    string
	}{
		{[]tapway.Secret{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, published},
		{[]tapway.Secret{"hunter2"}, raw},
		{[]tapway.Secret{"hunter2", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, raw + " " + published},
	} {
		s, err := newSigner(c.secrets)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time with a used hash
			if got := s.sign(id, unix, body); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		}
	}
}

func TestSigningKeyPadding(t *testing.T) {
	for _, secret := range []tapway.Secret{"whsec_YWJjZA==", "whsec_YWJjZA"} {
		if key, err := signingKey(secret); err != nil || string(key) != "abcd" {
			t.Errorf("got %q, %v", key, err)
		}
	}
}

// What goes out verifies by the specification, with every secret, for every request.
func TestSignedRequests(t *testing.T) {
	d := newDestination(t, nil)
	secrets := []tapway.Secret{"old", "new"}
	s := &Sender{URL: d.URL, Secrets: secrets, Batch: Batch{MaxRecords: 3}, Transport: transport(t)}
	s.Send(t.Context(), messages(7))
	if len(d.got()) != 3 {
		t.Fatalf("%d requests", len(d.got()))
	}
	for _, r := range d.got() {
		signatures := strings.Split(r.header.Get("Webhook-Signature"), " ")
		if len(signatures) != len(secrets) {
			t.Fatalf("signatures %q", signatures)
		}
		for i, secret := range secrets {
			mac := hmac.New(sha256.New, []byte(secret.Reveal()))
			mac.Write([]byte(r.header.Get("Webhook-Id") + "." + r.header.Get("Webhook-Timestamp") + "." + string(r.body)))
			if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); signatures[i] != want {
				t.Errorf("signature %d is %s, want %s", i, signatures[i], want)
			}
		}
	}
}

func TestRequestID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) tapway.ID {
			return tapway.ID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		}), 2, 20).Draw(t, "ids")
		given := slices.Clone(ids)
		id := requestID(ids)
		if !slices.Equal(ids, given) {
			t.Fatal("the ids were reordered in place")
		}
		if shuffled := rapid.Permutation(ids).Draw(t, "shuffled"); requestID(shuffled) != id {
			t.Fatal("the order matters")
		}
		if len(id) != len("batch_")+32 {
			t.Fatalf("id %q", id)
		}
		if requestID(ids[1:]) == id {
			t.Fatal("another batch has the same id")
		}
	})
	one := tapway.NewID(time.Now())
	if requestID([]tapway.ID{one}) != one.String() {
		t.Error("a single record's request does not have its id")
	}
}

// TestSignature: what is no record is signed as records are.
func TestSignature(t *testing.T) {
	sign, err := Signature([]tapway.Secret{"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	if err != nil {
		t.Fatal(err)
	}
	if got := sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, []byte(`{"test": 2432232314}`)); got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("got %s", got)
	}
	if sign, err := Signature(nil); sign != nil || err != nil {
		t.Errorf("without a secret: %v", err)
	}
	if _, err := Signature([]tapway.Secret{"whsec_?hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad secret: %v", err)
	}
}
