package sqstest

import (
	"context"
	"fmt"
	"time"
)

// task is a finished move: the server does it at once.
type task struct {
	handle, source, destination, status, failure string
	moved                                        int
	started                                      time.Time
}

// startMove moves everything at once, with new identities as SQS does it.
func (s *Server) startMove(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.queueLocked(in.SourceArn[lastColon(in.SourceArn):])
	if err != nil {
		return nil, &apiError{400, "ResourceNotFoundException", "", "The resource that you specified for the SourceArn parameter doesn't exist."}
	}
	isDeadLetters := false
	for _, q := range s.queues {
		if target, _ := q.redrive(); target == from.name {
			isDeadLetters = true
		}
	}
	if !isDeadLetters {
		return nil, refuse("InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue.")
	}
	if in.MaxNumberOfMessagesPerSecond < 0 || in.MaxNumberOfMessagesPerSecond > 500 {
		return nil, refuse("InvalidParameterValue", "MaxNumberOfMessagesPerSecond")
	}
	t := &task{handle: fmt.Sprintf("task-%d", len(s.tasks)+1), source: in.SourceArn, destination: in.DestinationArn, status: "COMPLETED", started: time.Now()}
	s.tasks = append(s.tasks, t)
	rest := from.messages[:0]
	for _, m := range from.messages {
		name := m.source
		if in.DestinationArn != "" {
			name = in.DestinationArn[lastColon(in.DestinationArn):]
		}
		to := s.queues[name]
		if to == nil {
			t.status, t.failure = "FAILED", "CouldNotDetermineMessageSource"
			rest = append(rest, m)
			continue
		}
		to.add(s.newIDLocked(), m.Body, m.Attributes, m.Group, 0)
		t.moved++
	}
	from.messages = rest
	s.wakeLocked()
	return object{"TaskHandle": t.handle}, nil
}

func lastColon(arn string) int {
	for i := len(arn); i > 0; i-- {
		if arn[i-1] == ':' {
			return i
		}
	}
	return 0
}

func (s *Server) listMoves(_ context.Context, in *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := []object{}
	for i := range s.tasks {
		t := s.tasks[len(s.tasks)-1-i]
		if t.source != in.SourceArn {
			continue
		}
		o := object{
			"Status": t.status, "SourceArn": t.source, "ApproximateNumberOfMessagesMoved": t.moved,
			"ApproximateNumberOfMessagesToMove": t.moved, "StartedTimestamp": t.started.UnixMilli(),
		}
		if t.destination != "" {
			o["DestinationArn"] = t.destination
		}
		if t.failure != "" {
			o["FailureReason"] = t.failure
		}
		results = append(results, o)
	}
	return object{"Results": results}, nil
}

func (s *Server) cancelMove(context.Context, *request) (any, error) {
	return nil, &apiError{400, "ResourceNotFoundException", "", "The task has ended."}
}
