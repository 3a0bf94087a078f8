package sdk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/OpenHands/eval-images/internal/confined"
)

// WorkTree is the user's own checkout of the SDK. We only read it.
type WorkTree struct {
	// Path is as the user wrote it: absolute, or relative to Base.
	Base, Path string
	// Record is a folder below Base that this program writes to. If it is inside the work tree, as with Path ".", its
	// files do not count as uncommitted changes.
	Record string
	// CommandLine reports that the user is at a command line: hints say nothing of steps and containers.
	CommandLine bool
}

// PathError reports a work tree that we cannot build images from. The user has to correct it.
type PathError struct {
	// Path is as the user wrote it.
	Path string
	// Problem completes the sentence that begins with the path. Uncommitted changes follow, one a line.
	Problem string
	hint    string
}

func (e *PathError) Error() string { return fmt.Sprintf("sdk-path %q %s", e.Path, e.Problem) }

// Hint suggests what to do about it.
func (e *PathError) Hint() string { return e.hint }

func (w WorkTree) pathError(hint, problem string, args ...any) error {
	return &PathError{Path: w.Path, Problem: fmt.Sprintf(problem, args...), hint: hint}
}

func (w WorkTree) dir() string {
	if filepath.IsAbs(w.Path) {
		return filepath.Clean(w.Path)
	}
	return filepath.Join(w.Base, w.Path)
}

// hint returns the first text in a step of a workflow, and the second one at a command line.
func (w WorkTree) hint(inStep, atCommandLine string) string {
	if w.CommandLine {
		return atCommandLine
	}
	return inStep
}

const checkoutInStep = "check the SDK out before this step, for example by actions/checkout with repository: " +
	"OpenHands/software-agent-sdk and path: sdk, and give sdk-path: sdk"

func (w WorkTree) checkoutHint() string {
	return w.hint(checkoutInStep, "give the top folder of a git checkout of https://github.com/OpenHands/software-agent-sdk")
}

// Check finds, without running git, why git cannot open the work tree. The error is a *PathError.
func (w WorkTree) Check() error {
	dir := w.dir()
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return w.pathError(w.hint(checkoutInStep+"; it has to be in the workspace, a container sees nothing else of the machine",
			"check the path; git clone https://github.com/OpenHands/software-agent-sdk makes a checkout"), "does not exist")
	case err != nil:
		return w.pathError(w.checkoutHint(), "cannot be read: %v", err)
	case !info.IsDir():
		return w.pathError(w.checkoutHint(), "is not a folder")
	}
	switch info, err := os.Lstat(filepath.Join(dir, ".git")); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return w.checkGitFile()
	default:
		return w.notACheckout()
	}
}

// notACheckout returns the error for a folder without .git.
func (w WorkTree) notACheckout() error {
	dir := w.dir()
	if _, err := os.Stat(filepath.Join(dir, "objects")); err == nil {
		return w.pathError("give it as sdk-repository: file://..., with sdk-ref", "is a git repository without a work tree")
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 {
		return w.pathError("if it is a submodule, "+w.hint("check the workspace out with submodules: true", "run git submodule update --init"), "is an empty folder")
	}
	for top := filepath.Dir(dir); top != filepath.Dir(top); top = filepath.Dir(top) {
		if _, err := os.Lstat(filepath.Join(top, ".git")); err == nil {
			if relative, err := filepath.Rel(w.Base, top); err == nil && filepath.IsLocal(relative) && !filepath.IsAbs(w.Path) {
				top = relative
			}
			return w.pathError("the checkout that it is in is sdk-path: "+top+"; otherwise "+w.checkoutHint(), "is not the top of a git checkout")
		}
	}
	return w.pathError(w.checkoutHint(), "is not a git checkout")
}

// maxGitFile is more than a path may have, in bytes.
const maxGitFile = 8 << 10

// checkGitFile checks the path in the .git file of a submodule or a linked worktree. Git writes a relative path for a
// submodule, and an absolute one for a worktree, unless --relative-paths is given (git-worktree, since 2.48). An
// absolute path of the host does not exist in a container.
func (w WorkTree) checkGitFile() error {
	text, err := confined.Read(w.dir(), ".git", maxGitFile)
	if err != nil {
		return w.pathError(w.checkoutHint(), "cannot be read: %v", err)
	}
	to, isPointer := strings.CutPrefix(strings.TrimSpace(string(text)), "gitdir:")
	to = strings.TrimSpace(to)
	if !isPointer {
		return w.pathError(w.checkoutHint(), "is not a git checkout: its .git is a file that points nowhere")
	}
	resolved := to
	if !filepath.IsAbs(to) {
		resolved = filepath.Join(w.dir(), to)
	}
	if _, err := os.Stat(resolved); err != nil {
		hint := w.hint("keep the repository that it belongs to in the workspace too", "check that the repository that it belongs to is still there")
		if filepath.IsAbs(to) {
			hint = w.hint("an absolute path means nothing in a container: use a clone or a submodule, or make the path relative "+
				"with git worktree repair --relative-paths", "run git worktree repair in the repository that it belongs to")
		}
		return w.pathError(hint, "belongs to a git folder that is not there: its .git points to %q", to)
	}
	return nil
}

// CloneWorkTree checks the work tree's commit out into dir, which must be absent or empty, and does not change the
// work tree. It rejects uncommitted changes, because tags name the commit only. The error is a *PathError if the work
// tree is wrong, else a *SetupError.
func CloneWorkTree(ctx context.Context, tree WorkTree, dir string, cmds Commands) (Checkout, error) {
	checkout, err := cloneWorkTree(ctx, tree, dir, cmds)
	err = tree.withoutLender(err)
	var bad *PathError
	if err != nil && !errors.As(err, &bad) {
		return Checkout{}, cmds.failed("cloning sdk-path "+tree.Path, err)
	}
	return checkout, err
}

func cloneWorkTree(ctx context.Context, tree WorkTree, dir string, cmds Commands) (Checkout, error) {
	if err := tree.Check(); err != nil {
		return Checkout{}, err
	}
	g, err := newGit(cmds, dir)
	if err != nil {
		return Checkout{}, err
	}
	head, err := tree.head(ctx, g)
	if err != nil {
		return Checkout{}, err
	}
	if err := tree.checkClean(ctx, g); err != nil {
		return Checkout{}, err
	}
	if err := g.init(ctx); err != nil {
		return Checkout{}, err
	}
	from := url.URL{Scheme: "file", Path: tree.dir()}
	if _, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--", from.String(), "HEAD"); err != nil {
		if said, _ := output(err); strings.Contains(said, "promisor remote") {
			err = tree.pathError("check it out whole: "+tree.hint("by actions/checkout without sparse-checkout and without filter", "clone it without --sparse and without --filter"),
				"has only a part of its commit's files")
		}
		return Checkout{}, err
	}
	if fetched, err := g.commit(ctx, "FETCH_HEAD"); err != nil || fetched != head {
		return Checkout{}, cmp.Or(err, fmt.Errorf("the work tree went from commit %s to %s meanwhile", head, fetched))
	}
	return g.checkOut(ctx, head)
}

// git runs git in the work tree and does not write to it: GIT_OPTIONAL_LOCKS=0 keeps git from refreshing the index, and
// the options keep it from starting the file watcher in the tree's own configuration.
func (w WorkTree) git(ctx context.Context, g *git, args ...string) (string, error) {
	return g.run(ctx, append([]string{"-C", w.dir(), "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"}, args...)...)
}

// noCommit returns the error for a work tree without a commit that git can read.
func (w WorkTree) noCommit(ctx context.Context, g *git, failed error) error {
	sha, err := w.git(ctx, g, "rev-parse", "--quiet", "--verify", "HEAD")
	if err != nil { // HEAD is a branch that was not born
		return w.pathError("commit the SDK's files, or check out a commit of the SDK", "has no commit yet")
	}
	said, _ := output(failed)
	if missingLender.MatchString(said) {
		return failed
	}
	return w.pathError("check it out again", "lacks the objects of its commit %.40s: git says %q", strings.TrimSpace(sha), oneLine(causeIn(said)))
}

// missingLender matches what git says of a repository in objects/info/alternates that is not there (git, object-file.c).
var missingLender = regexp.MustCompile(`(unable to normalize (alternate )?object path|object directory .* does not exist)[^\n]*`)

// withoutLender returns the error of a work tree that borrows objects from a repository that is not there, if that is what git
// says in err. Otherwise it returns err.
func (w WorkTree) withoutLender(err error) error {
	said, _ := output(err)
	reason := missingLender.FindString(said)
	if reason == "" {
		return err
	}
	return w.pathError("clone without --shared and --reference, or run git repack -a -d in the checkout, where the repository that it "+
		"borrows from exists"+w.hint("; a container sees nothing outside of the workspace", ""), "lacks objects of its commit: %s", oneLine(reason))
}

// head returns the SHA of the work tree's commit, if that is a commit of the SDK.
func (w WorkTree) head(ctx context.Context, g *git) (string, error) {
	out, err := w.git(ctx, g, "rev-parse", "--quiet", "--verify", "HEAD^{commit}")
	var exit *exec.ExitError
	switch {
	case err != nil && ctx.Err() == nil && errors.As(err, &exit) && exit.ExitCode() == 1:
		return "", w.noCommit(ctx, g, err)
	case err != nil && ctx.Err() == nil && errors.As(err, &exit):
		return "", w.pathError(w.checkoutHint(), "cannot be used by git: %v", err)
	case err != nil:
		return "", err
	}
	head := strings.TrimSpace(out)
	if found, err := w.git(ctx, g, "ls-tree", "--name-only", "--full-tree", head, "--", dockerfilePath); err != nil || found == "" {
		return "", cmp.Or(err, w.pathError(w.checkoutHint(), "is no software-agent-sdk that builds images: its commit %s has no %s", head, dockerfilePath))
	}
	return head, nil
}
