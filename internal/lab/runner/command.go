package runner

import (
	"slices"
	"strings"
)

// command is a workflow command: a line of the log that the runner executes.
type command struct {
	name       string
	properties map[string]string
	message    string
}

// commandNames are the commands that a runner knows. A line with any other name is text.
var commandNames = []string{
	"add-mask", "add-matcher", "add-path", "debug", "echo", "endgroup", "error", "group", "notice", "remove-matcher",
	"save-state", "set-env", "set-output", "stop-commands", "warning",
}

var (
	messageEscapes  = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%25", "%")
	propertyEscapes = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%")
	legacyEscapes   = strings.NewReplacer("%0D", "\r", "%0A", "\n", "%5D", "]", "%3B", ";", "%25", "%")
)

// parseCommand reads `::name key=value,...::message` after leading blanks, and the older `##[name key=value;]message`
// anywhere in a line. The token that ends stop-commands is a name, too.
func parseCommand(line, token string) (command, bool) {
	if c, ok := parseColons(line); ok && c.isKnown(token) {
		return c, true
	}
	c, ok := parseBrackets(line)
	return c, ok && c.isKnown(token)
}

func (c command) isKnown(token string) bool {
	return slices.Contains(commandNames, c.name) || (token != "" && c.name == token)
}

func parseColons(line string) (command, bool) {
	body, ok := strings.CutPrefix(strings.TrimLeft(line, " \t"), "::")
	if !ok {
		return command{}, false
	}
	head, message, ok := strings.Cut(body, "::")
	if !ok {
		return command{}, false
	}
	name, properties, _ := strings.Cut(head, " ")
	return command{name, parseProperties(properties, ",", propertyEscapes), messageEscapes.Replace(message)}, true
}

func parseBrackets(line string) (command, bool) {
	_, body, ok := strings.Cut(line, "##[")
	if !ok {
		return command{}, false
	}
	head, message, ok := strings.Cut(body, "]")
	if !ok {
		return command{}, false
	}
	name, properties, _ := strings.Cut(head, " ")
	return command{name, parseProperties(properties, ";", legacyEscapes), legacyEscapes.Replace(message)}, true
}

func parseProperties(text, separator string, escapes *strings.Replacer) map[string]string {
	properties := map[string]string{}
	for pair := range strings.SplitSeq(text, separator) {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok {
			properties[key] = escapes.Replace(value)
		}
	}
	return properties
}
