package docker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
)

// variables reads names and values as an environment.
func variables(namesAndValues ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(namesAndValues); i += 2 {
			if namesAndValues[i] == name {
				return namesAndValues[i+1]
			}
		}
		return ""
	}
}

// tlsEngine is an engine that speaks TLS and wants a client's certificate. The folder has the files for it.
func tlsEngine(t *testing.T) (host, certificates string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(answerAsEngine))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	write(t, filepath.Join(dir, "ca.pem"), certificate)
	write(t, filepath.Join(dir, "cert.pem"), certificate)
	write(t, filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return strings.Replace(server.URL, "https://", "tcp://", 1), dir
}

func answerAsEngine(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.41")
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(r.URL.Path, "/version") {
		fmt.Fprint(w, `{"Version":"20.10.24","ApiVersion":"1.41"}`)
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// writeContext writes a context as `docker context create` does, below a Docker configuration.
func writeContext(t *testing.T, config, name, endpoint, certificates string) {
	t.Helper()
	id := digest.FromString(name).Encoded()
	write(t, filepath.Join(config, "contexts/meta", id, "meta.json"),
		fmt.Appendf(nil, `{"Name":%q,"Metadata":{},"Endpoints":{"docker":%s}}`, name, endpoint))
	if certificates != "" {
		if err := os.CopyFS(filepath.Join(config, "contexts/tls", id, "docker"), os.DirFS(certificates)); err != nil {
			t.Fatal(err)
		}
	}
}

// The engine is the one that the docker command would use: with TLS where the user has set that up, and of the user's context.
func TestConnectFindsTheEngineOfTheDockerCommand(t *testing.T) {
	secure, certificates := tlsEngine(t)
	var plain atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		plain.Add(1)
		answerAsEngine(w, r)
	}))
	t.Cleanup(server.Close)
	unsecured := strings.Replace(server.URL, "http://", "tcp://", 1)

	home := t.TempDir()
	config := filepath.Join(home, ".docker")
	write(t, filepath.Join(config, "config.json"), []byte(`{"currentContext":"current"}`))
	writeContext(t, config, "current", fmt.Sprintf(`{"Host":%q,"SkipTLSVerify":false}`, secure), certificates)
	writeContext(t, config, "plain", fmt.Sprintf(`{"Host":%q}`, unsecured), "")
	writeContext(t, config, "unverified", fmt.Sprintf(`{"Host":%q,"SkipTLSVerify":true}`, "tcp://localhost:"+secure[strings.LastIndexByte(secure, ':')+1:]), certificates)
	writeContext(t, config, "ssh", `{"Host":"ssh://me:s3cret@host"}`, "")
	writeContext(t, config, "empty", `{}`, "")

	cases := []struct {
		name  string
		env   []string
		plain bool
		says  []string // of the error and its hint; nil where the engine answers
	}{
		{"TLS", []string{"DOCKER_HOST", secure, "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", certificates}, false, nil},
		{"certificates beside the configuration", []string{"DOCKER_HOST", secure, "DOCKER_TLS_VERIFY", "1", "DOCKER_CONFIG", certificates}, false, nil},
		{"TLS that trusts anybody", []string{"DOCKER_HOST", secure, "DOCKER_TLS", "1", "DOCKER_CERT_PATH", certificates}, false, nil},
		{"no TLS", []string{"DOCKER_HOST", unsecured}, true, nil},
		{"TLS without certificates", []string{"DOCKER_HOST", secure, "DOCKER_TLS_VERIFY", "1", "DOCKER_CERT_PATH", home}, false, []string{secure, "ca.pem"}},
		{"the current context", []string{"HOME", home}, false, nil},
		{"the current context of another configuration", []string{"HOME", "/nowhere", "DOCKER_CONFIG", config}, false, nil},
		{"the context in DOCKER_CONTEXT", []string{"HOME", home, "DOCKER_CONTEXT", "plain"}, true, nil},
		{"a context that trusts anybody", []string{"HOME", home, "DOCKER_CONTEXT", "unverified"}, false, nil},
		{"DOCKER_HOST goes before contexts", []string{"HOME", home, "DOCKER_CONTEXT", "ssh", "DOCKER_HOST", unsecured}, true, nil},
		{"no such context", []string{"HOME", home, "DOCKER_CONTEXT", "gone"}, false, []string{"the Docker context gone (DOCKER_CONTEXT)", "docker context ls"}},
		{"a context of something else", []string{"HOME", home, "DOCKER_CONTEXT", "empty"}, false, []string{"the Docker context empty", "no engine"}},
		{"ssh", []string{"DOCKER_HOST", "ssh://me:s3cret@host"}, false, []string{"ssh://***@host, from DOCKER_HOST", "ssh is not supported", "unix:///tmp/docker.sock"}},
		{"a context over ssh", []string{"HOME", home, "DOCKER_CONTEXT", "ssh"}, false, []string{"ssh://***@host, from the Docker context ssh", "ssh is not supported"}},
		{"a configuration that is none", []string{"DOCKER_CONFIG", filepath.Join(config, "config.json")}, false, []string{"the Docker configuration"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			plain.Store(0)
			engine, err := Connect(t.Context(), variables(c.env...))
			if len(c.says) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				defer engine.Close()
				if engine.Version != "20.10.24" || (plain.Load() > 0) != c.plain {
					t.Errorf("engine %s, which got %d requests without TLS", engine.Version, plain.Load())
				}
				return
			}
			var unavailable *Unavailable
			if !errors.As(err, &unavailable) {
				t.Fatalf("Connect = %v, want an Unavailable", err)
			}
			said := err.Error() + "\n" + unavailable.Hint()
			for _, words := range c.says {
				if !strings.Contains(said, words) {
					t.Errorf("%q lacks %q", said, words)
				}
			}
			if strings.Contains(said, "s3cret") {
				t.Errorf("shows a password: %s", said)
			}
		})
	}
}
