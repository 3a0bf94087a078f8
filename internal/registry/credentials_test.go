package registry_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	ours "github.com/OpenHands/eval-images/internal/registry"
)

// helper is a credential store that has one login, and fails for registries that nobody may ask it for.
const helper = `#!/bin/sh
read registry
case $registry in
*stored*) echo '{"ServerURL":"'$registry'","Username":"store","Secret":"s"}';;
*none*) echo 'credentials not found in native keychain'; exit 1;;
*) echo "asked for $registry"; exit 1;;
esac
`

// A login that is given overrides what the user's configuration has for its registry, and nothing else. The docker command reads
// the file by the same rules (docker/cli, cli/config/configfile).
func TestGivenLoginsOverrideTheirRegistryOnly(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	const environment = `{"auths":{"env.test":{"auth":"ZTpw"},"given.test":{"auth":"ZTpw"}}}` // e:p
	given := []ours.Login{{Reference: "given.test/a/b:c", Username: "me", Password: "s3cret"}, {Reference: "docker.io/hub/ab", Username: "hub", Password: "h"}}
	cases := []struct {
		name, config string
		want         map[string]string
	}{
		{
			"a credential store", `{"credsStore":"test","auths":{"given.test":{}}}`,
			map[string]string{"given.test/xy": "me:s3cret", "env.test/xy": "e:p", "stored.test/xy": "store:s", "none.test/xy": ":", "alpine": "hub:h"},
		},
		{
			"credential helpers", `{"credHelpers":{"given.test":"test","env.test":"test","stored.test":"test"},"auths":{"other.test":{"auth":"bzpw"}}}`,
			map[string]string{"given.test/xy": "me:s3cret", "env.test/xy": "e:p", "stored.test/xy": "store:s", "other.test/xy": "o:p", "none.test/xy": ":"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir, inherited := t.TempDir(), t.TempDir()
			if err := os.WriteFile(filepath.Join(inherited, "config.json"), []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ours.WriteConfig(dir, inherited, environment, given); err != nil {
				t.Fatal(err)
			}
			// What is read again is what the docker command reads.
			keychain, err := ours.WriteConfig(t.TempDir(), dir, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			for image, want := range c.want {
				ref, err := name.ParseReference(image)
				if err != nil {
					t.Fatal(err)
				}
				auth, err := keychain.Resolve(ref.Context())
				if err != nil {
					t.Errorf("%s: %v", image, err)
					continue
				}
				if got, err := auth.Authorization(); err != nil || got.Username+":"+got.Password != want {
					t.Errorf("%s: %s:%s, %v; want %s", image, got.Username, got.Password, err, want)
				}
			}
		})
	}
}

// A helper may wait for somebody to unlock a store, on a machine where nobody is.
func TestCredentialHelperThatHangsIsGivenUp(t *testing.T) {
	bin, inherited := t.TempDir(), t.TempDir()
	if err := errors.Join(
		os.WriteFile(filepath.Join(bin, "docker-credential-hangs"), []byte("#!/bin/sh\nwhile [ -e \"$0\" ]; do sleep 0.1; done\n"), 0o755),
		os.WriteFile(filepath.Join(inherited, "config.json"), []byte(`{"credsStore":"hangs"}`), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	keychain, err := ours.WriteConfig(t.TempDir(), inherited, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	repository, err := name.NewRepository("r.test/a/b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = authn.Resolve(ctx, keychain, repository)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for the credential helper of r.test") {
		t.Errorf("%v; want the end of the context, and the helper", err)
	}
}

// The docker command finds plugins and contexts beside its configuration.
func TestPluginsAndContextsOfTheUserStay(t *testing.T) {
	dir, inherited := t.TempDir(), t.TempDir()
	for _, file := range []string{"cli-plugins/docker-buildx", "contexts/meta/x/meta.json"} {
		path := filepath.Join(inherited, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(file), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ours.WriteConfig(dir, inherited, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"cli-plugins/docker-buildx", "contexts/meta/x/meta.json"} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); string(got) != file {
			t.Errorf("%s: %q, %v", file, got, err)
		}
	}
}

func TestBrokenDockerAuthConfigIsNotShown(t *testing.T) {
	for _, value := range []string{"s3cret", `{"auths":{"a":{"auth":"s3cret"}}}`} {
		if _, err := ours.WriteConfig(t.TempDir(), "", value, nil); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
