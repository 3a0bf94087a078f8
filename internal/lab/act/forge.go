// Package act runs this repository's workflows under nektos/act on the lab: real jobs in containers, with the lab's image of
// the action. A forge takes GitHub's place, and fakes take the place of three actions that need GitHub.
//
// act does less than a runner: it ignores permissions, concurrency and the timeout-minutes of jobs, and does not mount
// /github/*. Package runner has the rules of a container action.
package act

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

const (
	// Name is this repository's name on GitHub. Release is the tag that its workflows run by default.
	Name    = "OpenHands/eval-images"
	Release = "v1"

	machine = "eval-images-lab/act-machine" // what jobs run in
	label   = "eval-images.act"             // of the action's image, with the forge's mark
)

// Forge is what jobs find in GitHub's place.
type Forge struct {
	Sources string // what jobs need of this repository, as it is now, committed or not
	Mark    string // in the label of the action's image, when it is built from Sources

	checkout, dir, act, network, packages string
}

// NewForge makes a forge in an empty folder and compiles act. lab has the lab's variables. The files in the folder add are beside the
// sources, so in the workspace of jobs that check them out.
func NewForge(ctx context.Context, checkout, dir, add string, lab map[string]string) (*Forge, error) {
	checkout, err := filepath.Abs(checkout)
	if err != nil {
		return nil, fmt.Errorf("finding the checkout: %w", err)
	}
	f := &Forge{
		Sources: filepath.Join(dir, "eval-images"), Mark: engine.Key(dir),
		checkout: checkout, dir: dir, network: lab["LAB_NETWORK"], packages: lab["LAB_PACKAGES"],
	}
	for _, folder := range []string{f.Sources, f.github(), f.home()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, fmt.Errorf("making the forge: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(f.github(), "builder"), []byte(lab["LAB_BUILDER"]+"\n"), 0o644); err != nil {
		return nil, fmt.Errorf("making the forge: %w", err)
	}
	if err := f.copySources(lab["LAB_ACTION_IMAGE"]); err != nil {
		return nil, fmt.Errorf("copying the sources: %w", err)
	}
	if err := os.CopyFS(f.Sources, os.DirFS(add)); err != nil {
		return nil, fmt.Errorf("copying files beside the sources: %w", err)
	}
	if err := f.Push(ctx, Name, f.Sources); err != nil {
		return nil, err
	}
	if f.act, err = f.run(ctx, filepath.Join(checkout, "internal", "lab", "act", "tools"), "go", "tool", "-n", "act"); err != nil {
		return nil, fmt.Errorf("compiling act: %w", err)
	}
	_, err = f.run(ctx, checkout, "docker", "build", "--quiet", "--tag", machine, "internal/lab/act/image")
	return f, err
}

func (f *Forge) github() string { return filepath.Join(f.dir, "github") }
func (f *Forge) home() string   { return filepath.Join(f.dir, "home") }

// copySources copies the action and its workflows. Its Dockerfile starts from the lab's image of the action: act ignores
// .dockerignore, so it would compile the action again in each job, and once more in the job's post step, where the
// workspace has the run's record. The label shows that this image ran, because act runs the image of an earlier build when
// a build fails.
func (f *Forge) copySources(actionImage string) error {
	dockerfile := fmt.Appendf(nil, "FROM %s\nLABEL %s=%s\n", actionImage, label, f.Mark)
	if err := os.WriteFile(filepath.Join(f.Sources, "Dockerfile"), dockerfile, 0o644); err != nil {
		return err
	}
	workflows := filepath.Join(".github", "workflows")
	if err := os.CopyFS(filepath.Join(f.Sources, workflows), os.DirFS(filepath.Join(f.checkout, workflows))); err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(f.checkout, "action.yml"))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(f.Sources, "action.yml"), content, 0o644)
}

// Push makes a folder a git repository with one commit and the tag Release, and has the forge serve it under a name.
func (f *Forge) Push(ctx context.Context, name, dir string) error {
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "--all", "--force"},
		{"-c", "user.name=lab", "-c", "user.email=lab@localhost", "commit", "--quiet", "--message=as it is"},
		{"tag", Release},
		{"remote", "add", "origin", "https://github.com/" + name},
		{"clone", "--quiet", "--bare", ".", filepath.Join(f.github(), name+".git")},
	} {
		if _, err := f.run(ctx, dir, "git", args...); err != nil {
			return fmt.Errorf("making the repository %s: %w", name, err)
		}
	}
	return nil
}

func (f *Forge) run(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	return engine.Run(cmd, nil)
}
