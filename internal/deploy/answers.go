package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/tapway/tapway/internal/attach"
)

// AnswersFile is the name of the file that answers are remembered in, beside the configuration.
const AnswersFile = "tapway.deploy.json"

const answersFormat = 1

// Answers is what `tapway deploy` was told the last time. It holds no secret.
type Answers struct {
	Format       int    `json:"format"`
	Project      string `json:"project"`
	Region       string `json:"region"`
	Profile      string `json:"profile,omitempty"`
	API          string `json:"api,omitempty"`
	Stage        string `json:"stage,omitempty"`
	Destination  string `json:"destination,omitempty"` // "" when tapway.yaml has destinations
	AlarmEmail   string `json:"alarm_email,omitempty"`
	Architecture string `json:"architecture,omitempty"`
	Memory       int    `json:"memory,omitempty"`      // MiB
	Concurrency  int    `json:"concurrency,omitempty"` // 0: none reserved
	StateBucket  string `json:"state_bucket,omitempty"`
	Directory    string `json:"directory,omitempty"` // relative to the file, or absolute
	Example      bool   `json:"example,omitempty"`

	Began    bool     `json:"began,omitempty"`    // Terraform may have made something
	Account  string   `json:"account,omitempty"`  // where
	Attached []string `json:"attached,omitempty"` // ids of APIs
}

// LoadAnswers reads the answers; there being no file yet is no error.
func LoadAnswers(path string) (*Answers, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Answers{Format: answersFormat}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the answers of last time: %w", err)
	}
	var a Answers
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("the answers of last time: %s: %w; mend it, or name another file with --state", path, err)
	}
	if a.Format != answersFormat {
		return nil, fmt.Errorf("%s is of format %d, which this version of tapway does not know", path, a.Format)
	}
	return &a, nil
}

// Save writes the answers, for their owner only.
func (a *Answers) Save(path string) error {
	a.Format = answersFormat
	text, err := json.MarshalIndent(a, "", "  ")
	if err == nil {
		err = attach.WriteFile(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("remember the answers: %w", err)
	}
	return nil
}

var (
	projectForm = regexp.MustCompile(`^[a-z][a-z0-9-]{1,30}$`)
	regionForm  = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-\d$`)
	emailForm   = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
)

// CheckProject refuses what cannot begin the name of every resource.
func CheckProject(s string) error {
	if !projectForm.MatchString(s) {
		return fmt.Errorf("project %q: 2 to 31 lower-case letters, digits and '-', beginning with a letter", s)
	}
	return nil
}

// CheckRegion refuses what is no AWS region's name.
func CheckRegion(s string) error {
	if !regionForm.MatchString(s) {
		return fmt.Errorf("region %q: write it as AWS does, such as eu-west-1", s)
	}
	return nil
}

// CheckEmail refuses what is no address; "" is nobody.
func CheckEmail(s string) error {
	if s != "" && !emailForm.MatchString(s) {
		return fmt.Errorf("alarm email %q: write an address such as ops@example.com", s)
	}
	return nil
}

// secretNames are parts of the names of parameters whose values are secrets.
var secretNames = []string{"token", "secret", "password", "passwd", "api_key", "apikey", "api-key", "signature", "credential"}

// CheckDestination refuses what is no URL, and one that holds a secret: answers, Terraform's
// state and the configuration in the bucket can be read by more people than may know it.
func CheckDestination(s string) error {
	if strings.HasPrefix(s, "${aws-") {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("destination: write a URL such as https://siem.example.com/in")
	}
	const keep = "; keep the URL in Secrets Manager and write ${aws-secretsmanager:NAME}, or give the secret as a header in tapway.yaml"
	if u.User != nil {
		return fmt.Errorf("destination: the URL holds a user name or password%s", keep)
	}
	for name := range u.Query() {
		for _, part := range secretNames {
			if lower := strings.ToLower(name); lower == "key" || lower == "sig" || lower == "code" || strings.Contains(lower, part) {
				return fmt.Errorf("destination: the parameter %q of the URL looks like a secret%s", name, keep)
			}
		}
	}
	return nil
}
