package runner

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

var (
	inputName    = regexp.MustCompile(`^  ([A-Za-z_][A-Za-z0-9_-]*):\s*$`)
	inputDefault = regexp.MustCompile(`^    default:\s*(.*?)\s*$`)
	inputOther   = regexp.MustCompile(`^    (description|required|deprecationMessage):`)
)

// readInputs returns the inputs that an action.yml declares, each with its default. It reads only the layout of this
// project's action.yml (two blanks a level, one line a value) and refuses any other, so that no input is missed.
func readInputs(action io.Reader) (map[string]string, error) {
	inputs := map[string]string{}
	current, inside := "", false
	lines := bufio.NewScanner(action)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case !strings.HasPrefix(line, " "):
			inside = strings.TrimSpace(line) == "inputs:"
		case !inside || inputOther.MatchString(line):
		case inputName.MatchString(line):
			current = inputName.FindStringSubmatch(line)[1]
			inputs[current] = ""
		case inputDefault.MatchString(line) && current != "":
			value, err := scalar(inputDefault.FindStringSubmatch(line)[1])
			if err != nil {
				return nil, fmt.Errorf("reading the default of %s: %w", current, err)
			}
			inputs[current] = value
		default:
			return nil, fmt.Errorf("reading the inputs: %q is not in the layout this fake knows", line)
		}
	}
	return inputs, lines.Err()
}

// scalar reads a plain or simply quoted value.
func scalar(text string) (string, error) {
	if strings.Contains(text, "${{") || strings.HasPrefix(text, "|") || strings.HasPrefix(text, ">") {
		return "", fmt.Errorf("%q is an expression or a block, which this fake does not evaluate", text)
	}
	for _, quote := range []string{`"`, `'`} {
		if inner, ok := strings.CutPrefix(text, quote); ok {
			inner, ok = strings.CutSuffix(inner, quote)
			if !ok || strings.Contains(inner, quote) || strings.Contains(inner, `\`) {
				return "", fmt.Errorf("%s is quoted in a way this fake does not know", text)
			}
			return inner, nil
		}
	}
	return text, nil
}
