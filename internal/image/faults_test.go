package image

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/rebase"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/faults"
)

var faultSeed = flag.Uint64("fault-seed", 1, "which requests of TestRegistryFaults fail, and how")

// Of the requests to both registries 5 % fail, in all ways that registries fail: every image is made, whole and right, and
// the report accounts for every fault.
func TestRegistryFaults(t *testing.T) {
	cases := []struct {
		name      string
		evalBases string
		targets   int
	}{
		{"layers that are mounted", "images.test/bases", 500},
		{"layers that are copied", "hub.test/bases", 60},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := with(t, c.evalBases)
			h.settings.MaxRetries, h.settings.MaxWorkers = 2, 8
			var injector *faults.Transport
			synctest.Test(t, func(t *testing.T) {
				targets := h.targetsWithEvalBases(t, c.targets)
				h.between = func(next http.RoundTripper) http.RoundTripper {
					injector = &faults.Transport{
						Next: next, Seed: *faultSeed, Rate: 0.05, Kinds: faults.Kinds, Delay: 20 * time.Second, TokenURL: "https://images.test/token",
					}
					return injector
				}
				r := h.newRun(t, true)
				h.between = nil
				r.makeAll(t, h, targets)
				if r.err != nil {
					t.Error(r.err)
				}
				injected := injector.Injected()
				t.Logf("-fault-seed %d: of %d requests these failed: %v", *faultSeed, injector.Requests(), injected)
				if len(injected) < 10 { // or it tests little
					t.Errorf("only %d kinds of faults", len(injected))
				}

				reader := h.newRun(t, false).registry
				rebased, attempts := 0, 0
				for _, out := range r.outcomes {
					attempts += len(out.Attempts) - 1
					if out.Status() != outcome.Built || out.Target.InstanceID != "a" && out.Target.InstanceID != "b" && out.Strategy != outcome.Rebase {
						t.Errorf("%s is %s %s: %v", out.Target.InstanceID, out.Strategy, out.Status(), out.Err)
					}
					if out.Strategy == outcome.Rebase {
						rebased++
					}
					h.isRight(t, reader, out)
				}
				if len(r.outcomes) != c.targets+2 || rebased != c.targets {
					t.Errorf("%d images, %d of them rebased; want %d", len(r.outcomes), rebased, c.targets)
				}
				accounted(t, injected, r.registry.AskedAgain(), attempts)
				if attempts > len(r.waits) { // those of references' base stages are told, too
					t.Errorf("%d retries are recorded, and %d told", attempts, len(r.waits))
				}
			})
		})
	}
}

// targetsWithEvalBases are two candidates for references, and n targets whose eval-bases are there.
func (h *fixture) targetsWithEvalBases(t *testing.T, n int) []plan.Target {
	t.Helper()
	ids := []string{"a", "b"}
	for i := range n {
		ids = append(ids, fmt.Sprint("i", i))
	}
	targets := h.targets(t, ids...)
	for _, id := range ids {
		h.plantOn(t, h.settings.EvalBaseRepository, h.bases[id], id, rebase.MarkPlain, time.Now())
	}
	return targets
}

// isRight reads an image whole, by its tags: it is the one of the outcome, made of its own base image and the agent.
func (h *fixture) isRight(t *testing.T, client *registry.Client, out *outcome.Outcome) {
	t.Helper()
	id := out.Target.InstanceID
	for _, tag := range out.Target.Tags {
		f, err := Fetch(t.Context(), client, tag) // which compares the digests of what it reads
		if err != nil {
			t.Errorf("%s: %v", tag, err)
			return
		}
		if f.Digest != out.Digest {
			t.Errorf("%s has the digest %s, and the record has %s", tag, f.Digest, out.Digest)
		}
		layers := layersOf(t, f)
		for _, layer := range layers {
			blob, err := client.OpenBlob(t.Context(), ours, layer)
			if err == nil {
				_, err = io.Copy(io.Discard, blob) // the last read compares the digest
				err = errors.Join(err, blob.Close())
			}
			if err != nil {
				t.Errorf("%s: %v", tag, err)
			}
		}
		base, _ := h.bases[id].Layers()
		digest, _ := base[0].Digest()
		if len(layers) != 3 || layers[0] != digest.String() || layers[2] != h.agentLayer() {
			t.Errorf("%s has the layers %v", tag, layers)
		}
		if environ := envOf(t, f); environ["BASE"] != id || environ["OPENHANDS_BUILD_GIT_SHA"] != h.sha {
			t.Errorf("%s has the environment %v", tag, environ)
		}
	}
}

// accounted compares the faults with the requests that were sent again after them, by class of failure, and with the further attempts at
// images.
func accounted(t *testing.T, injected map[faults.Kind]int, again map[string]int, attempts int) {
	t.Helper()
	classes := map[faults.Kind]string{
		faults.TooManySeconds: "rate-limit", faults.TooManyMilliseconds: "rate-limit", faults.TooManyMicroseconds: "rate-limit", faults.Secondary: "rate-limit",
		faults.SecondarySeconds: "rate-limit",
		faults.Internal:         "registry", faults.BadGateway: "registry", faults.Unavailable: "registry",
		faults.Refused: "network", faults.Reset: "network", faults.CutUpload: "network", faults.Truncated: "network", faults.Silent: "network",
	}
	want, all, sum := map[string]int{}, 0, 0
	for kind, n := range injected {
		all += n
		if class, fails := classes[kind]; fails {
			want[class] += n
		}
	}
	for class, n := range want {
		sum += again[class]
		if again[class]+attempts < n {
			t.Errorf("%d requests failed by %s; %d were sent again, beside %d further attempts at images", n, class, again[class], attempts)
		}
	}
	if sum > all || sum == 0 { // more than the faults of these classes: a stream whose token has expired is sent again, too
		t.Errorf("%d requests were sent again after %d faults", sum, all)
	}
}

// envOf is the environment that an image's configuration has.
func envOf(t *testing.T, f FetchedImage) map[string]string {
	t.Helper()
	var parsed v1.ConfigFile
	if err := json.Unmarshal(f.Config, &parsed); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range parsed.Config.Env {
		name, value, _ := strings.Cut(entry, "=")
		all[name] = value
	}
	return all
}
