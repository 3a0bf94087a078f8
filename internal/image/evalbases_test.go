package image

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk/basekey"
)

func key(t *testing.T, img v1.Image) string {
	t.Helper()
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return EvalBaseTag(basekey.Key{Hash: "closure"}.On(digest.String()))
}

// What an eval-base is good for is in its mark, and in its own bytes. What it is no good for is built natively, and says why.
func TestEvalBasesThatAreThere(t *testing.T) {
	day := 24 * time.Hour
	marked := func(verdict string) func(v1.Image) v1.Image {
		return func(img v1.Image) v1.Image {
			return mutate.Annotations(img, map[string]string{
				rebase.MarkAnnotation: verdict, "org.opencontainers.image.created": start.Format(time.RFC3339),
			}).(v1.Image)
		}
	}
	config := func(change func(*v1.ConfigFile)) func(v1.Image) v1.Image {
		return func(img v1.Image) v1.Image { return marked(rebase.MarkPlain)(registrytest.WithConfig(img, change)) }
	}
	cases := []struct {
		name   string
		change func(v1.Image) v1.Image
		age    time.Duration // the greatest that is taken
		want   string
		made   []string
	}{
		{"marked", marked(rebase.MarkPlain), 0, "rebase", nil},
		{"young enough", marked(rebase.MarkPlain), 3 * day, "rebase", nil},
		{"too old", marked(rebase.MarkPlain), day, "rebase", []string{"c"}},
		{"too old, and refused then", marked(rebase.MarkRefused + "x"), day, "rebase", []string{"c"}},
		{"unmarked", func(img v1.Image) v1.Image { return img }, 0, "native: the eval-base was not checked for paths", nil},
		{"unmarked, of no known age", func(img v1.Image) v1.Image { return img }, day, "rebase", []string{"c"}},
		{
			"refused", marked(rebase.MarkRefused + "its base image has /acp-node as a file"), 0,
			"native: the eval-base: its base image has /acp-node as a file", nil,
		},
		{
			"of another architecture", config(func(c *v1.ConfigFile) { c.Architecture = "arm64" }), 0,
			`native: the base's architecture is "arm64"`, nil,
		},
		{
			"with ONBUILD", config(func(c *v1.ConfigFile) { c.Config.OnBuild = []string{"RUN x"} }), 0,
			"native: the base's config.OnBuild", nil,
		},
		{"of another SDK", config(func(c *v1.ConfigFile) { c.Config.Env = nil }), 0, "native: the base's config.Env has no OPENHANDS_BUILD_GIT", nil},
	}
	for _, c := range cases {
		for _, strict := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				h := newFixture(t)
				synctest.Test(t, func(t *testing.T) {
					h.run(t, true, h.targets(t, "a", "b"))
					target := h.targets(t, "c")
					h.push(t, ours+":"+key(t, h.bases["c"]), c.change(registrytest.EvalBase(h.bases["c"], "unknown", "planted")))
					time.Sleep(2 * day)
					h.settings.EvalBaseMaxAge = c.age
					want := c.want
					if strict {
						h.settings.Strict = true
						want = strings.Replace(want, "native:", "not-rebased:", 1)
					}
					r := h.run(t, true, append(h.targets(t, "a"), target...))
					if got := r.made()["c"]; !strings.HasPrefix(got, want) {
						t.Errorf("it is %s; want %s", got, want)
					}
					differ(t, "eval-bases made", c.made, h.did("eval-base"))
					facts := r.maker.EvalBaseFacts()
					if facts.Made != len(c.made) {
						t.Errorf("the report says that %d were made", facts.Made)
					}
					if c.want == "rebase" && c.made == nil &&
						(facts.Reused != 1 || facts.Oldest.IsZero() || !facts.Oldest.Equal(start)) {
						t.Errorf("the report says %d of %v", facts.Reused, facts.Oldest)
					}
				})
			})
		}
	}
}

// The report names the age of the oldest eval-base that was used.
func TestOldestEvalBase(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "a", "b", "c"))
		oldest := time.Now() // c's, up to a second
		time.Sleep(time.Hour)
		h.run(t, true, h.targets(t, "d"))
		time.Sleep(time.Hour)
		h.sha = strings.Repeat("b", 40)
		h.hub.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/c/") { // the oldest is not the first that is found
				time.Sleep(time.Second)
			}
			return false
		}
		r := h.run(t, true, h.targets(t, "a", "b", "d", "c"))
		facts := r.maker.EvalBaseFacts()
		if facts.Reused != 2 || facts.Oldest.IsZero() || oldest.Sub(facts.Oldest) > 10*time.Minute {
			t.Errorf("the report says %d of %v", facts.Reused, facts.Oldest)
		}
		if facts.Oldest.After(oldest) {
			t.Errorf("the oldest is of %v, want %v", facts.Oldest, oldest)
		}
	})
}

// A base image whose digest is not known has no key; and a registry that is busy has not said that it lacks anything.
func TestBaseRegistries(t *testing.T) {
	cases := []struct {
		name   string
		status int
		times  int
		want   string
		strict string
		waits  bool
	}{
		{"it does not have the base", http.StatusNotFound, 1000, "native: the base image's registry does not have it", "not-rebased: the base", false},
		{"it is busy for a while", http.StatusTooManyRequests, 6, "rebase", "rebase", true},
		{"it is busy always", http.StatusTooManyRequests, 1000, "rate-limit", "rate-limit", true},
		{"it is down", 0, 1000, "native: the registry of the base image does not answer", "not-rebased: the registry of the base", false},
	}
	for _, c := range cases {
		for _, strict := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				h := newFixture(t)
				h.settings.MaxRetries = 3
				synctest.Test(t, func(t *testing.T) {
					h.run(t, true, h.targets(t, "a", "b"))
					targets := h.targets(t, "c", "d")
					want := c.want
					if strict {
						h.settings.Strict, want = true, c.strict
					}
					var times atomic.Int32
					h.hub.Fault = func(w http.ResponseWriter, r *http.Request) bool {
						if !strings.Contains(r.URL.Path, "/c/manifests") {
							return false
						}
						if int(times.Add(1)) > c.times {
							return false
						}
						if c.status == 0 {
							panic(http.ErrAbortHandler)
						}
						w.WriteHeader(c.status)
						return true
					}
					begin := time.Now()
					r := h.run(t, true, targets)
					if got := r.made()["c"]; !strings.HasPrefix(got, want) {
						t.Errorf("it is %s; want %s", got, want)
					}
					if got := r.made()["d"]; got != "rebase" {
						t.Errorf("the other is %s", got)
					}
					if waited := time.Since(begin) > 2*time.Minute; waited != c.waits {
						t.Errorf("it took %v", time.Since(begin))
					}
				})
			})
		}
	}
}

// Two instances of one base image need one eval-base, whether they come at once or not.
func TestOneEvalBaseForTwo(t *testing.T) {
	for name, later := range map[string]time.Duration{"at once": 0, "when it is being made": 20 * time.Second, "when it was made": 40 * time.Second} {
		t.Run(name, func(t *testing.T) {
			h := newFixture(t)
			h.takes = func(string) time.Duration { return 30 * time.Second }
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b"))
				one := h.targets(t, "c")[0]
				other := plan.Target{
					InstanceID: "other", BaseImage: one.BaseImage, CustomTag: "other",
					Tags: []string{h.tag(ours, h.sha, "other", h.settings.Request.Target)},
				}
				var asked atomic.Int32
				h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/manifests/"+key(t, h.bases["c"])) {
						if asked.Add(1) == 2 { // the answer arrives late
							time.Sleep(later)
							w.WriteHeader(http.StatusNotFound)
							return true
						}
					}
					return false
				}
				r := h.run(t, true, []plan.Target{one, other})
				differ(t, "images", map[string]string{"c": "rebase", "other": "rebase"}, r.made())
				differ(t, "eval-bases", []string{"c"}, h.did("eval-base"))
				facts := r.maker.EvalBaseFacts()
				if facts.Made != 1 {
					t.Errorf("the report says that %d were made", facts.Made)
				}
			})
		})
	}
}

// A proxy that answers a HEAD of one base image with the digest of another one must not put the one's image on the other's
// base.
func TestDigestOfAnotherBase(t *testing.T) {
	cases := []struct {
		name    string
		evalD   bool // d's eval-base is there
		times   int32
		retries int
		want    map[string]string
	}{
		{"both eval-bases are missing", false, 1, 1, map[string]string{"c": "rebase", "d": "rebase"}},
		{"the other's eval-base is there", true, 1, 1, map[string]string{"c": "rebase"}},
		{"no further attempt", true, 1, 0, map[string]string{"c": "registry"}},
		{"every answer, both missing", false, 100, 2, map[string]string{"c": "registry", "d": "rebase"}},
		{"every answer, the other's is there", true, 100, 2, map[string]string{"c": "registry"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			h.settings.MaxRetries = c.retries
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b"))
				targets := h.targets(t, "c", "d")
				if c.evalD {
					h.run(t, true, targets[1:])
					targets = targets[:1]
				}
				other, err := h.bases["d"].Digest()
				if err != nil {
					t.Fatal(err)
				}
				var heads atomic.Int32
				h.hub.Fault = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "/c/manifests") || heads.Add(1) > c.times {
						return false
					}
					w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
					w.Header().Set("Content-Length", "100")
					w.Header().Set("Docker-Content-Digest", other.String())
					return true
				}
				r := h.run(t, true, targets)
				differ(t, "images", c.want, r.made())
				for _, e := range r.outcomes {
					if c.want[e.Target.InstanceID] == "registry" {
						if got := e.Err.Error(); !strings.Contains(got, "named "+other.String()+" as the digest of "+hub+"/c:latest") {
							t.Errorf("%s failed with %q", e.Target.InstanceID, got)
						}
						continue
					}
					base, _ := h.bases[e.Target.InstanceID].Layers()
					digest, _ := base[0].Digest()
					if got := h.layers(t, e.Tags[0]); got[0] != digest.String() {
						t.Errorf("%s is not on its own base image", e.Target.InstanceID)
					}
				}
			})
		})
	}
}

// To confirm a digest is a pull of the base image. It costs one for each eval-base that is made, however many images
// need it, and none where the eval-base is there.
func TestPullsOfBases(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.run(t, true, h.targets(t, "a", "b"))
		targets := h.targets(t, "c")
		for _, id := range []string{"again", "more"} {
			targets = append(targets, plan.Target{
				InstanceID: id, BaseImage: targets[0].BaseImage, CustomTag: id,
				Tags: []string{h.tag(ours, h.sha, id, h.settings.Request.Target)},
			})
		}
		for i, want := range []int{1, 0} {
			h.hub.Reset()
			if i == 1 {
				for _, target := range targets {
					h.delete(t, target.Tags[0])
				}
			}
			r := h.run(t, true, targets)
			differ(t, "images", map[string]string{"c": "rebase", "again": "rebase", "more": "rebase"}, r.made())
			if got := h.hub.Count(http.MethodGet, "/manifests/"); got != want {
				t.Errorf("run %d read %d manifests of base images, want %d", i+1, got, want)
			}
		}
	})
}
