package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/OpenHands/eval-images/internal/config"
)

func TestShard(t *testing.T) {
	repositories := map[string]int{"astropy": 22, "django": 231, "psf": 8, "sympy": 75}
	var ids []string
	for repo, n := range repositories {
		for i := range n {
			ids = append(ids, fmt.Sprintf("%s__%s-%d", repo, repo, 1000+i))
		}
	}
	targets, err := New(parsed(t), ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 2, 3, 7, 100, 336, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			seen := map[string]int{}
			for i := 1; i <= n; i++ {
				part := Shard(targets, config.Shard{Index: i, Count: n})
				if least := len(targets) / n; len(part) < least || len(part) > least+1 {
					t.Errorf("part %d has %d of %d", i, len(part), len(targets))
				}
				if !slices.IsSortedFunc(part, func(a, b Target) int { return strings.Compare(a.BaseImage, b.BaseImage) }) {
					t.Errorf("part %d is not sorted", i)
				}
				of := map[string]int{}
				for _, target := range part {
					seen[target.InstanceID]++
					repo, _, _ := strings.Cut(target.InstanceID, "__")
					of[repo]++
				}
				for repo, all := range repositories {
					if of[repo] < all/n || of[repo] > all/n+1 {
						t.Errorf("part %d has %d of %s's %d", i, of[repo], repo, all)
					}
				}
			}
			for _, id := range ids {
				if seen[id] != 1 {
					t.Errorf("%s is in %d parts", id, seen[id])
				}
			}
		})
	}
	if got := Shard(targets, config.Shard{}); len(got) != len(targets) {
		t.Errorf("no shard is %d of %d", len(got), len(targets))
	}
}
