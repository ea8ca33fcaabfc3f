package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/attach"
	"github.com/tapway/tapway/internal/deploy"
)

func (d *deployment) watcher(o *deploy.Outputs) (*deploy.Watcher, error) {
	client, err := d.account.SQS()
	if err != nil {
		return nil, err
	}
	metrics, err := d.account.CloudWatch()
	if err != nil {
		return nil, err
	}
	return &deploy.Watcher{SQS: client, CloudWatch: metrics, Outputs: o}, nil
}

// callURL is what the test call goes to; ok is false when there is none.
func (d *deployment) callURL(a *attach.API, p *attach.Plan) (string, bool) {
	switch {
	case d.noCall || d.noAttach:
		return "", false
	case strings.HasPrefix(d.call, "http://") || strings.HasPrefix(d.call, "https://"):
		return d.call, true
	case a == nil || p == nil:
		return "", false
	case d.call != "":
		return deploy.APIURL(a) + "/" + strings.TrimPrefix(d.call, "/"), true
	}
	path, ok := deploy.CallPath(p)
	return deploy.APIURL(a) + path, ok
}

// tryOut makes one call and looks where its record is.
func (d *deployment) tryOut(ctx context.Context, o *deploy.Outputs) error {
	out := d.cmd.OutOrStdout()
	to, ok := d.callURL(d.api, d.plan)
	if !ok {
		if d.plan != nil && !d.noCall && !d.noAttach {
			fmt.Fprintln(out, "No test call: no attached GET route is without parameters. Name one with --call PATH.")
		}
		return nil
	}
	header, err := callHeader(d.headers)
	if err != nil {
		return err
	}
	call, err := deploy.NewCall(to, header)
	if err != nil {
		return err
	}
	w, err := d.watcher(o)
	if err != nil {
		return err
	}
	var arrived <-chan []byte
	if d.receive != "" {
		received, stop, err := receive(d.receive, call.TraceID)
		if err != nil {
			return err
		}
		defer stop()
		arrived = received
	}
	began := time.Now()
	answer, err := call.Do(ctx, http.DefaultClient)
	if err != nil {
		return fmt.Errorf("%w; everything else is done", err)
	}
	fmt.Fprintf(out, "\nTest call: GET %s\n  %s in %s", to, answer.Status, answer.Took.Round(time.Millisecond))
	if answer.RequestID != "" {
		fmt.Fprintf(out, ", request id %s", printable(answer.RequestID))
	}
	fmt.Fprintf(out, "\n  its record has the trace_id %s\n", call.TraceID)
	if answer.FromAPI != "" {
		fmt.Fprintf(out, "  API Gateway answered by itself (%s): the call did not reach tapway, so there is no record.\n  A key or another header is given with --call-header.\n", printable(answer.FromAPI))
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, d.wait)
	defer cancel()
	return d.follow(ctx, w, o, began, arrived)
}

// follow looks for the record until it is delivered, dead, or nobody waits any longer. What it
// tells is what SQS and CloudWatch say, not more.
func (d *deployment) follow(ctx context.Context, w *deploy.Watcher, o *deploy.Outputs, began time.Time, arrived <-chan []byte) error {
	out := d.cmd.OutOrStdout()
	ticker := time.NewTicker(2 * time.Second)
	defer ticker.Stop()
	var depths []deploy.Depth
	for {
		d.show.step("looking for its record", 0, 0)
		if now, err := w.Depths(ctx); err == nil {
			depths = now
		} else if !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		total := 0
		if arrived == nil {
			for _, q := range depths {
				n, _ := w.Sum(ctx, "delivered", o.ForwarderFunction, "forwarder", began, map[string]string{"destination": q.Destination})
				total += n
			}
		}
		if total > 0 {
			d.show.end()
			printDepths(out, depths)
			fmt.Fprintf(out, "  delivered since the call, by the forwarder's metric: %d\n", total)
			return nil
		}
		select {
		case record := <-arrived:
			d.show.end()
			fmt.Fprintf(out, "The record arrived at %s:\n", d.receive)
			var text bytes.Buffer
			if json.Indent(&text, record, "", "  ") != nil {
				text.Reset()
				text.Write(record)
			}
			fmt.Fprintln(out, printableLines(text.String()))
			return nil
		case <-ctx.Done():
			d.show.end()
			printDepths(out, depths)
			if arrived != nil {
				return fmt.Errorf("its record did not arrive at %s within %s; `tapway queue stats`, `tapway dlq list` and the functions' logs tell more", d.receive, d.wait)
			}
			fmt.Fprintf(out, "  CloudWatch did not tell within %s that a record was delivered; it is minutes behind. Look for the trace_id at the destination.\n", d.wait)
			return nil
		case <-ticker.C:
		}
	}
}

func printDepths(out io.Writer, depths []deploy.Depth) {
	for _, q := range depths {
		fmt.Fprintf(out, "  queue of %s: %d waiting, %d being delivered, %d dead\n", q.Destination, q.Waiting, q.UnderWay, q.Dead)
		if q.Dead > 0 {
			fmt.Fprintln(out, "    why: `tapway dlq list`")
		}
	}
}

// maxReceived bounds what is read of one delivery.
const maxReceived = 16 << 20

// receive listens for the delivery of the record that has a trace id.
func receive(address, traceID string) (<-chan []byte, func(), error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("--receive: %w", err)
	}
	arrived := make(chan []byte, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReceived))
		if err != nil {
			http.Error(w, "the record could not be read", http.StatusBadRequest)
			return
		}
		if bytes.Contains(body, []byte(traceID)) {
			select {
			case arrived <- body:
			default:
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	go func() { _ = server.Serve(l) }()
	return arrived, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the answer goes out
		defer cancel()
		_ = server.Shutdown(ctx)
	}, nil
}

// farewell tells what one does next.
func (d *deployment) farewell(o *deploy.Outputs) {
	out, name := d.cmd.OutOrStdout(), d.answers.Project
	fmt.Fprintf(out, "\nIn tapway.yaml, so that `tapway queue stats`, `dlq` and `tail` work on these queues:\n\n"+
		"queue: sqs://%s-{destination}\nbucket: %s\nlambda: {dead_letter_queue: \"sqs://%[1]s-{destination}-dead\"}\n", name, o.Bucket)
	if d.path == "" {
		fmt.Fprintf(out, "destinations: [{name: default, url: %q}]\n", d.answers.Destination)
	}
	if d.answers.AlarmEmail != "" {
		fmt.Fprintf(out, "\nAWS has sent a mail to %s: alarms arrive once its link was followed.\n", d.answers.AlarmEmail)
	}
	fmt.Fprintf(out, "\nThe answers are in %s. `tapway destroy` takes everything away again.\n", d.state)
}
