package closure

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/tonistiigi/go-csvvalue"
)

// contextPath is a path in the context that an instruction reads.
type contextPath struct {
	path string
	glob bool
}

// contextPaths are what an instruction reads of the context. Their variables have to be known.
func contextPaths(v *variables, s step) ([]contextPath, error) {
	switch c := s.command.(type) {
	case *instructions.CopyCommand:
		switch {
		case c.From != "":
			return nil, nil
		case c.Parents:
			return nil, unresolvedf("line %d: COPY --parents has patterns of its own", s.node.StartLine)
		default:
			return expandPaths(v, c.SourcePaths, func(string) (bool, error) { return false, nil })
		}
	case *instructions.AddCommand:
		return expandPaths(v, c.SourcePaths, func(path string) (bool, error) { return isPinned(v, path, c.Checksum) })
	case *instructions.RunCommand:
		return mountedPaths(v, s)
	}
	return nil, nil
}

// expandPaths gives the sources that are not elsewhere.
func expandPaths(v *variables, words []string, elsewhere func(path string) (bool, error)) ([]contextPath, error) {
	var paths []contextPath
	for _, word := range words {
		p, err := v.known(word)
		if err != nil {
			return nil, err
		}
		away, err := elsewhere(p)
		if err != nil {
			return nil, err
		}
		if !away {
			paths = append(paths, contextPath{p, true})
		}
	}
	return paths, nil
}

// isPinned says that ADD fetches url from elsewhere, and that its checksum tells what.
func isPinned(v *variables, url, checksum string) (bool, error) {
	remote := strings.Contains(url, "://") || strings.HasPrefix(url, "git@") || strings.HasPrefix(url, "github.com/")
	if !remote {
		return false, nil
	}
	sum, err := v.known(checksum)
	if err == nil && sum == "" {
		err = unresolvedf("ADD %s has no checksum", url)
	}
	return true, err
}

// mountedPaths are the parts of the context that a RUN mounts. BuildKit reads a mount in two steps, and in its first
// one (GetMounts) knows nothing but from.
func mountedPaths(v *variables, s step) ([]contextPath, error) {
	var paths []contextPath
	for _, flag := range s.node.Flags {
		text, ok := strings.CutPrefix(flag, "--mount=")
		if !ok {
			continue
		}
		fields, err := csvvalue.Fields(text, nil)
		if err != nil {
			return nil, unresolvedf("reading %s: %v", flag, err)
		}
		mount := map[string]string{"type": string(instructions.MountTypeBind), "source": "/"}
		for _, field := range fields {
			name, value, _ := strings.Cut(field, "=")
			name = strings.ToLower(name)
			if name == "src" {
				name = "source"
			}
			mount[name] = value
		}
		if _, elsewhere := mount["from"]; elsewhere {
			continue
		}
		kind, err := v.known(mount["type"])
		if err != nil {
			return nil, err
		}
		if !strings.EqualFold(kind, string(instructions.MountTypeBind)) {
			continue
		}
		p, err := v.known(mount["source"])
		if err != nil {
			return nil, err
		}
		paths = append(paths, contextPath{p, false})
	}
	return paths, nil
}

// context hashes what is at a path of the context, with everything below. Like BuildKit it matches a pattern element by
// element, and knows nothing above the context.
func (h *hash) context(p contextPath) error {
	if h.in.Context == nil {
		return unresolvedf("there is no context to take %s from", p.path)
	}
	if err := h.ignored(); err != nil {
		return err
	}
	name := strings.TrimPrefix(path.Clean("/"+p.path), "/")
	if name == "" {
		name = "."
	}
	found := []string{name}
	if p.glob && strings.ContainsAny(name, `*?[\`) {
		var err error
		if found, err = fs.Glob(h.in.Context, name); err != nil {
			return unresolvedf("looking for %s in the context: %v", p.path, err)
		}
	}
	h.field("context", name)
	for _, name := range found {
		if err := h.plain(name); err != nil {
			return err
		}
		if err := h.tree(name); err != nil {
			return err
		}
	}
	return nil
}

// ignored hashes, once, which files of the context the builder does not get to see.
func (h *hash) ignored() error {
	if h.hasContext {
		return nil
	}
	h.hasContext = true
	text, err := fs.ReadFile(h.in.Context, ".dockerignore")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("reading the context's .dockerignore: %w", err)
	}
	h.field(".dockerignore", string(text))
	return nil
}

// plain says that name is there, and that no symbolic link is on the way.
func (h *hash) plain(name string) error {
	if name == "." {
		return nil
	}
	for end := range len(name) + 1 {
		if end < len(name) && name[end] != '/' {
			continue
		}
		info, err := fs.Lstat(h.in.Context, name[:end])
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return unresolvedf("%s is not in the context", name)
		case err != nil:
			return fmt.Errorf("looking for a file of the context: %w", err)
		case info.Mode()&fs.ModeSymlink != 0:
			return unresolvedf("%s is a symbolic link in the context", name[:end])
		}
	}
	return nil
}

// tree hashes a file, or a folder with all that is in it: names, types, modes and contents, as BuildKit copies them. The
// context itself has no mode.
func (h *hash) tree(root string) error {
	err := fs.WalkDir(h.in.Context, root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
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
