//go:build linux

package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// image is what the last stage of the Dockerfile makes: a root directory and what is started in it.
type image struct {
	root, workdir string
	user, group   uint32
	entrypoint    []string
	command       []string
}

// madeByHand carries out the last stage of the Dockerfile, which begins with nothing.
func madeByHand(t *testing.T) image {
	t.Helper()
	text, err := os.ReadFile("container/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, ok := strings.Cut(string(text), "\nFROM scratch\n")
	if !ok {
		t.Fatal("the image does not begin with nothing")
	}
	m := image{root: t.TempDir()}
	if err := os.Chmod(m.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(last) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "COPY":
			m.copy(t, strings.Fields(rest))
		case "USER":
			if _, err := fmt.Sscanf(rest, "%d:%d", &m.user, &m.group); err != nil {
				t.Fatalf("USER %s: %v", rest, err)
			}
		case "WORKDIR":
			m.workdir = rest
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &m.entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &m.command)
		case "", "VOLUME", "EXPOSE", "STOPSIGNAL":
		default:
			t.Fatalf("%s: this test does not know it", line)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	return m
}

// copy is a COPY of the Dockerfile. What the first stage has made is made here; of the system's files those are taken that are there.
func (m *image) copy(t *testing.T, words []string) {
	t.Helper()
	from, to := words[len(words)-2], filepath.Join(m.root, words[len(words)-1])
	if strings.HasSuffix(words[len(words)-1], "/") {
		to = filepath.Join(to, filepath.Base(from))
	}
	var err error
	switch from {
	case "/out/tapway":
		var program []byte
		if program, err = os.ReadFile(builtTapway(t)); err == nil {
			err = os.WriteFile(to, program, 0o755)
		}
	case "/out/data":
		if err = os.MkdirAll(to, 0o700); err == nil {
			m := regexp.MustCompile(`--chown=(\d+):(\d+)`).FindStringSubmatch(strings.Join(words, " "))
			if m == nil {
				t.Fatalf("%s belongs to root", from)
			}
			uid, _ := strconv.Atoi(m[1])
			gid, _ := strconv.Atoi(m[2])
			err = os.Chown(to, uid, gid)
		}
	default:
		info, missing := os.Stat(from)
		if missing != nil {
			return
		}
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
			break
		}
		var text []byte
		if text, err = os.ReadFile(from); err == nil {
			if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
				err = os.WriteFile(to, text, 0o644)
			}
		}
	}
	if err != nil {
		t.Fatalf("COPY %s: %v", strings.Join(words, " "), err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestImage: what the container image holds is enough to serve, without root, a shell, or any other file, and a record is
// in its volume.
func TestImage(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	m := madeByHand(t)
	if m.user == 0 || m.group == 0 {
		t.Errorf("it runs as %d:%d", m.user, m.group)
	}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer backend.Close()
	args := append(append(m.entrypoint[1:], m.command...), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	cmd := exec.Command(m.entrypoint[0], args...)
	cmd.Dir, cmd.Env = m.workdir, []string{"TAPWAY_BACKEND=" + backend.URL, "TAPWAY_DESTINATION=" + backend.URL + "/in"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root, Credential: &syscall.Credential{Uid: m.user, Gid: m.group}}
	log := new(lockedBuffer)
	cmd.Stdout, cmd.Stderr = log, log
	switch err := cmd.Start(); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("root of this container may not change the root directory")
	case err != nil:
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	defer func() { cmd.Process.Kill(); <-ended }()
	serving := regexp.MustCompile(`msg=serving gateway=(\S+)`)
	for deadline := time.Now().Add(30 * time.Second); !serving.MatchString(log.String()); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			t.Fatalf("it ended:\n%s", log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not serve:\n%s", log)
		}
	}
	resp, err := http.Get("http://" + serving.FindStringSubmatch(log.String())[1] + "/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || string(text) != "hello" {
		t.Errorf("%q, %v\n%s", text, err, log)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it ended with %d:\n%s", code, log)
	}
	segments := 0
	err = filepath.WalkDir(filepath.Join(m.root, "data", "log"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			segments++
		}
		return err
	})
	if err != nil || segments == 0 {
		t.Errorf("%d files of records in the volume, %v", segments, err)
	}
}
