package basekey

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestKeyChangesWithWhatCanChangeTheResult(t *testing.T) {
	before := keyOf(t, inputs())
	for _, c := range edits {
		t.Run(c.name, func(t *testing.T) {
			in := inputs()
			c.edit(&in)
			if after := keyOf(t, in); (after != before) != c.isNew {
				t.Errorf("key %s became %s; want a new one: %t", before, after, c.isNew)
			}
		})
	}
}

// keyOf is the key of something that has to be resolved.
func keyOf(t *testing.T, in Inputs) string {
	t.Helper()
	c, err := Of(in)
	if err != nil || c.WholeFile {
		t.Fatalf("base key %+v, error %v", c, err)
	}
	return c.On(baseDigest)
}

// Another key of a release makes every registry's eval-bases of it useless: the next run builds them all again, for hours.
// The files are those that SDK 1.58.2 puts into the build context of its base stage, from its published wheels.
func TestKeysOfReleasesNeverChange(t *testing.T) {
	const catalog = "openhands-sdk/openhands/sdk/settings/acp_install_catalog.py"
	files := fstest.MapFS{}
	for _, name := range []string{"Dockerfile", catalog} {
		data, err := os.ReadFile("testdata/sdk-1.58.2/" + name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data, Mode: 0o644}
	}
	key, err := Of(Inputs{
		Dockerfile: files["Dockerfile"].Data, Context: files, Target: "base-image-minimal", Platform: "linux/amd64",
		Args: map[string]string{
			"BASE_IMAGE": "base/image:1", "OPENHANDS_BUILD_GIT_SHA": "unknown", "OPENHANDS_BUILD_GIT_REF": "unknown",
			"INSTALL_ACP_PROVIDERS": "claude-code,codex,gemini-cli", "INSTALL_CAPABILITIES": "vscode,browser,docker",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Key{Hash: "3c9b4817ac109ce53c72cec84c4aa9ca5eafc9f5d0822d00f68403a47ca45f91"}
	if diff := cmp.Diff(want, key); diff != "" {
		t.Errorf("base key (-want +got):\n%s", diff)
	}
	if got, want := key.On(baseDigest), "76da45d5c75892a302bec11e15f0790e"; got != want {
		t.Errorf("key on the base %s is %s, want %s", baseDigest, got, want)
	}
}

func TestKey(t *testing.T) {
	c, err := Of(inputs())
	if err != nil {
		t.Fatal(err)
	}
	key := c.On(baseDigest)
	if len(key) != 32 || strings.Trim(key, "0123456789abcdef") != "" {
		t.Errorf("key %q is not of 32 hexadecimal digits", key)
	}
	if c.On(baseDigest) != key {
		t.Error("one base key on one base gives two keys")
	}
	if c.On(strings.Replace(baseDigest, "0", "1", 1)) == key {
		t.Error("another base's digest makes no other key")
	}
}

// Fields are kept apart: a value that looks like the end of one and the next is neither.
func TestFieldsHaveEnds(t *testing.T) {
	two := newHash(Inputs{})
	two.field("a", "1")
	two.field("b", "2")
	for _, between := range []string{"b 1\n", "b 0\n", "b\n", "b"} {
		one := newHash(Inputs{})
		one.field("a", "1"+between+"2")
		if one.sum() == two.sum() {
			t.Errorf("%q in a value was taken for the next field", between)
		}
	}
}

// A number in COPY --from is a stage's place in the file.
func TestStagesByNumber(t *testing.T) {
	key := func(edit func(*Inputs)) string {
		in := inputs()
		replacing("COPY --from=helper", "COPY --from=1")(&in)
		edit(&in)
		return keyOf(t, in)
	}
	before := key(func(*Inputs) {})
	if key(replacing("install runtime", "install another runtime")) != before {
		t.Error("stage 0 counts")
	}
	if key(replacing("make-tools", "make-more-tools")) == before {
		t.Error("stage 1 does not count")
	}
}

func TestNoSuchTarget(t *testing.T) {
	in := inputs()
	in.Target = "base-image-minimal"
	const want = `finding what base-image-minimal is made of: the Dockerfile has no stage "base-image-minimal"`
	if c, err := Of(in); err == nil || err.Error() != want {
		t.Errorf("base key %+v, error %v; want %s", c, err, want)
	}
}

// The base's digest stands for the base, not for its name.
func TestBaseNameIsNotTheBase(t *testing.T) {
	cases := []struct{ name, old, text, want string }{
		{"the argument in a stage", "ARG WORKER UNSET", "ARG WORKER UNSET BASE_IMAGE", "argument BASE_IMAGE contains the name of the base"},
		{"in another argument", "ARG MIRROR=mirror/${SUITE}", "ARG MIRROR=${BASE_IMAGE%:*}/${SUITE}", "argument MIRROR contains the name of the base"},
		{"in a stage's argument", "ARG SHA=unknown", "ARG BASE_IMAGE\nARG SHA=x$BASE_IMAGE", "argument BASE_IMAGE contains the name of the base"},
		{"in another image's name", "FROM ${PAYLOAD_IMAGE}", "FROM mirror/${BASE_IMAGE}", "FROM mirror/${BASE_IMAGE} uses BASE_IMAGE"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := inputs()
			replacing(c.old, c.text)(&in)
			if got, err := Of(in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("base key %+v, error %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestDirectlyOn(t *testing.T) {
	const text = "ARG LOWER=minimal\n" + dockerfile + `
FROM Minimal AS source-minimal
FROM full AS source
FROM ${LOWER} AS by-argument
FROM later AS too-early
FROM debian AS later
`
	cases := []struct {
		target, stage string
		want          bool
	}{
		{"source-minimal", "minimal", true},
		{"Source-Minimal", "MINIMAL", true},
		{"by-argument", "minimal", true},
		{"source", "minimal", false},
		{"source", "full", true},
		{"minimal", "minimal", false},
		{"later", "debian", false},
		{"too-early", "later", false},
		{"bogus", "minimal", false},
		{"source", "", false},
	}
	for _, c := range cases {
		if got := DirectlyOn([]byte(text), c.target, c.stage); got != c.want {
			t.Errorf("DirectlyOn(%s, %s) = %t, want %t", c.target, c.stage, got, c.want)
		}
	}
	if DirectlyOn([]byte("FROM"), "minimal", "minimal") {
		t.Error("something is directly on something in a file that cannot be read")
	}
}
