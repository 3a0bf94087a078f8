// Package basekey computes base keys. A base key identifies what a stage of a Dockerfile is built from: it changes when
// something changes that can change the stage's result, and with nothing else in the file.
package basekey

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// BaseArgument is the build argument that names the base. Its value is not in the hash: On adds the base's digest.
const BaseArgument = "BASE_IMAGE"

// schema is the version of these rules. Another number changes every key.
const schema = "eval-base 1"

// keyLength is the number of hexadecimal digits of a key on a base: 128 bits, far below the 128 characters of a tag.
const keyLength = 32

// Inputs are the inputs of a build.
type Inputs struct {
	Dockerfile []byte
	// Args are the build arguments passed, used or not.
	Args map[string]string
	// Options are further options of the build that may change the result, in their order.
	Options []string
	// Context is the build context. It has to implement fs.ReadLinkFS if it has symbolic links. Nil is an empty context.
	Context fs.FS
	// Target is the stage to build, in any letter case. Empty is the last stage.
	Target string
	// Platform is the target platform, "linux/amd64".
	Platform string
}

// Key identifies everything that the result depends on, except the base.
type Key struct {
	// Hash is a SHA-256 in hexadecimal.
	Hash string
	// WholeFile reports that the Dockerfile does not show what the target depends on, so that Hash covers all inputs. Why is the
	// reason.
	WholeFile bool
	Why       string
}

// unresolved is the reason why the Dockerfile does not show what its target depends on.
type unresolved struct{ why string }

func (e unresolved) Error() string { return e.why }

func unresolvedf(format string, args ...any) error { return unresolved{fmt.Sprintf(format, args...)} }

// Of computes the base key of a stage. The hash covers
//   - the instructions of each stage that the target reaches by FROM, COPY --from and RUN --mount=from=, without comments
//     and with the bodies of here-documents
//   - the values of the arguments that these stages declare
//   - the images that they name
//   - the files of the context, if one of these stages reads the context
//   - the directives at the head of the file
//   - the platform, and the further options
//
// It is an error if there is no such target, if the context cannot be read, or if the stage uses the name of the base.
func Of(in Inputs) (Key, error) {
	var key Key
	h := newHash(in)
	err := h.target()
	var unclear unresolved
	if errors.As(err, &unclear) {
		key.WholeFile, key.Why = true, unclear.why
		h = newHash(in)
		err = h.wholeFile()
	}
	if err != nil {
		return Key{}, fmt.Errorf("finding what %s is made of: %w", in.Target, err)
	}
	key.Hash = h.sum()
	return key, nil
}

// On returns the key of the result of a build on the base with that digest. It is hexadecimal and fit for a tag.
func (k Key) On(baseDigest string) string {
	h := newHash(Inputs{})
	h.field("base", baseDigest)
	h.field("closure", k.Hash)
	return h.sum()[:keyLength]
}

// target hashes the stages that the target reaches.
func (h *hash) target() error {
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

// frontend hashes the arguments that BuildKit itself reads, declared or not. BUILDKIT_SYNTAX replaces the directive.
func (h *hash) frontend() {
	for _, name := range slices.Sorted(maps.Keys(h.in.Args)) {
		if strings.HasPrefix(name, "BUILDKIT_") || name == "SOURCE_DATE_EPOCH" {
			h.field("frontend's argument", name)
			h.field("value", h.in.Args[name])
		}
	}
}

// wholeFile hashes all inputs except the base.
func (h *hash) wholeFile() error {
	h.field("whole file", string(h.in.Dockerfile))
	h.field("target", strings.ToLower(h.in.Target))
	for _, name := range slices.Sorted(maps.Keys(h.in.Args)) {
		if name != BaseArgument {
			h.field("argument", name)
			h.field("value", h.in.Args[name])
		}
	}
	return h.context()
}
