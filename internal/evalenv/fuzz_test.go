package evalenv

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/OpenHands/eval-images/internal/failure"
)

// What swt-bench prints is the word of a checkout, and of the servers that it fetches files from. Each answer has images that can be
// pushed, or a failure with a class.
func FuzzAnswers(f *testing.F) {
	for _, text := range []string{
		`{"instance_id":"a__b-1","base":{"key":"exec.base.x86_64:latest"},"env":{"key":"exec.env.x86_64.0a1b:latest"},"platform":"linux/x86_64"}`,
		`{"instance_id":"a","error":"HTTP 429","kind":"rate-limit","retry_after":1e300}`, `{"instance_id":"a","error":"x","kind":"auth","retry_after":-1}`,
		`{"base":{"key":"A B:c"},"env":{"key":"..:latest"},"platform":"linux/x86_64"}`, `{"base":{"key":"x:\u001b"},"env":{"key":"x:::error::"},"platform":"linux/amd64"}`,
		`{"error":"::error::\n"}`, "{}\nnull\n", "[]", strings.Repeat(`{"base":`, 5000),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		answers, err := readAnswers(text)
		if err != nil {
			return
		}
		for _, a := range answers {
			if a.Err != nil {
				var failed *failure.Error
				if !errors.As(a.Err, &failed) || failure.Hint(failed.Class) == "" || failure.Wait(a.Err, 3) < 0 {
					t.Errorf("the failure is %v", a.Err)
				}
				continue
			}
			for _, key := range []string{a.Base.Key, a.Env.Key} {
				if tag, err := name.NewTag("registry.test/prefix/"+key, name.StrictValidation); err != nil || !strings.HasSuffix(tag.Name(), key) {
					t.Errorf("the image %q cannot be pushed: %v", key, err)
				}
			}
		}
	})
}
