package imagediff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// isBuildField reports whether a field of the config describes the build, not the image. The DiffIDs in rootfs are compared
// with the layers.
func isBuildField(field string) bool {
	return field == "created" || field == "history" || field == "rootfs" || strings.HasPrefix(field, "moby.buildkit.")
}

// compareConfigs compares the raw JSON of two configs field by field. A typed config would hide unknown fields.
func compareConfigs(wanted, given []byte) ([]Difference, error) {
	w, err := decode(wanted)
	if err != nil {
		return nil, err
	}
	g, err := decode(given)
	if err != nil {
		return nil, err
	}
	for _, fields := range []map[string]any{w, g} {
		maps.DeleteFunc(fields, func(field string, _ any) bool { return isBuildField(field) })
	}
	return compareFields("config", w, g, maxDepth), nil
}

func decode(config []byte) (map[string]any, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber()
	err := decoder.Decode(&fields)
	return fields, err
}

// maxDepth is how many levels of objects below the config are told apart. Labels are on the second.
const maxDepth = 4

// compareFields compares objects recursively, down to a depth. null is equal to an absent field. Names omit the member "config", which holds
// the runtime settings.
func compareFields(at string, wanted, given map[string]any, depth int) []Difference {
	var found []Difference
	keys := slices.AppendSeq(slices.Collect(maps.Keys(wanted)), maps.Keys(given))
	slices.Sort(keys)
	for _, key := range slices.Compact(keys) {
		w, g, name := wanted[key], given[key], at+" "+key
		if at == "config" && key == "config" {
			name = at
		}
		wantedFields, wantedOK := w.(map[string]any)
		givenFields, givenOK := g.(map[string]any)
		var inside []Difference
		switch {
		case toJSON(w) == toJSON(g):
			continue
		case key == "Env":
			inside = compareEnv(name, w, g)
		case depth > 0 && (wantedOK || w == nil) && (givenOK || g == nil):
			inside = compareFields(name, wantedFields, givenFields, depth-1)
		}
		if inside == nil {
			inside = []Difference{{name, printable(key, w), printable(key, g)}}
		}
		found = append(found, inside...)
	}
	return found
}

// compareEnv returns the variables that differ. If none differs, it returns the order, which then differs.
func compareEnv(name string, wanted, given any) []Difference {
	w, g := variables(wanted), variables(given)
	keys := slices.AppendSeq(slices.Collect(maps.Keys(w)), maps.Keys(g))
	slices.Sort(keys)
	var found []Difference
	for _, key := range slices.Compact(keys) {
		if w[key] != g[key] {
			found = append(found, Difference{name + " " + key, printableVariable(key, w), printableVariable(key, g)})
		}
	}
	if found == nil {
		found = append(found, Difference{name + " order", variableOrder(wanted), variableOrder(given)})
	}
	return found
}

// variables returns the last value of each variable. That is the one that counts.
func variables(env any) map[string]string {
	values := map[string]string{}
	list, _ := env.([]any)
	for _, entry := range list {
		key, value, ok := strings.Cut(fmt.Sprint(entry), "=")
		if !ok {
			value = "(no value)"
		}
		values[key] = "=" + value
	}
	return values
}

func printableVariable(key string, values map[string]string) string {
	value, ok := values[key]
	if !ok {
		return missing
	}
	return printable(key, strings.TrimPrefix(value, "="))
}

func variableOrder(env any) string {
	var keys []string
	list, _ := env.([]any)
	for _, entry := range list {
		key, _, _ := strings.Cut(fmt.Sprint(entry), "=")
		keys = append(keys, key)
	}
	return abbreviate(strings.Join(keys, " "))
}

// secretName matches the names of values that must not reach a log. secretInside matches values that contain a secret: an address
// with a password or token, or an argument.
var (
	secretName   = regexp.MustCompile(`(?i)token|secret|passw|passphrase|credential|auth($|_|orization)|(api|access|private)_?key`)
	secretInside = regexp.MustCompile(`(?i)://[^\s/"<>]*@|(token|secret|passw(or)?d|credentials?|api_?key)["']?[=:, ]`)
)

// printable returns a value in the form for people: shortened, and without secrets.
func printable(key string, value any) string {
	if value == nil {
		return missing
	}
	all, ok := value.(string)
	if !ok {
		all = toJSON(value)
	}
	if secretName.MatchString(key) || secretInside.MatchString(all) {
		return "a value of " + strconv.Itoa(len(all)) + " bytes that is not shown"
	}
	if all == "" {
		return `""`
	}
	return abbreviate(all)
}

// toJSON returns a value as JSON with sorted fields.
func toJSON(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(b.String())
}
