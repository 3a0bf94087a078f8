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

// ofBuild are the config's fields that tell of the build and not of the image. DiffIDs are the layers' to compare.
func ofBuild(field string) bool {
	return field == "created" || field == "history" || field == "rootfs" || strings.HasPrefix(field, "moby.buildkit.")
}

// compareConfigs gives the differences of two configs, field by field and by their raw JSON: a typed config would hide
// the fields that it does not know.
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
		maps.DeleteFunc(fields, func(field string, _ any) bool { return ofBuild(field) })
	}
	return compareFields("config", w, g), nil
}

func decode(config []byte) (map[string]any, error) {
	var fields map[string]any
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber()
	err := decoder.Decode(&fields)
	return fields, err
}

// compareFields goes into objects. A field that is null is one that is not there. The runtime's settings lie in the
// field "config", which the names leave out.
func compareFields(at string, wanted, given map[string]any) []Difference {
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
		case text(w) == text(g):
			continue
		case key == "Env":
			inside = compareEnv(name, w, g)
		case (wantedOK || w == nil) && (givenOK || g == nil):
			inside = compareFields(name, wantedFields, givenFields)
		}
		if inside == nil {
			inside = []Difference{{name, shown(key, w), shown(key, g)}}
		}
		found = append(found, inside...)
	}
	return found
}

// compareEnv names the variables that differ. When none does the order does, or how often one is there.
func compareEnv(name string, wanted, given any) []Difference {
	w, g := variables(wanted), variables(given)
	keys := slices.AppendSeq(slices.Collect(maps.Keys(w)), maps.Keys(g))
	slices.Sort(keys)
	var found []Difference
	for _, key := range slices.Compact(keys) {
		if w[key] != g[key] {
			found = append(found, Difference{name + " " + key, shownVariable(key, w), shownVariable(key, g)})
		}
	}
	if found == nil {
		found = append(found, Difference{name + " order", order(wanted), order(given)})
	}
	return found
}

// variables gives the last value of each variable, which is the one that counts.
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

func shownVariable(key string, values map[string]string) string {
	value, ok := values[key]
	if !ok {
		return missing
	}
	return shown(key, strings.TrimPrefix(value, "="))
}

func order(env any) string {
	var keys []string
	list, _ := env.([]any)
	for _, entry := range list {
		key, _, _ := strings.Cut(fmt.Sprint(entry), "=")
		keys = append(keys, key)
	}
	return short(strings.Join(keys, " "))
}

// secretName is of names of what must not reach a log, and secretInside of values that hold such a thing: an address with
// a password, an argument.
var (
	secretName   = regexp.MustCompile(`(?i)token|secret|passw|passphrase|credential|auth($|_|orization)|(api|access|private)_?key`)
	secretInside = regexp.MustCompile(`(?i)://[^/\s@]*:[^/\s@]*@|(token|secret|passw(or)?d|credentials?|api_?key)["']?[=:, ]`)
)

// shown gives a value as it may be printed.
func shown(key string, value any) string {
	if value == nil {
		return missing
	}
	all, ok := value.(string)
	if !ok {
		all = text(value)
	}
	if secretName.MatchString(key) || secretInside.MatchString(all) {
		return "a value of " + strconv.Itoa(len(all)) + " bytes that is not shown"
	}
	if all == "" {
		return `""`
	}
	return short(all)
}

// text is a value as JSON, with the fields of objects sorted.
func text(value any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	return strings.TrimSpace(b.String())
}
