package docker

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func withTimeout(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// df rounds up to whole percents.
func TestDiskUsedIsWhatDfSays(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("df", "--output=pcent", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out))
	want, err := strconv.ParseFloat(strings.TrimSuffix(fields[len(fields)-1], "%"), 64)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DiskUsed(dir)
	if err != nil || got > want+1 || got < want-2 {
		t.Errorf("DiskUsed = %.1f, %v; df says %.0f", got, err, want)
	}
	if _, err := DiskUsed(filepath.Join(dir, "absent")); err == nil {
		t.Error("a path that is not there has a disk")
	}
}

// The first help text is that of buildx 0.13, the second of 0.38.
func TestPruneArgs(t *testing.T) {
	common := []string{"buildx", "prune", "--builder", "b", "--force", "--all"}
	cases := []struct {
		name, help string
		want       []string
	}{
		{"0.13", "      --keep-storage bytes   Amount of disk space to keep for cache", []string{"--keep-storage", "60000000000"}},
		{
			"0.38", "      --max-used-space bytes   Maximum amount\n      --reserved-space bytes   Amount",
			[]string{"--reserved-space", "60000000000", "--max-used-space", "60000000000"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(append(common[:len(common):len(common)], c.want...), pruneArgs("b", 60_000_000_000, c.help)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTotal(t *testing.T) {
	cases := []struct {
		name, said string
		want       int64
		fails      bool
	}{
		{"a full cache", "ID  RECLAIMABLE  SIZE\nx   true  1GB\nShared:\t\t5GB\nReclaimable:\t12.5GB\nTotal:\t\t12.5GB\n", 12_500_000_000, false},
		{"an empty one", "Reclaimable:\t0B\nTotal:\t\t0B\n", 0, false},
		{"nothing pruned", "\n", 0, false},
		{"no table", "ERROR: no builder\n", 0, true},
		{"no size", "Total: much\n", 0, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got, err := total(c.said); got != c.want || (err != nil) != c.fails {
				t.Errorf("total = %d, %v; want %d, an error: %v", got, err, c.want, c.fails)
			}
		})
	}
}

// A long table is not for the set-up's log.
func TestCacheSizeKeepsItsTableToItself(t *testing.T) {
	bin := t.TempDir()
	fakeDocker(t, bin, `echo "$*" >"`+bin+`/args"; echo "Total: 3kB"`)
	t.Setenv("PATH", bin)
	var log strings.Builder
	got, err := Buildx{Log: &log}.CacheSize(t.Context(), "b")
	args, _ := os.ReadFile(filepath.Join(bin, "args"))
	if err != nil || got != 3000 || log.Len() > 0 || string(args) != "buildx du --builder b\n" {
		t.Errorf("CacheSize = %d, %v by %q; the log has %q", got, err, args, &log)
	}
}
