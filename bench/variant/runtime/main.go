// Command runtime is a bootstrap with the Runtime API's client alone:
// what these cost at a cold start. Bench starts it and waits for its first /next.
//
// What a newcomer gets wrong: it is for measuring; nobody deploys it.
package main

import (
	"context"
	"log"
	"os"

	"github.com/tapway/tapway/internal/lambdaruntime"
)

func main() {
	r, err := lambdaruntime.FromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	r.Handler = lambdaruntime.HandlerFunc(func(_ context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
		return lambdaruntime.Reply{Body: in.Event}, nil
	})
	if err := r.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
