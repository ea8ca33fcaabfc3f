package lambdaapp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awss3"
	"github.com/tapway/tapway/internal/config"
)

// Role is which of the two functions this is.
type Role string

const (
	Proxy     Role = "proxy"
	Forwarder Role = "forwarder"
)

// bundled is the name of a configuration file that is used when it lies beside the bootstrap.
const bundled = "tapway.yaml"

// SettingsError says what to set so that the function can start.
type SettingsError struct{ Text string }

func (e *SettingsError) Error() string { return e.Text }

// ErrorType is how Lambda names it in the function's log.
func (e *SettingsError) ErrorType() string { return "Config.Invalid" }

func settingsf(format string, args ...any) error {
	return &SettingsError{fmt.Sprintf(format, args...)}
}

func roleOf(getenv func(string) string) (Role, error) {
	switch role := Role(strings.ToLower(getenv("TAPWAY_ROLE"))); role {
	case Proxy, Forwarder:
		return role, nil
	case "":
		return "", settingsf("TAPWAY_ROLE is not set: set it to proxy (behind an API) or to forwarder (behind an SQS queue)")
	default:
		return "", settingsf("TAPWAY_ROLE is %q: set it to proxy (behind an API) or to forwarder (behind an SQS queue)", role)
	}
}

// fetchTime bounds the reading of a configuration from S3, so that Lambda, which gives a function
// 10 s to start, hears what is wrong.
const fetchTime = 8 * time.Second

// maxConfig bounds a configuration in S3: read whole, a much larger one would end the function for want of memory, without a word.
const maxConfig = 1 << 20

// loadConfig reads the file that TAPWAY_CONFIG names, or the bundled one, or none, and
// completes it from the environment. References to secrets are looked up once: an environment
// keeps what it got for its life.
func loadConfig(ctx context.Context, role Role, getenv func(string) string, fetch func(ctx context.Context, bucket, key string, limit int64) ([]byte, error), resolve func(context.Context, []string) (map[string]string, map[string]error)) (*config.Config, error) {
	root := getenv("LAMBDA_TASK_ROOT")
	source := config.Source{
		Forwards: role == Forwarder, Function: true,
		Getenv: func(name string) (string, bool) {
			value := getenv(name)
			return value, value != ""
		},
		Also: map[string]string{"REMOTE_URL": "URL"}, // too common a name for any other machine
		Dir:  root,
		Resolve: func(refs []config.Ref) (map[string]string, map[string]error) {
			return resolve(ctx, config.RefNames(refs))
		},
	}
	switch file := getenv("TAPWAY_CONFIG"); {
	case strings.HasPrefix(file, "s3://"):
		bucket, key, _ := strings.Cut(strings.TrimPrefix(file, "s3://"), "/")
		if bucket == "" || key == "" {
			return nil, settingsf("TAPWAY_CONFIG is %q: write s3://BUCKET/KEY, or the path of a file in the function's package", file)
		}
		limited, cancel := context.WithTimeout(ctx, fetchTime)
		text, err := fetch(limited, bucket, key, maxConfig)
		cancel()
		if err != nil {
			return nil, settingsf("TAPWAY_CONFIG: %s could not be read: %v%s", file, err, unreadHint(err))
		}
		source.File, source.Text = file, text
	case file != "":
		if source.File = file; !filepath.IsAbs(file) {
			source.File = filepath.Join(root, file)
		}
		if _, err := os.Stat(source.File); err != nil {
			return nil, settingsf("TAPWAY_CONFIG is %q: %v; put the file into the function's package, or write s3://BUCKET/KEY", file, err)
		}
	default:
		if path := filepath.Join(root, bundled); root != "" {
			if _, err := os.Stat(path); err == nil {
				source.File = path
			}
		}
	}
	c, err := config.Load(source)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &SettingsError{"the configuration is wrong:\n" + problems.Error() + hint(role, source.File, problems)}
	case err != nil:
		return nil, &SettingsError{err.Error()}
	}
	return c, check(role, c)
}

// unreadHint says what to do about an object that could not be read, where the error does not say it.
func unreadHint(err error) string {
	refused, _ := errors.AsType[*awss3.Error](err)
	_, ours := errors.AsType[interface {
		error
		Permanent() bool
	}](err)
	switch {
	case errors.Is(err, tapway.ErrNotFound):
		return "; put it there, or correct the name"
	case ours || refused != nil && (refused.Region != "" || refused.Code == "NoSuchBucket"):
		return ""
	case refused != nil && refused.Status == http.StatusMovedPermanently:
		return "; the bucket is in another region: take one in the function's"
	case refused != nil && refused.Status == http.StatusForbidden:
		return "; allow the function's role s3:GetObject on it, and kms:Decrypt if it is encrypted with a key of your own"
	case refused == nil && (errors.Is(err, context.DeadlineExceeded) || isNetwork(err)):
		return "; is there a way from here to S3? In a VPC the function needs a gateway endpoint for it"
	}
	return ""
}

func isNetwork(err error) bool {
	_, is := errors.AsType[net.Error](err)
	return is
}

// hint says what one sets in a function whose configuration is its environment, and where files
// are that a configuration in S3 names.
func hint(role Role, file string, problems config.Problems) (out string) {
	if role == Proxy && slices.ContainsFunc(problems, func(p config.Problem) bool { return p.Key == "backend" }) {
		out = "\nin the environment: TAPWAY_BACKEND (or REMOTE_URL) is the URL of the API behind tapway, such as https://api.internal"
	}
	if strings.HasPrefix(file, "s3://") && slices.ContainsFunc(problems, func(p config.Problem) bool { return strings.Contains(p.Message, "cannot be read") }) {
		out += "\nthe names of files in " + file + " are of files in the function's package, not in the bucket: put them there, or give a certificate as a value, such as ca: ${aws-ssm:/PATH/NAME}"
	}
	return out
}

// check tests what a role needs beyond what every configuration does.
func check(role Role, c *config.Config) error {
	switch {
	case role == Proxy && c.Queue == "disk":
		return settingsf("there is no queue for the records: set TAPWAY_QUEUE (or queue in the file) to the name or the URL of an SQS queue")
	case role == Proxy && config.QueueFor(c.Queue, "") != c.Queue && len(c.Destinations) == 0:
		return settingsf("queue is %q but there are no destinations to name queues by: set destinations, or leave {destination} out", c.Queue)
	case role == Forwarder && len(c.Destinations) == 0:
		return settingsf("there is no destination to deliver to: set TAPWAY_DESTINATION to its URL (or destinations in the file)")
	case role == Forwarder && len(c.Destinations) > 1 && c.Queue == "disk":
		return settingsf("there are %d destinations but their queues are not known: set TAPWAY_QUEUE (or queue in the file), with {destination} in it", len(c.Destinations))
	}
	if role == Proxy {
		if err := checkFilters(c.Proxy.FilteredPaths); err != nil {
			return err
		}
		return checkAccess(c)
	}
	return nil
}

// checkFilters refuses what is meant as a pattern: a filtered path is read as it stands, so a pattern would filter nothing, and nobody
// would notice.
func checkFilters(paths []string) error {
	for _, path := range paths {
		if strings.ContainsAny(path, `^\[]{}`) || strings.Contains(path, ".*") || strings.Contains(path, ".+") || strings.HasSuffix(path, "*") || strings.HasSuffix(path, "$") {
			return settingsf("FILTERED_PATH (proxy.filtered_paths): %q looks like a pattern, and there are none: a path filters itself and all below it, in any spelling; write /foobar|/baz", path)
		}
	}
	return nil
}

// memory is what the function has, in bytes; 0 if that is not known.
func memory(getenv func(string) string) int64 {
	mib, err := strconv.ParseInt(getenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), 10, 32)
	if err != nil || mib <= 0 {
		return 0
	}
	return mib << 20
}
