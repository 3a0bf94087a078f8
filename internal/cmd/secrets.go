package cmd

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
)

// SecretVariables names the variables of an environment that no child process of this program needs. Credential helpers inherit
// this process's environment, and other child processes get one of listed variables.
func SecretVariables(environ []string) (names []string) {
	for _, variable := range environ {
		name, _, _ := strings.Cut(variable, "=")
		if slices.Contains([]string{"HF_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "DOCKER_AUTH_CONFIG"}, name) || strings.HasPrefix(name, "INPUT_") ||
			strings.HasPrefix(name, config.VariablePrefix) ||
			strings.HasPrefix(name, "ACTIONS_") || strings.HasPrefix(name, "UV_") {
			names = append(names, name)
		}
	}
	return names
}

// secrets returns the values in the environment that must not be printed: tokens, and the passwords in the addresses of proxies,
// package indexes and the engine.
func (e environment) secrets() (all []string) {
	for _, variable := range e {
		name, value, _ := strings.Cut(variable, "=")
		switch {
		case name == "DOCKER_AUTH_CONFIG":
			for _, auth := range authField.FindAllStringSubmatch(value, -1) {
				login, _ := base64.StdEncoding.DecodeString(auth[1])
				_, password, _ := strings.Cut(string(login), ":")
				all = append(all, auth[1], password)
			}
		case name == "HF_TOKEN", strings.HasPrefix(name, "UV_") && strings.HasSuffix(name, "_PASSWORD"):
			all = append(all, value)
		case strings.HasPrefix(name, "UV_"), strings.HasSuffix(strings.ToUpper(name), "_PROXY"), name == "DOCKER_HOST":
			all = append(all, addressSecrets(value)...)
		}
	}
	return all
}

// authField matches a login in a Docker configuration.
var authField = regexp.MustCompile(`"auth"\s*:\s*"([^"]+)"`)

// userInfo matches the user and the password of a URL.
var userInfo = regexp.MustCompile(`://([^\s/:@]*)(?::([^\s/]*))?@`)

// addressSecrets returns the passwords of the URLs in a text, as written and without escapes. A user without a password is a token.
// Short ones are left out: to hide them would hide parts of words.
func addressSecrets(text string) (all []string) {
	const shortest = 4
	for _, found := range userInfo.FindAllStringSubmatch(text, -1) {
		secret := found[2]
		if secret == "" {
			secret = found[1]
		}
		if len(secret) < shortest {
			continue
		}
		all = append(all, secret)
		if plain, err := url.PathUnescape(secret); err == nil {
			all = append(all, plain)
		}
	}
	return all
}

// safeLog is a log file without secrets. It is safe for concurrent use.
type safeLog struct {
	file    *os.File
	actions *actions.Runner // knows the secrets
	verbose bool            // also print the lines

	mu   sync.Mutex
	line []byte // the part of a line that is not written yet: a secret may be split between two writes
}

// Name returns the path of the file.
func (l *safeLog) Name() string { return l.file.Name() }

// longestLine limits a line, in bytes: a program may print without end.
const longestLine = 64 << 10

// Write writes whole lines, without secrets.
func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, p...)
	end := bytes.LastIndexByte(l.line, '\n') + 1
	if end == 0 && len(l.line) < longestLine {
		return len(p), nil
	}
	if end == 0 {
		end = len(l.line)
	}
	if l.verbose {
		for line := range strings.Lines(string(l.line[:end])) {
			l.actions.Info(line)
		}
	}
	_, err := l.file.WriteString(l.actions.Redact(string(l.line[:end])))
	l.line = append(l.line[:0], l.line[end:]...)
	return len(p), err
}

// Close writes the rest, and closes the file.
func (l *safeLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := l.file.WriteString(l.actions.Redact(string(l.line)))
	l.line = nil
	if closeErr := l.file.Close(); err == nil {
		err = closeErr
	}
	return err
}
