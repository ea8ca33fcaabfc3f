package access

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keysFileVar makes this test binary a process that adds keys to a file.
const keysFileVar = "TAPWAY_TEST_KEYS_FILE"

const keysEach = 5

// TestManyMakeKeys: of processes that change the file at once none undoes what another has done, also when they find the lock of
// one that died long ago.
func TestManyMakeKeys(t *testing.T) {
	if file := os.Getenv(keysFileVar); file != "" {
		for n := range keysEach {
			if _, _, err := CreateKey(file, fmt.Sprintf("key-%d-%d", os.Getpid(), n), "", "", time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	const processes = 6
	for range 2 {
		file := filepath.Join(t.TempDir(), "keys.json")
		lock := file + ".lock"
		if err := os.WriteFile(lock, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(lock, long, long); err != nil {
			t.Fatal(err)
		}
		var running []*exec.Cmd
		for range processes {
			one := exec.Command(os.Args[0], "-test.run=^TestManyMakeKeys$", "-test.count=1")
			one.Env = append(os.Environ(), keysFileVar+"="+file)
			var out strings.Builder
			one.Stdout, one.Stderr = &out, &out
			if err := one.Start(); err != nil {
				t.Fatal(err)
			}
			running = append(running, one)
		}
		for _, one := range running {
			if err := one.Wait(); err != nil {
				t.Errorf("%v: %s", err, one.Stdout)
			}
		}
		keys, err := ReadKeys(file)
		if err != nil || len(keys) != processes*keysEach {
			t.Errorf("%d keys, %v, want %d", len(keys), err, processes*keysEach)
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
			t.Errorf("what is left: %v", left)
		}
	}
}

// TestLockOfTheLiving: a lock is not taken from whoever holds it, however long he has had it.
func TestLockOfTheLiving(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.json")
	inside, second := make(chan struct{}), make(chan error, 1)
	go func() {
		<-inside
		_, _, err := CreateKey(file, "b", "", "", time.Now())
		second <- err
	}()
	err := changeKeys(file, func(keys []KeyRecord) ([]KeyRecord, error) {
		long := time.Now().Add(-time.Hour)
		if err := os.Chtimes(file+".lock", long, long); err != nil {
			return nil, err
		}
		close(inside)
		select {
		case err := <-second:
			t.Errorf("another has changed the file meanwhile (%v)", err)
			second <- err
		case <-time.After(100 * time.Millisecond):
		}
		return append(keys, KeyRecord{ID: "a", Name: "a", SHA256: strings.Repeat("00", 32)}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if keys, err := ReadKeys(file); err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}
