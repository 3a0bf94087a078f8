package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
	"github.com/OpenHands/eval-images/internal/lab/services"
)

var errNotUp = errors.New("the lab is not up for this checkout\nhint: make lab")

// env prints the variables that `up` has left, if they are still true: the registry answers, and the sources have the
// hash that is in the name of the action's image.
func env(ctx context.Context, e *engine.Engine, out io.Writer) error {
	kept, err := os.ReadFile(envFile(e))
	if err != nil {
		return errNotUp
	}
	now, err := assignments(e, parts)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if string(kept) != now || services.Answers(ctx) != nil {
		return errNotUp
	}
	_, err = io.WriteString(out, now)
	return err
}

func envFile(e *engine.Engine) string { return filepath.Join(e.Cache, "env") }

func keepEnv(e *engine.Engine) error {
	lines, err := assignments(e, parts)
	if err != nil {
		return err
	}
	unfinished := envFile(e) + ".unfinished"
	if err := os.WriteFile(unfinished, []byte(lines), 0o644); err != nil {
		return fmt.Errorf("keeping the variables: %w", err)
	}
	return os.Rename(unfinished, envFile(e))
}

func forgetEnv(e *engine.Engine) error {
	if err := os.Remove(envFile(e)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("forgetting the variables: %w", err)
	}
	return nil
}

// variables returns the variables of all parts.
func variables(e *engine.Engine, parts []engine.Part) (map[string]string, error) {
	values := map[string]string{}
	for _, part := range parts {
		if part.Env == nil {
			continue
		}
		found, err := part.Env(e)
		if err != nil {
			return nil, fmt.Errorf("listing the variables of the %s: %w", part.Name, err)
		}
		maps.Copy(values, found)
	}
	return values, nil
}

// assignments returns the parts' variables as lines for a shell, sorted by name.
func assignments(e *engine.Engine, parts []engine.Part) (string, error) {
	values, err := variables(e, parts)
	if err != nil {
		return "", err
	}
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&lines, "%s=%s\n", name, quote(values[name]))
	}
	return lines.String(), nil
}

// quote returns the value as one word of a POSIX shell.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'" }
