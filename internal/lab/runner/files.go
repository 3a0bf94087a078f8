package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// summaryLimit is the largest step summary in bytes. The runner drops a larger one entirely (AttachmentSizeLimit).
const summaryLimit = 1024 * 1024

// outputs reads GITHUB_OUTPUT. A malformed file fails the step; the values before the malformed line still count.
func (j job) outputs() (values map[string]string, problem string) {
	values, err := parseKeyValues(j.read("set_output"))
	if err != nil {
		return values, fmt.Sprintf("Unable to process file command 'output' successfully. %v", err)
	}
	return values, ""
}

// summary reads GITHUB_STEP_SUMMARY, before masks are applied.
func (j job) summary() (text, problem string) {
	text = j.read("step_summary")
	if len(text) > summaryLimit {
		return "", fmt.Sprintf("$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of %dk, got %dk.",
			summaryLimit/1024, len(text)/1024)
	}
	return text, ""
}

// read returns "" for a file that the action removed, as the runner does.
func (j job) read(name string) string {
	content, _ := os.ReadFile(filepath.Join(j.commands(), name))
	return strings.TrimPrefix(string(content), "\ufeff")
}

// parseKeyValues reads `name=value` lines and `name<<delimiter` blocks.
func parseKeyValues(text string) (map[string]string, error) {
	values := map[string]string{}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for len(lines) > 0 {
		line := lines[0]
		lines = lines[1:]
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case equals > 0 && (heredoc < 0 || equals < heredoc):
			values[line[:equals]] = line[equals+1:]
		case heredoc > 0 && len(line) > heredoc+2 && (equals < 0 || heredoc < equals):
			value, rest, ok := cutBlock(lines, line[heredoc+2:])
			if !ok {
				return values, fmt.Errorf("matching delimiter not found %q", line[heredoc+2:])
			}
			values[line[:heredoc]], lines = value, rest
		default:
			return values, fmt.Errorf("invalid format %q", line)
		}
	}
	return values, nil
}

// cutBlock returns the lines before the delimiter, which has a line of its own.
func cutBlock(lines []string, delimiter string) (value string, rest []string, ok bool) {
	for i, line := range lines {
		if line == delimiter {
			return strings.Join(lines[:i], "\n"), lines[i+1:], true
		}
	}
	return "", nil, false
}
