// Package plan turns a configuration and a list of instances into the images that a run has to provide.
package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/config"
)

// arch is the only architecture for which every instance has a base image. OpenHands/benchmarks uses no other.
const arch = "x86_64"

const baseTemplate, tagTemplate = "base-image-template", "custom-tag-template"

// New plans one target for each instance, sorted by base image as OpenHands/benchmarks sorts its list. columns holds the
// dataset's columns that the templates use, by instance id and column.
//
// The custom tags contain the hash of the SDK's Dockerfile, which is not known yet: WithTags adds them. New already reports
// bad base images, and tags that are bad with any hash. The error joins one *config.InputError for each.
//
// A column may name the same image for many instances (SWE-smith has under 200 for 50,000). New then plans one target, for
// the first of their ids.
func New(cfg config.Config, ids []string, columns map[string]map[string]string) ([]Target, error) {
	targets := make([]Target, 0, len(ids))
	var found inputErrors
	for _, id := range ids {
		if image := found.baseImage(cfg, id, columns[id]); image != "" {
			targets = append(targets, Target{
				InstanceID: id, BaseImage: image, PipRequirements: cfg.Benchmark.PipRequirements(id), TagColumns: found.tagColumns(cfg, id, columns[id]),
			})
		}
	}
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.BaseImage, b.BaseImage), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	if len(config.Columns(cfg.BaseImageTemplate)) > 0 {
		targets = slices.CompactFunc(targets, func(a, b Target) bool { return a.BaseImage == b.BaseImage })
	}
	found.shareBaseImage(targets)
	found.customTags(withCustomTags(targets, cfg.CustomTagTemplate, placeholderValues(cfg.SDKOptions)), cfg.Target, cfg.TagTemplateGiven)
	if err := found.joined(); err != nil {
		return nil, err
	}
	return targets, nil
}

// baseImage names the base image of an instance as OpenHands/benchmarks' get_official_docker_image does. It lower-cases the
// repository that the benchmark's own template gives, but not one of a user's template. {repo} and {name} are the parts of the id
// before and after its only "__". A column may omit Docker Hub's host. After a mistake the result is "".
func (e *inputErrors) baseImage(cfg config.Config, id string, columns map[string]string) string {
	repo, instance, _ := strings.Cut(id, "__")
	if config.Uses(cfg.BaseImageTemplate, "repo", "name") && strings.Count(id, "__") != 1 {
		e.add(baseTemplate, "use {instance_id} instead of {repo} and {name}",
			"%s has not exactly one __ between {repo} and {name}", config.Quote(id))
		return ""
	}
	named := config.Columns(cfg.BaseImageTemplate)
	for _, column := range named {
		if strings.TrimSpace(columns[column]) == "" {
			e.add(baseTemplate, "use a column that every instance has", "column %s of %s is empty", column, config.Quote(id))
			return ""
		}
	}
	values := map[string]string{"instance_id": id, "repo": repo, "name": instance, "arch": arch}
	image := config.Fill(cfg.BaseImageTemplate, config.ColumnValues(values, columns))
	if len(named) > 0 {
		image = withHost(image)
	}
	if cfg.BaseImageTemplate == cfg.Benchmark.BaseImageTemplate {
		repository, tag := splitTag(image)
		image = strings.ToLower(repository) + tag
	}
	switch _, err := name.ParseReference(image); {
	case strings.Contains(image, "@"):
		e.add(baseTemplate, "name base images by tag: the tags of the images that are built come from it",
			"the base image %s of %s is named by digest", config.Quote(image), config.Quote(id))
		return ""
	case err != nil:
		e.add(baseTemplate, "repositories have lower-case letters only, and a template of your own is not lower-cased for you",
			"%s, for %s, is not an image's name", config.Quote(image), config.Quote(id))
		return ""
	}
	return image
}

// tagColumns returns the values of the columns that custom-tag-template uses, or nil.
func (e *inputErrors) tagColumns(cfg config.Config, id string, columns map[string]string) map[string]string {
	var used map[string]string
	for _, column := range config.Columns(cfg.CustomTagTemplate) {
		if strings.TrimSpace(columns[column]) == "" {
			e.add(tagTemplate, "use a column that every instance has", "column %s of %s is empty", column, config.Quote(id))
			continue
		}
		if used == nil {
			used = map[string]string{}
		}
		used[column] = columns[column]
	}
	return used
}

// withHost adds docker.io to an image name without a registry, as Docker does.
func withHost(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return image
	}
	return "docker.io/" + image
}

// shareBaseImage reports sorted targets with the same base image. Their images would have the same tag, or the same content
// under two tags.
func (e *inputErrors) shareBaseImage(targets []Target) {
	for i := 1; i < len(targets); i++ {
		if a, b := targets[i-1], targets[i]; a.BaseImage == b.BaseImage {
			e.add(baseTemplate, "include {instance_id}, or {repo} and {name}",
				"%s and %s have the same base image %s", config.Quote(a.InstanceID), config.Quote(b.InstanceID), config.Quote(a.BaseImage))
		}
	}
}

// splitTag cuts an image's name before the colon of its tag. Without a tag, the second part is empty.
func splitTag(image string) (repository, tag string) {
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon], image[colon:]
	}
	return image, ""
}

// InstanceTag returns the last path component of a base image without its tag. It cuts at the first colon, as
// OpenHands/benchmarks does (extract_custom_tag): the evaluation uses the result to find images.
func InstanceTag(baseImage string) string {
	component := baseImage[strings.LastIndexByte(baseImage, '/')+1:]
	tag, _, _ := strings.Cut(component, ":")
	return tag
}

// Shard returns one run's part of the sorted targets: every Count-th, starting with the Index-th. Each target is in exactly
// one shard, and the sizes of shards differ by at most one. Neighbors in the list are often of one repository. They go to
// different shards, because the images of some repositories take much longer than others.
func Shard(targets []Target, s config.Shard) []Target {
	if s.Count <= 1 {
		return targets
	}
	var part []Target
	for i := s.Index - 1; i < len(targets); i += s.Count {
		part = append(part, targets[i])
	}
	return part
}

// maxInputErrors is how many mistakes New and CheckTags report. One wrong template causes a mistake for each instance.
const maxInputErrors = 10

// inputErrors collects the mistakes in the inputs that a plan uses.
type inputErrors struct {
	shown []error
	more  int
}

func (e *inputErrors) add(input, fix, problem string, args ...any) {
	if len(e.shown) == maxInputErrors {
		e.more++
		return
	}
	e.shown = append(e.shown, &config.InputError{Input: input, Problem: fmt.Sprintf(problem, args...), Fix: fix})
}

func (e *inputErrors) joined() error {
	if e.more > 0 {
		last := e.shown[len(e.shown)-1].(*config.InputError)
		last.Problem += fmt.Sprintf("; %d more like these are not shown", e.more)
	}
	return errors.Join(e.shown...)
}
