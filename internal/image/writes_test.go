package image

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// prepare has references and eval-bases for c and d, whose images are missing, and which have two tags each.
func (h *fixture) prepare(t *testing.T) []plan.Target {
	t.Helper()
	h.run(t, true, h.targets(t, "a", "b", "c", "d"))
	targets := h.targets(t, "c", "d")
	for i, target := range targets {
		h.delete(t, target.Tags[0])
		targets[i].Tags = append(target.Tags, target.Tags[0]+"-again")
	}
	h.ours.Reset()
	return targets
}

// requests are those to our registry by method, without handshakes, and the HEADs to that of the base images.
func (h *fixture) requests() map[string]int {
	all := map[string]int{}
	for _, r := range h.hub.Requests() {
		if r.Method == http.MethodHead && strings.HasPrefix(r.Path, "/v2/bench/") {
			all["HEAD base image"]++
		}
	}
	for _, r := range h.ours.Requests() {
		switch {
		case r.Path == "/v2/":
		case r.Method == http.MethodPost && strings.Contains(r.Path, "/blobs/uploads/"):
			all["POST"]++
		case strings.Contains(r.Path, "/manifests/"):
			all[r.Method+" manifest"]++
		default:
			all[r.Method+" blob"]++
		}
	}
	return all
}

// What a rebased image costs: a HEAD for its base image's digest, two for whether the image is there, at first and when its turn has come,
// and one for whether all its tags name it, where it has more than one; two reads and two writes beside its tags' in one repository; in another one, a look for each
// layer, and a mount of each that is not there; in another registry, or where it does not mount, a copy of that.
func TestRequestsOfRebase(t *testing.T) {
	// Beside the images': the two references, with a look for the one layer of each that images get from it, their bases,
	// and the probe of whether the registry refuses manifests of absent blobs. In another repository, one more look for that layer.
	references := map[string]int{"HEAD blob": 2, "GET manifest": 4, "GET blob": 4}
	probe := map[string]int{"HEAD base image": 0, "HEAD manifest": 0, "POST": 1, "PUT blob": 1, "PUT manifest": 1}
	cases := []struct {
		name      string
		evalBases string
		change    func(h *fixture)
		each      map[string]int
		copied    bool
		kept      bool // the images' repository has the layers
	}{
		{
			name: "one repository", evalBases: ours,
			each: map[string]int{"GET manifest": 1, "GET blob": 1, "POST": 1, "PUT blob": 1, "PUT manifest": 2},
		},
		{
			name: "another repository", evalBases: "images.test/bases",
			each: map[string]int{"GET manifest": 1, "GET blob": 1, "HEAD blob": 2, "POST": 1 + 2, "PUT blob": 1, "PUT manifest": 2},
		},
		{
			name: "another repository, and the layers are there", evalBases: "images.test/bases", kept: true,
			each: map[string]int{"GET manifest": 1, "GET blob": 1, "HEAD blob": 2, "POST": 1, "PUT blob": 1, "PUT manifest": 2},
		},
		{
			name: "a registry that mounts nothing", evalBases: "images.test/bases", change: func(h *fixture) { h.ours.NoMounts = true }, copied: true,
			each: map[string]int{"HEAD blob": 2, "GET manifest": 1, "GET blob": 1 + 2, "POST": 1 + 2, "PUT blob": 1 + 2, "PUT manifest": 2},
		},
		{
			name: "another registry", evalBases: "hub.test/bases", copied: true,
			each: map[string]int{"HEAD blob": 2, "POST": 1 + 2, "PUT blob": 1 + 2, "PUT manifest": 2},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, c.evalBases)
			synctest.Test(t, func(t *testing.T) {
				if c.change != nil {
					c.change(h)
				}
				targets := h.prepare(t)
				if !c.kept {
					h.forgetLayers(t, c.evalBases)
				}
				h.hub.Reset()
				h.ours.Reset()
				r := h.run(t, false, targets)
				differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
				want := map[string]int{}
				c.each["HEAD base image"], c.each["HEAD manifest"] = 1, 3
				for _, beside := range []map[string]int{references, probe, c.each} {
					for what, n := range beside {
						want[what] += n
					}
				}
				for what, n := range c.each { // of the second image
					want[what] += n
				}
				if c.evalBases != ours {
					want["HEAD blob"]++
				}
				if !strings.HasPrefix(c.evalBases, "images.test/") {
					for what, n := range references {
						if want[what] -= n; want[what] == 0 {
							delete(want, what)
						}
					}
				}
				differ(t, "requests", want, h.requests())
				told := strings.Contains(r.said.String(), "because the registry does not mount it")
				if told != c.copied || (r.copied > 0) != c.copied {
					t.Errorf("copied %d, told: %v", r.copied, told)
				}
				h.whole(t, targets)
			})
		})
	}
}

// forgetLayers has the images' repository lose what only the images of c and d have there: their bases' layers.
func (h *fixture) forgetLayers(t *testing.T, evalBases string) {
	t.Helper()
	if evalBases == ours {
		return
	}
	for _, id := range []string{"c", "d"} {
		layers, _ := registrytest.EvalBase(h.bases[id], "unknown", id+"unknown").Layers()
		for _, layer := range layers {
			digest, _ := layer.Digest()
			h.ours.Forget("eval", digest.String())
		}
	}
}

// whole looks, through the registry, whether each tag that is there has all its blobs, and gives those that are not there.
func (h *fixture) whole(t *testing.T, targets []plan.Target) (missing []string) {
	t.Helper()
	r := h.newRun(t, false)
	for _, target := range targets {
		for _, tag := range target.Tags {
			digest, err := r.registry.Digest(t.Context(), tag)
			if err != nil {
				t.Fatal(err)
			}
			if digest == "" {
				missing = append(missing, tag)
				continue
			}
			f, err := Fetch(t.Context(), r.registry, tag)
			if err != nil {
				t.Errorf("%s: %v", tag, err)
				continue
			}
			for _, layer := range layersOf(t, f) {
				if there, err := r.registry.HasBlob(t.Context(), ours, layer); err != nil || !there {
					t.Errorf("%s lacks its layer %s (%v)", tag, layer, err)
				}
			}
		}
	}
	return missing
}

// A blob that the registry loses between its mount and the manifest is mounted again.
func TestBlobLostBeforeTheManifest(t *testing.T) {
	for _, lax := range []bool{false, true} {
		t.Run(fmt.Sprint("lax ", lax), func(t *testing.T) {
			h := with(t, "images.test/bases")
			h.settings.MaxRetries = 1
			synctest.Test(t, func(t *testing.T) {
				targets := h.prepare(t)[:1]
				h.forgetLayers(t, h.settings.EvalBaseRepository)
				h.ours.Lax = lax
				layers, _ := h.bases["c"].Layers()
				digest, _ := layers[0].Digest()
				lost, asked := 0, 0
				h.ours.Fault = func(_ http.ResponseWriter, r *http.Request) bool {
					last := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "-c-source-minimal")
					if lax { // the second HEAD of the layers comes after all mounts, and the first one before
						heads := r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/eval/blobs/"+digest.String())
						if heads {
							asked++
						}
						last = heads && asked == 2
					}
					if last && lost == 0 {
						lost++
						h.ours.Forget("eval", digest.String())
					}
					return false
				}
				r := h.run(t, false, targets)
				differ(t, "images", map[string]string{"c": "rebase"}, r.made())
				if missing := h.whole(t, targets); len(missing) > 0 || lost == 0 {
					t.Errorf("missing: %v; lost: %d", missing, lost)
				}
			})
		})
	}
}

// A registry that takes manifests of blobs that it does not have is asked for each layer, and a user is told.
func TestRegistryThatChecksNothing(t *testing.T) {
	h := with(t, ours)
	synctest.Test(t, func(t *testing.T) {
		targets := h.prepare(t)
		h.ours.Lax = true
		r := h.run(t, false, targets)
		differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
		said := strings.Join(r.warnings, "\n")
		if strings.Count(said, "each layer is asked for first") != 1 {
			t.Errorf("warnings: %q", said)
		}
		layers := map[string]int{}
		for _, q := range h.ours.Requests() {
			if q.Method == http.MethodHead && strings.Contains(q.Path, "/blobs/") {
				layers[q.Path]++
			}
		}
		f, err := Fetch(t.Context(), r.registry, targets[0].Tags[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layersOf(t, f) {
			if layers["/v2/eval/blobs/"+l] == 0 {
				t.Errorf("the layer %s was not asked for", l)
			}
		}
	})
}

// One lost answer to the question of whether the registry refuses such manifests is not every image's failure.
func TestProbeThatFailsOnce(t *testing.T) {
	h := with(t, ours)
	h.settings.MaxRetries = 1
	synctest.Test(t, func(t *testing.T) {
		targets := h.prepare(t)
		began := time.Now()
		h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			byDigest := strings.Contains(r.URL.Path, "/manifests/sha256:") // the probe alone is put so
			if r.Method == http.MethodPut && byDigest && time.Since(began) < 4*time.Second {
				w.WriteHeader(http.StatusBadGateway)
				return true
			}
			return false
		}
		r := h.run(t, false, targets)
		differ(t, "images", map[string]string{"c": "rebase", "d": "rebase"}, r.made())
	})
}

// An eval-base whose layer is gone cannot be rebased upon: the image is built natively, and says why.
func TestEvalBaseThatLostALayer(t *testing.T) {
	cases := []struct {
		evalBases string
		lax       bool
	}{
		{ours, false},
		{ours, true},
		{"images.test/bases", false},
		{"hub.test/bases", false},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.evalBases, ", lax ", c.lax), func(t *testing.T) {
			h := with(t, c.evalBases)
			h.settings.MaxRetries = 1
			synctest.Test(t, func(t *testing.T) {
				targets := h.prepare(t)
				h.ours.Lax = c.lax
				layers, _ := h.bases["c"].Layers()
				digest, _ := layers[0].Digest()
				for _, repository := range []string{"eval", "bases"} {
					h.ours.Forget(repository, digest.String())
					h.hub.Forget(repository, digest.String())
				}
				r := h.run(t, true, targets)
				made := r.made()
				if !strings.HasPrefix(made["c"], "native: the registry has lost layers") || made["d"] != "rebase" {
					t.Errorf("images: %v", made)
				}
			})
		})
	}
}

func layersOf(t *testing.T, f FetchedImage) []string {
	t.Helper()
	layers, err := rebase.Layers(f.Image)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range layers {
		all = append(all, l.Digest)
	}
	return all
}
