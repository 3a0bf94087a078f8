package sdk

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/spelling"
)

// RefError is a ref that names no commit, or more than one. It is the user's to correct.
type RefError struct {
	Source Source
	// Near holds the names that may have been meant: the nearest branches and tags, or the refs or commits that the
	// name means at once.
	Near      []string
	ambiguous bool
}

func (e *RefError) Error() string {
	switch {
	case e.ambiguous && strings.HasPrefix(e.Near[0], "refs/"):
		return fmt.Sprintf("sdk-ref %q is both a branch and a tag of %s: %s", e.Source.Ref, e.Source.Repository, strings.Join(e.Near, " and "))
	case e.ambiguous:
		return fmt.Sprintf("sdk-ref %q begins the SHA of more than one commit of %s: %s", e.Source.Ref, e.Source.Repository, strings.Join(e.Near, " and "))
	default:
		return fmt.Sprintf("sdk-ref %q is no branch, tag or commit of %s", e.Source.Ref, e.Source.Repository)
	}
}

// Hint says what to write instead.
func (e *RefError) Hint() string {
	switch ref := e.Source.Ref; {
	case e.ambiguous:
		return "write which one you mean, sdk-ref: " + strings.Join(e.Near, " or sdk-ref: ")
	case len(e.Near) == 0 && len(ref) < 40 && someSHA.MatchString(ref):
		return "write all 40 digits of the SHA: fewer are looked up among the commits of branches and tags only"
	case len(e.Near) == 0:
		return "set sdk-ref to a branch, a tag or a commit SHA of sdk-repository"
	default:
		return "did you mean sdk-ref: " + strings.Join(e.Near, ", ") + "?"
	}
}

const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

// someSHA is a SHA, or enough of one: git's own abbreviations have 7 digits or more.
var someSHA = regexp.MustCompile(`^[0-9a-fA-F]{7,40}$`)

// unlisted tells whether ref can be neither a branch nor a tag, and still be a ref of the repository: HEAD, its default
// branch, or one like refs/pull/1/head.
func unlisted(ref string, refs map[string]string) bool {
	_, listed := refs[ref]
	return !listed && (ref == "HEAD" || strings.HasPrefix(ref, "refs/"))
}

// resolve says what to fetch for source's ref: a full ref name, or a SHA, whole or not, which only the repository
// itself can confirm. refs are the remote's by full name.
func resolve(source Source, refs map[string]string) (string, error) {
	ref := source.Ref
	_, isFull := refs[ref]
	_, isBranch := refs[branches+ref]
	_, isTag := refs[tags+ref]
	switch {
	case ref == "" || ref == "unknown": // The SDK's word for having found no commit: it would end up in tags.
		return "", &RefError{Source: source}
	case isFull && unlisted(ref, nil):
		return ref, nil
	case isBranch && isTag:
		return "", &RefError{Source: source, Near: []string{branches + ref, tags + ref}, ambiguous: true}
	case isBranch:
		return branches + ref, nil
	case isTag:
		return tags + ref, nil
	case someSHA.MatchString(ref):
		return strings.ToLower(ref), nil
	default:
		return "", &RefError{Source: source, Near: nearest(ref, refs)}
	}
}

// nearest gives up to three branches and tags whose names are like ref, the likest first.
func nearest(ref string, refs map[string]string) []string {
	if wholeSHA.MatchString(ref) {
		return nil
	}
	names := map[string]bool{}
	for full := range refs {
		names[strings.TrimPrefix(strings.TrimPrefix(full, branches), tags)] = true
	}
	return spelling.Near(ref, slices.Sorted(maps.Keys(names)), 3)
}
