// Package e2e runs the action on the lab's real parts, as a runner would. What a test asserts about an image it reads
// from the registry or from a container, not only from the action's report.
package e2e

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository, seen from this folder.
const root = "../../.."

// lab holds what `go run -C internal/lab . env` prints.
var lab map[string]string

// TestMain fails without the lab. Only -short skips the tests.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("leaving out the lab's tests: -short")
		return
	}
	out, err := command("go", "run", "-C", "internal/lab", ".", "env")
	if err != nil {
		fmt.Fprintf(os.Stderr, "the lab is not up: %v\nhint: make lab\n", err)
		os.Exit(1)
	}
	if lab, err = assignments(out); err != nil {
		fmt.Fprintln(os.Stderr, "reading the lab's variables:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// command returns the standard output of a program, even if the program fails.
func command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("running %s %s: %w: %s", name, strings.Join(args, " "), err, problems.String())
	}
	return strings.TrimSpace(string(out)), err
}

// assignments has a shell evaluate the lab's lines, as scripts outside the project do.
func assignments(lines string) (map[string]string, error) {
	cmd := exec.Command("sh", "-c", "set -a; eval \"$LINES\"; unset LINES; env -0")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LINES=" + lines}
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, assignment := range strings.Split(string(out), "\x00") {
		if name, value, ok := strings.Cut(assignment, "="); ok && strings.HasPrefix(name, "LAB_") {
			found[name] = value
		}
	}
	return found, nil
}

// instances returns the lab's first n ids.
func instances(t *testing.T, n int) []string {
	t.Helper()
	file, err := os.Open(lab["LAB_INSTANCES"])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var ids []string
	for lines := bufio.NewScanner(file); lines.Scan() && len(ids) < n; {
		ids = append(ids, lines.Text())
	}
	if len(ids) != n {
		t.Fatalf("the lab has %d instances, want %d", len(ids), n)
	}
	return ids
}

func docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command("docker", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
