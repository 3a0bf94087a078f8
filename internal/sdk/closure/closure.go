// Package closure says what a stage of a Dockerfile is made of, as a hash: it changes when something changes that can
// change the stage's result, and with nothing else of the file.
package closure

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// BaseArgument is the build argument that names the base. Its value is not in the hash: Key adds the base's digest.
const BaseArgument = "BASE_IMAGE"

// schema is the version of the rule. Another number makes other keys of everything.
const schema = "eval-base 1"

// keyLength is the number of hexadecimal digits of a Key, 128 bits: far below the 128 characters of a tag.
const keyLength = 32

// Inputs are what a build is given.
type Inputs struct {
	Dockerfile []byte
	// Args are the build arguments that are passed, used or not.
	Args map[string]string
	// Context holds the build context's files. It has to tell symbolic links (fs.ReadLinkFS) where there are any. Nil is
	// an empty one.
	Context fs.FS
	// Target is the stage that is built; names of stages have no case. Empty is the last stage.
	Target string
	// Platform is the one that is built for, "linux/amd64".
	Platform string
}

// Closure is what the result depends on, but for the base.
type Closure struct {
	// Hash is of the stages that the target reaches, of what they are given, and of how the file is read; or, with
	// WholeFile, of everything. It is a SHA-256 in hexadecimal.
	Hash string
	// WholeFile says that the Dockerfile does not tell what the target depends on, and Why why it does not.
	WholeFile bool
	Why       string
}

// unresolved is why the Dockerfile alone does not tell what its target depends on.
type unresolved struct{ why string }

func (e unresolved) Error() string { return e.why }

func unresolvedf(format string, args ...any) error { return unresolved{fmt.Sprintf(format, args...)} }

// Of computes the closure. These are in it: the instructions of each stage that the target reaches by FROM, COPY --from
// and RUN --mount=from=, without comments and with the bodies of here-documents; the values of the arguments that these
// stages declare, passed ones before defaults; the files of the context that they copy, with modes; the images that they
// name; the directives at the file's head; the platform. A fault of another kind than what WholeFile is for is an
// error: there is no such target, the context cannot be read, or the stage takes more of the base than the base itself.
func Of(in Inputs) (Closure, error) {
	h := newHash(in)
	err := h.closure()
	var unclear unresolved
	if errors.As(err, &unclear) {
		h = newHash(in)
		return Closure{WholeFile: true, Why: unclear.why}.sum(h, h.everything())
	}
	return Closure{}.sum(h, err)
}

// sum completes c, unless err says that h is not complete.
func (c Closure) sum(h *hash, err error) (Closure, error) {
	if err != nil {
		return Closure{}, fmt.Errorf("finding what %s is made of: %w", h.in.Target, err)
	}
	c.Hash = h.sum()
	return c, nil
}

// Key names the result of the build on the base of that digest. It is in hexadecimal and fit for a tag.
func (c Closure) Key(baseDigest string) string {
	h := newHash(Inputs{})
	h.field("base", baseDigest)
	h.field("closure", c.Hash)
	return h.sum()[:keyLength]
}

// closure hashes what the target reaches.
func (h *hash) closure() error {
	f, err := parse(h.in.Dockerfile)
	if err != nil {
		return err
	}
	target := len(f.stages) - 1
	if h.in.Target != "" {
		target = f.find(h.in.Target, len(f.stages))
	}
	if target < 0 {
		return fmt.Errorf("the Dockerfile has no stage %q", h.in.Target)
	}
	r, err := f.reach(h.in, target)
	if err != nil {
		return err
	}
	h.field("syntax", f.syntax)
	h.field("escape", string(f.lex.escape))
	h.field("check", f.check)
	h.field("target", r.name(source{stage: target}))
	h.frontend()
	for _, i := range slices.Sorted(maps.Keys(r.stages)) {
		if err := h.stage(r, i); err != nil {
			return err
		}
	}
	return nil
}

// frontend hashes the arguments that BuildKit itself reads, declared or not: BUILDKIT_SYNTAX takes the place of the
// directive.
func (h *hash) frontend() {
	for _, name := range slices.Sorted(maps.Keys(h.in.Args)) {
		if strings.HasPrefix(name, "BUILDKIT_") || name == "SOURCE_DATE_EPOCH" {
			h.field("frontend's argument", name)
			h.field("value", h.in.Args[name])
		}
	}
}

// everything hashes all that the build is given but for the base.
func (h *hash) everything() error {
	h.field("whole file", string(h.in.Dockerfile))
	h.field("target", strings.ToLower(h.in.Target))
	for _, name := range slices.Sorted(maps.Keys(h.in.Args)) {
		if name != BaseArgument {
			h.field("argument", name)
			h.field("value", h.in.Args[name])
		}
	}
	if h.in.Context == nil {
		return nil
	}
	return h.tree(".")
}
