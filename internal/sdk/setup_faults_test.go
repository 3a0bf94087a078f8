package sdk

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// answering is a server that answers every request with the status that its path begins with.
func answering(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	status, err := strconv.Atoi(parts[min(1, len(parts)-1)])
	if err != nil { // Also of CONNECT, which has no path.
		status = http.StatusNotFound
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
	}
	w.WriteHeader(status)
}

// closedPort is the URL of a server that was there, and is no more.
func closedPort() string {
	gone := httptest.NewServer(nil)
	gone.Close()
	return gone.URL
}

// untrusted is a server with a certificate that nobody has signed, and the file of that certificate.
func untrusted(t *testing.T, handler http.Handler) (url, certificate string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // each client that turns away
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate = filepath.Join(t.TempDir(), "server.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(certificate, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return server.URL, certificate
}

// checkSetupError checks what every fault of the set-up has to tell: one line of cause, one of what to do, and the log.
func checkSetupError(t *testing.T, err error, log, cause, hint string) {
	t.Helper()
	var failed *SetupError
	if !errors.As(err, &failed) {
		t.Fatalf("err = %v, want a SetupError", err)
	}
	if !strings.Contains(failed.Cause, cause) || strings.Contains(failed.Cause, "\n") {
		t.Errorf("cause = %q, want one line with %q", failed.Cause, cause)
	}
	if said := failed.Hint(); !strings.Contains(said, hint) || !strings.HasSuffix(said, "; the whole output is in set-up.log") || strings.Contains(said, "\n") {
		t.Errorf("hint = %q, want one line with %q and the log", said, hint)
	}
	if !strings.Contains(log, failed.Cause) {
		t.Errorf("the log does not tell the cause %q:\n%s", failed.Cause, log)
	}
	t.Logf("%s\nhint: %s", failed, failed.Hint())
}

// The real git against real servers of the faulty kind.
func TestRepositoriesThatCannotBeCloned(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(answering))
	defer server.Close()
	secure, _ := untrusted(t, http.HandlerFunc(answering))

	cases := []struct {
		name, repository string
		environ          []string
		cause, hint      string
	}{
		{"wants credentials", server.URL + "/401/x.git", nil, "Authentication failed", "wants credentials"},
		{"forbids", server.URL + "/403/x.git", nil, "returned error: 403", "wants credentials"},
		{"is not there, or private", server.URL + "/404/x.git", nil, "/404/x.git/' not found", "check sdk-repository; a private one"},
		{"is overloaded", server.URL + "/429/x.git", nil, "returned error: 429", "try again later"},
		{"is broken", server.URL + "/503/x.git", nil, "returned error: 503", "try again later"},
		{"refuses the connection", closedPort() + "/x.git", nil, "onnect", "check the runner's network"},
		{"is not trusted", secure + "/404/x.git", nil, "certificate", "SSL_CERT_FILE"},
		{
			"is behind a broken proxy", secure + "/404/x.git",
			[]string{"HTTPS_PROXY=" + server.URL, "https_proxy=" + server.URL, "NO_PROXY=", "no_proxy="},
			"CONNECT tunnel failed", "check HTTPS_PROXY",
		},
		{
			"is behind an absent proxy", secure + "/404/x.git",
			[]string{"HTTPS_PROXY=" + closedPort(), "https_proxy=" + closedPort(), "NO_PROXY=", "no_proxy="},
			"onnect", "proxy",
		},
		{"is a folder that is not there", "file:///nonexistent/x.git", nil, "'/nonexistent/x.git' does not appear to be a git repository", "check sdk-repository"},
		{"needs a git that is not there", server.URL + "/404/x.git", []string{"PATH=/nonexistent"}, "executable file not found", "install git"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			cmds := Commands{Environ: append(os.Environ(), c.environ...), Log: &log, LogPath: "set-up.log"}
			_, err := Clone(t.Context(), Source{c.repository, "main"}, t.TempDir(), cmds)
			checkSetupError(t, err, log.String(), c.cause, c.hint)
		})
	}
}

// One variable says for git and uv alike which certificates to trust; git knows another one.
func TestCloneTrustsSSLCertFile(t *testing.T) {
	r := newRepository(t)
	r.git("update-server-info")
	url, certificate := untrusted(t, http.FileServer(http.Dir(filepath.Join(r.root, ".git"))))
	cases := []struct {
		environ []string
		ok      bool
	}{
		{nil, false},
		{[]string{"SSL_CERT_FILE=" + certificate}, true},
		{[]string{"SSL_CERT_FILE=" + certificate, "GIT_SSL_CAINFO=/etc/ssl/certs/ca-certificates.crt"}, false}, // git's own wins
		{[]string{"SSL_CERT_FILE=/nonexistent"}, false},
	}
	for _, c := range cases {
		t.Run(strings.Join(c.environ, " "), func(t *testing.T) {
			cmds := Commands{Environ: append([]string{"PATH=" + os.Getenv("PATH")}, c.environ...)}
			_, err := Clone(t.Context(), Source{url, "main"}, t.TempDir(), cmds)
			var failed *SetupError
			if c.ok != (err == nil) || err != nil && (!errors.As(err, &failed) || !strings.Contains(failed.Hint(), "SSL_CERT_FILE")) {
				t.Errorf("Clone: %v, want success: %t, or a hint at SSL_CERT_FILE", err, c.ok)
			}
		})
	}
}

// The remedies know git's words in English only.
func TestGitSpeaksEnglish(t *testing.T) {
	g, err := newGit(Commands{Environ: []string{"LC_ALL=de_DE.UTF-8", "LANG=de_DE.UTF-8"}}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if got := value(g.environ, "LC_ALL"); got != "C" {
		t.Errorf("git runs with LC_ALL=%s, want C", got)
	}
}
