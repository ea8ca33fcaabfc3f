package cloud

import (
	"context"

	"github.com/tapway/tapway/internal/awssecret"
	"github.com/tapway/tapway/internal/config"
)

// Secrets is config.Source.Resolve for processes outside Lambda. Region and credentials are
// looked for when there is a reference to look up, and anew each time.
func Secrets(ctx context.Context) func([]config.Ref) (map[string]string, map[string]error) {
	return func(refs []config.Ref) (map[string]string, map[string]error) {
		account, err := Open(ctx, "", "")
		var client *awssecret.Client
		if err == nil {
			client, err = awssecret.New(account.Config, account.getenv)
		}
		if err != nil {
			failed := map[string]error{}
			for _, r := range refs {
				failed[r.Name] = awssecret.Fail(r.Name, err)
			}
			return nil, failed
		}
		return client.Resolve(ctx, config.RefNames(refs))
	}
}
