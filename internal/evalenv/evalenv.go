// Package evalenv asks swt-bench for the images that its evaluation of instances runs in: base and environments. swt-bench's own
// Python code decides names and content; this package runs it.
package evalenv

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/sdk"
)

//go:embed driver.py
var driver []byte

// Columns are the columns of the dataset that swt-bench needs, besides the instance id.
var Columns = []string{"repo", "version", "base_commit"}

// OptionalColumn is a column that swt-bench uses where a dataset has it. Else it takes base_commit.
const OptionalColumn = "environment_setup_commit"

// packages are what the modules of swt-bench import that the driver needs.
var packages = []string{"requests", "python-dotenv", "docker"}

// pythons are the versions of Python in which these modules run.
const pythons = ">=3.10"

// Harness is a checkout of swt-bench with the Python that runs it.
type Harness struct {
	// SHA is the commit.
	SHA string

	root, python, dir string
	cmds              sdk.Commands
	// silence is how long the server of files may say nothing. mirror takes its place in tests.
	silence time.Duration
	mirror  string
}

// silence is long for files of some kilobytes.
const silence = 20 * time.Second

// Clone checks swt-bench out into a folder of dir. The error is a *sdk.RefError if the ref is wrong, else a *sdk.SetupError.
func Clone(ctx context.Context, source sdk.Source, dir string, cmds sdk.Commands) (*Harness, error) {
	root, sha, err := sdk.CloneOther(ctx, source, "swt-bench", "src/exec_spec.py", filepath.Join(dir, "swt-bench"), cmds)
	if err != nil {
		return nil, err
	}
	return &Harness{SHA: sha, root: root, dir: dir, cmds: cmds, silence: silence}, nil
}

// Install makes the Python environment. Errors are a *sdk.SetupError.
func (h *Harness) Install(ctx context.Context) (err error) {
	h.python, err = sdk.Venv(ctx, h.cmds, filepath.Join(h.dir, "swt-bench-venv"), pythons, packages)
	return err
}

// Image is what swt-bench builds an image of.
type Image struct {
	// Key is the name and tag of the image: "exec.base.x86_64:latest".
	Key        string `json:"key"`
	Dockerfile string `json:"dockerfile"`
	// Script is setup_env.sh in the build context of an environment. The base has none.
	Script string `json:"script"`
}

// Answer is what swt-bench says of one instance.
type Answer struct {
	InstanceID string `json:"instance_id"`
	Base       Image  `json:"base"`
	Env        Image  `json:"env"`
	Platform   string `json:"platform"`
	// Err is why swt-bench gives no images for this instance, or nil. It is a *failure.Error.
	Err error `json:"-"`
}

// Row has the columns of one instance, by name.
type Row map[string]string

// Retry makes attempts until one succeeds or another one cannot help.
type Retry func(attempt func() error) error

// Ask asks swt-bench for the images of all rows. It asks again, as retry decides, for rows whose files could not be fetched. The answers
// are in the order of the rows, and have the errors of single rows. The error is a *sdk.SetupError if swt-bench fails as a whole, the
// cause of the end of ctx, or that of a file that could not be written or of output that could not be read.
func (h *Harness) Ask(ctx context.Context, rows []Row, retry Retry) ([]Answer, error) {
	program := filepath.Join(h.dir, "swt-bench-driver.py")
	if err := os.WriteFile(program, driver, 0o600); err != nil {
		return nil, fmt.Errorf("writing the driver of swt-bench: %w", err)
	}
	answers := map[string]Answer{}
	left := rows
	var broken error
	err := retry(func() error {
		told, err := h.askOnce(ctx, program, left)
		if err != nil {
			broken = err
			return &failure.Error{Class: failure.ClassSDK, NotTried: true, Err: err}
		}
		left = nil
		var again []error
		for _, a := range told {
			answers[a.InstanceID] = a
			if failure.Retryable(a.Err) {
				left, again = append(left, rowOf(rows, a.InstanceID)), append(again, a.Err)
			}
		}
		return worst(again)
	})
	if broken != nil || ctx.Err() != nil {
		return nil, cmp.Or(context.Cause(ctx), broken, err)
	}
	all := make([]Answer, 0, len(rows))
	for _, row := range rows {
		all = append(all, answers[row["instance_id"]])
	}
	return all, nil
}

func rowOf(rows []Row, id string) Row {
	return rows[slices.IndexFunc(rows, func(r Row) bool { return r["instance_id"] == id })]
}

// worst returns the error to go by when several files are to be fetched again: one of a server that asks to wait, the longest.
func worst(all []error) error {
	if len(all) == 0 {
		return nil
	}
	return slices.MaxFunc(all, func(a, b error) int { return cmp.Compare(asksToWait(a), asksToWait(b)) })
}

func asksToWait(err error) time.Duration {
	var e *failure.Error
	if errors.As(err, &e) && e.Class == failure.ClassRateLimit {
		return e.RetryAfter + 1
	}
	return 0
}

func (h *Harness) askOnce(ctx context.Context, program string, rows []Row) ([]Answer, error) {
	var text strings.Builder
	for _, row := range rows {
		line, _ := json.Marshal(row) // encoding strings never fails
		text.Write(append(line, '\n'))
	}
	file := filepath.Join(h.dir, "swt-bench-rows.jsonl")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return nil, fmt.Errorf("writing the rows for swt-bench: %w", err)
	}
	args := []string{h.python, program, h.root, file, filepath.Join(h.dir, "swt-bench-files"), fmt.Sprint(h.silence.Seconds()), h.mirror}
	out, err := sdk.RunOther(ctx, h.cmds, "asking swt-bench for its images", h.root, args)
	if err != nil {
		return nil, err
	}
	answers, err := readAnswers(out)
	if err == nil && len(answers) != len(rows) {
		err = fmt.Errorf("swt-bench answered for %d of %d instances", len(answers), len(rows))
	}
	return answers, err
}

// classes are the classes of failure by the driver's kinds.
var classes = map[string]failure.Class{
	"timeout": failure.ClassNetwork, "network": failure.ClassNetwork, "server": failure.ClassNetwork,
	"rate-limit": failure.ClassRateLimit, "auth": failure.ClassAuth,
}

func readAnswers(out string) (answers []Answer, err error) {
	for line := range strings.Lines(out) {
		var told struct {
			Answer
			Error      string  `json:"error"`
			Kind       string  `json:"kind"`
			RetryAfter float64 `json:"retry_after"`
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			return nil, fmt.Errorf("reading the answer of swt-bench: %w", err)
		}
		a := told.Answer
		switch {
		case told.Error != "":
			a.Err = &failure.Error{
				Class: cmp.Or(classes[told.Kind], failure.ClassSDK), RetryAfter: time.Duration(told.RetryAfter * float64(time.Second)),
				Err: fmt.Errorf("asking swt-bench for the environment of %s: %s", a.InstanceID, told.Error),
			}
		case !isKey(a.Base.Key) || !isKey(a.Env.Key):
			a.Err = &failure.Error{Class: failure.ClassSDK, Err: fmt.Errorf(
				"swt-bench names the images of %s %q and %q, which cannot be pushed", a.InstanceID, a.Base.Key, a.Env.Key)}
		case a.Platform != "linux/x86_64" && a.Platform != "linux/amd64":
			a.Err = &failure.Error{Class: failure.ClassPlatform, Err: fmt.Errorf("swt-bench wants %s for %s", a.Platform, a.InstanceID)}
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// isKey reports whether a key is a name with a tag that can follow a prefix: a component of a path, and a tag
// (https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests).
func isKey(key string) bool { return keyPattern.MatchString(key) }

var keyPattern = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
