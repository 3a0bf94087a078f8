package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Placeholders of the two templates.
var (
	// BasePlaceholders are those of base-image-template; the names are OpenHands/benchmarks' own
	// (OPENHANDS_SWEBENCH_IMAGE_TEMPLATE).
	BasePlaceholders = []string{"instance_id", "repo", "name", "arch"}
	// TagPlaceholders are those of custom-tag-template.
	TagPlaceholders = []string{"instance_tag", "instance_id", "sdk_dockerfile_sha7", "options_sha7"}
)

// OptionsPlaceholder stands for the SDK options in a custom-tag-template.
const OptionsPlaceholder = "{options_sha7}"

var braced = regexp.MustCompile(`\{[^{}]*\}`)

// Fill puts values into a template's placeholders.
func Fill(template string, values map[string]string) string {
	return braced.ReplaceAllStringFunc(template, func(placeholder string) string {
		return values[strings.Trim(placeholder, "{}")]
	})
}

// Uses reports whether a template has one of the placeholders.
func Uses(template string, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return strings.Contains(template, "{"+name+"}") })
}

// template reads a template and refuses what is no placeholder of it.
func (p *parser) template(input string, known []string) string {
	v := p.given(input)
	var shown []string
	for _, name := range known {
		shown = append(shown, "{"+name+"}")
	}
	fix := "the placeholders are " + strings.Join(shown, " ")
	for _, placeholder := range braced.FindAllString(v, -1) {
		if slices.Contains(shown, placeholder) {
			continue
		}
		if near := Nearest(placeholder, shown); near != "" {
			fix = fmt.Sprintf("did you mean %s? %s", near, fix)
		}
		p.wrong(input, fix, "%s has the unknown placeholder %s", Quote(v), placeholder)
	}
	if strings.ContainsAny(braced.ReplaceAllString(v, ""), "{}") {
		p.wrong(input, fix, "%s has a brace that belongs to no placeholder", Quote(v))
	}
	return v
}
