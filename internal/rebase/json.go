package rebase

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// object is a JSON object that keeps the order of its members and the bytes of their values. Typed structs would drop unknown
// fields (go-containerregistry's drop Healthcheck.StartInterval), and maps the order. sjson would work too, but it accepts
// broken JSON and adds four modules.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// maxMembers bounds the members of an object and of a list. The largest real ones are histories, with a few hundred members. A
// search for each member takes time by the square of their number.
const maxMembers = 10_000

var errTooMany = fmt.Errorf("has more than %d members", maxMembers)

// parseObject parses an object. Empty input and null are the empty object. A repeated name is an error, because readers
// disagree about which value counts.
func parseObject(raw []byte) (object, error) {
	if text := bytes.TrimSpace(raw); len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.Join(errors.New("is not a JSON object"), err)
	}
	var o object
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		m := member{name: token.(string)} // the decoder lets nothing else stand there
		if err := decoder.Decode(&m.value); err != nil {
			return nil, err
		}
		if o.get(m.name) != nil {
			return nil, fmt.Errorf("has %q twice", m.name)
		}
		if o = append(o, m); len(o) > maxMembers {
			return nil, errTooMany
		}
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("goes on after its end")
	}
	return o, nil
}

// get returns a member's value, or nil if there is none.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text returns a member that is a string, or "".
func (o object) text(name string) string { return text(o.get(name)) }

// with returns the object with a member set. An existing member keeps its place, a new one comes last. A nil value removes
// the member.
func (o object) with(name string, value json.RawMessage) object {
	var changed object
	for _, m := range o {
		if m.name == name {
			m.value, value = value, nil
		}
		if m.value != nil {
			changed = append(changed, m)
		}
	}
	if value != nil {
		changed = append(changed, member{name, value})
	}
	return changed
}

// ambiguousKey returns a member that differs from one of the names only in letter case. Go's decoder, and so most tools, would
// read it as that name.
func (o object) ambiguousKey(names ...string) string {
	for _, m := range o {
		for _, name := range names {
			if m.name != name && strings.EqualFold(m.name, name) {
				return m.name
			}
		}
	}
	return ""
}

func (o object) raw() json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quote(m.name))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// parseList parses an array. Empty input and null are the empty array.
func parseList(raw json.RawMessage) ([]json.RawMessage, error) {
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	err := json.Unmarshal(raw, &list)
	if len(list) > maxMembers {
		return nil, errTooMany
	}
	return list, err
}

func rawList(list []json.RawMessage) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('[')
	for i, value := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(value)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// quote encodes a string as JSON. "<" and "&" stay readable, which matters in histories and variables.
func quote(s string) json.RawMessage {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(s) // strings always encode, and a buffer takes all
	return bytes.TrimSpace(b.Bytes())
}

func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// equalJSON compares values, not their encoding. nil, for an absent value, is equal only to nil.
func equalJSON(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.DeepEqual(decode(a), decode(b))
}

func decode(raw json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return string(raw)
	}
	return v
}

// nilIfEmpty returns nil for the empty values that Go's encoder, and so BuildKit, omits from a config.
func nilIfEmpty(raw json.RawMessage) json.RawMessage {
	switch v := decode(raw).(type) {
	case nil:
		return nil
	case bool:
		if !v {
			return nil
		}
	case string:
		if v == "" {
			return nil
		}
	case json.Number:
		if v == "0" {
			return nil
		}
	case []any:
		if len(v) == 0 {
			return nil
		}
	case map[string]any:
		if len(v) == 0 {
			return nil
		}
	}
	return raw
}
