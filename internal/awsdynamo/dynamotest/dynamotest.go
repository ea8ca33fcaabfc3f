// Package dynamotest is a fake of DynamoDB that knows one update: the conditional addition of awsdynamo.
//
// What a newcomer gets wrong: it checks no signature and evaluates no expression, it only knows the two
// conditions that awsdynamo sends, and refuses others. What it and awsdynamo misunderstand alike, the test
// against moto finds.
package dynamotest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Server is DynamoDB with any table. The zero Server is empty; it is safe for concurrent use.
type Server struct {
	Fault func(w http.ResponseWriter, r *http.Request) bool // true: it has answered; set it before use

	mu     sync.Mutex
	counts map[string]int64
	asked  int
}

// Count is an item's count; item is TABLE/ID.
func (s *Server) Count(item string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[item]
}

// Set writes an item's count.
func (s *Server) Set(item string, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.counts == nil {
		s.counts = map[string]int64{}
	}
	s.counts[item] = n
}

// Asked is how many requests there were.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

type request struct {
	TableName                 string
	Key                       map[string]struct{ S string }
	UpdateExpression          string
	ConditionExpression       string
	ExpressionAttributeValues map[string]struct{ N string }
}

// ServeHTTP is http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Fault != nil && s.Fault(w, r) {
		return
	}
	var in request
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		http.Error(w, `{"__type":"SerializationException"}`, http.StatusBadRequest)
		return
	}
	item := in.TableName + "/" + in.Key["id"].S
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(in.ExpressionAttributeValues[name].N, 10, 64)
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	used, there := s.counts[item]
	answer := func(member string) {
		fmt.Fprintf(w, `{%q:{"id":{"S":%q},"used":{"N":"%d"}}`, member, in.Key["id"].S, used)
	}
	switch target := r.Header.Get("X-Amz-Target"); {
	case target == "DynamoDB_20120810.GetItem":
		if !there {
			fmt.Fprint(w, "{}")
			return
		}
		answer("Item")
	case target != "DynamoDB_20120810.UpdateItem" || in.UpdateExpression != "ADD #u :n SET #e = :e" ||
		in.ConditionExpression != "#u <= :m" && in.ConditionExpression != "attribute_not_exists(#u) OR #u <= :m":
		http.Error(w, `{"__type":"x#ValidationException","message":"not in this fake"}`, http.StatusBadRequest)
		return
	case used > number(":m") || !there && strings.HasPrefix(in.ConditionExpression, "#u"):
		w.WriteHeader(http.StatusBadRequest)
		answer("Item")
		fmt.Fprint(w, `,"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"`)
	default:
		if s.counts == nil {
			s.counts = map[string]int64{}
		}
		used += number(":n")
		s.counts[item] = used
		answer("Attributes")
	}
	fmt.Fprint(w, "}")
}
