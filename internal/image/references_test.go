package image

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

func (h *fixture) reference(i string) string {
	return ours + ":reference-" + h.sha + "-set" + h.options + "-" + i
}

// push plants an image.
func (h *fixture) push(t *testing.T, reference string, img v1.Image) {
	t.Helper()
	if err := registrytest.Push(h.hosts, reference, img); err != nil {
		t.Fatal(err)
	}
}

// instances are what this run's references were made for, "" for those that were there.
func (r *ran) instances() []string {
	var all []string
	for _, reference := range r.references {
		all = append(all, string(reference.Instance))
	}
	return all
}

// A later run, or another shard, learns from what an earlier one has left under tags of its own, and needs no engine.
func TestReferencesAreReused(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		all := h.targets(t, "a", "b", "c", "d")
		h.run(t, true, all)
		cases := []struct {
			name   string
			delete []string
		}{
			{"one is missing", []string{"c"}},
			{"those that were made natively", []string{"a", "b"}},
		}
		for _, c := range cases {
			for _, target := range all {
				if slices.Contains(c.delete, target.InstanceID) {
					h.delete(t, target.Tags[0])
				}
			}
			engine := c.delete[0] == "a" // whose eval-bases were not needed before
			r := h.run(t, engine, all)
			want := map[string]string{"a": "there", "b": "there", "c": "there", "d": "there"}
			for _, id := range c.delete {
				want[id] = "rebase"
			}
			differ(t, c.name, want, r.made())
			differ(t, c.name+": references", []string{"", ""}, r.instances())
			differ(t, c.name+": natively", []string(nil), h.did("image"))
			if r.err != nil {
				t.Errorf("%s: it wanted a builder: %v", c.name, r.err)
			}
		}
	})
}

func (h *fixture) delete(t *testing.T, reference string) {
	t.Helper()
	r := h.newRun(t, false)
	if err := r.registry.Delete(t.Context(), reference); err != nil {
		t.Fatal(err)
	}
}

// Nobody can tell how an image came under a final tag: none that is there is learned from, also not where it comes while
// the run is on.
func TestFinalImagesAreNeverLearnedFrom(t *testing.T) {
	cases := map[string]func(h *fixture) v1.Image{
		"foreign": func(h *fixture) v1.Image { return registrytest.Base("foreign") },
		"rebased": func(h *fixture) v1.Image {
			return registrytest.Final(registrytest.EvalBase(h.bases["a"], h.sha, "other"), "two")
		},
		"other options": func(h *fixture) v1.Image {
			return registrytest.Final(registrytest.EvalBase(h.bases["a"], h.sha, "a"+h.sha), "acp")
		},
	}
	for name, image := range cases {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				targets := h.targets(t, "a", "b", "c", "d")
				planted := false
				h.takes = func(what string) time.Duration {
					if !planted && strings.HasPrefix(what, "eval-base") {
						h.push(t, targets[0].Tags[0], image(h))
						planted = true
					}
					return time.Minute
				}
				r := h.run(t, true, targets)
				made := r.made()
				if len(made) != 4 || made["a"] != "there" {
					t.Errorf("images: %v", made)
				}
				if slices.Contains(r.instances(), "a") || len(r.instances()) != 2 {
					t.Errorf("learned from %v", r.instances())
				}
				for _, id := range []string{"b", "c", "d"} {
					if got := h.layers(t, h.targets(t, id)[0].Tags[0]); got[len(got)-1] != h.agentLayer() {
						t.Errorf("%s has another agent", id)
					}
				}
			})
		})
	}
}

func (h *fixture) layers(t *testing.T, reference string) []string {
	t.Helper()
	f, err := Fetch(t.Context(), h.newRun(t, false).registry, reference)
	if err != nil {
		t.Fatal(err)
	}
	return layersOf(t, f)
}

func (h *fixture) agentLayer() string {
	layers, _ := registrytest.Final(h.bases["a"], h.agent).Layers()
	digest, _ := layers[len(layers)-1].Digest()
	return digest.String()
}

// A reference that is broken, or no reference, is replaced, and a user is told.
func TestBrokenReferences(t *testing.T) {
	cases := []struct {
		name  string
		place string
		plant func(h *fixture) v1.Image
		says  string
	}{
		{"a foreign image", "1", func(*fixture) v1.Image { return registrytest.Base("foreign") }, "it does not name its base"},
		{"the second", "2", func(*fixture) v1.Image { return registrytest.Base("foreign") }, "it does not name its base"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b", "c"))
				h.push(t, h.reference(c.place), c.plant(h))
				r := h.run(t, true, h.targets(t, "d", "e", "f"))
				if got := r.instances(); len(got) != 2 || !slices.Contains(got, "") || !slices.Contains(got, "d") {
					t.Errorf("learned from %q", got)
				}
				if !strings.Contains(strings.Join(r.warnings, "\n"), c.says) {
					t.Errorf("warnings: %q", r.warnings)
				}
				r = h.run(t, true, h.targets(t, "g"))
				differ(t, "learned from", []string{"", ""}, r.instances())
				differ(t, "the next run", map[string]string{"g": "rebase"}, r.made())
			})
		})
	}
	t.Run("its configuration is gone", func(t *testing.T) {
		h := newFixture(t)
		synctest.Test(t, func(t *testing.T) {
			h.run(t, true, h.targets(t, "a", "b", "c"))
			f, err := Fetch(t.Context(), h.newRun(t, false).registry, h.reference("1"))
			if err != nil {
				t.Fatal(err)
			}
			h.ours.Forget("eval", digestOf(f.Config))
			r := h.run(t, true, h.targets(t, "d", "e"))
			if len(r.warnings) == 0 || !strings.Contains(r.warnings[len(r.warnings)-1], h.reference("1")+" is not used") {
				t.Errorf("warnings: %q", r.warnings)
			}
			differ(t, "learned from", []string{"", "d"}, r.instances())
		})
	})
}

// force-build makes references anew, whatever is there.
func TestForcedReferences(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		targets := h.targets(t, "a", "b", "c")
		h.run(t, true, targets)
		h.settings.Force, h.agent = true, "two"
		r := h.run(t, true, targets)
		differ(t, "references", []string{"a", "b"}, r.instances())
		differ(t, "images", map[string]string{"a": "native", "b": "native", "c": "rebase"}, r.made())
		if got := h.layers(t, targets[2].Tags[0]); got[len(got)-1] != h.agentLayer() {
			t.Error("the image has the old agent")
		}
	})
}

// One missing image is rebased where references are there. Without them it is built natively, and is no reference alone.
func TestOneMissing(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		r := h.run(t, true, h.targets(t, "a"))
		differ(t, "without references", map[string]string{"a": "native"}, r.made())
		differ(t, "learned from", []string(nil), r.instances())
		differ(t, "built", []string{"0s image a"}, h.began())
		h.run(t, true, h.targets(t, "b", "c"))
		r = h.run(t, true, h.targets(t, "d"))
		differ(t, "with references", map[string]string{"d": "rebase"}, r.made())
	})
}

// Two references whose digests differ are compared by their trees.
func TestReferencesOfOtherDigests(t *testing.T) {
	for _, c := range []struct {
		name, other string
		compared    bool
	}{
		{"equal trees", "one;again", true},
		{"unequal trees", "two", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				h.others = map[string]string{"image b": c.other}
				r := h.run(t, true, h.targets(t, "a", "b", "c"))
				how := r.made()["c"]
				if c.compared && (how != "rebase" || !strings.Contains(strings.Join(r.warnings, "\n"), "have equal files")) {
					t.Errorf("it was made by %q; warnings: %q", how, r.warnings)
				}
				if !c.compared && !strings.HasPrefix(how, "native: the references' agent layers are not alike") {
					t.Errorf("it was made by %q", how)
				}
				if got := r.treesCompared; got != c.compared {
					t.Errorf("the report says compared: %v", got)
				}
			})
		})
	}
}

// A base image that has a variable, which the target's stage takes in and no reference's base has, is built upon: a rebase
// would lose its value.
func TestValueThatOnlyOneBaseHas(t *testing.T) {
	for strategy, want := range map[string]string{"auto": "native", "rebase": "not-rebased"} {
		t.Run(strategy, func(t *testing.T) {
			h := newFixture(t)
			h.more = "ENV X=/a:$X\n"
			h.configured = func(c *v1.ConfigFile) {
				for i, entry := range c.Config.Env {
					if value, is := strings.CutPrefix(entry, "X="); is {
						c.Config.Env[i] = "X=/a:" + value
						return
					}
				}
				c.Config.Env = append(c.Config.Env, "X=/a:")
			}
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b"))
				h.bases["c"] = registrytest.WithConfig(registrytest.Base("c"), func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "X=/opt/x") })
				h.bases["d"] = registrytest.WithConfig(registrytest.Base("d"), func(c *v1.ConfigFile) { c.Config.Env = append(c.Config.Env, "Y=/opt/y") })
				for _, id := range []string{"c", "d"} {
					h.push(t, hub+"/"+id+":latest", h.bases[id])
				}
				h.settings.Strict = strategy == "rebase"
				targets := h.targets(t, "c", "d")
				r := h.run(t, true, targets)
				differ(t, "images", map[string]string{
					"d": "rebase",
					"c": want + ": the base's config.Env[X] is not that of the references' bases, and the target's stage uses it",
				}, r.made())
				env := map[string]string{"d": `"Y=/opt/y","OPENHANDS_BUILD_GIT_SHA=` + h.sha + `","OPENHANDS_BUILD_GIT_REF=unknown","X=/a:"]`}
				if strategy == "auto" {
					env["c"] = `"X=/a:/opt/x",`
				}
				for i, id := range []string{"c", "d"} {
					if env[id] == "" {
						continue
					}
					f, err := Fetch(t.Context(), r.registry, targets[i].Tags[0])
					if err != nil || !strings.Contains(string(f.Config), env[id]) {
						t.Errorf("%s: the configuration lacks %s: %s (%v)", id, env[id], f.Config, err)
					}
				}
			})
		})
	}
}
