package docker

import (
	"regexp"
	"strings"
)

// from is an instruction that begins a stage.
var from = regexp.MustCompile(`(?im)^[ \t]*FROM[ \t]+(?:--platform=\S+[ \t]+)?(\S+)(?:[ \t]+AS[ \t]+(\S+))?`)

// OwnStages names the stages of the SDK's Dockerfile that are built FROM its argument BASE_IMAGE, at first or second
// hand: a failure in one of them is one image's, and in any other stage that of all images. The argument's name is the
// SDK's contract with its own build module; stage names are not.
func OwnStages(dockerfile string) []string {
	var own []string
	is := map[string]bool{"${base_image}": true, "$base_image": true}
	for _, stage := range from.FindAllStringSubmatch(dockerfile, -1) {
		if base, name := strings.ToLower(stage[1]), strings.ToLower(stage[2]); is[base] && name != "" {
			own, is[name] = append(own, name), true
		}
	}
	return own
}
