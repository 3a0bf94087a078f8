package cmd

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	inprocess "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/OpenHands/eval-images/internal/image"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
)

// The command lists what no run has used, and deletes that and nothing else when asked to. The next run does not call it lost.
func TestPruneBases(t *testing.T) {
	cases := []struct {
		name    string
		args    []string
		keeps   bool // the registry deletes nothing
		want    int
		says    []string
		deleted bool
	}{
		{name: "a list", says: []string{"eval-base-bb (eval-base, made 20", "kept: eval-bases: 1,", "--delete deletes these tags"}},
		{name: "deleted", args: []string{"--delete"}, says: []string{"eval-base-bb (eval-base, made 20", "tags deleted: 1"}, deleted: true},
		{name: "a registry that deletes nothing", args: []string{"--delete"}, keeps: true, want: ExitSetup, says: []string{"0 of 1 tags are deleted", "hint: ", "own means"}},
		{name: "more days than there are lists for", args: []string{"--days", "3000"}, want: ExitSetup, says: []string{"it is not known what was used before", "hint: run it again after 20"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			images := registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)
			images.Deletes = !c.keeps
			server := httptest.NewServer(images)
			defer server.Close()
			host := strings.TrimPrefix(server.URL, "http://")
			repository := host + "/a/eval-base"
			made := time.Now().AddDate(-1, 0, 0)
			for _, tag := range []string{"eval-base-aa", "eval-base-bb", "other"} {
				img := registrytest.WithConfig(registrytest.Base(tag), func(c *v1.ConfigFile) { c.Created = v1.Time{Time: made} })
				if err := registrytest.Push(http.DefaultTransport, repository+":"+tag, img); err != nil {
					t.Fatal(err)
				}
			}
			client := registry.New(authn.DefaultKeychain, http.DefaultTransport, nil)
			for at, used := range map[time.Time]string{made: "eval-base-bb", time.Now(): "eval-base-aa"} {
				if err := image.LeaveUsed(t.Context(), client, repository, []string{used}, at); err != nil {
					t.Fatal(err)
				}
			}
			if err := image.WriteLastRun(t.Context(), client, repository, image.Kept{EvalBases: 2}); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			args := append([]string{"prune-bases", "--image", host + "/a/eval"}, c.args...)
			code := Run(t.Context(), Process{Args: args, Stdout: &out, Dir: t.TempDir(), Environ: []string{"TMPDIR=" + t.TempDir()}})
			for _, says := range c.says {
				if !strings.Contains(out.String(), says) {
					t.Errorf("it does not say %q:\n%s", says, &out)
				}
			}
			if code != c.want {
				t.Errorf("exit code %d, want %d:\n%s", code, c.want, &out)
			}
			tags, err := client.Tags(t.Context(), repository)
			if err != nil {
				t.Fatal(err)
			}
			for tag, there := range map[string]bool{"eval-base-aa": true, "eval-base-bb": !c.deleted, "other": true} {
				if got := strings.Contains(strings.Join(tags, " "), tag); got != there {
					t.Errorf("%s is there: %v, want %v", tag, got, there)
				}
			}
			last, err := image.ReadLastRun(t.Context(), client, repository)
			if now, _ := image.KeptIn(t.Context(), client, repository); err != nil || last.EvalBases != now.EvalBases {
				t.Errorf("the next run thinks that %d of %d eval-bases are there: %v", now.EvalBases, last.EvalBases, err)
			}
		})
	}
}
