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

// object is a JSON object whose members keep their order and their values' bytes. Typed structs would drop what they do
// not know (go-containerregistry's do so with Healthcheck.StartInterval), and maps the order; sjson would do as well,
// but takes broken JSON for good and brings four modules.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// parseObject reads an object; nothing and null are the empty one. A name that stands twice is an error: readers do not
// agree on which of the two counts.
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
		o = append(o, m)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("goes on after its end")
	}
	return o, nil
}

// get gives a member's value, or nil where there is none.
func (o object) get(name string) json.RawMessage {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// text gives a member that is a string, or "".
func (o object) text(name string) string { return text(o.get(name)) }

// with gives the object with a member set, in its place or at the end; with a nil value, without that member.
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

// ambiguousKey names a member that Go's own decoder, and so most tools, would take for one of these, though it is not.
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

// parseList reads an array; nothing and null are the empty one.
func parseList(raw json.RawMessage) ([]json.RawMessage, error) {
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	err := json.Unmarshal(raw, &list)
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

// quote is JSON with "<" and "&" as they are, which people read in histories and variables.
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

// same compares what two values say, not how they are written. One that is absent (nil) is unlike any that is there.
func same(a, b json.RawMessage) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return reflect.DeepEqual(decoded(a), decoded(b))
}

func decoded(raw json.RawMessage) any {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return string(raw)
	}
	return v
}

// nilIfEmpty turns the empty values that Go's encoder would leave out of a config (BuildKit writes it that way) into nil.
func nilIfEmpty(raw json.RawMessage) json.RawMessage {
	switch v := decoded(raw).(type) {
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
