package app

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/admin"
)

// ask reads an answer of the admin API.
func (w *world) ask(path string, into any) string {
	w.t.Helper()
	status, _, body := askWith(w.t, "http://"+w.app.AdminAddr()+path)
	if status != 200 {
		w.t.Fatalf("%s: %d %s", path, status, body)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		w.t.Fatal(err)
	}
	return body
}

// calls sums up what the charts have of the last hours.
func (w *world) calls() (calls, client, server uint64) {
	w.t.Helper()
	var got admin.Charts
	w.ask("/api/v1/charts?step=1h&from="+time.Now().Add(-3*time.Hour).UTC().Format(time.RFC3339), &got)
	for _, p := range got.Points {
		calls, client, server = calls+p.Calls, client+p.Errors4xx, server+p.Errors5xx
	}
	return calls, client, server
}

// TestFigures: the admin API tells keys with what they have used, and charts of the calls; both
// outlive a restart, and neither a key nor its hash is told.
func TestFigures(t *testing.T) {
	data := t.TempDir() + "/data"
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	made, value, err := access.CreateKey(KeysFile(data), "mobile", "gold", "", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	gone, goneValue, err := access.CreateKey(KeysFile(data), "old", "gold", "", time.Now())
	if err == nil {
		_, err = access.RevokeKey(KeysFile(data), "old", time.Now())
	}
	if err != nil {
		t.Fatal(err)
	}
	yaml := "data: " + data + "\nbackend: " + httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})) + `
access:
  usage_plans: [{name: gold, rate: 50, burst: 100, quota: {limit: 3, period: MONTH}, routes: [{match: /slow, rate: 5}]}, {name: idle}]
  api_keys: [{name: partner, value: ` + partnerKey + `, plan: gold}, {name: free, value: ` + partnerKey + `-2}]
`
	began := time.Now().Truncate(time.Second)
	w := newWorldIn(t, yaml)
	for range 4 { // the last is beyond the quota
		askWith(t, w.url+"/x", "x-api-key", value)
	}
	askWith(t, w.url+"/x", "x-api-key", goneValue)
	askWith(t, w.url+"/x", "x-api-key", partnerKey)
	until(t, "six calls in the charts, two of them refused", func() bool { // a call counts when it is over, a moment after its answer
		calls, client, server := w.calls()
		return calls == 6 && client == 2 && server == 0
	})
	check := func(when string) {
		var got admin.Keys
		body := w.ask("/api/v1/keys", &got)
		for _, secret := range []string{value, goneValue, partnerKey, made.SHA256, gone.SHA256, "sha256"} {
			if strings.Contains(body, secret) {
				t.Errorf("%s: a key or its hash is told: %s", when, body)
			}
		}
		if !got.Required || len(got.Keys) != 4 || len(got.Plans) != 2 {
			t.Fatalf("%s: %s", when, body)
		}
		partner, free, mobile, old := got.Keys[0], got.Keys[1], got.Keys[2], got.Keys[3]
		if u := mobile.Usage; mobile.Name != "mobile" || mobile.ID != made.ID || u == nil || u.Used != 3 || u.Limit != 3 || u.Period != "MONTH" || !u.Resets.After(time.Now()) || !mobile.Created.Equal(made.Created) {
			t.Errorf("%s: mobile is %+v, %+v", when, mobile, mobile.Usage)
		}
		if mobile.LastUsed == nil || mobile.LastUsed.Before(began) || mobile.LastUsed.After(time.Now()) || partner.LastUsed == nil || free.LastUsed != nil || old.LastUsed != nil {
			t.Errorf("%s: last used %v, %v, %v, %v", when, partner.LastUsed, free.LastUsed, mobile.LastUsed, old.LastUsed)
		}
		if partner.Usage == nil || partner.Usage.Used != 1 || partner.Source != "configuration" || free.Usage != nil || old.Revoked == nil || old.Source != "file" {
			t.Errorf("%s: %s", when, body)
		}
		gold := got.Plans[0]
		if gold.Quota.Used != 4 || gold.Keys != 2 || *gold.Rate != 50 || gold.Burst != 100 || len(gold.Routes) != 1 || got.Plans[1].Quota != nil || got.Plans[1].Keys != 0 {
			t.Errorf("%s: plans %+v", when, got.Plans)
		}
	}
	check("before")
	w.stop()
	w = newWorldIn(t, yaml)
	check("after the restart")
	if calls, client, _ := w.calls(); calls != 6 || client != 2 {
		t.Errorf("after the restart the charts have %d calls, %d 4xx", calls, client)
	}
}

// TestFiguresDamaged: files for people to look at never keep a gateway from starting.
func TestFiguresDamaged(t *testing.T) {
	data := t.TempDir() + "/data"
	if err := os.MkdirAll(filepath.Join(data, "series"), 0o700); err != nil { // a directory where the file should be
		t.Fatal(err)
	}
	if err := os.WriteFile(shownFile(data), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorldIn(t, "data: "+data+"\nbackend: "+httpBackend(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))+"\n")
	if status, _, _ := askWith(t, w.url+"/x"); status != 200 {
		t.Errorf("a call is answered %d", status)
	}
	if said := w.log.String(); !strings.Contains(said, "the charts end with this process") || !strings.Contains(said, "not known for the time before this start") {
		t.Errorf("the log says %s", said)
	}
}
