package sdk

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/spelling"
)

// RefError reports a ref that names no commit, or more than one. The user has to correct it.
type RefError struct {
	Source Source
	// Near suggests what the user may have meant: similar branches and tags, or everything that an ambiguous name matches.
	Near      []string
	ambiguous bool
	// other names the inputs, and lacks is a file that the commit should have. Both are for what is no SDK.
	other other
	lacks string
	// newest is the tag of the newest release, or empty.
	newest string
}

func (e *RefError) Error() string {
	input := e.other.ref()
	switch {
	case e.lacks != "":
		return fmt.Sprintf("%s %q of %s has no %s", input, e.Source.Ref, e.Source.Repository, e.lacks)
	case e.ambiguous && strings.HasPrefix(e.Near[0], "refs/"):
		return fmt.Sprintf("%s %q is both a branch and a tag of %s: %s", input, e.Source.Ref, e.Source.Repository, strings.Join(e.Near, " and "))
	case e.ambiguous:
		return fmt.Sprintf("%s %q begins the SHA of more than one commit of %s: %s", input, e.Source.Ref, e.Source.Repository, strings.Join(e.Near, " and "))
	default:
		return fmt.Sprintf("%s %q is no branch, tag or commit of %s", input, e.Source.Ref, e.Source.Repository)
	}
}

// Hint suggests what to write instead.
func (e *RefError) Hint() string {
	input, repository := e.other.ref(), e.other.repository()
	switch ref := e.Source.Ref; {
	case e.lacks != "":
		return "check " + repository + " and " + input
	case e.ambiguous:
		return "write which one you mean, " + input + ": " + strings.Join(e.Near, " or "+input+": ")
	case shortSHA.MatchString(ref):
		return "write at least 7 digits of the SHA, or a branch or a tag of " + repository
	case e.newest != "" && looksLikeVersion.MatchString(ref):
		return "the newest release there is " + input + ": " + e.newest
	case len(e.Near) == 0 && len(ref) < 40 && shaPrefix.MatchString(ref):
		return "write all 40 digits of the SHA: fewer are looked up among the commits of branches and tags only"
	case len(e.Near) == 0:
		return "set " + input + " to a branch, a tag or a commit SHA of " + repository
	default:
		return "did you mean " + input + ": " + strings.Join(e.Near, ", ") + "?"
	}
}

const (
	branches = "refs/heads/"
	tags     = "refs/tags/"
)

// shaPrefix matches a SHA, or at least its first 7 digits, like git's own abbreviations.
var shaPrefix = regexp.MustCompile(`^[0-9a-fA-F]{7,40}$`)

// shortSHA matches fewer digits of a SHA than that. looksLikeVersion matches the name of a release, and version a release of the SDK.
var (
	shortSHA         = regexp.MustCompile(`^[0-9a-fA-F]{3,6}$`)
	looksLikeVersion = regexp.MustCompile(`^v?[0-9]+(\.[0-9]+)*$`)
	version          = regexp.MustCompile(`^v?([0-9]+\.[0-9]+\.[0-9]+)$`)
)

// newestRelease returns the tag with the highest version, or "".
func newestRelease(refs map[string]string) (newest string) {
	highest := ""
	for full := range refs {
		tag, isTag := strings.CutPrefix(full, tags)
		found := version.FindStringSubmatch(tag)
		if isTag && found != nil && (newest == "" || olderThan(highest, found[1])) {
			newest, highest = tag, found[1]
		}
	}
	return newest
}

// isOtherRef reports whether ref may name a ref that is not in refs, the branches and tags: HEAD, or one like
// refs/pull/1/head.
func isOtherRef(ref string, refs map[string]string) bool {
	_, listed := refs[ref]
	return !listed && (ref == "HEAD" || strings.HasPrefix(ref, "refs/"))
}

// resolve returns what to fetch for source.Ref: a full ref name, or a SHA or a part of one, which only the repository
// can confirm. refs are the SHAs of the remote's refs by full name.
func resolve(source Source, refs map[string]string) (string, error) {
	ref := source.Ref
	_, isFull := refs[ref]
	_, isBranch := refs[branches+ref]
	_, isTag := refs[tags+ref]
	switch {
	case ref == "" || ref == "unknown": // The SDK puts "unknown" into tags when it finds no commit.
		return "", &RefError{Source: source}
	case isFull && isOtherRef(ref, nil):
		return ref, nil
	case isBranch && isTag:
		return "", &RefError{Source: source, Near: []string{branches + ref, tags + ref}, ambiguous: true}
	case isBranch:
		return branches + ref, nil
	case isTag:
		return tags + ref, nil
	case shaPrefix.MatchString(ref):
		return strings.ToLower(ref), nil
	default:
		return "", &RefError{Source: source, Near: nearestRefs(ref, refs), newest: newestRelease(refs)}
	}
}

// nearestRefs returns up to three branches and tags with names like ref, the most similar first.
func nearestRefs(ref string, refs map[string]string) []string {
	if fullSHA.MatchString(ref) {
		return nil
	}
	names := map[string]bool{}
	for full := range refs {
		names[strings.TrimPrefix(strings.TrimPrefix(full, branches), tags)] = true
	}
	return spelling.Near(ref, slices.Sorted(maps.Keys(names)), 3)
}
