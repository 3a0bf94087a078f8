// Package sdk drives the software-agent-sdk at one ref: its checkout, its Python environment, its source distribution,
// and worker processes that have imported its build module. The SDK itself decides tags, Dockerfile, build arguments
// and cache rules; this package asks it.
package sdk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/confined"
)

// Source is where the SDK comes from.
type Source struct {
	// Repository is an https, http or file URL without credentials.
	Repository string
	// Ref is a branch, a tag, a commit SHA (at least its first 7 digits), a full ref name like refs/tags/v1.58.2 or
	// refs/pull/7/head, or HEAD for the default branch.
	Ref string
}

// Checkout is the SDK's work tree at one commit.
type Checkout struct {
	// Dir is the folder that Clone was given; Root, inside it, is the SDK's workspace root.
	Dir, Root string
	// SHA is the commit, 40 hexadecimal digits.
	SHA string
	// DockerfileSHA256 is the hash of the SDK's Dockerfile, 64 hexadecimal digits. The tags that the evaluation pulls
	// contain its first 7 (OpenHands/benchmarks, get_phased_image_tag_prefix).
	DockerfileSHA256 string
}

// agentServer is the folder of the package that contains the build module; dockerfilePath is the SDK's Dockerfile. Both
// are relative to Root.
const (
	agentServer    = "openhands-agent-server"
	dockerfilePath = agentServer + "/openhands/agent_server/docker/Dockerfile"
)

// fullSHA matches a commit's SHA. The SDK puts "unknown" into tags when it has none.
var fullSHA = regexp.MustCompile(`^[0-9a-f]{40}$`)

// Clone checks source out into dir, which must be absent or empty. The error is a *RefError if the ref is wrong, else a
// *SetupError.
func Clone(ctx context.Context, source Source, dir string, cmds Commands) (Checkout, error) {
	checkout, err := clone(ctx, source, dir, cmds)
	var bad *RefError
	if err != nil && !errors.As(err, &bad) {
		return Checkout{}, cmds.failed("cloning "+source.Repository, err)
	}
	return checkout, err
}

func clone(ctx context.Context, source Source, dir string, cmds Commands) (Checkout, error) {
	g, sha, err := cloneCommit(ctx, source, dir, cmds)
	if err != nil {
		return Checkout{}, err
	}
	return g.sdkCheckout(sha)
}

// cloneCommit checks a commit out, whatever is in it.
func cloneCommit(ctx context.Context, source Source, dir string, cmds Commands) (*git, string, error) {
	if err := source.check(cmds.other); err != nil {
		return nil, "", err
	}
	g, err := newGit(cmds, dir)
	if err != nil {
		return nil, "", err
	}
	refs, err := g.remoteRefs(ctx, source.Repository)
	if err != nil {
		return nil, "", err
	}
	if isOtherRef(source.Ref, refs) {
		if err := g.addRemoteRef(ctx, source, refs); err != nil {
			return nil, "", err
		}
	}
	wanted, err := resolve(source, refs)
	if err != nil {
		return nil, "", err
	}
	sha, err := g.fetch(ctx, source, wanted, refs)
	if err != nil {
		return nil, "", err
	}
	return g, sha, g.writeTree(ctx, sha)
}

// check rejects URLs that git accepts and we do not: ssh and host:path forms may prompt, and credentials would show in
// process lists and logs.
func (s Source) check(of other) error {
	u, err := url.Parse(s.Repository)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file":
		return errors.New(of.repository() + " must be an https, http or file URL")
	case u.User != nil:
		return errors.New(of.repository() + " must not hold credentials")
	}
	return nil
}

// maxDockerfile bounds the SDK's Dockerfile, in bytes. It has 20 kB.
const maxDockerfile = 4 << 20

// Dockerfile returns the text of the SDK's Dockerfile.
func (c Checkout) Dockerfile() (string, error) {
	text, err := confined.Read(c.Root, dockerfilePath, maxDockerfile)
	if err != nil {
		return "", fmt.Errorf("reading the SDK's Dockerfile: %w", err)
	}
	return string(text), nil
}

func fileSHA256(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return "", fmt.Errorf("hashing %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// checkOut writes the work tree of a fetched commit of the SDK.
func (g *git) checkOut(ctx context.Context, sha string) (Checkout, error) {
	if err := g.writeTree(ctx, sha); err != nil {
		return Checkout{}, err
	}
	return g.sdkCheckout(sha)
}

// writeTree writes the work tree of a fetched commit.
func (g *git) writeTree(ctx context.Context, sha string) error {
	// Only the commit's own attributes count: with those of the user or the machine, such as eol=crlf, the files are others.
	environ := append(slices.Clip(g.environ), "GIT_ATTR_NOSYSTEM=1")
	_, err := g.cmds.run(ctx, g.root, environ, "git", "-c", "core.attributesFile=/dev/null", "checkout", "--quiet", "--detach", sha)
	return err
}

// sdkCheckout returns the SDK in a work tree.
func (g *git) sdkCheckout(sha string) (Checkout, error) {
	text, err := confined.Read(g.root, dockerfilePath, maxDockerfile)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("commit %s has no %s, so it is no software-agent-sdk that builds images", sha, dockerfilePath)
	}
	return Checkout{Dir: g.dir, Root: g.root, SHA: sha, DockerfileSHA256: fmt.Sprintf("%x", sha256.Sum256(text))}, err
}

// remoteRefs returns the SHAs of branches and tags by full name. The SHA of an annotated tag is that of the tag object,
// not of the commit; fetch peels it.
func (g *git) remoteRefs(ctx context.Context, repository string) (map[string]string, error) {
	out, err := g.run(ctx, "ls-remote", "--quiet", "--heads", "--tags", "--refs", "--", repository)
	if err != nil {
		return nil, err
	}
	return listedRefs(out), nil
}

// addRemoteRef adds source.Ref to refs, if the repository has it. ls-remote also lists refs that only end with the
// name.
func (g *git) addRemoteRef(ctx context.Context, source Source, refs map[string]string) error {
	out, err := g.run(ctx, "ls-remote", "--quiet", "--", source.Repository, source.Ref)
	if sha, found := listedRefs(out)[source.Ref]; found {
		refs[source.Ref] = sha
	}
	return err
}

// listedRefs parses the output of ls-remote into SHAs by full name.
func listedRefs(out string) map[string]string {
	refs := map[string]string{}
	for line := range strings.Lines(out) {
		if sha, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			refs[name] = sha
		}
	}
	return refs
}

// fetch fetches the wanted ref or commit and returns the commit's SHA. It asks for the one commit first. If the server
// speaks only the dumb protocol, or does not serve commits by SHA, it fetches all branches and tags.
func (g *git) fetch(ctx context.Context, source Source, wanted string, refs map[string]string) (string, error) {
	if err := g.init(ctx); err != nil {
		return "", err
	}
	peel := func(name string) (string, error) {
		sha, err := g.commit(ctx, name)
		var failed *commandError
		if errors.As(err, &failed) {
			err = g.noCommit(ctx, source, wanted, refs)
		}
		return sha, err
	}
	isRef := refs[wanted] != ""
	if isRef || fullSHA.MatchString(wanted) {
		_, err := g.run(ctx, "fetch", "--quiet", "--depth=1", "--no-tags", "--", source.Repository, wanted)
		if err == nil {
			return peel("FETCH_HEAD")
		}
		if ctx.Err() != nil {
			return "", err
		}
	}
	everything := []string{
		"fetch", "--quiet", "--no-tags", "--update-head-ok", "--", source.Repository,
		"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*",
	}
	name := wanted
	if isRef {
		name = "refs/sdk-ref"
		everything = append(everything, "+"+wanted+":"+name)
	}
	if _, err := g.run(ctx, everything...); err != nil {
		return "", err
	}
	return peel(name)
}

// noCommit returns the error for a SHA that names no commit, or several.
func (g *git) noCommit(ctx context.Context, source Source, sha string, refs map[string]string) error {
	bad := &RefError{Source: source, Near: nearestRefs(source.Ref, refs)}
	out, err := g.run(ctx, "rev-parse", "--disambiguate="+sha)
	if err != nil {
		return bad // No object has this name. (git accepts any SHA of 40 digits.)
	}
	var commits []string
	for _, object := range strings.Fields(out) {
		if kind, err := g.run(ctx, "cat-file", "-t", object); err == nil && strings.TrimSpace(kind) == "commit" {
			commits = append(commits, object)
		}
	}
	if len(commits) > 1 {
		bad.Near, bad.ambiguous = commits[:min(3, len(commits))], true
	}
	return bad
}

// commit returns the SHA of the commit that name refers to, directly or through an annotated tag.
func (g *git) commit(ctx context.Context, name string) (string, error) {
	out, err := g.run(ctx, "rev-parse", "--quiet", "--verify", "--end-of-options", name+"^{commit}")
	sha := strings.TrimSpace(out)
	if err == nil && !fullSHA.MatchString(sha) {
		err = fmt.Errorf("git names the commit of %s %q, which is not a SHA of 40 digits", name, sha)
	}
	return sha, err
}
