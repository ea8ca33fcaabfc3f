package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach"
)

// What lies where in the bucket.
const (
	statePrefix = "attach/"
	routePrefix = "routes/"
)

// StateLocation is where the original state of an API is kept.
func StateLocation(bucket, api string) string {
	return "s3://" + bucket + "/" + statePrefix + api + ".json"
}

// RouteKey is the key of an API's route table.
func RouteKey(api string) string { return routePrefix + api + ".json" }

// Callers are the ids of the APIs that may call a function: as long as there is one, its calls
// would fail without it.
func Callers(ctx context.Context, client *lambda.Client, function string) ([]string, error) {
	out, err := client.GetPolicy(ctx, &lambda.GetPolicyInput{FunctionName: &function})
	if errors.As(err, new(*lambdatypes.ResourceNotFoundException)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the policy of function %s: %w", function, err)
	}
	var policy struct {
		Statement []struct {
			Principal any
			Condition map[string]map[string]any
		}
	}
	if out.Policy != nil {
		if err := json.Unmarshal([]byte(*out.Policy), &policy); err != nil {
			return nil, fmt.Errorf("the policy of function %s: %w", function, err)
		}
	}
	ids := map[string]bool{}
	for _, s := range policy.Statement {
		for _, condition := range s.Condition {
			for key, value := range condition {
				source, ok := value.(string)
				parts := strings.SplitN(source, ":", 6) // arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/...
				if ok && strings.EqualFold(key, "aws:SourceArn") && len(parts) == 6 && parts[2] == "execute-api" {
					id, _, _ := strings.Cut(parts[5], "/")
					ids[id] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

// Contents counts what would be lost with a bucket: records that wait for their delivery, and
// records that SQS did not take.
func Contents(ctx context.Context, bucket tapway.BlobLister) (records, spilled int, err error) {
	for prefix, n := range map[string]*int{"records/": &records, "spill/": &spilled} {
		for _, err := range bucket.List(ctx, prefix) {
			if err != nil {
				return 0, 0, fmt.Errorf("look into the bucket: %w", err)
			}
			*n++
		}
	}
	return records, spilled, nil
}

// Empty deletes everything in the bucket, which Terraform would not delete otherwise. The saved
// states of APIs are copied to dir first.
func Empty(ctx context.Context, bucket tapway.BlobLister, dir string, progress attach.Progress) (kept []string, err error) {
	var keys []string
	for key, err := range bucket.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("look into the bucket: %w", err)
		}
		keys = append(keys, key)
	}
	for i, key := range keys {
		if name, ok := strings.CutPrefix(key, statePrefix); ok && filepath.IsLocal(name) {
			text, err := bucket.Get(ctx, key)
			if err != nil {
				return kept, fmt.Errorf("keep the state of an API: %w", err)
			}
			to := filepath.Join(dir, "attach", filepath.FromSlash(name))
			if err = os.MkdirAll(filepath.Dir(to), 0o700); err == nil {
				err = attach.WriteFile(to, text)
			}
			if err != nil {
				return kept, fmt.Errorf("keep the state of an API: %w", err)
			}
			kept = append(kept, to)
		}
		if err := bucket.Delete(ctx, key); err != nil {
			return kept, fmt.Errorf("empty the bucket: %w", err)
		}
		if progress != nil {
			progress("empty the bucket", i+1, len(keys))
		}
	}
	return kept, nil
}
