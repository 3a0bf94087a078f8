package sdk

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be its own fake worker: a pool starts "PYTHON -P PROGRAM SOCKET ROOT SHA", and the
// tests make PYTHON this binary.
func TestMain(m *testing.M) {
	if len(os.Args) == 6 && os.Args[1] == "-P" {
		fakeWorker(os.Args[3], os.Args[4])
		os.Exit(0)
	}
	if len(os.Args) == 3 && os.Args[1] == ownerMode {
		fakeOwner(os.Args[2])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fakeWorker answers a pool as worker.py would, or misbehaves as the file ROOT/start and the base image say. Each start
// leaves its process id as the name of a file in ROOT/pids, and of its child in ROOT/children.
func fakeWorker(socket, root string) {
	_ = os.WriteFile(filepath.Join(root, "pids", fmt.Sprint(os.Getpid())), nil, 0o644)
	start, _ := os.ReadFile(filepath.Join(root, "start"))
	switch string(start) {
	case "exit":
		fmt.Println("ImportError: no such thing")
		os.Exit(3)
	case "never connect":
		time.Sleep(time.Hour)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		os.Exit(4)
	}
	switch string(start) {
	case "never import":
		time.Sleep(time.Hour)
	case "garbage":
		fmt.Fprintln(conn, "Traceback (most recent call last):")
		time.Sleep(time.Hour)
	case "import error":
		fmt.Fprintln(conn, `{"error":{"kind":"exception","type":"ModuleNotFoundError","message":"No module named 'x'","tail":"Traceback"}}`)
		return
	}
	fmt.Fprintln(conn, `{"description":{"sdk_version":"1.2.3","seam":"native-field","option_names":["a"],"import_seconds":1.5}}`)
	answers := json.NewEncoder(conn)
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var request struct {
			buildRequest
			Images []image
		}
		if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
			os.Exit(5)
		}
		if request.Op == "names" {
			_ = answers.Encode(map[string]any{"names": make([][]string, len(request.Images))})
			continue
		}
		_ = answers.Encode(fakeBuild(conn, request.buildRequest))
	}
}

func fakeBuild(conn net.Conn, request buildRequest) map[string]any {
	_ = os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "context"), nil, 0o644)
	log, _ := os.OpenFile(request.Log, os.O_APPEND|os.O_WRONLY, 0)
	defer log.Close()
	fmt.Fprintln(log, "this is", request.Image.BaseImage)
	switch request.Image.BaseImage {
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "exits":
		os.Exit(7)
	case "garbage":
		fmt.Fprintln(conn, "[stdout] #1 building")
		time.Sleep(time.Hour)
	case "floods":
		fmt.Fprint(conn, `{"tags":["`)
		for block := []byte(strings.Repeat("x", 1<<16)); ; {
			if _, err := conn.Write(block); err != nil {
				time.Sleep(time.Hour)
			}
		}
	case "hangs":
		time.Sleep(time.Hour)
	case "stalls":
		fmt.Fprintln(log, "[stderr] #0 building with \"b\" instance")
		time.Sleep(time.Hour)
	case "a long line":
		part := []byte(strings.Repeat("x", 1<<20))
		for range 100 {
			_, _ = log.Write(part)
		}
		fmt.Fprintln(log, "\nthe end")
	case "stubborn child", "stubborn orphan":
		child := exec.Command("sh", "-c", "trap '' INT; sleep 3600 & wait; sleep 3600")
		if err := child.Start(); err != nil {
			os.Exit(6)
		}
		_ = os.WriteFile(filepath.Join("children", fmt.Sprint(child.Process.Pid)), nil, 0o644)
		time.Sleep(200 * time.Millisecond) // until the trap is set
		if request.Image.BaseImage == "stubborn orphan" {
			os.Exit(8)
		}
		time.Sleep(time.Hour)
	case "slow":
		time.Sleep(300 * time.Millisecond)
	case "fails":
		return map[string]any{"telemetry": map[string]any{"cached_step_count": 2}, "sdist_builds": 1, "error": map[string]any{
			"kind": "command", "return_code": 17, "command": []string{"docker", "buildx", "build", "--push"}, "tail": "one\nlast line",
		}}
	case "raises":
		return map[string]any{"error": map[string]any{"kind": "exception", "type": "KeyError", "message": "x", "tail": "Traceback"}}
	case "refused":
		return map[string]any{"error": map[string]any{"kind": "options", "problems": []string{"no option b"}, "valid": []string{"a"}}}
	case "environment":
		return map[string]any{"tags": os.Environ()}
	}
	return map[string]any{"tags": []string{"i:" + request.Image.CustomTags}, "telemetry": map[string]any{"cached_step_count": 3}}
}
