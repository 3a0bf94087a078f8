package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/config"
)

// Values are what tags hold beside the instance.
type Values struct {
	// SDKDockerfileSHA256 is the hex digest of the SDK's Dockerfile, openhands/agent_server/docker/Dockerfile. (The
	// evaluation hashes its text, in which Python has made every line end LF; the SDK's file has no other.)
	SDKDockerfileSHA256 string
	// Options are the SDK options of this run.
	Options []config.Option
}

// shortHash is how many digits of a hash a tag holds, as in OpenHands/benchmarks' dockerfile_content_hash.
const shortHash = 7

// anyDockerfile stands in where only the length of the hash matters.
func anyDockerfile(options []config.Option) Values {
	return Values{SDKDockerfileSHA256: strings.Repeat("x", sha256.Size*2), Options: options}
}

// OptionsSHA256 is the hex digest of the options as sorted lines of name=value: their order changes nothing in an image.
func OptionsSHA256(options []config.Option) string {
	lines := make([]string, len(options))
	for i, o := range options {
		lines[i] = o.Name + "=" + o.Value + "\n"
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return hex.EncodeToString(sum[:])
}

// WithTags gives the targets their custom tags.
func WithTags(targets []Target, template string, v Values) ([]Target, error) {
	if raw, err := hex.DecodeString(v.SDKDockerfileSHA256); err != nil || len(raw) != sha256.Size {
		return nil, fmt.Errorf("making tags: %q is not the sha256 of the SDK's Dockerfile", v.SDKDockerfileSHA256)
	}
	return fill(targets, template, v), nil
}

func fill(targets []Target, template string, v Values) []Target {
	values := map[string]string{
		"sdk_dockerfile_sha7": v.SDKDockerfileSHA256[:shortHash],
		"options_sha7":        OptionsSHA256(v.Options)[:shortHash],
	}
	tagged := slices.Clone(targets)
	for i := range tagged {
		values["instance_id"], values["instance_tag"] = tagged[i].InstanceID, InstanceTag(tagged[i].BaseImage)
		tagged[i].CustomTag = config.Fill(template, values)
	}
	return tagged
}

// tagLimit is the OCI distribution specification's for a tag, in characters.
const tagLimit = 128

const perInstance = "include {instance_tag} or {instance_id}"

var (
	// customTag is what may stand within a tag. The SDK cuts its custom_tags at commas, so that is no detail.
	customTag = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	wholeTag  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// customTags finds what cannot become a tag, before the SDK is asked for the tags it will make of it.
func (m *mistakes) customTags(targets []Target, stage string) {
	owner := map[string]Target{}
	for _, t := range targets {
		tag := config.Quote(t.CustomTag)
		if !customTag.MatchString(t.CustomTag) {
			m.add(tagTemplate, "use letters, digits and _ . - only", "%s, for %s, cannot be a part of a tag", tag, t.InstanceID)
		}
		if over := len(shortestTag(t.CustomTag, stage)) - tagLimit; over > 0 {
			m.add(tagTemplate, fmt.Sprintf("shorten it by %d characters or more", over),
				"%s, for %s, makes a tag of at least %d characters; registries take %d", tag, t.InstanceID, tagLimit+over, tagLimit)
		}
		// One base image for two is a mistake of its own; that they then have one tag as well is no other.
		if other, taken := owner[t.CustomTag]; taken && other.BaseImage != t.BaseImage {
			m.add(tagTemplate, perInstance, "%s and %s get the same tag %s", other.InstanceID, t.InstanceID, tag)
		}
		owner[t.CustomTag] = t
	}
}

// shortestTag is the shortest that any SDK makes: the short SHA, the custom tag and, but for binary stages, the stage.
// From 1.22.0 on there is one with the long SHA too, which only the SDK's own tags show: CheckTags.
func shortestTag(custom, stage string) string {
	tag := strings.Repeat("0", shortHash) + "-" + custom
	if !strings.HasPrefix(stage, "binary") {
		tag += "-" + stage
	}
	return tag
}

// CheckTags finds what a registry would refuse, or overwrite, among the tags that the SDK named. The error joins
// *config.InputError.
func CheckTags(targets []Target) error {
	var found mistakes
	owner := map[string]string{}
	for _, t := range targets {
		if len(t.Tags) == 0 {
			found.add(tagTemplate, perInstance, "the SDK names no tag for %s", t.InstanceID)
		}
		for _, reference := range t.Tags {
			tag := tagOf(reference)
			if over := len(tag) - tagLimit; over > 0 {
				found.add(tagTemplate, fmt.Sprintf("shorten it by %d characters or more: this SDK leaves %d for it", over, len(t.CustomTag)-over),
					"%s, for %s, makes a tag of %d characters; registries take %d", config.Quote(t.CustomTag), t.InstanceID, len(tag), tagLimit)
			} else if !wholeTag.MatchString(tag) {
				found.add(tagTemplate, "use letters, digits and _ . - only", "%s, for %s, is not a tag", config.Quote(reference), t.InstanceID)
			}
			if other, taken := owner[reference]; taken && other != t.InstanceID {
				found.add(tagTemplate, perInstance, "%s and %s get the same tag %s", other, t.InstanceID, config.Quote(tag))
			}
			owner[reference] = t.InstanceID
		}
	}
	return found.joined()
}

// tagOf is a reference's tag; the colon before a registry's port is not one before a tag.
func tagOf(reference string) string {
	path := reference[strings.LastIndexByte(reference, '/')+1:]
	_, tag, _ := strings.Cut(path, ":")
	return tag
}
