package plan

import (
	"cmp"
	"crypto/sha1" //nolint:gosec // names only: the evaluation uses it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
)

// Values are the parts of a tag that all instances share.
type Values struct {
	// SDKDockerfileSHA256 is the hex digest of the SDK's Dockerfile, openhands/agent_server/docker/Dockerfile. (The evaluation
	// hashes its text with normalized line ends. The SDK's file has only LF.)
	SDKDockerfileSHA256 string
	// Options are the SDK options of this run.
	Options []config.Option
}

// shortHash is how many digits of a hash are in a tag, as in OpenHands/benchmarks' dockerfile_content_hash.
const shortHash = 7

// placeholderValues are for checks in which only the length of the hash matters.
func placeholderValues(options []config.Option) Values {
	return Values{SDKDockerfileSHA256: strings.Repeat("x", sha256.Size*2), Options: options}
}

// OptionsSHA256 is the hex digest of the sorted lines name=value. The order of options does not matter to an image.
func OptionsSHA256(options []config.Option) string {
	lines := make([]string, len(options))
	for i, o := range options {
		lines[i] = o.Name + "=" + o.Value + "\n"
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}

// WithTags returns the targets with their custom tags.
func WithTags(targets []Target, template string, v Values) ([]Target, error) {
	if raw, err := hex.DecodeString(v.SDKDockerfileSHA256); err != nil || len(raw) != sha256.Size {
		return nil, fmt.Errorf("making tags: %q is not the sha256 of the SDK's Dockerfile", v.SDKDockerfileSHA256)
	}
	return withCustomTags(targets, template, v), nil
}

func withCustomTags(targets []Target, template string, v Values) []Target {
	values := map[string]string{
		"sdk_dockerfile_sha7": v.SDKDockerfileSHA256[:shortHash],
		"options_sha7":        OptionsSHA256(v.Options)[:shortHash],
	}
	tagged := slices.Clone(targets)
	for i := range tagged {
		values["instance_id"], values["instance_tag"] = tagged[i].InstanceID, InstanceTag(tagged[i].BaseImage)
		values["base_image_tag"] = BaseImageTag(tagged[i].BaseImage)
		tagged[i].CustomTag = config.Fill(template, config.ColumnValues(maps.Clone(values), tagged[i].TagColumns))
	}
	return tagged
}

// The rule of OpenHands/benchmarks for SWE-Bench Pro, whose base images differ by tag only (extract_custom_tag in
// benchmarks/swebenchpro/build_images.py): the evaluation uses the result to find images.
const (
	longestBaseImageTag = 96
	baseImageTagDigits  = 12 // of the SHA-1 of a tag that is too long, or of which nothing is left
)

var notInTag = regexp.MustCompile(`[^a-z0-9_.-]+`)

// BaseImageTag returns the tag of a base image in the form that its image's tag takes it.
func BaseImageTag(baseImage string) string {
	tag := tagOf(baseImage)
	fit := strings.Trim(notInTag.ReplaceAllString(strings.ToLower(tag), "-"), ".-")
	if fit != "" && len(fit) <= longestBaseImageTag {
		return fit
	}
	sum := sha1.Sum([]byte(tag))
	digits := hex.EncodeToString(sum[:])[:baseImageTagDigits]
	if fit == "" {
		return digits
	}
	return strings.TrimRight(fit[:longestBaseImageTag-len(digits)-1], ".-") + "-" + digits
}

// tagLimit is the OCI distribution specification's limit for a tag, in characters.
const tagLimit = 128

// distinguish returns how to give two targets tags of their own. The instance tag of a base image lacks the image's own tag.
func distinguish(a, b Target) string {
	repositoryA, _ := splitTag(a.BaseImage)
	repositoryB, _ := splitTag(b.BaseImage)
	switch {
	case repositoryA == repositoryB:
		return "include {instance_id}: the base images differ by their tags only, which {instance_tag} leaves out"
	case InstanceTag(a.BaseImage) == InstanceTag(b.BaseImage):
		return "include {instance_id}: the base images have the same last name, which is all that {instance_tag} takes"
	}
	return "include {instance_tag} or {instance_id}"
}

var (
	// customTagForm is the form of the part of a tag. It has no comma, because the SDK splits its custom_tags at commas.
	customTagForm = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	tagForm       = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// customTags reports custom tags that cannot become a part of a tag, before the SDK is called.
func (e *inputErrors) customTags(targets []Target, stage string, templateGiven bool) {
	owner := map[string]Target{}
	for _, t := range targets {
		tag, id := config.Quote(t.CustomTag), config.Quote(t.InstanceID)
		if !customTagForm.MatchString(t.CustomTag) {
			e.add(tagTemplate, "use letters, digits and _ . - only", "%s, for %s, cannot be a part of a tag", tag, id)
		}
		if over := len(shortestTag(t.CustomTag, stage)) - tagLimit; over > 0 {
			e.add(tagTemplate, "shorten it by "+characters(over)+" or more",
				"%s, for %s, makes a tag of at least %d characters; registries take %d", tag, id, tagLimit+over, tagLimit)
		}
		// Two targets with the same base image are a mistake that shareBaseImage reports.
		if other, taken := owner[t.CustomTag]; taken && other.BaseImage != t.BaseImage {
			if !templateGiven {
				// The default takes what tells images apart from their bases' names.
				e.add(baseTemplate, "set custom-tag-template to one with {instance_id}, such as {sdk_dockerfile_sha7}-{instance_id}, "+
					"or end base-image-template in another name for each instance",
					"the images of %s and %s would get the same tag: the default takes it from the last name of the base image, and both %s and %s have %s",
					config.Quote(other.InstanceID), id, config.Quote(other.BaseImage), config.Quote(t.BaseImage), config.Quote(InstanceTag(t.BaseImage)))
				continue
			}
			e.add(tagTemplate, distinguish(other, t), "%s and %s get the same tag %s", config.Quote(other.InstanceID), id, tag)
		}
		owner[t.CustomTag] = t
	}
}

func characters(n int) string {
	if n == 1 {
		return "1 character"
	}
	return fmt.Sprintf("%d characters", n)
}

// shortestTag returns the shortest tag that any SDK makes from a custom tag: the short SHA, the custom tag and, except for
// binary stages, the stage. SDKs from 1.22.0 on also make a tag with the long SHA. CheckTags checks that one when the SDK
// has named it.
func shortestTag(custom, stage string) string {
	tag := strings.Repeat("0", shortHash) + "-" + custom
	if !strings.HasPrefix(stage, "binary") {
		tag += "-" + stage
	}
	return tag
}

// DropLongTags drops the tags that are too long for a registry where a target has another one: SDKs from 1.22.0 on also
// name the image by the 40 digits of the commit. Such a target can only be rebased, because the SDK's own build pushes all
// of its tags.
func DropLongTags(targets []Target) {
	for i, t := range targets {
		var fit []string
		longest := 0
		for _, reference := range t.Tags {
			length := len(tagOf(reference))
			if longest = max(longest, length); length <= tagLimit {
				fit = append(fit, reference)
			}
		}
		if len(fit) > 0 && len(fit) < len(t.Tags) {
			targets[i].Tags = fit
			targets[i].NotNative = fmt.Sprintf("the SDK's own build would also push a tag of %d characters, and registries take %d", longest, tagLimit)
		}
	}
}

// CheckTags reports tags of the SDK that a registry would reject, or that two targets share. The error joins one
// *config.InputError for each.
func CheckTags(targets []Target) error {
	var found inputErrors
	owner := map[string]Target{}
	for _, t := range targets {
		if len(t.Tags) == 0 {
			found.add(tagTemplate, "include {instance_tag} or {instance_id}", "the SDK names no tag for %s", config.Quote(t.InstanceID))
		}
		for _, reference := range t.Tags {
			tag := tagOf(reference)
			if over := len(tag) - tagLimit; over > 0 {
				found.add(tagTemplate, fmt.Sprintf("shorten it by %s or more: this SDK leaves %d for it", characters(over), len(t.CustomTag)-over),
					"%s, for %s, makes a tag of %d characters; registries take %d", config.Quote(t.CustomTag), config.Quote(t.InstanceID), len(tag), tagLimit)
			} else if !tagForm.MatchString(tag) {
				found.add(tagTemplate, "use letters, digits and _ . - only", "%s, for %s, is not a tag", config.Quote(reference), config.Quote(t.InstanceID))
			}
			if other, taken := owner[reference]; taken && other.InstanceID != t.InstanceID {
				found.add(tagTemplate, distinguish(other, t), "%s and %s get the same tag %s", config.Quote(other.InstanceID), config.Quote(t.InstanceID), config.Quote(tag))
			}
			owner[reference] = t
		}
	}
	return found.joined()
}

// tagOf returns the tag of a reference. The colon before a registry's port starts no tag.
func tagOf(reference string) string {
	path := reference[strings.LastIndexByte(reference, '/')+1:]
	_, tag, _ := strings.Cut(path, ":")
	return tag
}

// evaluationStage is the only stage that evaluations use (DEFAULT_BUILD_TARGET in OpenHands/benchmarks).
const evaluationStage = "source-minimal"

// ImageTagPrefix returns the prefix with which an evaluation finds every target. The evaluation looks for the tag
// <prefix>-<instance tag>-source-minimal, and reads the prefix from the benchmark's PrefixVariable. SDK options can change
// the SDK's tags, so the prefix comes from the tags themselves: it is the shortest that all targets have. ok is false if no
// prefix fits all targets.
func ImageTagPrefix(targets []Target) (prefix string, ok bool) {
	common := map[string]int{}
	for _, t := range targets {
		for p := range tagPrefixes(t) {
			common[p]++
		}
	}
	for p, n := range common {
		if n == len(targets) && (!ok || cmp.Or(cmp.Compare(len(p), len(prefix)), cmp.Compare(p, prefix)) < 0) {
			prefix, ok = p, true
		}
	}
	return prefix, ok
}

func tagPrefixes(t Target) map[string]bool {
	found := map[string]bool{}
	for _, reference := range t.Tags {
		for _, custom := range []string{InstanceTag(t.BaseImage), BaseImageTag(t.BaseImage)} {
			if p, ends := strings.CutSuffix(tagOf(reference), "-"+custom+"-"+evaluationStage); ends {
				found[p] = true
			}
		}
	}
	return found
}
