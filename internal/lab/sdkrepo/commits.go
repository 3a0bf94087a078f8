package sdkrepo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Commits makes further commits of one SDK release. Each has a comment of its own in a file of the agent server, so the
// agent must be built again on a builder that is warm otherwise. With equal files BuildKit would reuse everything but
// the base stage, whatever the SHA.
type Commits struct {
	Folder string // of the bare repository
	Ref    string // the release
	made   int
}

// Clone makes the repository from another one.
func (c *Commits) Clone(ctx context.Context, from string) error {
	cmd := exec.CommandContext(ctx, "git", "clone", "--quiet", "--bare", from, c.Folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cloning the SDK: %w: %s", err, out)
	}
	return nil
}

// Next returns the name of a branch at a commit that was never built.
func (c *Commits) Next(ctx context.Context) (branch string, err error) {
	c.made++
	branch = fmt.Sprintf("lab-%d", c.made)
	tree, err := c.changed(ctx, fmt.Sprintf("# %s, made at %s\n", branch, time.Now()))
	if err != nil {
		return "", err
	}
	sha, err := c.git(ctx, "commit-tree", tree, "-p", c.Ref, "-m", branch)
	if err != nil {
		return "", err
	}
	_, err = c.git(ctx, "update-ref", "refs/heads/"+branch, sha)
	return branch, err
}

// changed returns the release's tree with another content of a file that is empty in the release.
func (c *Commits) changed(ctx context.Context, content string) (tree string, err error) {
	const file = "openhands-agent-server/openhands/agent_server/__init__.py"
	written := filepath.Join(c.Folder, "lab-file")
	if err := os.WriteFile(written, []byte(content), 0o644); err != nil {
		return "", fmt.Errorf("writing a file of the SDK: %w", err)
	}
	blob, err := c.git(ctx, "hash-object", "-w", written)
	if err != nil {
		return "", err
	}
	if _, err := c.git(ctx, "read-tree", c.Ref); err != nil { // into the index, which a bare repository may have
		return "", err
	}
	if _, err := c.git(ctx, "update-index", "--add", "--cacheinfo", "100644,"+blob+","+file); err != nil {
		return "", err
	}
	return c.git(ctx, "write-tree")
}

func (c *Commits) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", c.Folder}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=lab", "GIT_AUTHOR_EMAIL=lab@localhost",
		"GIT_COMMITTER_NAME=lab", "GIT_COMMITTER_EMAIL=lab@localhost")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
