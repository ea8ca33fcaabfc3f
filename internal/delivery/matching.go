package delivery

import (
	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/record"
)

// Matching makes a Worker's Match of a destination's filter; the filter that takes
// everything gives nil. Headers and bodies are read only when the filter asks for them. A message that
// cannot be read matches: the attempt then says what is wrong with it.
func Matching(f *filter.Filter, destination string) func(m *tapway.Message) bool {
	if f.String() == "" {
		return nil
	}
	return func(m *tapway.Message) bool {
		var ex *tapway.Exchange
		env := filter.Env{Destination: destination, Attempts: m.Attempts}
		if m.Frame != nil {
			meta, err := tapway.DecodeMeta(m.Frame)
			if err != nil {
				return true
			}
			meta.Seq = m.Seq
			env.Meta = &meta
		} else {
			var err error
			if ex, err = record.Exchange(m); err != nil {
				return true
			}
			env.Meta = &ex.Meta
		}
		unreadable := false
		load := func() *tapway.Exchange {
			if ex == nil {
				var err error
				if ex, err = record.Exchange(m); err != nil {
					unreadable = true
					return &tapway.Exchange{}
				}
			}
			return ex
		}
		env.Header = func() (request, response tapway.Header) {
			ex := load()
			return ex.RequestHeader, ex.ResponseHeader
		}
		env.Body = func() (request, response []byte) { return filter.Bodies(load()) }
		return f.Match(&env) || unreadable
	}
}
