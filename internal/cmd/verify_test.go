package cmd

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// verifiable is the record of a run whose images are all in its registry.
type verifiable struct {
	*begunRecord
	images *registrytest.GitHub
	client *registry.Client
}

func newVerifiable(t *testing.T) verifiable {
	t.Helper()
	images := registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)
	hosts := registrytest.Hosts{"images.test": images}
	v := verifiable{beginRecord(t), images, registry.New(authn.DefaultKeychain, hosts, nil)}
	for _, target := range v.targets {
		if err := registrytest.Push(hosts, target.Tags[0], registrytest.Base(target.InstanceID)); err != nil {
			t.Fatal(err)
		}
	}
	images.Reset()
	return v
}

// builder is a builder of an engine that does not answer. One that is there has an address, and has been reached already.
func (v verifiable) builder(t *testing.T, c config.Config, there bool) *builder {
	t.Helper()
	if there {
		listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		c.Builder = "unix://" + listener.Addr().String()
	}
	return &builder{config: c, env: environment{"DOCKER_HOST=tcp://127.0.0.1:1"}, work: v.work, record: v.record, name: "b", reached: there}
}

// The command verify compares images that these inputs make, and names others as bad inputs before it looks for an engine.
func TestVerifyOfAnotherPlansImageIsABadInput(t *testing.T) {
	const there, foreign = "images.test/eval:a__a-1", "images.test/eval:foreign"
	cases := []struct {
		name   string
		images func(digest string) []string
		engine bool
		want   int
		says   string
	}{
		{"a tag of another plan", func(string) []string { return []string{foreign} }, true, ExitBadInput, foreign},
		{
			"a digest of another plan", func(string) []string { return []string{"images.test/eval@sha256:" + strings.Repeat("0", 64)} },
			true, ExitBadInput, "is none of the images that these inputs make\nhint: give the sdk-ref, benchmark",
		},
		{"a tag of another plan, and no engine", func(string) []string { return []string{there, foreign} }, false, ExitBadInput, foreign},
		{"a tag of this plan, and no engine", func(string) []string { return []string{there} }, false, ExitSetup, "engine"},
		{
			"a digest of this plan, and no engine", func(digest string) []string { return []string{"images.test/eval@" + digest} },
			false, ExitSetup, "engine",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifiable(t)
			v.facts.Planned, v.facts.PlannedTotal = 0, 0 // the command verify requests no image
			digest, err := v.client.Digest(t.Context(), there)
			if err != nil {
				t.Fatal(err)
			}
			given := config.Config{Image: "images.test/eval", MaxWorkers: 1, VerifyImages: c.images(digest)}
			err = verifyImages(t.Context(), given, prepared{setUp: setUp{pool: sdk.NewPool(sdk.PoolOptions{})}, targets: v.targets}, v.client, v.builder(t, given, c.engine), v.work, v.record)
			code := v.finish(t.Context(), v.work, v.targets, err)
			if said := v.said.String(); code != c.want || !strings.Contains(strings.ToLower(said), c.says) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, c.want, c.says, said)
			}
			if len(v.facts.Rebase.Verified) > 0 {
				t.Errorf("verified: %v", v.facts.Rebase.Verified)
			}
		})
	}
}

// An image that is not what a native build makes fails the run, and so does one that could not be compared.
func TestVerificationDecidesOnTheExitCode(t *testing.T) {
	cases := []struct {
		name     string
		verified []ledger.Verified
		want     int
	}{
		{"equal", []ledger.Verified{{Instance: "a__a-1", Result: ledger.VerifiedOK}}, ExitOK},
		{"equal, and its tags are left", []ledger.Verified{{Instance: "a__a-1", Result: ledger.VerifiedOK, TagsLeft: []string{"r/i:verify-1"}}}, ExitOK},
		{"different", []ledger.Verified{
			{Instance: "a__a-1", Result: ledger.VerifiedOK},
			{Instance: "b__b-1", Result: ledger.VerifiedDifferent, Differences: []string{"agent layer 1"}},
		}, ExitFailed},
		{"not compared", []ledger.Verified{{Instance: "a__a-1", Result: ledger.VerifiedFailed, Differences: []string{"agent layer 1"}}}, ExitFailed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := beginRecord(t)
			r.allBuilt(t)
			for _, v := range c.verified {
				r.Verified(v)
			}
			if code := r.finish(t.Context(), r.work, r.targets, nil); code != c.want {
				t.Errorf("exit code %d, want %d:\n%s", code, c.want, &r.said)
			}
			if said := strings.Contains(r.said.String(), ":\nagent layer 1"); said != (c.want == ExitFailed) {
				t.Errorf("the log says what differs: %v\n%s", said, &r.said)
			}
		})
	}
}

// A run that needs a builder for certain ends before anything is written when there is none.
func TestPreflightOfRebase(t *testing.T) {
	cases := []struct {
		name   string
		change func(c *config.Config)
		want   int
	}{
		{"the default verify", func(c *config.Config) { c.Verify = 1 }, ExitOK},
		{"a verify that was asked for", func(c *config.Config) { c.Verify, c.VerifyGiven = 1, true }, ExitSetup},
		{"a verify that was turned off", func(c *config.Config) { c.VerifyGiven = true }, ExitOK},
		{"native", func(c *config.Config) { c.Strategy = config.StrategyNative }, ExitSetup},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			v := newVerifiable(t)
			given := config.Config{Image: "images.test/eval", EvalBaseImage: "images.test/eval-base", Strategy: config.StrategyAuto}
			c.change(&given)
			_, err := preflight(t.Context(), given, mayRebase(given, len(v.targets), v.record.facts.PlannedTotal), v.targets, v.client, v.builder(t, given, false), v.record)
			if got := exitCode(false, err, 0); got != c.want {
				t.Errorf("exit code %d (%v), want %d", got, err, c.want)
			}
			if n := v.images.Count(http.MethodPost, "/v2/eval/blobs/uploads/"); (n > 0) != (c.want == ExitOK) {
				t.Errorf("it asked %d times whether the registry accepts a push", n)
			}
			for _, q := range v.images.Requests() {
				if c.want == ExitSetup && q.Method != http.MethodGet && q.Method != http.MethodHead {
					t.Errorf("it wrote: %v", q)
				}
			}
		})
	}
}

// A registry may deny to read a repository that does not exist, and make it for the first push. It may also deny everything.
func TestFirstRunOnARegistryThatDeniesAbsentRepositories(t *testing.T) {
	for _, mayPush := range []bool{true, false} {
		v := newVerifiable(t)
		exists := false
		v.images.Fault = func(w http.ResponseWriter, r *http.Request) bool {
			exists = exists || mayPush && r.Method == http.MethodPost
			if !exists && r.URL.Path != "/v2/" {
				w.WriteHeader(http.StatusUnauthorized)
			}
			return !exists && r.URL.Path != "/v2/"
		}
		absent := []plan.Target{{InstanceID: "n__n-1", Tags: []string{"images.test/eval:new"}}}
		missing, err := findMissing(t.Context(), config.Config{Image: "images.test/eval"}, absent, v.client, v.record)
		var denied *registry.Denied
		if mayPush && (err != nil || len(missing) != 1) || !mayPush && !errors.As(err, &denied) {
			t.Errorf("may push: %v: %v, %v", mayPush, missing, err)
		}
	}
}
