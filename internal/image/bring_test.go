package image

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// bases is a repository for eval-bases alone.
const bases = "images.test/eval-base"

// tags are those of a repository of our registry that begin so, sorted.
func (h *fixture) tags(t *testing.T, repository, begin string) []string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ours.Next().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/v2/"+repository+"/tags/list", nil))
	var list struct{ Tags []string }
	if w.Code != http.StatusNotFound {
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatal(err)
		}
	}
	tags := slices.DeleteFunc(list.Tags, func(tag string) bool { return !strings.HasPrefix(tag, begin) })
	slices.Sort(tags)
	return tags
}

// drop deletes tags of our registry, with the manifests that they are on, behind the back of a run.
func (h *fixture) drop(repository string, tags ...string) {
	ask := func(method, reference string) http.Header {
		w := httptest.NewRecorder()
		h.ours.Next().ServeHTTP(w, httptest.NewRequest(method, "/v2/"+repository+"/manifests/"+reference, nil))
		return w.Header()
	}
	for _, tag := range tags {
		digest := ask(http.MethodHead, tag).Get("Docker-Content-Digest")
		ask(http.MethodDelete, tag)
		ask(http.MethodDelete, digest)
	}
}

// ofEarlierVersion leaves what an earlier version has, which kept all in one repository, and has the next runs keep eval-bases in another
// one. The images of c and d are missing then.
func (h *fixture) ofEarlierVersion(t *testing.T) {
	t.Helper()
	h.run(t, true, h.targets(t, "a", "b", "c", "d"))
	for _, target := range h.targets(t, "c", "d") {
		h.delete(t, target.Tags[0])
	}
	h.settings.EvalBaseRepository, h.settings.OtherEvalBases, h.settings.EvalBasePushAllowed = bases, ours, true
	h.ours.Reset()
}

// What an earlier version has left in the repository of the images is used, and mounted over as it is: a clean-up of the images' repository
// makes no later run a cold one.
func TestEvalBasesAreBroughtOver(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.ofEarlierVersion(t)
		evalBases := map[string]string{}
		for _, tag := range h.tags(t, "eval", "eval-base-") {
			evalBases[tag] = h.digest(t, ours+":"+tag)
		}
		r := h.run(t, false, h.targets(t, "c", "d"))
		differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
		differ(t, "warnings", []string(nil), r.warnings)
		differ(t, "eval-bases that were brought", slices.Sorted(maps.Keys(evalBases)), h.tags(t, "eval-base", "eval-base-"))
		for tag, digest := range evalBases {
			if got := h.digest(t, bases+":"+tag); got != digest {
				t.Errorf("%s was %s, and is %s now", tag, digest, got)
			}
		}
		for _, target := range h.targets(t, "c", "d") {
			made, err := Fetch(t.Context(), r.registry, target.Tags[0])
			if err != nil {
				t.Fatal(err)
			}
			on, _ := rebase.BaseOf(made.Manifest)
			differ(t, "where the eval-base of "+target.InstanceID+" is", bases, repositoryOf(on))
		}
		if r.copied > 0 || h.ours.Count(http.MethodPost, "/v2/eval/") != 3 { // a configuration each, and the probe
			t.Errorf("%d bytes were copied, and %d uploads or mounts begun in the images' repository", r.copied, h.ours.Count(http.MethodPost, "/v2/eval/"))
		}

		h.drop("eval", h.tags(t, "eval", "")...)
		reader := h.newRun(t, false)
		f, err := Fetch(t.Context(), reader.registry, bases+":"+h.tags(t, "eval-base", "eval-base-")[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, layer := range layersOf(t, f) {
			h.ours.Forget("eval", layer)
		}
		r = h.run(t, false, h.targets(t, "c", "d"))
		differ(t, "images after a clean-up", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
		if missing := h.whole(t, h.targets(t, "c", "d")); len(missing) > 0 {
			t.Errorf("missing: %v", missing)
		}
	})
}

// The bases with Python packages come along, with their digests: the keys of their eval-bases depend on these.
func TestBaseWithPackagesIsBroughtOver(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.ofEarlierVersion(t)
		target, base, evalBase := h.plantPackages(t, "e")
		r := h.run(t, false, append(h.targets(t, "c"), target))
		differ(t, "images", map[string]string{"c": "rebase", "e": "rebase"}, r.made())
		for _, brought := range []string{base, evalBase} {
			if want := h.digest(t, ours+":"+brought); h.digest(t, bases+":"+brought) != want {
				t.Errorf("%s is %q, and was %s", brought, h.digest(t, bases+":"+brought), want)
			}
		}
	})
}

// Nothing is copied for the sake of a place. What the registry does not mount stays where it is, and is used there; so is what was found
// beside the images' repository when that has to be the place.
func TestEvalBasesStayWhereTheyAre(t *testing.T) {
	cases := []struct {
		name     string
		change   func(h *fixture)
		warnings int
	}{
		{"a registry that mounts nothing", func(h *fixture) { h.ours.NoMounts = true }, 1},
		{"a repository that refuses the manifest", func(h *fixture) {
			h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				refused := r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/eval-base/manifests/")
				if refused {
					w.WriteHeader(http.StatusForbidden)
				}
				return refused
			}
		}, 1},
		{"the default repository cannot be written", func(h *fixture) {
			h.settings.EvalBaseRepository, h.settings.OtherEvalBases = "images.test/third", ours
			h.settings.Repository = "images.test/third"
		}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				h.ofEarlierVersion(t)
				c.change(h)
				r := h.run(t, false, h.targets(t, "c", "d"))
				differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
				if len(r.warnings) != c.warnings || r.copied > 0 {
					t.Errorf("%d bytes were copied; warnings: %q", r.copied, r.warnings)
				}
				for _, repository := range []string{"eval-base", "third"} {
					differ(t, "tags in "+repository, 0, len(h.tags(t, repository, "eval-base-"))+len(h.tags(t, repository, "reference-")))
				}
				if c.warnings > 0 {
					differ(t, "where it stayed", true, strings.Contains(r.warnings[0], "was not brought from "+ours+" to "+bases))
				}
			})
		})
	}
}

// A registry that does not mount one eval-base is not asked for each of the others, beside those that it is asked for at once.
func TestRegistryThatMountsNothingIsNotAskedAgain(t *testing.T) {
	h := atOnce(t)
	synctest.Test(t, func(t *testing.T) {
		all := h.targetsWithEvalBases(t, 3*requestsAtOnce)
		h.run(t, true, all[:2])
		h.settings.EvalBaseRepository, h.settings.OtherEvalBases, h.settings.EvalBasePushAllowed = bases, ours, true
		h.ours.NoMounts = true
		h.ours.Reset()
		r := h.run(t, false, all[2:])
		if n := h.ours.Count(http.MethodPost, "/v2/eval-base/"); n < 1 || n > requestsAtOnce+1 { // one is for the references
			t.Errorf("the registry was asked for %d mounts", n)
		}
		for id, how := range r.made() {
			if how != "rebase" {
				t.Errorf("%s: %s", id, how)
			}
		}
	})
}

// The agent's layers come from where the references are, and the others from where the eval-base is.
func TestLayersOfTwoRepositories(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.ofEarlierVersion(t)
		h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool { // the eval-bases stay where they are
			refused := r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/eval-base/manifests/eval-base-")
			if refused {
				w.WriteHeader(http.StatusForbidden)
			}
			return refused
		}
		h.sha, h.agent = strings.Repeat("b", 40), "two"
		h.run(t, true, h.targets(t, "a", "b"))
		h.ours.Forget("eval", h.agentLayer())
		r := h.run(t, false, h.targets(t, "c", "d"))
		differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
		if missing := h.whole(t, h.targets(t, "c", "d")); len(missing) > 0 || len(h.tags(t, "eval-base", "eval-base-")) > 0 {
			t.Errorf("missing: %v; eval-bases that were brought: %v", missing, h.tags(t, "eval-base", "eval-base-"))
		}
	})
}

// A dry run decides with what an earlier version has left, and writes nothing.
func TestPlanFindsEvalBasesOfEarlierVersions(t *testing.T) {
	h := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		h.ofEarlierVersion(t)
		d, r := h.planned(t, h.targets(t, "c", "d"))
		if got := hows(d); got["c"] != "rebase" || got["d"] != "rebase" || evalBasesToMake(d) != 0 || len(r.warnings) > 0 {
			t.Errorf("%v, %d eval-bases to make; warnings %q", got, evalBasesToMake(d), r.warnings)
		}
		for method, n := range h.ours.Methods() {
			if method != http.MethodGet && method != http.MethodHead {
				t.Errorf("%d times %s", n, method)
			}
		}
	})
}

// A clean-up may delete an eval-base while a run is on: it is made again.
func TestEvalBaseThatIsDeletedInTheRun(t *testing.T) {
	mounted := func(r *http.Request, _ map[string]bool) bool {
		return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v2/eval/") && r.URL.Query().Get("mount") != ""
	}
	cases := []struct {
		name   string
		before bool // the eval-base is of an earlier run
		// last is the request before which it is deleted; done are the methods of the requests for its tag before.
		last func(r *http.Request, done map[string]bool) bool
	}{
		{"between look and use", true, mounted},
		{"while it is read", true, func(r *http.Request, done map[string]bool) bool {
			return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/eval-base/blobs/") && done[http.MethodGet]
		}},
		{"after it was made", false, mounted},
		{"after it was made, before it is read", false, func(r *http.Request, done map[string]bool) bool {
			return r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v2/eval-base/manifests/eval-base-") && done[http.MethodPut]
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, bases)
			h.settings.MaxRetries = 2
			synctest.Test(t, func(t *testing.T) {
				h.run(t, true, h.targets(t, "a", "b"))
				target := h.targets(t, "c")
				if c.before {
					h.plantOn(t, bases, h.bases["c"], "cunknown", rebase.MarkPlain, time.Now()) // as the fake SDK would build it
				}
				tag := key(t, h.bases["c"])
				layers, _ := registrytest.EvalBase(h.bases["c"], "unknown", "cunknown").Layers()
				deleted, done := false, map[string]bool{}
				h.ours.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
					if c.last(r, done) && !deleted {
						deleted = true
						h.drop("eval-base", append(h.tags(t, "eval-base", "unknown-"), tag)...)
						for _, layer := range layers {
							digest, _ := layer.Digest()
							h.ours.Forget("eval-base", digest.String())
							h.ours.Forget("eval", digest.String())
						}
					}
					if strings.HasSuffix(r.URL.Path, "/eval-base/manifests/"+tag) {
						done[r.Method] = true
					}
					return false
				}
				r := h.run(t, true, target)
				differ(t, "images", map[string]string{"c": "rebase"}, r.made())
				made := []string{"c"}
				if !c.before {
					made = []string{"c", "c"}
				}
				differ(t, "eval-bases that were made", made, h.did("eval-base"))
				if missing := h.whole(t, target); len(missing) > 0 || !deleted {
					t.Errorf("missing: %v; deleted: %v", missing, deleted)
				}
			})
		})
	}
}

// plantPackages leaves a base image with Python packages, and the eval-base on it, for a target that needs them. It returns their tags.
func (h *fixture) plantPackages(t *testing.T, id string) (target plan.Target, base, evalBase string) {
	t.Helper()
	target = h.targets(t, id)[0]
	target.PipRequirements = sphinx
	wrapped := registrytest.EvalBase(h.bases[id], "with", "packages")
	base = pipBaseTag(target.BaseImage+"@"+h.digest(t, target.BaseImage), sphinx)
	h.push(t, ours+":"+base, wrapped)
	h.plantOn(t, ours, wrapped, id, rebase.MarkPlain, time.Now())
	return target, base, key(t, wrapped)
}
