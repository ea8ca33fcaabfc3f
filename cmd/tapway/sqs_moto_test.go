package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/mototest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
	"github.com/tapway/tapway/internal/record"
)

// newMoto is newAWS on moto: SQS and S3 by somebody else.
func newMoto(t *testing.T) *sqsWorld {
	t.Helper()
	return newMotoWith(t, "siem", "lake")
}

// newMotoWith makes queues for other destinations.
func newMotoWith(t *testing.T, names ...string) *sqsWorld {
	t.Helper()
	url := mototest.Start(t)
	w := &sqsWorld{T: t, dir: t.TempDir()}
	w.connect(url, url, url+"/123456789012/")
	for _, name := range names {
		w.aws("sqs", "create-queue", "--queue-name", "records-"+name+"-dead")
		policy, _ := json.Marshal(map[string]string{"RedrivePolicy": strings.ReplaceAll(sqstest.RedrivePolicy("records-"+name+"-dead", 1000), sqstest.Account, "123456789012")})
		w.aws("sqs", "create-queue", "--queue-name", "records-"+name, "--attributes", string(policy))
	}
	w.aws("s3api", "create-bucket", "--bucket", "records", "--create-bucket-configuration", "LocationConstraint="+sqstest.Region)
	write(t, w.dir, "tapway.yaml", "admin: {listen: \"off\"}\nqueue: sqs://records-{destination}\nbucket: records\n"+
		"destinations:\n  - {name: siem, url: http://127.0.0.1:1/}\n  - {name: lake, url: http://127.0.0.1:1/}\n")
	return w
}

// aws runs the AWS CLI.
func (w *sqsWorld) aws(args ...string) string {
	w.Helper()
	path, err := exec.LookPath("aws")
	if err != nil {
		w.Fatal("the AWS CLI is missing: pip install awscli")
	}
	cmd := exec.CommandContext(w.Context(), path, append(args, "--endpoint-url", w.url, "--output", "json")...)
	cmd.Env = append(append(os.Environ(), w.env...), "AWS_DEFAULT_REGION="+sqstest.Region, "AWS_PAGER=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestSQSOnMoto goes through every command on an SQS that is not ours.
func TestSQSOnMoto(t *testing.T) {
	t.Parallel()
	w := newMoto(t)
	w.kill("siem", 11, 13)
	w.must("dlq purge --yes --id "+w.id(11), "1 of 1 purged.")
	w.must("dlq purge --yes --destination siem", "about 1 of 1 purged.")
	w.kill("siem", 1, 4)
	w.enqueue("lake", 5, 6)
	w.must("dlq list", "siem: 422 Unprocessable Entity, after 1 attempt; died ")
	w.must("dlq show "+w.id(2), "siem: dead: 422", `"id": "`+w.id(2)+`"`)
	w.must("dlq redrive --id "+w.id(2), "1 of 1 redriven.")
	w.must("dlq redrive --destination siem", "it is done one by one", "2 of 2 redriven.") // moto has no moves
	w.must("queue stats", "siem         3        0                    0     -")

	w.spill("lake", 20, record.Append(nil, exchange(20)))
	w.must("ledger", "siem         3       0", "1 record in the bucket")
	w.must("queue recover", "1 of 1 recovered.")
	if left := w.objects(); len(left) != 0 {
		t.Errorf("left in the bucket: %q", left)
	}
	if q := decode[admin.QueueState](t, w.must("queue stats --json")); q.Destinations[0].Queued != 2 || !q.Oldest.IsZero() { // moto's CloudWatch does not speak CBOR
		t.Errorf("stats: %+v", q)
	}

	r := beginCommand(t, w.command("tail"))
	waitFor(t, "what waits", func() bool { return strings.Count(r.out.String(), "\n") >= 5 })
	r.interrupt(t, 10*time.Second)
	waitFor(t, "everything to be given back", func() bool {
		s := decode[admin.QueueState](t, w.must("queue stats --json"))
		return s.Destinations[0].Leased == 0 && s.Destinations[1].Leased == 0 && s.Records == 5
	})
}
