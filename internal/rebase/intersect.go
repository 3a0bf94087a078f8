package rebase

import "slices"

// Intersect makes one change of two that were learned on unlike bases. One alone does not tell all: a variable that its
// base held already looks untouched. Where the two contradict each other it gives a *Refusal; where only the layers'
// digests differ, a *LayersDiffer.
func Intersect(a, b Delta) (Delta, error) {
	settings, err := agreeSettings(a.settings, b.settings)
	if err != nil {
		return Delta{}, err
	}
	for i := range max(len(a.history), len(b.history)) {
		if i >= len(a.history) || i >= len(b.history) || !same(withoutCreated(a.history[i]), withoutCreated(b.history[i])) {
			return Delta{}, refuse("the two references do not have the same history[%d] above their bases", i)
		}
	}
	c := Delta{
		Layers: a.Layers, history: a.history, created: a.created, settings: settings,
		taken: a.taken, seen: slices.Concat(a.seen, b.seen),
	}
	if !sameLayers(a.Layers, b.Layers) {
		return Delta{}, &LayersDiffer{First: a.Layers, Second: b.Layers, Delta: c}
	}
	return c, nil
}

// agreeSettings joins what two references show. What was added comes last, in the order in which the two show it.
func agreeSettings(a, b []configField) ([]configField, error) {
	var all []configField
	for _, one := range a {
		s, keep, err := agreeSetting(one, find(b, one))
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
		s, keep, err := agreeSetting(find(a, other), other)
		if err != nil {
			return nil, err
		}
		if keep {
			all = append(all, s)
		}
	}
	return inOrder(all, added(a), added(b)), nil
}

// find gives the configField of that name, or one that is absent from base and image.
func find(settings []configField, like configField) configField {
	if i := slices.IndexFunc(settings, like.is); i >= 0 {
		return settings[i]
	}
	return configField{field: like.field, key: like.key}
}

// agreeSetting joins the two sights of one configField; keep is false where it is not theirs in common. One that is
// unchanged fits a change to what it is, so that what one base shows to be set, or cleared, is so on any.
func agreeSetting(a, b configField) (s configField, keep bool, err error) {
	switch {
	case (a.changed() || b.changed()) && !same(a.after, b.after):
		return s, false, refuse("the two references contradict each other in %s: %s on one base, %s on the other",
			a.name(), shown(a), shown(b))
	case a.changed():
		return a, true, nil
	case b.changed():
		return b, true, nil
	default:
		return a, a.after != nil && b.after != nil, nil
	}
}

func shown(s configField) string {
	if s.after == nil {
		return "absent"
	}
	return string(s.after)
}

func added(settings []configField) []configField {
	return slices.DeleteFunc(slices.Clone(settings), func(s configField) bool { return s.before != nil || s.after == nil })
}

// inOrder sorts the added settings behind the others, in an order that fits both lists: they are parts of one
// Dockerfile, and an image keeps its variables in the Dockerfile's order.
func inOrder(all, first, second []configField) []configField {
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
