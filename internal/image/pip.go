package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/logfile"
	"github.com/OpenHands/eval-images/internal/outcome"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// The base images of some instances get the Python packages that their evaluation needs, before the SDK builds on them.
// OpenHands/benchmarks adds them to the finished image, under the tag that it has already: when that fails half-way, an
// image without them is left, and is skipped ever after. Here nothing is done to an image that has its final tag.

// pipBase is what registries say of the base image of a target.
type pipBase struct {
	// from is what it is made of, by digest where that is known. unknown says why it is not.
	from    string
	unknown error
	// reference is the base image to build on. there says that it does not have to be made first.
	reference string
	there     bool
}

// lookUpPipBase looks for the base image with the target's Python packages. A target that needs none has its own.
func (m *Maker) lookUpPipBase(ctx context.Context, t plan.Target) (pipBase, error) {
	if t.PipRequirements == "" {
		return pipBase{reference: t.BaseImage, there: true}, nil
	}
	base, err := m.askForPipBase(ctx, t)
	switch {
	case err != nil || base.unknown == nil:
		return base, err
	case registry.Answered(base.unknown):
		return base, registryFailure(ctx, "asking for the digest of the base image "+t.BaseImage, base.unknown)
	}
	return base, &unreachable{t.BaseImage, base.unknown}
}

func (m *Maker) askForPipBase(ctx context.Context, t plan.Target) (pipBase, error) {
	base := pipBase{from: t.BaseImage}
	switch digest, err := m.registry.Digest(ctx, t.BaseImage); {
	case ctx.Err() != nil:
		return base, docker.Interrupted(ctx)
	case err != nil:
		base.unknown = err
	case digest != "":
		base.from = t.BaseImage + "@" + digest
	}
	tag := pipBaseTag(base.from, t.PipRequirements)
	base.reference = m.EvalBaseRepository + ":" + tag
	if base.from == t.BaseImage || m.Force {
		return base, nil
	}
	for _, repository := range m.evalBasePlaces() {
		reference := repository + ":" + tag
		switch digest, err := m.registry.Digest(ctx, reference); {
		case ctx.Err() != nil:
			return base, docker.Interrupted(ctx)
		case err != nil:
			return base, failure.OfRegistry("asking the registry for "+reference, err)
		case digest != "":
			base.reference, base.there = reference, true
			return base, nil
		}
	}
	return base, nil
}

// pipBaseInSlot is makePipBase in a slot for builds.
func (m *Maker) pipBaseInSlot(ctx context.Context, t plan.Target, out *outcome.Outcome) (reference string, err error) {
	err = m.inSlot(ctx, t, out, func() error {
		ctx, cancel := m.withTimeout(ctx)
		defer cancel()
		reference, err = m.makePipBase(ctx, t, out)
		return err
	})
	return reference, err
}

// makePipBase makes the target's base image with its Python packages when the registry does not have it, and returns its
// reference. The caller holds a slot.
func (m *Maker) makePipBase(ctx context.Context, t plan.Target, out *outcome.Outcome) (reference string, err error) {
	if t.PipRequirements == "" {
		return t.BaseImage, nil
	}
	defer addTime(&out.Build, time.Now())
	out.Enter(outcome.PipBase)
	log := m.logOf(t.InstanceID, "")
	out.LogPath = m.relative(log)
	reference, err = m.findOrPushPipBase(ctx, t, log)
	if err != nil {
		return "", retold(err, fmt.Errorf("adding %s to the base image %s: %w", t.PipRequirements, t.BaseImage, err))
	}
	m.used.add(pipTagOf(reference))
	return reference, nil
}

func (m *Maker) findOrPushPipBase(ctx context.Context, t plan.Target, log string) (reference string, err error) {
	base, err := m.askForPipBase(ctx, t)
	if err != nil {
		return "", err
	}
	if base.there {
		reference = m.bringPipBase(ctx, base.reference)
		logfile.Note(log, fmt.Sprintf("the base image is there with %s: %s", t.PipRequirements, reference))
		return reference, nil
	}
	if base.unknown != nil {
		// The builder may reach a registry that this process does not. The base image is then made each time: by a name
		// alone nobody knows whether it has become another one since.
		logfile.Note(log, fmt.Sprintf("the digest of %s is not known: %v", t.BaseImage, base.unknown))
	}
	if base.from != t.BaseImage { // its digest is known
		if err := m.registry.Confirm(ctx, base.from); err != nil {
			return "", registryFailure(ctx, "checking its digest", err)
		}
	}
	if err := m.mayPushEvalBases(ctx); err != nil {
		return "", err
	}
	args := []string{"--push", "--platform", Platform, "--tag", base.reference}
	return base.reference, docker.Build(ctx, m.Environ, log, m.StallTimeout, args, "", pipDockerfile(base.from, t.PipRequirements), base.from)
}

// pipTagOf returns the tag of a base image with Python packages.
func pipTagOf(reference string) string {
	reference, _, _ = strings.Cut(reference, "@")
	return reference[strings.LastIndexByte(reference, ':')+1:]
}

// testbedPython is the environment in which SWE-bench's images run an instance's tests (SWE-bench/SWE-bench,
// dockerfiles: conda's "testbed"). OpenHands/benchmarks takes the pip that PATH has, which another base image may not
// have, or have for another Python.
const testbedPython = "/opt/miniconda3/envs/testbed/bin/python"

// pipDockerfile is the whole recipe. Its one command is in exec form, so that a SHELL of the base image has no say, and it
// sets nothing: SHELL, USER or ENV would stay in the image and change the SDK's own stages, which are built on it.
// -I keeps Python from importing what lies in the base image's working directory, /testbed: the code under evaluation.
// What the base image has already and is not too new stays as it is, dependencies included: the tests were made for it.
func pipDockerfile(base, requirements string) string {
	command := append([]string{testbedPython, "-I", "-m", "pip", "install", "--no-cache-dir", "--no-deps"}, strings.Fields(requirements)...)
	return "FROM " + base + "\nRUN " + jsonArray(command) + "\n"
}

// jsonArray is JSON with "<" as it is: the text is also the image's history, which people read.
func jsonArray(words []string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(words) // strings always encode, and a buffer takes all
	return strings.TrimSpace(b.String())
}

// pipRecipeHash is the hex SHA-256 of all that decides what is added to a base image: the recipe with these requirements and
// the platform, but not the base image. It is empty where there are no requirements.
func pipRecipeHash(requirements string) string {
	if requirements == "" {
		return ""
	}
	return hash(Platform, pipDockerfile("base", requirements))
}

// pipBaseTag names a base image with Python packages. It changes with the recipe and with the base, which is name:tag@digest
// where the digest is known. With the digest alone, a registry that once answered with another image's digest would give this
// image the other one's packages. No tag of an evaluation's image begins so: these begin with a commit's hexadecimal digits.
func pipBaseTag(base, requirements string) string {
	return "base-" + hash(pipRecipeHash(requirements), base)[:16]
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}
