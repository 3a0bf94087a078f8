package image

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/sdk"
)

// waitForFirst is how long the second shard waits in these tests.
const waitForFirst = 15 * time.Minute

// Two shards of one plan at once build two references together: those of the first shard. The second one makes its eval-bases
// meanwhile. The merged summary has each instance once.
func TestTwoShardsShareReferences(t *testing.T) {
	cases := []struct {
		name  string
		ids   string // of all shards
		later time.Duration
		// natively is what both shards build without rebase, and takes is how long the second one works at most.
		natively string
		takes    time.Duration
		warns    string
	}{
		{name: "both at once", ids: "abcdefgh", natively: "ac", takes: 5 * time.Minute},
		{name: "the first is late", ids: "abcdefgh", later: 5 * time.Minute, natively: "ac", takes: 10 * time.Minute},
		{name: "the second has one image", ids: "abc", natively: "ac", takes: 5 * time.Minute},
		{
			name: "the first is too late", ids: "abcdefgh", later: 50 * time.Minute, natively: "bd", takes: waitForFirst + 5*time.Minute,
			warns: "this one makes its own",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			first := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				second := first.another(t)
				first.settings.OthersWait = true
				first.longTags, second.settings.Verify, second.settings.ReferencesWait = true, 0, waitForFirst
				all := first.targets(t, strings.Split(c.ids, "")...)
				second.bases = first.bases
				fixtures, parts := []*fixture{first, second}, make([]ledger.Part, 2)
				var took time.Duration
				var warnings []string
				var both sync.WaitGroup
				for i, f := range fixtures {
					r := f.newRun(t, true)
					both.Go(func() {
						if i == 0 {
							time.Sleep(c.later)
						}
						shard := config.Shard{Index: i + 1, Count: 2}
						r.makeAll(t, f, plan.Shard(all, shard))
						parts[i] = r.part(shard, len(all))
						if i == 1 {
							took, warnings = time.Since(start), r.warnings
						}
					})
				}
				both.Wait()
				summary, entries, err := ledger.Merge(parts)
				if err != nil {
					t.Fatal(err)
				}
				ids := ""
				for _, e := range entries {
					ids += e.InstanceID
				}
				if len(ids) != len(c.ids) || summary.Built != len(c.ids) || summary.Total != len(c.ids) || summary.Missing() != 0 {
					t.Errorf("the merged ledger has %q, and the summary %d built of %d, %d missing", ids, summary.Built, summary.Total, summary.Missing())
				}
				natively := strings.Join(append(first.did("image"), second.did("image")...), "")
				if natively != c.natively {
					t.Errorf("%q are built natively, want %q", natively, c.natively)
				}
				if took > c.takes {
					t.Errorf("the second shard takes %s, want at most %s", took, c.takes)
				}
				if said := strings.Join(warnings, "\n"); (said == "") != (c.warns == "") || !strings.Contains(said, c.warns) {
					t.Errorf("the second shard warns %q, want %q", said, c.warns)
				}
				if missing := first.whole(t, all); len(missing) > 0 {
					t.Errorf("missing: %v", missing)
				}
			})
		})
	}
}

// A shard does not wait for references that the first one leaves to nobody. What an earlier run has said does not count.
func TestNobodyWaitsForAFirstShardWithoutReferences(t *testing.T) {
	cases := []struct {
		name  string
		first func(*testing.T, *fixture) // before the second shard begins
		takes time.Duration              // of the second shard
		warns string
	}{
		{"it has one image", func(t *testing.T, f *fixture) { f.run(t, true, f.targets(t, "a")) }, 5 * time.Minute, ""},
		{"its builds fail", func(t *testing.T, f *fixture) {
			f.fails = func(string) error { return &sdk.BuildFailure{ReturnCode: 1, Tail: "no such file"} }
			f.run(t, true, f.targets(t, "a", "c"))
		}, 5 * time.Minute, ""},
		{"its references cannot be kept", func(t *testing.T, f *fixture) {
			f.ours.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				denied := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/reference-") && !strings.HasSuffix(r.URL.Path, "-none")
				if denied {
					w.WriteHeader(http.StatusForbidden)
				}
				return denied
			}
			r := f.run(t, true, f.targets(t, "a", "c"))
			if len(r.references) != 2 || r.references[0].Tag != f.targets(t, "a")[0].Tags[0] {
				t.Errorf("references: %v", r.references)
			}
			f.ours.Fault = nil
		}, 5 * time.Minute, ""},
		{"so said that of an earlier run", func(t *testing.T, f *fixture) {
			f.run(t, true, f.targets(t, "a"))
			time.Sleep(2 * time.Hour)
		}, waitForFirst + 5*time.Minute, "this one makes its own"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			first := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				second := first.another(t)
				first.settings.OthersWait, second.settings.ReferencesWait = true, waitForFirst
				c.first(t, first)
				begin := time.Now()
				r := second.run(t, true, second.targets(t, "b", "d", "f"))
				if took := time.Since(begin); took > c.takes || took < c.takes-5*time.Minute {
					t.Errorf("the second shard takes %s, want at most %s", took, c.takes)
				}
				if natively := strings.Join(second.did("image"), ""); natively != "bd" || len(r.outcomes) != 3 {
					t.Errorf("%q are built natively, and %v", natively, r.made())
				}
				if said := strings.Join(r.warnings, "\n"); (said == "") != (c.warns == "") || !strings.Contains(said, c.warns) {
					t.Errorf("the second shard warns %q, want %q", said, c.warns)
				}
			})
		})
	}
}

// Where the references of other runs do not agree, every image is built natively, and an eval-base would be made in vain: also where they
// come while a shard waits that cannot make its own.
func TestNoEvalBasesWhereReferencesDisagree(t *testing.T) {
	for _, waits := range []bool{false, true} {
		t.Run(fmt.Sprint("waits: ", waits), func(t *testing.T) {
			first := newFixture(t)
			synctest.Test(t, func(t *testing.T) {
				second := first.another(t)
				n := 0
				first.configured = func(c *v1.ConfigFile) {
					n++
					c.Config.Env = append(c.Config.Env, fmt.Sprint("OF=", n))
				}
				var all sync.WaitGroup
				if waits {
					second.settings.ReferencesWait = waitForFirst
					all.Go(func() { first.plantReferences(t) })
				} else {
					first.plantReferences(t)
				}
				r := second.run(t, true, second.targets(t, "c"))
				all.Wait()
				if got := second.did("eval-base"); got != nil || !strings.HasPrefix(r.made()["c"], "native: the two references contradict") {
					t.Errorf("eval-bases: %q, images: %v", got, r.made())
				}
			})
		})
	}
}

// A dry run of the second shard plans no references.
func TestPlanOfTheSecondShard(t *testing.T) {
	f := newFixture(t)
	synctest.Test(t, func(t *testing.T) {
		targets := f.targets(t, "a", "b")
		for wait, want := range map[time.Duration]plan.How{0: plan.Reference, waitForFirst: plan.Rebase} {
			f.settings.ReferencesWait = wait
			for id, d := range f.newRun(t, false).maker.Plan(t.Context(), targets).Images {
				if d.How != want {
					t.Errorf("with a wait of %s %s is made by %v, want %v", wait, id, d.How, want)
				}
			}
		}
	})
}

// part is the record of a shard's run.
func (r *ran) part(shard config.Shard, planned int) ledger.Part {
	var entries []ledger.Entry
	for _, out := range r.outcomes {
		entries = append(entries, ledger.FromOutcome(out))
	}
	run := ledger.Run{Shard: ledger.Text(shard.String()), Planned: len(entries), PlannedTotal: planned}
	return ledger.Part{Dir: shard.String(), Entries: entries, Summary: ledger.Summarize(run, entries)}
}
