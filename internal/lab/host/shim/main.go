// Command shim runs runc on a machine that lacks capabilities, such as a container or a small virtual machine. There
// runc refuses every privileged container, because it cannot grant what it does not have. The shim removes those
// capabilities from the container's configuration and then executes runc.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if err := trim(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "trimming capabilities:", err)
		os.Exit(1)
	}
	runc, err := exec.LookPath("runc")
	if err == nil {
		err = syscall.Exec(runc, append([]string{"runc"}, os.Args[1:]...), os.Environ())
	}
	fmt.Fprintln(os.Stderr, "starting runc:", err)
	os.Exit(1)
}

// names are the capabilities by number (linux/capability.h), without the prefix CAP_.
var names = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
	NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
	SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
	SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// bounding reads this process's bounding set from /proc/self/status.
func bounding(status string) (map[string]bool, error) {
	for line := range strings.Lines(status) {
		set, ok := strings.CutPrefix(line, "CapBnd:")
		if !ok {
			continue
		}
		bits, err := strconv.ParseUint(strings.TrimSpace(set), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("reading CapBnd: %w", err)
		}
		have := map[string]bool{}
		for i, name := range names {
			if bits>>i&1 == 1 {
				have["CAP_"+name] = true
			}
		}
		return have, nil
	}
	return nil, fmt.Errorf("no CapBnd in /proc/self/status")
}

// trim rewrites the files that runc's arguments name: a bundle's config.json (create, run) and a process file (exec).
func trim(args []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	have, err := bounding(string(status))
	if err != nil {
		return err
	}
	for path, inProcess := range files(args) {
		if err := rewrite(path, inProcess, have); err != nil {
			return err
		}
	}
	return nil
}

// files returns the files with capabilities; the value says whether they are in the file's member "process".
func files(args []string) map[string]bool {
	found := map[string]bool{}
	for i, arg := range args {
		flag, value, joined := strings.Cut(arg, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch flag {
		case "--bundle", "-b":
			found[filepath.Join(value, "config.json")] = true
		case "--process", "-p":
			found[value] = false
		}
	}
	return found
}

func rewrite(path string, inProcess bool, have map[string]bool) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	content, err = filter(content, inProcess, have)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return os.WriteFile(path, content, 0o600)
}

// filter removes the capabilities that this process lacks from every list, and changes nothing else.
func filter(content []byte, inProcess bool, have map[string]bool) ([]byte, error) {
	var file map[string]any
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber() // limits go up to 2^64-1, which a float cannot hold
	if err := decoder.Decode(&file); err != nil {
		return nil, err
	}
	process := file
	if inProcess {
		process, _ = file["process"].(map[string]any)
	}
	sets, _ := process["capabilities"].(map[string]any)
	for set, list := range sets {
		kept := []any{}
		wanted, _ := list.([]any)
		for _, name := range wanted {
			if n, ok := name.(string); ok && have[n] {
				kept = append(kept, n)
			}
		}
		sets[set] = kept
	}
	return json.Marshal(file)
}
