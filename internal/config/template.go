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
	TagPlaceholders = []string{"instance_tag", "instance_id", "base_image_tag", "sdk_dockerfile_sha7", "options_sha7"}
)

// OptionsPlaceholder stands for the SDK options in a custom-tag-template.
const OptionsPlaceholder = "{options_sha7}"

// columnPlaceholder begins the placeholders of base-image-template that stand for a column of the dataset, where an image
// is not a matter of the id: {column:image_name}.
const columnPlaceholder = "column:"

// Columns names the columns of the dataset that a template needs.
func Columns(template string) []string {
	var columns []string
	for _, placeholder := range braced.FindAllString(template, -1) {
		if column, ok := strings.CutPrefix(strings.Trim(placeholder, "{}"), columnPlaceholder); ok && !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
	}
	return columns
}

// ColumnValues adds the values of columns, without spaces around them, to those of a template's other placeholders.
func ColumnValues(values, columns map[string]string) map[string]string {
	for column, value := range columns {
		values[columnPlaceholder+column] = strings.TrimSpace(value)
	}
	return values
}

// columnName is a column's name as datasets have them.
var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

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

// template reads a template and refuses what is no placeholder of it: neither a known one nor a name with a prefix.
func (p *parser) template(input string, known []string, prefixes ...string) string {
	v := p.given(input)
	var shown []string
	for _, name := range known {
		shown = append(shown, "{"+name+"}")
	}
	fix := "the placeholders are " + strings.Join(shown, " ")
	for _, prefix := range prefixes {
		fix += ", and {" + prefix + "NAME}"
	}
	for _, placeholder := range braced.FindAllString(v, -1) {
		named := slices.ContainsFunc(prefixes, func(prefix string) bool {
			rest, ok := strings.CutPrefix(strings.Trim(placeholder, "{}"), prefix)
			return ok && columnName.MatchString(rest)
		})
		if named || slices.Contains(shown, placeholder) {
			continue
		}
		if p.mistakes[input] >= maxMistakes {
			break
		}
		if len(placeholder) > maxQuoted {
			placeholder = Quote(placeholder)
		}
		if near := Nearest(placeholder, shown); near != "" {
			p.wrong(input, fmt.Sprintf("did you mean %s? %s", near, fix), "%s has the unknown placeholder %s", Quote(v), placeholder)
			continue
		}
		p.wrong(input, fix, "%s has the unknown placeholder %s", Quote(v), placeholder)
	}
	if strings.ContainsAny(braced.ReplaceAllString(v, ""), "{}") {
		p.wrong(input, fix, "%s has a brace that belongs to no placeholder", Quote(v))
	}
	return v
}
