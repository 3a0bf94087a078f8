package imagediff

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someConfig = `{
	"architecture": "amd64", "os": "linux", "created": "2026-10-25T00:00:00Z", "history": [{"created_by": "a"}],
	"moby.buildkit.buildinfo.v1": "e30=", "variant": null,
	"config": {
		"Env": ["PATH=/usr/bin", "HOME=/root", "GITHUB_TOKEN=abc", "A=1"], "Entrypoint": ["tini", "--", "python"], "User": "openhands",
		"ExposedPorts": {"8000/tcp": {}}, "Labels": {"a": "1", "api_key": "abc"}, "Healthcheck": {"Test": ["CMD", "x"], "StartInterval": 9007199254740992}
	}
}`

func TestConfigs(t *testing.T) {
	cases := []struct {
		name, old, with string
		want            []Difference
	}{
		{"nothing", "", "", nil},
		{"created", "2026-10-25", "2026-10-26", nil},
		{"history", `"a"}`, `"b"}, {"empty_layer": true}`, nil},
		{"what BuildKit notes", `"e30="`, `"bnVsbA=="`, nil},
		{"null is not there", `"variant": null,`, ``, nil},
		{"the order of fields", `"architecture": "amd64", "os": "linux"`, `"os": "linux", "architecture": "amd64"`, nil},
		{"a field of the top", `"amd64"`, `"arm64"`, []Difference{{"config architecture", "amd64", "arm64"}}},
		{"a field more", `"variant": null`, `"variant": "v8"`, []Difference{{"config variant", "none", "v8"}}},
		{"a value of Env", "/usr/bin", "/usr/sbin", []Difference{{"config Env PATH", "/usr/bin", "/usr/sbin"}}},
		{"an empty value of Env", "A=1", "A=", []Difference{{"config Env A", "1", `""`}}},
		{"a variable less", `, "A=1"`, ``, []Difference{{"config Env A", "1", "none"}}},
		{"a variable more", `"A=1"`, `"A=1", "B=2"`, []Difference{{"config Env B", "none", "2"}}},
		{
			"the order of Env", `"PATH=/usr/bin", "HOME=/root"`, `"HOME=/root", "PATH=/usr/bin"`,
			[]Difference{{"config Env order", "PATH HOME GITHUB_TOKEN A", "HOME PATH GITHUB_TOKEN A"}},
		},
		{"a variable twice", `"A=1"`, `"A=0", "A=1"`, []Difference{{"config Env order", "PATH HOME GITHUB_TOKEN A", "PATH HOME GITHUB_TOKEN A A"}}},
		{
			"a secret variable", "TOKEN=abc", "TOKEN=abcd",
			[]Difference{{"config Env GITHUB_TOKEN", "a value of 3 bytes that is not shown", "a value of 4 bytes that is not shown"}},
		},
		{
			"a password in an address", "HOME=/root", "HOME=https://me:hidden@host/",
			[]Difference{{"config Env HOME", "/root", "a value of 23 bytes that is not shown"}},
		},
		{
			"a token in an address", "HOME=/root", "HOME=https://hidden@host/",
			[]Difference{{"config Env HOME", "/root", "a value of 20 bytes that is not shown"}},
		},
		{
			"a secret label", `"api_key": "abc"`, `"api_key": "abcd"`,
			[]Difference{{"config Labels api_key", "a value of 3 bytes that is not shown", "a value of 4 bytes that is not shown"}},
		},
		{
			"no labels at all", `"Labels": {"a": "1", "api_key": "abc"}, `, ``,
			[]Difference{{"config Labels a", "1", "none"}, {"config Labels api_key", "a value of 3 bytes that is not shown", "none"}},
		},
		{"no Env at all", `"Env": ["PATH=/usr/bin", "HOME=/root", "GITHUB_TOKEN=abc", "A=1"], `, ``, []Difference{
			{"config Env A", "1", "none"},
			{"config Env GITHUB_TOKEN", "a value of 3 bytes that is not shown", "none"},
			{"config Env HOME", "/root", "none"},
			{"config Env PATH", "/usr/bin", "none"},
		}},
		{"the entry point", `"--", `, ``, []Difference{{"config Entrypoint", `["tini","--","python"]`, `["tini","python"]`}}},
		{
			"an argument that is secret", `"python"]`, `"--password=abc"]`,
			[]Difference{{"config Entrypoint", `["tini","--","python"]`, "a value of 30 bytes that is not shown"}},
		},
		{"a command", `"User"`, `"Cmd": ["bash"], "User"`, []Difference{{"config Cmd", "none", `["bash"]`}}},
		{"a port", `"8000/tcp": {}`, `"8000/tcp": {}, "1/tcp": {}`, []Difference{{"config ExposedPorts 1/tcp", "none", "{}"}}},
		{
			"a field that typed configs do not know", "9007199254740992", "9007199254740993",
			[]Difference{{"config Healthcheck StartInterval", "9007199254740992", "9007199254740993"}},
		},
		{"a value that breaks lines", "openhands", `a\nb`, []Difference{{"config User", "openhands", `"a\nb"`}}},
		{"a long value", "openhands", strings.Repeat("x", 1000), []Difference{{"config User", "openhands", strings.Repeat("x", 120) + "... (1000 bytes)"}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(someConfig, c.old) {
				t.Fatalf("the config has no %s", c.old)
			}
			b := store()
			changed := strings.Replace(someConfig, c.old, c.with, 1)
			found := compare(t, b, b.image(t, gzipped, someConfig), b.image(t, gzipped, changed), Options{})
			if diff := cmp.Diff(c.want, found); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
}
