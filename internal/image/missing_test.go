package image

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// answering makes the registry answer by what stands before the first "-" of an instance's id: a status, "cut" for a
// connection that breaks, "there" for an image that is there. All others are missing.
func (h *fixture) answering(t *testing.T, ids []string) {
	t.Helper()
	statuses := map[string]int{"401": 401, "403": 403, "429": 429, "501": 501, "502": 502}
	for _, target := range h.targets(t, ids...) {
		if strings.HasPrefix(target.InstanceID, "there") {
			h.push(t, target.Tags[0], registrytest.Base("there"))
		}
	}
	h.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		_, tag, _ := strings.Cut(r.URL.Path, "/manifests/"+h.sha[:7]+"-")
		kind, _, _ := strings.Cut(tag, "-")
		switch {
		case kind == "cut":
			panic(http.ErrAbortHandler)
		case statuses[kind] != 0:
			w.WriteHeader(statuses[kind])
			return true
		}
		return false
	}
}

// One image's bad luck is that image's failure. What every image would meet ends the run before its first build.
func TestARegistryThatRefusesAllEndsTheRun(t *testing.T) {
	cases := []struct {
		name string
		ids  string
		want bool
	}{
		{"nothing to ask", "", false},
		{"all there", "there-1 there-2", false},
		{"wrong credentials", "401-1 401-2", true},
		{"wrong credentials, and a lost connection", "cut 401", true},
		{"one refusal, the others there", "there 401", false},
		{"one refusal, the others missing", "401 missing", false},
		{"one refusal by a registry that has too much to do", "429 401", false},
		{"no registry at all", "cut-1 cut-2", true},
		{"one lost connection", "there cut", false},
		{"one lost connection, the others missing", "cut missing-1 missing-2 missing-3", false},
		{"an overloaded registry", "429 cut", false},
	}
	for _, c := range cases {
		for _, maxRetries := range []int{0, 2} {
			t.Run(c.name, func(t *testing.T) {
				h := newFixture(t)
				synctest.Test(t, func(t *testing.T) {
					ids := strings.Fields(c.ids)
					h.answering(t, ids)
					r := h.newRun(t, true)
					missing, done, err := FindMissing(t.Context(), r.registry, ours, h.targets(t, ids...), maxRetries)
					_, refused := errors.AsType[*registry.Denied](err)
					if refused != c.want || (err != nil) != c.want {
						t.Errorf("it ends with %v, want a *Refused: %v", err, c.want)
					}
					if err == nil && len(missing)+len(done) != len(ids) {
						t.Errorf("%d images are missing and %d done, of %d", len(missing), len(done), len(ids))
					}
				})
			})
		}
	}
}

// A registry that did not answer is asked again, and so is one that refused while it answered others; where it asks to wait,
// also without further attempts.
func TestUnansweredImagesCountAsMissing(t *testing.T) {
	ids := []string{"there", "502", "401", "429", "cut", "gone"}
	cases := []struct {
		maxRetries int
		missing    []string
		done       map[string]failure.Class
	}{
		{2, []string{"502", "401", "429", "cut", "gone"}, map[string]failure.Class{"there": ""}},
		{0, []string{"429", "gone"}, map[string]failure.Class{
			"there": "", "502": failure.ClassRegistry, "401": failure.ClassAuth, "cut": failure.ClassNetwork,
		}},
	}
	for _, c := range cases {
		h := newFixture(t)
		synctest.Test(t, func(t *testing.T) {
			h.answering(t, ids)
			r := h.newRun(t, true)
			missing, done, err := FindMissing(t.Context(), r.registry, ours, h.targets(t, ids...), c.maxRetries)
			if err != nil {
				t.Fatal(err)
			}
			var asked []string
			for _, target := range missing {
				asked = append(asked, target.InstanceID)
			}
			final := map[string]failure.Class{}
			for _, out := range done {
				final[out.Target.InstanceID] = failure.ClassOf(out.Err)
			}
			differ(t, "missing", c.missing, asked)
			differ(t, "done", c.done, final)
		})
	}
}

// A cancel is no registry's silence: the images have failed by it, and none is asked for again.
func TestCancelWhileTheRegistryIsAsked(t *testing.T) {
	h := newFixture(t)
	r := h.newRun(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	missing, done, err := FindMissing(ctx, r.registry, ours, h.targets(t, "a", "b"), 2)
	if err != nil || len(missing) > 0 || len(done) != 2 {
		t.Fatalf("%d missing, %d done, %v", len(missing), len(done), err)
	}
	for _, out := range done {
		if class := failure.ClassOf(out.Err); class != failure.ClassCancelled {
			t.Errorf("%s failed with %q: %v", out.Target.InstanceID, class, out.Err)
		}
	}
}

// noHelper is a Docker configuration whose credential helper is not installed.
type noHelper struct{}

func (noHelper) Resolve(authn.Resource) (authn.Authenticator, error) {
	return nil, errors.New("error getting credentials - err: exec: \"docker-credential-desktop\": executable file not found in $PATH, out: ``")
}

// A run that cannot ask the registry for want of a login says so, and not that there is no registry.
func TestMissingCredentialHelperIsNoMissingRegistry(t *testing.T) {
	h := newFixture(t)
	_, _, err := FindMissing(t.Context(), registry.New(noHelper{}, h.hosts, nil), ours, h.targets(t, "a", "b"), 2)
	if hint := failure.HintOf(err); !strings.Contains(hint, "log in with registry-username") {
		t.Errorf("%v; hint %q", err, hint)
	}
	if _, refused := errors.AsType[*registry.Denied](err); refused {
		t.Errorf("%v is taken for a refusal of the registry", err)
	}
}
