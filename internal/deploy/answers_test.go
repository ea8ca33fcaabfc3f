package deploy

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestAnswers(t *testing.T) {
	path := filepath.Join(t.TempDir(), AnswersFile)
	none, err := LoadAnswers(path)
	if err != nil || none.Began || none.Project != "" {
		t.Fatalf("without a file: %+v, %v", none, err)
	}
	a := &Answers{Project: "shop", Region: "eu-west-1", API: "a1", Destination: "https://siem.example.com/in", Memory: 512, Began: true, Attached: []string{"a1"}}
	if err := a.Save(path); err != nil {
		t.Fatal(err)
	}
	back, err := LoadAnswers(path)
	if err != nil || !reflect.DeepEqual(a, back) {
		t.Errorf("read %+v, %v; wrote %+v", back, err, a)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	for _, text := range []string{"{", `{"format": 2}`, `{}`, `[]`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadAnswers(path); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		check func(string) error
		good  []string
		bad   []string
	}{
		{CheckProject, []string{"tapway", "ab", "a-1", "a" + strings.Repeat("b", 30)}, []string{"", "a", "A1", "1a", "-a", "a_b", "a" + strings.Repeat("b", 31)}},
		{CheckRegion, []string{"eu-west-1", "us-gov-west-1", "ap-southeast-2"}, []string{"", "eu-west", "Ireland", "eu-west-1a", "eu-west-1 "}},
		{CheckEmail, []string{"", "ops@example.com"}, []string{"ops", "ops@example", "a b@example.com", "@example.com"}},
		{CheckDestination, []string{"https://siem.example.com/in", "http://10.0.0.1:8080", "https://x/in?source=tapway&keyboard=1", "${aws-secretsmanager:siem-url}"},
			[]string{"", "siem.example.com", "ftp://x/", "https://", "https://u:p@x/", "https://u@x/", "https://x/?token=1", "https://x/?api_key=1", "https://x/?sig=1", "https://x/?Key=1", "https://x/?access_token=1"}},
	} {
		for _, s := range tt.good {
			if err := tt.check(s); err != nil {
				t.Errorf("%q: %v", s, err)
			}
		}
		for _, s := range tt.bad {
			if err := tt.check(s); err == nil {
				t.Errorf("%q is taken", s)
			}
		}
	}
}
