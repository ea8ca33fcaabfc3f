// Package runtimetest is a Lambda Runtime API for tests: it hands out events as Lambda does,
// answers the caller at the POST of the reply, and freezes the environment while the runtime
// waits in /next.
//
//	api := runtimetest.Start(t)
//	api.Go((&lambdaruntime.Runtime{API: api.Addr(), Handler: h}).Run)
//	result := api.Invoke(ctx, []byte(`{}`))
//
// What a newcomer gets wrong: it cannot stop the runtime's goroutines, so a freeze shows only
// where someone looks. Put [API.Guard] around the fakes that the function under test talks to
// (a backend, SQS): a call that reaches them during a freeze fails the test. And the official
// emulator is no second opinion on the order of things: it holds the caller until /next.
package runtimetest
