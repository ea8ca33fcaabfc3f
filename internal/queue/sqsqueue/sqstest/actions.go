package sqstest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// request has the members of all actions.
type request struct {
	entry
	QueueUrl, QueueName         string
	Entries                     []entry
	Attributes                  map[string]string
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         int
	WaitTimeSeconds             *int

	SourceArn, DestinationArn, TaskHandle string
	MaxNumberOfMessagesPerSecond          int

	fault Fault
}

type entry struct {
	Id                string
	MessageBody       string
	MessageAttributes map[string]Attribute
	MessageGroupId    string
	DelaySeconds      int
	ReceiptHandle     string
	VisibilityTimeout *int
}

// size is what counts against the limits.
func (e *entry) size() int {
	n := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.String()) + len(a.BinaryValue)
	}
	return n
}

type object map[string]any

var actions = map[string]func(s *Server, ctx context.Context, in *request) (any, error){
	"CreateQueue":                  (*Server).createQueue,
	"GetQueueUrl":                  (*Server).getQueueURL,
	"GetQueueAttributes":           (*Server).getQueueAttributes,
	"SetQueueAttributes":           (*Server).setQueueAttributes,
	"PurgeQueue":                   (*Server).purgeQueue,
	"SendMessage":                  (*Server).sendMessage,
	"SendMessageBatch":             (*Server).sendMessageBatch,
	"ReceiveMessage":               (*Server).receiveMessage,
	"DeleteMessage":                (*Server).deleteMessage,
	"DeleteMessageBatch":           (*Server).deleteMessageBatch,
	"ChangeMessageVisibility":      (*Server).changeVisibility,
	"ChangeMessageVisibilityBatch": (*Server).changeVisibilityBatch,
	"StartMessageMoveTask":         (*Server).startMove,
	"ListMessageMoveTasks":         (*Server).listMoves,
	"CancelMessageMoveTask":        (*Server).cancelMove,
}

func (s *Server) createQueue(_ context.Context, in *request) (any, error) {
	if _, err := newQueue(in.QueueName, in.Attributes); err != nil {
		return nil, err
	}
	return object{"QueueUrl": s.Create(in.QueueName, in.Attributes)}, nil
}

func (s *Server) getQueueURL(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueName)
	if err != nil {
		return nil, err
	}
	return object{"QueueUrl": q.url()}, nil
}

func (s *Server) getQueueAttributes(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	s.expireLocked(q, now)
	all := map[string]string{}
	for a, v := range q.attributes {
		all[a] = v
	}
	visible, leased, delayed := q.counts(now)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(leased)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(delayed)
	if !slices.Contains(in.AttributeNames, "All") {
		for a := range all {
			if !slices.Contains(in.AttributeNames, a) {
				delete(all, a)
			}
		}
	}
	return object{"Attributes": all}, nil
}

func (s *Server) setQueueAttributes(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	return nil, q.set(in.Attributes)
}

func (s *Server) purgeQueue(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	q.messages = nil
	return nil, nil
}

func (s *Server) sendMessage(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.check(q, &in.entry); err != nil {
		return nil, err
	}
	return s.sendLocked(q, &in.entry), nil
}

func (s *Server) sendLocked(q *queue, e *entry) object {
	delay := max(e.DelaySeconds, q.number("DelaySeconds"))
	m := q.add(s.newIDLocked(), e.MessageBody, e.MessageAttributes, e.MessageGroupId, time.Duration(delay)*time.Second)
	s.wakeLocked()
	return object{"MessageId": m.ID, "MD5OfMessageBody": sum(e.MessageBody)}
}

// batch does one thing for each entry, and collects what failed alone.
func (s *Server) batch(in *request, do func(q *queue, e *entry) (object, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if len(in.Entries) == 0 {
		return nil, &apiError{400, "EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one entry."}
	}
	if len(in.Entries) > 10 {
		return nil, &apiError{400, "TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "At most 10 entries."}
	}
	seen, total := map[string]bool{}, 0
	for i := range in.Entries {
		e := &in.Entries[i]
		if e.Id == "" || seen[e.Id] {
			return nil, &apiError{400, "BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", e.Id}
		}
		seen[e.Id] = true
		total += e.size()
	}
	if total > maxTotal {
		return nil, &apiError{400, "BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong", strconv.Itoa(total)}
	}
	good, bad := []object{}, []object{}
	for i := range in.Entries {
		e := &in.Entries[i]
		var out object
		var err error
		fault := in.fault.SenderFault
		if slices.Contains(in.fault.Entries, i) {
			err = refuse(in.fault.Code, "injected")
		} else {
			fault = true
			out, err = do(q, e)
		}
		if err != nil {
			refused := err.(*apiError)
			bad = append(bad, object{"Id": e.Id, "SenderFault": fault, "Code": refused.code, "Message": refused.message})
			continue
		}
		if out == nil {
			out = object{}
		}
		out["Id"] = e.Id
		good = append(good, out)
	}
	return object{"Successful": good, "Failed": bad}, nil
}

func (s *Server) sendMessageBatch(_ context.Context, in *request) (any, error) {
	return s.batch(in, func(q *queue, e *entry) (object, error) {
		if err := s.check(q, e); err != nil {
			return nil, err
		}
		return s.sendLocked(q, e), nil
	})
}

func (s *Server) check(q *queue, e *entry) error {
	if s.NoGroups && e.MessageGroupId != "" {
		return refuse("InvalidParameterValue", "Value %s for parameter MessageGroupId is invalid. Reason: The request include parameter that is not valid for this queue type.", e.MessageGroupId)
	}
	return q.check(e)
}

func (s *Server) receiveMessage(ctx context.Context, in *request) (any, error) {
	limit := in.MaxNumberOfMessages
	if limit == 0 {
		limit = 1
	}
	if limit < 1 || limit > 10 {
		return nil, refuse("InvalidParameterValue", "MaxNumberOfMessages %d", limit)
	}
	deadline := time.Time{}
	for {
		s.mu.Lock()
		q, err := s.queueLocked(in.QueueUrl)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		now := time.Now()
		if deadline.IsZero() {
			wait := q.number("ReceiveMessageWaitTimeSeconds")
			if in.WaitTimeSeconds != nil {
				wait = *in.WaitTimeSeconds
			}
			if wait < 0 || wait > 20 {
				s.mu.Unlock()
				return nil, refuse("InvalidParameterValue", "WaitTimeSeconds %d", wait)
			}
			deadline = now.Add(time.Duration(wait) * time.Second)
		}
		got, next := s.takeLocked(q, in, limit, now)
		changed := s.waitLocked()
		s.mu.Unlock()
		if len(got) > 0 || !now.Before(deadline) {
			return object{"Messages": got}, nil
		}
		if next.IsZero() || next.After(deadline) {
			next = deadline
		}
		t := time.NewTimer(next.Sub(now))
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			panic(http.ErrAbortHandler)
		}
		t.Stop()
	}
}

// takeLocked leases what is visible; next is when something else will be.
func (s *Server) takeLocked(q *queue, in *request, limit int, now time.Time) (got []object, next time.Time) {
	s.expireLocked(q, now)
	visibility := q.number("VisibilityTimeout")
	if in.VisibilityTimeout != nil {
		visibility = *in.VisibilityTimeout
	}
	var ready []*message
	for _, m := range q.messages {
		if !m.Visible.After(now) {
			ready = append(ready, m)
		} else if next.IsZero() || m.Visible.Before(next) {
			next = m.Visible
		}
	}
	if s.Order != nil {
		s.Order(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	}
	got = []object{}
	for _, m := range ready[:min(limit, len(ready))] {
		if m.Receives++; m.first.IsZero() {
			m.first = now
		}
		m.handle, m.received = fmt.Sprintf("%s#%d", m.ID, m.Receives), now
		if s.Again == nil || !s.Again() {
			m.Visible = now.Add(time.Duration(visibility) * time.Second)
		}
		got = append(got, m.object(in))
	}
	return got, next
}

func (m *message) object(in *request) object {
	o := object{"MessageId": m.ID, "ReceiptHandle": m.handle, "Body": m.Body, "MD5OfBody": sum(m.Body)}
	system := map[string]string{
		"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.first.UnixMilli(), 10),
		"SentTimestamp":                    strconv.FormatInt(m.Sent.UnixMilli(), 10),
		"SenderId":                         "AIDATEST",
	}
	if m.Group != "" {
		system["MessageGroupId"] = m.Group
	}
	if m.source != "" {
		system["DeadLetterQueueSourceArn"] = ARN(m.source)
	}
	wanted := append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)
	for name := range system {
		if !slices.Contains(wanted, "All") && !slices.Contains(wanted, name) {
			delete(system, name)
		}
	}
	o["Attributes"] = system
	attributes := map[string]Attribute{}
	for name, a := range m.Attributes {
		if slices.Contains(in.MessageAttributeNames, "All") || slices.Contains(in.MessageAttributeNames, name) {
			attributes[name] = a
		}
	}
	if len(attributes) > 0 {
		o["MessageAttributes"] = attributes
	}
	return o
}

func (s *Server) deleteMessage(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	_, err = q.remove(&in.entry)
	return nil, err
}

func (s *Server) deleteMessageBatch(_ context.Context, in *request) (any, error) {
	return s.batch(in, (*queue).remove)
}

// remove deletes a message. An older handle is taken but deletes nothing, as SQS warns.
func (q *queue) remove(e *entry) (object, error) {
	if !validHandle(e.ReceiptHandle) {
		return nil, refuse("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	}
	if m := q.byHandle(e.ReceiptHandle); m != nil && m.handle == e.ReceiptHandle {
		q.messages = slices.DeleteFunc(q.messages, func(o *message) bool { return o == m })
	}
	return nil, nil
}

func (s *Server) changeVisibility(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.queueLocked(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	_, err = q.hide(&in.entry)
	s.wakeLocked()
	return nil, err
}

func (s *Server) changeVisibilityBatch(_ context.Context, in *request) (any, error) {
	return s.batch(in, func(q *queue, e *entry) (object, error) {
		defer s.wakeLocked()
		return q.hide(e)
	})
}

func (q *queue) hide(e *entry) (object, error) {
	now := time.Now()
	switch m := q.byHandle(e.ReceiptHandle); {
	case !validHandle(e.ReceiptHandle):
		return nil, refuse("ReceiptHandleIsInvalid", "The input receipt handle is invalid.")
	case e.VisibilityTimeout == nil || *e.VisibilityTimeout < 0 || *e.VisibilityTimeout > 43200:
		return nil, refuse("InvalidParameterValue", "VisibilityTimeout")
	case m == nil:
		return nil, refuse("InvalidParameterValue", "Message does not exist or is not available for visibility timeout change.")
	case !m.Visible.After(now) || m.handle != e.ReceiptHandle:
		return nil, &apiError{400, "MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", "The message is not in flight."}
	default:
		until := now.Add(time.Duration(*e.VisibilityTimeout) * time.Second)
		if until.Sub(m.received) > maxVisibility {
			return nil, refuse("InvalidParameterValue", "Total VisibilityTimeout for the message is beyond the limit [43200 seconds].")
		}
		m.Visible = until
		return nil, nil
	}
}
