package awsconsole

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/spill"
)

// listing is a bucket that can only be listed, two keys with each call.
type listing struct {
	s3blob.Client
	keys []string
}

func (l *listing) List(_ context.Context, in *awss3.ListInput) (*awss3.Page, error) {
	slices.Sort(l.keys)
	out := &awss3.Page{}
	for _, key := range l.keys {
		if !strings.HasPrefix(key, in.Prefix) || key <= in.After {
			continue
		}
		if len(out.Keys) == 2 {
			out.Next = out.Keys[1]
			break
		}
		out.Keys = append(out.Keys, key)
	}
	return out, nil
}

// TestNewest: of more objects than are listed, the newest are.
func TestNewest(t *testing.T) {
	now := time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)
	bucket := &listing{}
	var want []tapway.ID
	for i := range 40 { // every twelve hours
		at := now.Add(-time.Duration(i) * 12 * time.Hour)
		large, shared := tapway.NewID(at), tapway.NewID(at.Add(-time.Second))
		m := tapway.Meta{ID: tapway.NewID(at.Add(-2 * time.Second)), Time: at.Add(-2 * time.Second)}
		bucket.keys = append(bucket.keys, claimPrefix+large.String(), claimPrefix+"shared/"+shared.String(), spill.Key("siem", &m))
		want = append(want, large, shared, m.ID)
	}
	q, err := sqsqueue.New(sqsqueue.Config{Client: awssqs.New(aws.Config{}, nil), Queues: map[string]string{"siem": "siem"}})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	a := newArchive(&s3blob.Store{Client: bucket, Bucket: "b"}, q)
	for _, tt := range []struct{ most, least int }{{79, 60}, {80, 120}, {12, 15}} {
		a.most = tt.most
		list, err := a.read(t.Context(), now)
		if err != nil || len(list) < tt.least {
			t.Fatalf("at most %d: %d objects, %v", tt.most, len(list), err)
		}
		newest := list[:tt.least/2]
		for i, o := range newest {
			if o.id != want[i] {
				t.Errorf("at most %d: place %d is %s of %s", tt.most, i, o.keys[0], o.id.Time())
			}
			if i > 0 && (o.seq >= newest[i-1].seq || o.seq >= 1<<53) {
				t.Errorf("positions %d, then %d", newest[i-1].seq, o.seq)
			}
		}
	}
}

// TestObjectOf: what is a record by its key, and what is not.
func TestObjectOf(t *testing.T) {
	const id = "0198c2f0-7c1e-7b3a-9d2e-3f1f7b6a5c4d"
	for key, want := range map[string]bool{
		"records/" + id: true, "records/shared/" + id: true, "records/other/" + id: false, "records/x": false, "records/": false,
		"spill/siem/2026/01/02/" + id + ".json": true, "spill/siem/2026/01/02/" + id: false, "spill/" + id + ".json": false, "routes/" + id + ".json": false,
	} {
		o, ok := objectOf(key)
		if ok != want || ok && (o.id.String() != id || o.claim != strings.HasPrefix(key, "records/") || !o.claim && o.waiting[0] != "siem") {
			t.Errorf("%s: %+v, %v", key, o, ok)
		}
	}
}
