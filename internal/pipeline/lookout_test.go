package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	inprocess "github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/build/evalbase"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
	"github.com/OpenHands/eval-images/internal/registry/registrytest"
	"github.com/OpenHands/eval-images/internal/sdk"
	"github.com/OpenHands/eval-images/internal/sdk/closure"
)

// lookout is a dry run with tags, and the registry that it looks at.
type lookout struct {
	*rebasing
	registry *registrytest.GitHub
	host     string
	said     bytes.Buffer
}

func newLookout(t *testing.T) *lookout {
	t.Helper()
	l := &lookout{registry: registrytest.New(inprocess.New(inprocess.Logger(log.New(io.Discard, "", 0))), 0, 1)}
	server := httptest.NewServer(l.registry)
	t.Cleanup(server.Close)
	l.host = strings.TrimPrefix(server.URL, "http://")
	keychain, err := registry.WriteConfig(t.TempDir(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	image := l.host + "/eval/images"
	r := &run{
		actions: actions.New(&l.said, func(string) string { return "" }), logs: t.TempDir(),
		registry: registry.New(keychain, http.DefaultTransport), checkout: sdk.Checkout{SHA: sha40},
		config: config.Config{DryRun: true, Strategy: config.StrategyAuto, Image: image, EvalBaseImage: image, Verify: 1},
	}
	l.rebasing = &rebasing{run: r, baseKey: closure.BaseKey{Hash: "h"}, set: "set"}
	return l
}

const sha40 = "0123456789abcdef0123456789abcdef01234567"

// target is one whose base image is in the registry.
func (l *lookout) target(t *testing.T, id string) plan.Target {
	t.Helper()
	base := l.host + "/hub/" + id
	l.push(t, base, "latest", id, id)
	return plan.Target{InstanceID: id, BaseImage: base + ":latest", Tags: []string{l.run.config.Image + ":" + id}}
}

// push puts an image of layers, whose blobs it puts too.
func (l *lookout) push(t *testing.T, repository, tag, env string, layers ...string) rebase.Image {
	t.Helper()
	var descriptors, diffIDs, history []any
	for _, layer := range layers {
		if _, err := l.run.registry.PutBlob(t.Context(), repository, []byte(layer)); err != nil {
			t.Fatal(err)
		}
		descriptors = append(descriptors, descriptor("application/vnd.oci.image.layer.v1.tar", layer))
		diffIDs, history = append(diffIDs, digest.FromString(layer)), append(history, map[string]string{"created_by": layer})
	}
	told := string(encoded(t, map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Env": []string{"OF=" + env}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": diffIDs}, "history": history,
	}))
	if _, err := l.run.registry.PutBlob(t.Context(), repository, []byte(told)); err != nil {
		t.Fatal(err)
	}
	const media = "application/vnd.oci.image.manifest.v1+json"
	image := rebase.Image{MediaType: media, Config: []byte(told), Manifest: encoded(t, map[string]any{
		"schemaVersion": 2, "mediaType": media, "layers": descriptors,
		"config": descriptor("application/vnd.oci.image.config.v1+json", told),
	})}
	l.put(t, repository+":"+tag, image)
	return image
}

func (l *lookout) put(t *testing.T, reference string, image rebase.Image) {
	t.Helper()
	err := l.run.registry.PutManifest(t.Context(), reference, registry.Manifest{MediaType: image.MediaType, Raw: image.Manifest})
	if err != nil {
		t.Fatal(err)
	}
}

func descriptor(media, content string) map[string]any {
	return map[string]any{"mediaType": media, "size": len(content), "digest": digest.FromString(content)}
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// evalBaseOf is the tag of a target's eval-base.
func (l *lookout) evalBaseOf(t *testing.T, target plan.Target) string {
	t.Helper()
	of, err := l.run.registry.Digest(t.Context(), target.BaseImage)
	if err != nil || of == "" {
		t.Fatalf("the base image of %s is not there: %v", target.InstanceID, err)
	}
	return evalbase.Tag(l.baseKey.On(of))
}

// makeEvalBase leaves an eval-base as an earlier run does.
func (l *lookout) makeEvalBase(t *testing.T, target plan.Target, verdict string, made time.Time) {
	t.Helper()
	tag := l.evalBaseOf(t, target)
	image := l.push(t, l.run.config.Image, tag, target.InstanceID, target.InstanceID, "stage")
	l.put(t, l.run.config.Image+":"+tag, rebase.Mark(image, verdict, target.BaseImage, "sha256:0", made))
}

// makeReferences leaves two references as an earlier run does. Their images have env.
func (l *lookout) makeReferences(t *testing.T, env ...string) {
	t.Helper()
	image := l.run.config.Image
	for i, e := range env {
		os := fmt.Sprintf("os %d", i)
		base := l.push(t, image, "base", "base", os)
		final := l.push(t, image, "final", e, os, "agent")
		sum := registry.Manifest{Raw: base.Manifest}.Digest()
		l.put(t, image+":"+l.referenceTag(i+1), rebase.Mark(final, "", image, sum, time.Now()))
	}
}
