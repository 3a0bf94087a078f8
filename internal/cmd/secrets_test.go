package cmd

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Passwords in addresses are secrets, as written and without escapes.
func TestSecretsOfTheEnvironment(t *testing.T) {
	env := environment{
		"HF_TOKEN=hf-token", "UV_INDEX_OWN_PASSWORD=index-password", "UV_DEFAULT_INDEX=https://me:default%2Fpassword@index/simple",
		"UV_INDEX=own=https://token-alone@a/ https://me:second@b/", "https_proxy=http://me:proxy@password@proxy:3128", "NO_PROXY=me:x@y",
		"DOCKER_HOST=tcp://me:engine@host:1", `DOCKER_AUTH_CONFIG={"auths":{"r.test":{"auth":"bWU6YXV0aC1wYXNzd29yZA=="}}}`,
		"OTHER=https://me:others@host", "HTTP_PROXY=http://me:abc@proxy", "ALL_PROXY=proxy:1",
	}
	want := []string{
		"hf-token", "index-password", "default%2Fpassword", "default/password", "token-alone", "second", "proxy@password", "engine",
		"bWU6YXV0aC1wYXNzd29yZA==", "auth-password",
	}
	var got []string
	for _, secret := range env.secrets() {
		if !slices.Contains(got, secret) {
			got = append(got, secret)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

// A secret is hidden in the set-up's log even if a program prints it in two parts.
func TestSetUpLogHasNoSecrets(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	rec := newRecord(Process{Stdout: io.Discard}, nil)
	rec.actions.Mask("s3cret")
	log := &safeLog{file: file, actions: rec.actions}
	long := strings.Repeat("x", longestLine)
	for _, part := range []string{"a s3c", "ret\nb s3cret\n", "c ", long, "d s3cr", "et"} {
		if n, err := log.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(file.Name())
	if want := "a ***\nb ***\nc " + long + "d ***"; err != nil || string(got) != want {
		t.Errorf("the log has %q, %v", strings.ReplaceAll(string(got), long, "…"), err)
	}
}
