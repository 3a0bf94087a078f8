package rebase

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// fixture says what an image holds; what is empty is as a builder would make it.
type fixture struct {
	// top are members of the config beside the usual ones, as JSON with a comma behind each.
	top, platform, settings string
	// layers are blobs by name; a name may stand twice. tars are what is in them, by name.
	layers, tars []string
	// history is JSON, or nothing for an entry per layer; above are entries behind these, for the layers on top.
	history, above []string
	// layerType is that of all layers; layerMore goes into the last one's descriptor, manifestMore into the manifest, as
	// JSON with a comma before.
	layerType, layerMore, manifestMore string
	created                            string
	docker                             bool
}

const amd64 = `"architecture":"amd64","os":"linux",`

func blob(name string) string { return digestOf([]byte("blob " + name)) }
func tar(name string) string  { return digestOf([]byte("tar " + name)) }

func (f fixture) image() Image {
	mediaType, configType, layerType := types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer
	if f.docker {
		mediaType, configType, layerType = types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer
	}
	if f.layerType != "" {
		layerType = types.MediaType(f.layerType)
	}
	if f.tars == nil {
		f.tars = f.layers
	}
	var layers, diffIDs, history []string
	for i, name := range f.layers {
		more := ""
		if i == len(f.layers)-1 {
			more = f.layerMore
		}
		layers = append(layers,
			fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d%s}`, layerType, blob(name), len(name), more))
		history = append(history, fmt.Sprintf(`{"created":"2026-10-01T00:00:00Z","created_by":"RUN <%s>"}`, name))
	}
	for _, name := range f.tars {
		diffIDs = append(diffIDs, fmt.Sprintf("%q", tar(name)))
	}
	if f.history != nil {
		history = f.history
	}
	if f.platform == "" {
		f.platform = amd64
	}
	if f.created == "" {
		f.created = "2026-10-02T00:00:00Z"
	}
	if f.settings == "" {
		f.settings = "{}"
	}
	history = append(history[:len(history):len(history)], f.above...)
	config := fmt.Sprintf(`{%s%s"config":%s,"created":%q,"history":[%s],"rootfs":{"type":"layers","diff_ids":[%s]}}`,
		f.platform, f.top, f.settings, f.created, strings.Join(history, ","), strings.Join(diffIDs, ","))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[%s]%s}`,
		mediaType, configType, digestOf([]byte(config)), len(config), strings.Join(layers, ","), f.manifestMore)
	return Image{MediaType: string(mediaType), Manifest: []byte(manifest), Config: []byte(config)}
}

// sdkHistory is what the SDK's final stage adds (1.58.2): three entries, of which one has a layer.
var sdkHistory = []string{
	`{"created":"2026-10-03T00:00:00Z","created_by":"ARG PORT","empty_layer":true}`,
	`{"created":"2026-10-03T00:00:00Z","created_by":"COPY --chown=a & b /agent-server /agent-server"}`,
	`{"created":"2026-10-03T00:00:00Z","created_by":"ENTRYPOINT [\"tini\" \"--\"]","empty_layer":true}`,
}

// on gives f with the SDK's final stage on top, and the settings that this leads to.
func (f fixture) on(settings string) fixture {
	if f.tars != nil {
		f.tars = append(f.tars[:len(f.tars):len(f.tars)], "agent")
	}
	if f.history == nil {
		for _, name := range f.layers {
			f.history = append(f.history, fmt.Sprintf(`{"created":"2026-10-01T00:00:00Z","created_by":"RUN <%s>"}`, name))
		}
	}
	f.above = sdkHistory
	f.created = "2026-10-04T00:00:00Z"
	f.layers = append(f.layers[:len(f.layers):len(f.layers)], "agent")
	f.settings = settings
	return f
}

// change learns what leads from one config to another, with a layer between them.
func change(t *testing.T, before, after string) Delta {
	t.Helper()
	base := fixture{layers: []string{"os"}, settings: before}
	c, err := Diff(base.on(after).image(), base.image(), Uses{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// settingsOf is the member config of an image.
func settingsOf(t *testing.T, img Image) string {
	t.Helper()
	o, err := parseObject(img.Config)
	if err != nil {
		t.Fatal(err)
	}
	return string(o.get("config"))
}

// plain decodes JSON for a comparison.
func plain(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return m
}
