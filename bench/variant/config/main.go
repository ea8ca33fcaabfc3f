// Command config is a bootstrap with the clients of the Runtime API, SQS and S3, and the configuration:
// what these cost at a cold start. Bench starts it and waits for its first /next.
//
// What a newcomer gets wrong: it is for measuring; nobody deploys it.
package main

import (
	"context"
	"log"
	"os"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/awssqs"
	"github.com/tapway/tapway/internal/blob/s3blob"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
)

func main() {
	r, err := lambdaruntime.FromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	aws, err := awsbase.FromEnv(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	endpoint := os.Getenv("AWS_ENDPOINT_URL_SQS")
	queue, err := sqsqueue.New(sqsqueue.Config{Client: awssqs.New(aws, &endpoint), Queues: map[string]string{"default": "records"}})
	if err != nil {
		log.Fatal(err)
	}
	store := &s3blob.Store{Client: awss3.New(aws, nil), Bucket: "objects"}
	c, err := config.Load(config.Source{Getenv: os.LookupEnv})
	if err != nil {
		log.Fatal(err)
	}
	r.Handler = lambdaruntime.HandlerFunc(func(ctx context.Context, in *lambdaruntime.Invocation) (lambdaruntime.Reply, error) {
		if err := queue.Enqueue(ctx, new(tapway.Exchange)); err != nil {
			return lambdaruntime.Reply{}, err
		}
		if err := store.Put(ctx, "key", in.Event); err != nil {
			return lambdaruntime.Reply{}, err
		}
		if _, err := store.Get(ctx, "key"); err != nil {
			return lambdaruntime.Reply{}, err
		}
		in.Event = append(in.Event, c.Backend...)
		return lambdaruntime.Reply{Body: in.Event}, nil
	})
	if err := r.Run(context.Background()); err != nil {
		log.Fatal(err)
	}
}
