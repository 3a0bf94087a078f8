package docker

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/OpenHands/eval-images/internal/failure"
)

// buildxOf is a docker command whose buildx keeps its records like the real one, and says what a builder runs. It has the arguments
// and the record that it saw in files of the folder.
func buildxOf(t *testing.T, platforms string, variables ...string) (Buildx, string) {
	t.Helper()
	dir := t.TempDir()
	fakeDocker(t, dir, `echo "$@" >>`+dir+`/arguments
record=$BUILDX_CONFIG/instances/b
case $2 in
create) mkdir -p $BUILDX_CONFIG/instances
	echo '{"Name":"b","Driver":"docker-container","Nodes":[{"Name":"b0","Endpoint":"unix:///x","Platforms":null,"DriverOpts":{"network":"n"},"Flags":["--x"],"Files":{"buildkitd.toml":"YQ=="}}],"Dynamic":false}' >$record;;
inspect) cp $record `+dir+`/seen; echo 'BuildKit version: v0.34.2'; echo 'Platforms:        `+platforms+`';;
esac`)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return Buildx{Environ: append([]string{"PATH=" + os.Getenv("PATH"), "BUILDX_CONFIG=" + filepath.Join(dir, "buildx")}, variables...), Log: io.Discard}, dir
}

// A builder of the run's own gets the proxies of the environment, and no password of a proxy gets into an argument list.
func TestOwnBuilderGetsTheProxies(t *testing.T) {
	cases := []struct {
		name, network string
		environ       []string
		want          map[string]any
	}{
		{"none", "n", []string{"HTTP_PROXY="}, map[string]any{"network": "n"}},
		{
			"all", "n",
			[]string{"HTTP_PROXY=http://me:s3cret@proxy:3128", "https_proxy=proxy:3128", "NO_PROXY=a,b", "UV_INDEX=x"},
			map[string]any{"network": "n", "env.HTTP_PROXY": "http://me:s3cret@proxy:3128", "env.https_proxy": "proxy:3128", "env.NO_PROXY": "a,b"},
		},
		{
			"one of this machine's own", "n",
			[]string{"HTTP_PROXY=http://127.0.0.1:3128", "HTTPS_PROXY=localhost:3128", "ALL_PROXY=socks5://[::1]:1"},
			map[string]any{"network": "n"},
		},
		{
			"one of this machine's own, on its network", "host",
			[]string{"HTTP_PROXY=http://127.0.0.1:3128"},
			map[string]any{"network": "n", "env.HTTP_PROXY": "http://127.0.0.1:3128"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			buildx, dir := buildxOf(t, "linux/amd64", c.environ...)
			if _, err := buildx.Create(t.Context(), &Engine{}, "b", c.network, ""); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "seen"))
			if err != nil {
				t.Fatal(err)
			}
			var record struct {
				Name, Driver string
				Nodes        []struct {
					Name, Endpoint string
					DriverOpts     map[string]any
					Flags          []string
					Files          map[string][]byte
				}
			}
			if err := json.Unmarshal(text, &record); err != nil || len(record.Nodes) != 1 {
				t.Fatalf("buildx reads %s: %v", text, err)
			}
			if diff := cmp.Diff(c.want, record.Nodes[0].DriverOpts); diff != "" {
				t.Errorf("driver options (-want +got):\n%s", diff)
			}
			if node := record.Nodes[0]; record.Name != "b" || node.Endpoint != "unix:///x" || node.Flags[0] != "--x" || string(node.Files["buildkitd.toml"]) != "a" {
				t.Errorf("the rest of the record has changed: %s", text)
			}
			if arguments, err := os.ReadFile(filepath.Join(dir, "arguments")); err != nil || strings.Contains(string(arguments), "s3cret") {
				t.Errorf("arguments (%v):\n%s", err, arguments)
			}
		})
	}
}

// A builder that cannot run amd64 is refused before anything is built on it.
func TestBuildersRunAMD64(t *testing.T) {
	cases := []struct {
		platforms string
		refused   bool
	}{
		{"linux/amd64, linux/amd64/v2, linux/386", false},
		{"linux/arm64, linux/amd64*", false},
		{"", false},
		{"linux/arm64, linux/arm/v7, linux/arm/v6", true},
	}
	for _, c := range cases {
		t.Run(c.platforms, func(t *testing.T) {
			buildx, _ := buildxOf(t, c.platforms)
			for way, use := range map[string]func() (Builder, error){
				"an address": func() (Builder, error) { return buildx.UseAddress(t.Context(), "tcp://h:1") },
				"its own":    func() (Builder, error) { return buildx.Create(t.Context(), noEngine(t), "b", "", "") },
			} {
				_, err := use()
				var unavailable *Unavailable
				if errors.As(err, &unavailable) != c.refused {
					t.Fatalf("%s: %v", way, err)
				}
				if c.refused && (!strings.Contains(err.Error(), c.platforms) || unavailable.Hint() != failure.Hint(failure.ClassPlatform)) {
					t.Errorf("%s: %v, hint %q", way, err, unavailable.Hint())
				}
			}
		})
	}
}

// noEngine is a connection to an engine that has gone.
func noEngine(t *testing.T) *Engine {
	t.Helper()
	api, err := endpoint{host: "tcp://127.0.0.1:1"}.connect()
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{api: api}
}
