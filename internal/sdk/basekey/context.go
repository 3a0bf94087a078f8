package basekey

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// readsContext reports whether an instruction reads files from the build context. In doubt it returns true.
func readsContext(v *variables, s step) (bool, error) {
	switch c := s.command.(type) {
	case *instructions.CopyCommand:
		return c.From == "" && len(c.SourcePaths) > 0, nil
	case *instructions.AddCommand:
		return addsFromContext(v, c)
	case *instructions.RunCommand:
		return slices.ContainsFunc(s.node.Flags, mountsContext), nil
	}
	return false, nil
}

// addsFromContext reports whether ADD copies files from the context. A download must have a checksum.
func addsFromContext(v *variables, add *instructions.AddCommand) (fromContext bool, err error) {
	for _, word := range add.SourcePaths {
		source, err := v.known(word)
		if err != nil {
			return false, err
		}
		if !strings.Contains(source, "://") && !strings.HasPrefix(source, "git@") && !strings.HasPrefix(source, "github.com/") {
			fromContext = true
			continue
		}
		checksum, err := v.known(add.Checksum)
		if err != nil {
			return false, err
		}
		if checksum == "" {
			return false, unresolvedf("ADD %s has no checksum", source)
		}
	}
	return fromContext, nil
}

// otherMounts are the mount types that never mount the context.
var otherMounts = []instructions.MountType{
	instructions.MountTypeCache, instructions.MountTypeTmpfs, instructions.MountTypeSecret, instructions.MountTypeSSH,
}

// mountsContext reports whether a flag of RUN mounts the context: a bind mount, which is the default, without from=.
func mountsContext(flag string) bool {
	mount, ok := strings.CutPrefix(flag, "--mount=")
	if !ok {
		return false
	}
	for field := range strings.SplitSeq(mount, ",") {
		name, value, _ := strings.Cut(strings.ToLower(field), "=")
		if name == "from" && value != "" || name == "type" && slices.Contains(otherMounts, instructions.MountType(value)) {
			return false
		}
	}
	return true
}

// context hashes the names, modes and contents of all files of the context except the Dockerfile, even if no instruction reads
// them: the context that the SDK makes for its base stage contains only files that the stage reads. It ignores folders,
// because git keeps neither their modes nor empty folders.
func (h *hash) context() error {
	if h.in.Context == nil {
		return nil
	}
	h.field(".dockerignore", "") // This field and the next ones keep the keys of existing eval-bases.
	err := fs.WalkDir(h.in.Context, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || name == "Dockerfile" {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		var content []byte
		switch info.Mode().Type() {
		case 0:
			content, err = fs.ReadFile(h.in.Context, name)
		case fs.ModeSymlink:
			var target string
			target, err = fs.ReadLink(h.in.Context, name)
			content = []byte(target)
		}
		h.field("context", name)
		h.field("file", name)
		h.field("mode", info.Mode().String())
		h.field("content", string(content))
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the context: %w", err)
	}
	return nil
}
