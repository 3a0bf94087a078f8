package rebase

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stage is what a Dockerfile's last stage says, beside the one COPY that all have.
type stage struct {
	env, labels     [][2]string
	user            string
	entrypoint, cmd []string
}

// sdkStage is the SDK's (1.58.2, source-minimal): ARG, COPY, ENTRYPOINT.
var sdkStage = stage{entrypoint: []string{"tini", "--", "/agent-server/bin"}}

// settings is a config's member of that name, apart from Apply's own reading of it: a test of the one with the other
// would prove nothing.
type settings struct {
	Env             []string          `json:",omitempty"`
	Labels          map[string]string `json:",omitempty"`
	User            string            `json:",omitempty"`
	Entrypoint, Cmd []string          `json:",omitempty"`
	Healthcheck     map[string]any    `json:",omitempty"`
}

// built is what BuildKit makes of a base's settings with the stage (its dockerfile2llb: dispatchEnv, dispatchLabel,
// dispatchUser, dispatchEntrypoint, dispatchCmd).
func (s stage) built(base settings) settings {
	made := base
	made.Env = slices.Clone(base.Env)
	for _, kv := range s.env {
		made.Env = withVariable(made.Env, kv[0], expanded(kv[1], made.Env))
	}
	made.Labels = map[string]string{}
	for name, value := range base.Labels {
		made.Labels[name] = value
	}
	for _, kv := range s.labels {
		made.Labels[kv[0]] = expanded(kv[1], made.Env)
	}
	if s.user != "" {
		made.User = s.user
	}
	if s.entrypoint != nil {
		made.Entrypoint, made.Cmd = s.entrypoint, nil
	}
	if s.cmd != nil {
		made.Cmd = s.cmd
	}
	return made
}

// expanded is a word with the variables of an environment, by os.Expand: $NAME, and ${NAME:-default}.
func expanded(word string, env []string) string {
	return os.Expand(word, func(name string) string {
		name, otherwise, _ := strings.Cut(name, ":-")
		for _, entry := range env {
			if is, value, _ := strings.Cut(entry, "="); is == name && value != "" {
				return value
			}
		}
		return otherwise
	})
}

// taken are the variables that the stage's words have.
func (s stage) uses() Uses {
	names := map[string]bool{}
	for _, kv := range slices.Concat(s.env, s.labels) {
		os.Expand(kv[1], func(name string) string {
			name, _, _ = strings.Cut(name, ":-")
			names[name] = true
			return ""
		})
	}
	return Uses{Variables: slices.Sorted(maps.Keys(names))}
}

func withVariable(env []string, name, value string) []string {
	for i, entry := range env {
		if is, _, _ := strings.Cut(entry, "="); is == name {
			env[i] = name + "=" + value
			return env
		}
	}
	return append(env, name+"="+value)
}

// atSHA is the base stage as it comes out for another commit: only its two variables tell.
func (s settings) atSHA(sha string) settings {
	s.Env = slices.Clone(s.Env)
	for i, entry := range s.Env {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OPENHANDS_BUILD_GIT_") {
			s.Env[i] = name + "=" + sha
		}
	}
	return s
}

func (s settings) json() string {
	raw, _ := json.Marshal(s) // strings, lists and maps always encode
	return string(raw)
}

// dice throws bases and stages.
type dice struct{ *rand.Rand }

func (d dice) one(words ...string) string { return words[d.IntN(len(words))] }

func (d dice) stage() stage {
	s := sdkStage
	for _, name := range []string{"A", "B", "C", "D", "PATH"} {
		if d.IntN(2) == 0 {
			s.env = append(s.env, [2]string{name, d.one("s<1>", "s2", "")})
		}
	}
	for _, name := range []string{"a", "b"} {
		if d.IntN(3) == 0 {
			s.labels = append(s.labels, [2]string{name, d.one("s1", "")})
		}
	}
	s.user = d.one("", "", "sdk")
	if d.IntN(4) == 0 {
		s.entrypoint = nil
	}
	if d.IntN(4) == 0 {
		s.cmd = []string{"serve"}
	}
	return s
}

// base throws a base's settings. With held, some may be as the stage sets them; with bare, it has none of the stage's
// variables.
func (d dice) base(s stage, held, bare bool) settings {
	b := settings{Env: []string{"OPENHANDS_BUILD_GIT_SHA=unknown", "OPENHANDS_BUILD_GIT_REF=unknown"}}
	for _, name := range []string{"PATH", "A", "B", "C", "OTHER", "LANG"} {
		isSet := slices.ContainsFunc(s.env, func(kv [2]string) bool { return kv[0] == name })
		if d.IntN(2) == 0 && !(bare && isSet) {
			b.Env = append(b.Env, name+"="+d.one("b<1>", "b2"))
		}
	}
	d.Shuffle(len(b.Env), func(i, j int) { b.Env[i], b.Env[j] = b.Env[j], b.Env[i] })
	for _, kv := range s.env {
		if held && d.IntN(3) == 0 {
			b.Env = withVariable(b.Env, kv[0], kv[1])
		}
	}
	b.Labels = map[string]string{"a": "b1", "own": d.one("x", "y")}
	if d.IntN(2) == 0 {
		delete(b.Labels, "a")
	}
	b.User = d.one("", "b", "root")
	b.Entrypoint = [][]string{nil, {"b"}}[d.IntN(2)]
	b.Cmd = [][]string{nil, {"bash"}, {"sh", "-c", "x"}}[d.IntN(3)]
	if held && d.IntN(3) == 0 {
		b.Entrypoint = s.entrypoint
	}
	if d.IntN(3) == 0 {
		b.Healthcheck = map[string]any{"Test": []string{"CMD", "x"}, "StartInterval": 5000000000}
	}
	return b
}

func (d dice) image(s settings) fixture {
	f := fixture{settings: s.json(), docker: d.IntN(2) == 0}
	for range 1 + d.IntN(5) {
		f.layers = append(f.layers, d.one("os", "apt", "empty", "empty", "more"))
	}
	return f
}

// TestApplyEqualsANativeBuild diffs two builds, and compares a rebased image, on the stage of an unknown commit, with the
// native build. The order of added variables is compared if one reference shows all of them. Otherwise two references may
// not determine it.
func TestApplyEqualsANativeBuild(t *testing.T) {
	for seed := range uint64(120) {
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		s := sdkStage
		if seed >= 30 {
			s = d.stage()
		}
		if refusal := d.compare(t, s, seed); refusal != nil {
			t.Fatalf("seed %d: %v", seed, refusal)
		}
	}
}

// TestApplyRefusesOrEqualsANativeBuild does the same with stages that use variables of their base. Some of
// these are in no reference's base.
func TestApplyRefusesOrEqualsANativeBuild(t *testing.T) {
	equal, refused := 0, 0
	for seed := range uint64(900) {
		d := dice{rand.New(rand.NewPCG(seed, 2))}
		s := d.stage()
		for i := range s.env {
			s.env[i][1] = d.one(s.env[i][1], "/a:$"+s.env[i][0], "${A:-s1}", "$B", "$OPENHANDS_BUILD_GIT_SHA")
		}
		s.labels = append(s.labels, [2]string{"c", d.one("s1", "x$C", "${LANG:-s2}", "$OPENHANDS_BUILD_GIT_SHA")})
		if d.compare(t, s, seed) == nil {
			equal++
		} else {
			refused++
		}
	}
	if equal < 100 || refused < 100 {
		t.Errorf("%d were equal and %d refused: too few of one kind to prove anything", equal, refused)
	}
}

// compare fails the test where a rebase comes out unlike the native build, and gives the refusal where there is none.
func (d dice) compare(t *testing.T, s stage, seed uint64) error {
	t.Helper()
	const sha = "0123456789"
	ordered := d.IntN(2) == 0
	learn := func(held, bare bool) (Delta, error) {
		base := d.image(settings{})
		from := d.base(s, held, bare).atSHA(sha)
		base.settings = from.json()
		return Diff(base.on(s.built(from).json()).image(), base.image(), s.uses())
	}
	one, err := learn(true, false)
	other, err2 := learn(false, ordered)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	c, err := Intersect(one, other)
	if err != nil {
		return err
	}
	third := d.base(s, true, false)
	if d.IntN(4) == 0 {
		third.Env = append(third.Env, "OTHER=twice", "A=twice", "A=thrice")
	}
	base := d.image(third)
	env := map[string]string{"OPENHANDS_BUILD_GIT_SHA": sha, "OPENHANDS_BUILD_GIT_REF": sha}
	got, err := c.Apply(base.image(), "n", "d", env)
	if err != nil {
		return err
	}
	want := base.on(s.built(third.atSHA(sha)).json())
	want.docker = false
	if diff := cmp.Diff(compared(t, want.image(), ordered), compared(t, got, ordered)); diff != "" {
		t.Fatalf("seed %d: (-native +rebased):\n%s", seed, diff)
	}
	return nil
}

// compared is all of an image but its times and annotations, and the config's digest and size, which follow from it.
func compared(t *testing.T, img Image, ordered bool) map[string]any {
	t.Helper()
	config, manifest := plain(t, img.Config), plain(t, img.Manifest)
	delete(config, "created")
	var history []string
	for _, entry := range config["history"].([]any) {
		entry := entry.(map[string]any)
		history = append(history, fmt.Sprint(entry["created_by"], entry["empty_layer"]))
	}
	config["history"] = history
	if env := config["config"].(map[string]any)["Env"].([]any); !ordered {
		slices.SortFunc(env, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	}
	delete(manifest, "annotations")
	delete(manifest, "config")
	return map[string]any{"config": config, "manifest": manifest, "type": img.MediaType}
}
