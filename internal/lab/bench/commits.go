package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// commits makes further commits of one SDK release: equal in content, each with a SHA of its own. The SHA is an argument
// near the top of the SDK's Dockerfile, so a run at a new one does all work anew on a builder that is warm otherwise.
type commits struct {
	folder, ref string
	made        int
}

func (c *commits) clone(ctx context.Context, from string) error {
	cmd := exec.CommandContext(ctx, "git", "clone", "--quiet", "--bare", from, c.folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cloning the SDK: %w: %s", err, out)
	}
	return nil
}

// next gives the name of a branch at a commit that was never built.
func (c *commits) next(ctx context.Context) (branch string, err error) {
	c.made++
	branch = fmt.Sprintf("bench-%d", c.made)
	sha, err := c.git(ctx, "commit-tree", c.ref+"^{tree}", "-p", c.ref, "-m", branch)
	if err != nil {
		return "", err
	}
	_, err = c.git(ctx, "update-ref", "refs/heads/"+branch, sha)
	return branch, err
}

func (c *commits) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.folder}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=bench", "GIT_AUTHOR_EMAIL=bench@localhost",
		"GIT_COMMITTER_NAME=bench", "GIT_COMMITTER_EMAIL=bench@localhost")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
