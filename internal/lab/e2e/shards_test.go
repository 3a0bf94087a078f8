package e2e

import (
	"maps"
	"strings"
	"testing"
)

// twoShards makes the images of another commit in two processes at once, as two jobs do: the first shard makes the references, and the
// second one waits for them.
func (s *series) twoShards(t *testing.T) {
	first := s.step(t, s.ids, map[string]string{"verify": "0", "strategy": "rebase", "shard": "1/2"})
	first.Workspace = t.TempDir()
	git(t, checkedOut(t, &first), "commit", "--quiet", "--allow-empty", "--message", "for two shards")
	second := first
	second.Workspace, second.Inputs = t.TempDir(), maps.Clone(first.Inputs)
	second.Inputs["shard"] = "2/2"
	if _, err := command("cp", "-a", first.Workspace+"/.", second.Workspace); err != nil {
		t.Fatal(err)
	}
	one, two := start(t, first), start(t, second)
	made1, made2 := one.Wait(), two.Wait()
	checkOutputs(t, made1, 0, map[string]string{"total": "3", "built": "3", "strategy": "rebase"})
	checkOutputs(t, made2, 0, map[string]string{"total": "3", "built": "3", "strategy": "rebase"})
	if natives := made(ledger(t, first.Workspace, made1), "native"); len(natives) != 2 {
		t.Errorf("the first shard has built %d images natively, want the references", len(natives))
	}
	rebased, told := made(ledger(t, second.Workspace, made2), "rebase"), facts(t, second.Workspace, made2)
	if len(rebased) != 3 || len(told.References) != 2 || !told.References[0].Reused || !told.References[1].Reused {
		t.Errorf("the second shard has rebased %d of 3 images by %+v; want the first shard's references", len(rebased), told.References)
	}
	if !strings.Contains(made2.Log, "waiting up to 15m0s for the references") || !strings.Contains(made2.Log, "the references are there after") {
		t.Errorf("the second shard has not waited:\n%s", made2.Log)
	}
}
