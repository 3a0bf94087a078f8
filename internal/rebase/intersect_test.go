package rebase

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestIntersect diffs two pairs of configs, before and after, and applies the intersection to a third base.
func TestIntersect(t *testing.T) {
	cases := map[string]struct {
		a, b [2]string
		base string
		want string
	}{
		"a variable that one base held": {
			a:    [2]string{`{"Env":["P=1","X=y"]}`, `{"Env":["P=1","X=y"]}`},
			b:    [2]string{`{"Env":["P=2"]}`, `{"Env":["P=2","X=y"]}`},
			base: `{"Env":["P=3"]}`, want: `{"Env":["P=3","X=y"]}`,
		},
		"a variable that the other held": {
			a:    [2]string{`{}`, `{"Env":["X=y"]}`},
			b:    [2]string{`{"Env":["X=y"]}`, `{"Env":["X=y"]}`},
			base: `{"Env":["X=z","P=3"]}`, want: `{"Env":["X=y","P=3"]}`,
		},
		"variables that each held in part, in their order": {
			a:    [2]string{`{"Env":["D=4","A=1"]}`, `{"Env":["D=4","A=1","B=2","C=3"]}`},
			b:    [2]string{`{"Env":["B=2"]}`, `{"Env":["B=2","A=1","C=3","D=4"]}`},
			base: `{"Env":["P=3"]}`, want: `{"Env":["P=3","A=1","B=2","C=3","D=4"]}`,
		},
		"one removed": {
			a:    [2]string{`{"Env":["X=y"]}`, `{}`},
			b:    [2]string{`{"Env":["P=2"]}`, `{"Env":["P=2"]}`},
			base: `{"Env":["P=3","X=7"],"User":"u"}`, want: `{"Env":["P=3"],"User":"u"}`,
		},
		"the last one removed": {
			a:    [2]string{`{"Env":["X=y"]}`, `{}`},
			b:    [2]string{`{}`, `{}`},
			base: `{"User":"u","Env":["X=7"]}`, want: `{"User":"u"}`,
		},
		"unlike variables that stay": {
			a:    [2]string{`{"Env":["P=1"]}`, `{"Env":["P=1"]}`},
			b:    [2]string{`{"Env":["P=2"]}`, `{"Env":["P=2"]}`},
			base: `{}`, want: `{}`,
		},
		"CMD cleared on one base": {
			a:    [2]string{`{"Cmd":["bash"]}`, `{"User":"o"}`},
			b:    [2]string{`{}`, `{"User":"o"}`},
			base: `{"Cmd":["sh"],"User":"root"}`, want: `{"User":"o"}`,
		},
		"CMD that no base had, under a new entry point": {
			a:    [2]string{`{}`, `{"Entrypoint":["tini"]}`},
			b:    [2]string{`{"User":"o"}`, `{"User":"o","Entrypoint":["tini"]}`},
			base: `{"Cmd":["sh"],"Entrypoint":["e"]}`, want: `{"Entrypoint":["tini"]}`,
		},
		"CMD that a new entry point came with": {
			a:    [2]string{`{"Cmd":["x"]}`, `{"Entrypoint":["tini"],"Cmd":["x"]}`},
			b:    [2]string{`{"Cmd":["x"]}`, `{"Entrypoint":["tini"],"Cmd":["x"]}`},
			base: `{"Cmd":["sh"]}`, want: `{"Cmd":["x"],"Entrypoint":["tini"]}`,
		},
		"CMD that stays": {
			a:    [2]string{`{"Cmd":["a"]}`, `{"Cmd":["a"]}`},
			b:    [2]string{`{"Cmd":["b"]}`, `{"Cmd":["b"]}`},
			base: `{"Cmd":["c"]}`, want: `{"Cmd":["c"]}`,
		},
		"an entry point that one base held": {
			a:    [2]string{`{"Entrypoint":["tini"]}`, `{"Entrypoint":["tini"]}`},
			b:    [2]string{`{"Cmd":["c"]}`, `{"Entrypoint":["tini"]}`},
			base: `{"Cmd":["sh"]}`, want: `{"Entrypoint":["tini"]}`,
		},
		"labels, ports and volumes one by one": {
			a: [2]string{
				`{"Labels":{"own":"1"},"ExposedPorts":{"80/tcp":{}}}`,
				`{"Labels":{"own":"1","new":""},"ExposedPorts":{"80/tcp":{},"8000/tcp":{}},"Volumes":{"/v":{}}}`,
			},
			b: [2]string{
				`{"ExposedPorts":{"8000/tcp":{}}}`,
				`{"Labels":{"new":""},"ExposedPorts":{"8000/tcp":{}},"Volumes":{"/v":{}}}`,
			},
			base: `{"Labels":{"third":"3"},"Volumes":{"/w":{}}}`,
			want: `{"Labels":{"third":"3","new":""},"Volumes":{"/w":{},"/v":{}},"ExposedPorts":{"8000/tcp":{}}}`,
		},
		"the last label removed": {
			a:    [2]string{`{"Labels":{"l":""}}`, `{}`},
			b:    [2]string{`{}`, `{}`},
			base: `{"Labels":{"l":"x"},"User":"u"}`, want: `{"User":"u"}`,
		},
		"a label that holds its old value": {
			a:    [2]string{`{"Labels":{"l":"a=1"}}`, `{"Labels":{"l":"a=12"}}`},
			b:    [2]string{`{}`, `{"Labels":{"l":"a=12"}}`},
			base: `{}`, want: `{"Labels":{"l":"a=12"}}`,
		},
		"numbers beyond a float's": {
			a:    [2]string{`{"N":9007199254740992}`, `{"N":9007199254740993}`},
			b:    [2]string{`{"N":9007199254740993}`, `{"N":9007199254740993}`},
			base: `{"N":1}`, want: `{"N":9007199254740993}`,
		},
		"other fields, known and not": {
			a: [2]string{
				`{"User":"a","New":{"x":[1.0]}}`,
				`{"User":"o","WorkingDir":"/w","StopSignal":"9","Shell":["s"],"New":{"x":[2]}}`,
			},
			b: [2]string{
				`{"StopSignal":"9"}`,
				`{"User":"o","WorkingDir":"/w","StopSignal":"9","Shell":["s"],"New":{"x":[2]}}`,
			},
			base: `{"Healthcheck":{"Test":["CMD"],"StartInterval":5},"User":"z"}`,
			want: `{"Healthcheck":{"Test":["CMD"],"StartInterval":5},"User":"o",` +
				`"WorkingDir":"/w","Shell":["s"],"New":{"x":[2]},"StopSignal":"9"}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a, b := change(t, tc.a[0], tc.a[1]), change(t, tc.b[0], tc.b[1])
			agreed, err := Intersect(a, b)
			if err != nil {
				t.Fatal(err)
			}
			img, err := agreed.Apply(fixture{layers: []string{"other"}, settings: tc.base}.image(), "n", "d", nil)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(plain(t, []byte(tc.want)), plain(t, []byte(settingsOf(t, img)))); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestIntersectRefuses(t *testing.T) {
	cases := map[string]struct{ a, b, want string }{
		"entry points": {
			`{"Entrypoint":["a"]}`, `{"Entrypoint":["b"]}`,
			`config.Entrypoint: ["a"] on one base, ["b"] on the other`,
		},
		"an entry point on one": {
			`{"Entrypoint":["a"]}`, `{"Env":["Q=2"]}`,
			`config.Entrypoint: ["a"] on one base, absent`,
		},
		"CMDs": {`{"Cmd":["a"]}`, `{"Cmd":["b"]}`, "config.Cmd"},
		"values of a variable": {
			`{"Env":["X=1"]}`, `{"Env":["X=2"]}`,
			`config.Env[X]: "X=1" on one base, "X=2" on the other`,
		},
		"a variable on one":         {`{"Env":["X=1"]}`, `{}`, "config.Env[X]"},
		"a variable on the other":   {`{}`, `{"Env":["X=1"]}`, "config.Env[X]: absent on one base"},
		"an empty label on one":     {`{"Labels":{"l":""}}`, `{}`, "config.Labels[l]"},
		"users":                     {`{"User":"a"}`, `{"User":"b"}`, "config.User"},
		"a member that none knows":  {`{"New":1}`, `{"New":2}`, "config.New"},
		"one removed, one set anew": {`{"Env":["X=1"]}`, `{"Env":["Q=2"]}`, "config.Env[X]"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Intersect(change(t, `{}`, tc.a), change(t, `{}`, tc.b))
			refusedFor(t, err, tc.want)
		})
	}
	t.Run("a base's own value against a change", func(t *testing.T) {
		_, err := Intersect(change(t, `{"Env":["X=7"]}`, `{"Env":["X=7"]}`), change(t, `{}`, `{"Env":["X=1"]}`))
		refusedFor(t, err, "config.Env[X]")
	})
	t.Run("histories", func(t *testing.T) {
		base := fixture{layers: []string{"os"}}
		other := base.on("{}")
		other.above = append([]string{`{"created_by":"ARG OTHER","empty_layer":true}`}, other.above[1:]...)
		b, err := Diff(other.image(), base.image(), Uses{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = Intersect(change(t, "{}", "{}"), b)
		refusedFor(t, err, "history[0]")
	})
	t.Run("histories of other lengths", func(t *testing.T) {
		base := fixture{layers: []string{"os"}}
		other := base.on("{}")
		other.above = append(slices.Clone(other.above), `{"created_by":"ARG LAST","empty_layer":true}`)
		longer, err := Diff(other.image(), base.image(), Uses{})
		if err != nil {
			t.Fatal(err)
		}
		one := change(t, "{}", "{}")
		for _, both := range [][2]Delta{{one, longer}, {longer, one}} {
			_, err = Intersect(both[0], both[1])
			refusedFor(t, err, fmt.Sprintf("history[%d]", len(other.above)-1))
		}
	})
}

func TestIntersectOnUnlikeLayers(t *testing.T) {
	base := fixture{layers: []string{"os"}}
	learned := func(layers, tars []string, settings string) Delta {
		final := base.on(settings)
		final.layers, final.tars = append([]string{"os"}, layers...), append([]string{"os"}, tars...)
		for range len(layers) - 1 {
			final.above = append(final.above[:len(final.above):len(final.above)], `{"created_by":"RUN"}`)
		}
		c, err := Diff(final.image(), base.image(), Uses{})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one := []string{"agent"}
	cases := map[string]struct{ a, b Delta }{
		"other digests": {
			learned(one, one, `{"User":"o"}`),
			learned([]string{"again"}, []string{"again"}, `{"User":"o"}`),
		},
		"only digests agree":    {learned(one, one, `{"User":"o"}`), learned(one, []string{"again"}, `{"User":"o"}`)},
		"only packed otherwise": {learned(one, one, `{"User":"o"}`), learned([]string{"again"}, one, `{"User":"o"}`)},
		"another order": {
			learned([]string{"x", "y"}, []string{"x", "y"}, `{"User":"o"}`),
			learned([]string{"y", "x"}, []string{"y", "x"}, `{"User":"o"}`),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Intersect(tc.a, tc.b)
			var unlike *LayersDiffer
			if !errors.As(err, &unlike) {
				t.Fatalf("the error is %v", err)
			}
			got := [][]string{digests(unlike.First), digests(unlike.Second), digests(unlike.Delta.Layers)}
			if diff := cmp.Diff([][]string{digests(tc.a.Layers), digests(tc.b.Layers), digests(tc.a.Layers)}, got); diff != "" {
				t.Errorf("layers (-want +got):\n%s", diff)
			}
			img, err := unlike.Delta.Apply(base.image(), "n", "d", nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := settingsOf(t, img); got != `{"User":"o"}` {
				t.Errorf("what both agree on in all else makes the config %s", got)
			}
		})
	}
	t.Run("a contradiction comes first", func(t *testing.T) {
		_, err := Intersect(learned(one, one, `{"User":"o"}`), learned([]string{"again"}, one, `{"User":"p"}`))
		refusedFor(t, err, "config.User")
	})
}
