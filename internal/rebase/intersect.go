package rebase

import "slices"

// Intersect combines the deltas of two references with different bases. One delta is not enough: a variable that its base
// already had looks unchanged. Intersect returns a *Refusal if the deltas contradict each other, and a *LayersDiffer if only
// the digests of the layers differ.
func Intersect(a, b Delta) (Delta, error) {
	fields, err := intersectFields(a.fields, b.fields)
	if err != nil {
		return Delta{}, err
	}
	for i := range max(len(a.history), len(b.history)) {
		if i >= len(a.history) || i >= len(b.history) || !equalJSON(withoutCreated(a.history[i]), withoutCreated(b.history[i])) {
			return Delta{}, refuse("the two references do not have the same history[%d] above their bases", i)
		}
	}
	c := Delta{
		Layers: a.Layers, history: a.history, created: a.created, fields: fields,
		uses: a.uses, baseValues: slices.Concat(a.baseValues, b.baseValues),
	}
	if !sameLayers(a.Layers, b.Layers) {
		return Delta{}, &LayersDiffer{First: a.Layers, Second: b.Layers, Delta: c}
	}
	return c, nil
}

// intersectFields combines the fields of two references. Added fields come last, in an order that fits both references.
func intersectFields(a, b []configField) ([]configField, error) {
	var all []configField
	for _, one := range a {
		s, keep, err := intersectField(one, findField(b, one))
		if err != nil {
			return nil, err
		}
		if keep {
			all = append(all, s)
		}
	}
	for _, other := range b {
		if slices.ContainsFunc(a, other.is) {
			continue
		}
		s, keep, err := intersectField(findField(a, other), other)
		if err != nil {
			return nil, err
		}
		if keep {
			all = append(all, s)
		}
	}
	return sortAdded(all, addedFields(a), addedFields(b)), nil
}

// findField returns the field with the same name. If there is none, the field is absent from base and image.
func findField(fields []configField, like configField) configField {
	if i := slices.IndexFunc(fields, like.is); i >= 0 {
		return fields[i]
	}
	return configField{field: like.field, key: like.key}
}

// intersectField combines one field of two references. keep is false if the result does not need the field. If one reference
// changes the field to the value that the other one has already, the result changes it on any base.
func intersectField(a, b configField) (s configField, keep bool, err error) {
	switch {
	case (a.changed() || b.changed()) && !equalJSON(a.after, b.after):
		return s, false, refuse("the two references contradict each other in %s: %s on one base, %s on the other",
			a.name(), describeValue(a), describeValue(b))
	case a.changed():
		return a, true, nil
	case b.changed():
		return b, true, nil
	default:
		return a, a.after != nil && b.after != nil, nil
	}
}

func describeValue(s configField) string {
	if s.after == nil {
		return "absent"
	}
	return string(s.after)
}

func addedFields(fields []configField) []configField {
	return slices.DeleteFunc(slices.Clone(fields), func(s configField) bool { return s.before != nil || s.after == nil })
}

// sortAdded sorts the added fields behind the others, in an order that fits both lists. Both lists come from one Dockerfile,
// and an image keeps its variables in the Dockerfile's order.
func sortAdded(all, first, second []configField) []configField {
	order, at := slices.Clone(first), 0
	for _, s := range second {
		if i := slices.IndexFunc(order, s.is); i >= 0 {
			at = i + 1
			continue
		}
		order = slices.Insert(order, at, s)
		at++
	}
	slices.SortStableFunc(all, func(a, b configField) int {
		return slices.IndexFunc(order, a.is) - slices.IndexFunc(order, b.is)
	})
	return all
}
