package docker

import (
	"context"
	"errors"
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

// df rounds up to whole percents. Others write to the same disk meanwhile.
func TestSpaceIsWhatDfSays(t *testing.T) {
	dir := t.TempDir()
	out, err := exec.Command("df", "-Pk", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := parseDf(string(out))
	if err != nil {
		t.Fatal(err)
	}
	got, err := SpaceOf(dir)
	if err != nil || got.Total != want.Total || max(got.Free, want.Free)-min(got.Free, want.Free) > got.Total/50 {
		t.Errorf("SpaceOf = %+v, %v; df says %+v", got, err, want)
	}
	fields := strings.Fields(string(out))
	percent, err := strconv.ParseFloat(strings.TrimSuffix(fields[len(fields)-2], "%"), 64)
	if err != nil || got.Used() > percent+1 || got.Used() < percent-2 {
		t.Errorf("%.1f%% is used, df says %.0f%% (%v)", got.Used(), percent, err)
	}
	if _, err := SpaceOf(filepath.Join(dir, "absent")); err == nil {
		t.Error("a path that is not there has a disk")
	}
}

func TestSpaceInWords(t *testing.T) {
	cases := []struct {
		space Space
		want  string
	}{
		{Space{Free: 12_000_000, Total: 2_400_000_000}, "12MB of 2.4GB"},
		{Space{Free: 0, Total: 64_000_000, NoInodes: true}, "0B of 64MB (but no inodes)"},
	}
	for _, c := range cases {
		if got := c.space.String(); got != c.want {
			t.Errorf("%+v is %q, want %q", c.space, got, c.want)
		}
	}
}

func TestRootSpaceAsksInTheBuilder(t *testing.T) {
	const head = "Filesystem           1024-blocks    Used Available Capacity Mounted on\n"
	cases := []struct {
		name, said string
		want       Space
		fails      bool
	}{
		{"a disk", head + "/dev/sda1 1000 300 600 34% /var/lib/buildkit\n", Space{Free: 600 << 10, Total: 900 << 10}, false},
		{"a full one", head + "tmpfs 1000 1000 0 100% /var/lib/buildkit\n", Space{Free: 0, Total: 1000 << 10}, false},
		{"blanks in its name", head + "a b c 1000 1000 0 100% /var/lib/build kit\n", Space{Free: 0, Total: 1000 << 10}, false},
		{"no table", "df: none\n", Space{}, true},
		{"nothing", "", Space{}, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bin := t.TempDir()
			fakeDocker(t, bin, `echo "$1 $2" >"`+bin+`/args"; cat "`+bin+`/said"`)
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			if err := os.WriteFile(filepath.Join(bin, "said"), []byte(c.said), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := Buildx{}.RootSpace(t.Context(), "b")
			args, _ := os.ReadFile(filepath.Join(bin, "args"))
			if got != c.want || (err != nil) != c.fails || string(args) != "exec buildx_buildkit_b0\n" {
				t.Errorf("RootSpace = %+v, %v by %q; want %+v", got, err, args, c.want)
			}
		})
	}
}

// On a disk that is completely full, BuildKit deletes nothing before the reserve is gone.
func TestPruneGivesUpTheReserve(t *testing.T) {
	bin := t.TempDir()
	fakeDocker(t, bin, `case "$*" in
*head*reserve*) echo keep ;;
*rm*reserve*) echo drop ;;
*--help*) ;;
*"prune --builder b"*) echo prune ;;
*) echo other ;;
esac >>"`+bin+`/did"; echo "Total: 3kB"`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	freed, err := Buildx{}.Prune(t.Context(), "b", 0)
	did, _ := os.ReadFile(filepath.Join(bin, "did"))
	if want := "drop\nprune\nkeep\n"; err != nil || freed != 3000 || string(did) != want {
		t.Errorf("it freed %d (%v) by\n%swant 3000 by\n%s", freed, err, did, want)
	}
}

// A prune that takes too long needs the reserve the next time. A run that is cancelled removes it.
func TestReserveIsKeptAfterAPruneThatTimesOut(t *testing.T) {
	bin := t.TempDir()
	fakeDocker(t, bin, `case "$*" in *head*reserve*) echo keep >>"`+bin+`/did" ;; esac`)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	cases := []struct {
		ctx  context.Context
		want string
	}{{cancelled, ""}, {late, "keep\n"}}
	for _, c := range cases {
		_, err := Buildx{}.Prune(c.ctx, "b", 0)
		did, _ := os.ReadFile(filepath.Join(bin, "did"))
		if !errors.Is(err, c.ctx.Err()) || string(did) != c.want {
			t.Errorf("Prune = %v, and it did %q; want %v and %q", err, did, c.ctx.Err(), c.want)
		}
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
