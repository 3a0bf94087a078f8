package plan

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/config"
)

// arch is the only one for which every instance has a base image; OpenHands/benchmarks asks for no other.
const arch = "x86_64"

const baseTemplate, tagTemplate = "base-image-template", "custom-tag-template"

// New plans one target for each instance, sorted by base image as OpenHands/benchmarks sorts its list. Their tags
// hold the hash of the SDK's Dockerfile, which is known only when the SDK is there: WithTags adds them. What will be
// wrong with a tag whatever that hash is, and with base images, New says already. The error joins *config.InputError.
func New(cfg config.Config, ids []string) ([]Target, error) { return NewWithColumns(cfg, ids, nil) }

// NewWithColumns is New for a template with columns of the dataset, whose values are by id and column.
//
// A column may name one image for many instances (SWE-smith has under 200 for 50,000). It is made once, under the first
// of their ids.
func NewWithColumns(cfg config.Config, ids []string, columns map[string]map[string]string) ([]Target, error) {
	targets := make([]Target, 0, len(ids))
	var found mistakes
	for _, id := range ids {
		if image := found.baseImage(cfg, id, columns[id]); image != "" {
			targets = append(targets, Target{InstanceID: id, BaseImage: image})
		}
	}
	slices.SortFunc(targets, func(a, b Target) int {
		return cmp.Or(cmp.Compare(a.BaseImage, b.BaseImage), cmp.Compare(a.InstanceID, b.InstanceID))
	})
	if len(config.Columns(cfg.BaseImageTemplate)) > 0 {
		targets = slices.CompactFunc(targets, func(a, b Target) bool { return a.BaseImage == b.BaseImage })
	}
	wrap(targets, cfg.Benchmark)
	found.shareBaseImage(targets)
	found.customTags(fill(targets, cfg.CustomTagTemplate, anyDockerfile(cfg.SDKOptions)), cfg.Target)
	if err := found.joined(); err != nil {
		return nil, err
	}
	return targets, nil
}

// baseImage follows OpenHands/benchmarks' get_official_docker_image: the default rule lower-cases, a template of the
// user's own is taken as it is, and repo and name are the two sides of the id's only "__". A column that names an image
// may leave out Docker Hub's name. It gives "" for a mistake.
func (m *mistakes) baseImage(cfg config.Config, id string, columns map[string]string) string {
	repo, instance, _ := strings.Cut(id, "__")
	if config.Uses(cfg.BaseImageTemplate, "repo", "name") && strings.Count(id, "__") != 1 {
		m.add(baseTemplate, "use {instance_id} instead of {repo} and {name}",
			"%s has not exactly one __ between {repo} and {name}", config.Quote(id))
		return ""
	}
	named := config.Columns(cfg.BaseImageTemplate)
	for _, column := range named {
		if strings.TrimSpace(columns[column]) == "" {
			m.add(baseTemplate, "use a column that every instance has", "column %s of %s is empty", column, config.Quote(id))
			return ""
		}
	}
	values := map[string]string{"instance_id": id, "repo": repo, "name": instance, "arch": arch}
	image := config.Fill(cfg.BaseImageTemplate, config.ColumnValues(values, columns))
	if len(named) > 0 {
		image = withHost(strings.TrimSpace(image))
	}
	if cfg.BaseImageTemplate == cfg.Benchmark.BaseImageTemplate {
		image = strings.ToLower(image)
	}
	switch _, err := name.ParseReference(image); {
	case strings.Contains(image, "@"):
		m.add(baseTemplate, "name base images by tag: the tags of the images that are built come from it",
			"the base image %s of %s is named by digest", config.Quote(image), config.Quote(id))
		return ""
	case err != nil:
		m.add(baseTemplate, "repositories have lower-case letters only, and a template of your own is not lower-cased for you",
			"%s, for %s, is not an image's name", config.Quote(image), config.Quote(id))
		return ""
	}
	return image
}

// withHost writes out the registry that Docker means when an image's name has none.
func withHost(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return image
	}
	return "docker.io/" + image
}

// shareBaseImage finds sorted targets with one base image. Their images would have one tag too, or twice the content.
func (m *mistakes) shareBaseImage(targets []Target) {
	for i := 1; i < len(targets); i++ {
		if a, b := targets[i-1], targets[i]; a.BaseImage == b.BaseImage {
			m.add(baseTemplate, "include {instance_id}, or {repo} and {name}",
				"%s and %s have the same base image %s", a.InstanceID, b.InstanceID, config.Quote(a.BaseImage))
		}
	}
}

// InstanceTag is a base image's last path component without its tag. OpenHands/benchmarks (extract_custom_tag) cuts at
// the first colon, and the evaluation asks for images by what is left.
func InstanceTag(baseImage string) string {
	component := baseImage[strings.LastIndexByte(baseImage, '/')+1:]
	tag, _, _ := strings.Cut(component, ":")
	return tag
}
