package registry

import "testing"

// Credentials must not go over plain http to a host that is on the internet.
func TestPlainHTTPIsForPrivateNamesOnly(t *testing.T) {
	cases := map[string]string{
		"registry:5000/a/b:c":       "http",
		"registry.local:5000/a/b:c": "http",
		"127.0.0.1:5000/a/b:c":      "http",
		"ghcr.io/a/b:c":             "https",
		"docker.io/a/b:c":           "https",
		"a/b:c":                     "https",
		"registry.local.evil/a/b:c": "https",
		"[2001:db8::1]:5000/a/b:c":  "https",
	}
	for reference, want := range cases {
		ref, err := parse(reference)
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if got := ref.Context().Scheme(); got != want {
			t.Errorf("%s: %s, want %s", reference, got, want)
		}
	}
}
