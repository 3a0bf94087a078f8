package plan

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/config"
)

// Ids, columns and templates make images and tags that a registry takes, or short mistakes.
func FuzzTemplates(f *testing.F) {
	f.Add("a__b-1", "ghcr.io/o/{repo}:{name}", "{sdk_dockerfile_sha7}-{instance_tag}", "x")
	f.Add("a__b-1", "{column:image}", "{instance_id}", "../x::error::@sha256:"+strings.Repeat("0", 64))
	f.Add("A+b", "ghcr.io/o/{instance_id}", "{instance_id},latest", "")
	f.Add(strings.Repeat("x", 200), "ghcr.io/o/x:{instance_id}", "{instance_tag}", "\x1b")
	f.Add("{repo}", "{column:image}", "{options_sha7}", "{instance_id}")
	f.Fuzz(func(t *testing.T, id, base, tag, column string) {
		cfg, err := config.Parse(func(input string) string {
			return map[string]string{"sdk-ref": "main", "base-image-template": base, "custom-tag-template": tag}[input]
		})
		if err != nil || len(id) > 200 {
			return
		}
		targets, err := New(cfg, []string{id, "c__d-2"}, map[string]map[string]string{id: {"image": column}, "c__d-2": {"image": "x/c:1"}})
		for _, said := range mistakesOf(t, err) {
			if len(said) > 1500 || strings.ContainsAny(said, "\r\x1b\x00") {
				t.Errorf("the mistake is %q", said)
			}
		}
		for _, target := range targets {
			if _, err := name.ParseReference(target.BaseImage); err != nil {
				t.Errorf("the base image is %q: %v", target.BaseImage, err)
			}
		}
	})
}

func mistakesOf(t *testing.T, err error) (said []string) {
	t.Helper()
	joined, _ := err.(interface{ Unwrap() []error })
	if joined == nil {
		return nil
	}
	for _, one := range joined.Unwrap() {
		var mistake *config.InputError
		if !errors.As(one, &mistake) {
			t.Fatalf("the error is %v", one)
		}
		said = append(said, mistake.Error())
	}
	return said
}
