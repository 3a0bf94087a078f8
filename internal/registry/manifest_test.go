package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Content is read byte for byte as it was written, and no request is unnecessary.
func TestPutAndRead(t *testing.T) {
	g, host := serve(t)
	repo, c := host+"/a/b", quick()
	m := imageOf(t, `{"x":1}`, "layer")
	put(t, c, repo, `{"x":1}`, "layer", "layer", `{"x":1}`)
	for _, tag := range []string{":one", ":two"} {
		if err := c.PutManifest(t.Context(), repo+tag, m); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"POST": 2, "PUT": 4}, g.Methods()); diff != "" {
		t.Errorf("requests for two blobs and two tags (-want +got):\n%s", diff)
	}
	g.Reset()
	for _, c := range []*Client{c, quick()} {
		got, err := c.Manifest(t.Context(), repo+":two")
		if err != nil || !cmp.Equal(got, m) || got.Digest() != m.Digest() {
			t.Errorf("Manifest = %+v, %v; want %+v", got, err, m)
		}
		config, err := c.Blob(t.Context(), repo, digestOf(`{"x":1}`))
		if err != nil || string(config) != `{"x":1}` {
			t.Errorf("Blob = %s, %v", config, err)
		}
		put(t, c, repo, "layer") // it was read as part of the manifest
	}
	if diff := cmp.Diff(map[string]int{"GET": 4}, g.Methods()); diff != "" {
		t.Errorf("requests for two images (-want +got):\n%s", diff)
	}
}

func TestNotFound(t *testing.T) {
	_, host := serve(t)
	c := quick()
	_, manifest := c.Manifest(t.Context(), host+"/a/b:gone")
	_, blob := c.Blob(t.Context(), host+"/a/b", digestOf("gone"))
	_, open := c.OpenBlob(t.Context(), host+"/a/b", digestOf("gone"))
	for what, err := range map[string]error{"Manifest": manifest, "Blob": blob, "OpenBlob": open} {
		if !errors.Is(err, ErrNotFound) || status(err) != http.StatusNotFound {
			t.Errorf("%s: %v; want ErrNotFound", what, err)
		}
	}
}

// A registry or proxy that returns the wrong content causes an error.
func TestManifestIsVerified(t *testing.T) {
	m := imageOf(t, "{}")
	cases := []struct {
		name, reference, header, media string
		want, says                     string
	}{
		{"a tag", ":tag", m.Digest(), string(types.DockerManifestSchema2), string(types.DockerManifestSchema2), ""},
		{"an index", ":tag", "", string(types.OCIImageIndex) + "; charset=utf-8", string(types.OCIImageIndex), ""},
		{"a useless header", ":tag", "", "application/json", m.MediaType, ""},
		{"a digest", "@" + m.Digest(), "", m.MediaType, m.MediaType, ""},
		{"another digest in the header", ":tag", digestOf("x"), m.MediaType, "", "the content has the digest " + m.Digest()},
		{
			"another digest than asked for", "@" + digestOf("x"), m.Digest(), m.MediaType, "",
			"the content has the digest " + m.Digest(),
		},
		{"no digest", ":tag", "md5:1", m.MediaType, "", "md5:1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, media := range manifestTypes {
					if r.URL.Path != "/v2/" && !strings.Contains(strings.Join(r.Header["Accept"], ","), media) {
						t.Errorf("%s is not asked for", media)
					}
				}
				w.Header().Set("Content-Type", c.media)
				w.Header().Set("Docker-Content-Digest", c.header)
				_, _ = w.Write(m.Raw)
			}))
			defer server.Close()
			got, err := quick().Manifest(t.Context(), strings.TrimPrefix(server.URL, "http://")+"/a/b"+c.reference)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v; want an error that says %q", err, c.says)
				}
				return
			}
			if err != nil || got.MediaType != c.want || string(got.Raw) != string(m.Raw) {
				t.Errorf("%+v, %v; want the media type %s", got, err, c.want)
			}
		})
	}
}

// A registry that stores other content than it was sent causes an error.
func TestPutManifestVerifiesTheStoredDigest(t *testing.T) {
	g, host := serve(t)
	stored := map[string]string{"Docker-Content-Digest": digestOf("x")}
	g.Fault = fault(1, http.StatusCreated, stored, method("PUT", "/manifests/"))
	m := imageOf(t, "{}")
	err := quick().PutManifest(t.Context(), host+"/a/b:c", m)
	if err == nil || !strings.Contains(err.Error(), digestOf("x")) || !strings.Contains(err.Error(), m.Digest()) {
		t.Errorf("%v; want both digests", err)
	}
}

func TestUnknownBlobs(t *testing.T) {
	one, two := digestOf("1"), digestOf("2")
	cases := []struct {
		name, answer string
		status       int
		want         []string
		unknown      bool
	}{
		{
			"a string", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"m","detail":"` + one + `"}]}`, 400,
			[]string{one},
			true,
		},
		{
			"an object", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":{"Digest":"` + one + `"}}]}`, 404,
			[]string{one},
			true,
		},
		{
			"a list", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":[{"digest":"` + two + `"},"` + one + `","` + one + `"]}]}`,
			400, sorted(one, two), true,
		},
		{"two errors", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","detail":"` + one + `"},` +
			`{"code":"MANIFEST_BLOB_UNKNOWN","detail":"` + two + `"}]}`, 400, sorted(one, two), true},
		{"the message", `{"errors":[{"code":"BLOB_UNKNOWN","message":"no ` + one + `."}]}`, 404, []string{one}, true},
		{"nothing named", `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`, 400, nil, true},
		{
			"behind another error", `{"errors":[{"code":"UNKNOWN"},{"code":"MANIFEST_BLOB_UNKNOWN","detail":"` + one + `"}]}`, 500,
			[]string{one},
			true,
		},
		{"another error", `{"errors":[{"code":"MANIFEST_UNVERIFIED","detail":"` + one + `"}]}`, 400, nil, false},
		{"no body", ``, 404, nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					w.WriteHeader(c.status)
					_, _ = w.Write([]byte(c.answer))
				}
				return r.Method == http.MethodPut
			}
			err := quick().PutManifest(t.Context(), host+"/a/b:c", imageOf(t, "{}"))
			unknown, ok := errors.AsType[*UnknownBlobs](err)
			if err == nil || ok != c.unknown || ok && !cmp.Equal(unknown.Digests, c.want) {
				t.Errorf("%v, UnknownBlobs: %v; want %v %q", err, ok, c.unknown, c.want)
			}
			if puts := g.Count("PUT", ""); puts != 1 {
				t.Errorf("%d PUT requests, want 1: a retry gets the same answer", puts)
			}
		})
	}
}

func sorted(digests ...string) []string {
	if digests[0] > digests[1] {
		digests[0], digests[1] = digests[1], digests[0]
	}
	return digests
}

// A blob that the registry has lost is sent again, even if the registry does not name it.
func TestLostBlobIsSentAgain(t *testing.T) {
	for _, named := range []bool{true, false} {
		g, host := serve(t)
		repo, c := host+"/a/b", quick()
		m := imageOf(t, "config", "layer")
		put(t, c, repo, "config", "layer")
		g.Forget("a/b", digestOf("layer"))
		if !named {
			g.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/manifests/lost") {
					return false
				}
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN"}]}`))
				return true
			}
		}
		err := c.PutManifest(t.Context(), repo+":lost", m)
		if _, ok := errors.AsType[*UnknownBlobs](err); !ok {
			t.Fatalf("%v; want UnknownBlobs", err)
		}
		put(t, c, repo, "config", "layer")
		if err := c.PutManifest(t.Context(), repo+":found", m); err != nil {
			t.Errorf("named: %v: %v", named, err)
		}
	}
}

func TestDelete(t *testing.T) {
	m := imageOf(t, "{}")
	cases := []struct {
		name, reference string
		fault           faultFunc
		after           time.Duration // of a *RateLimited
		remaining       []string
	}{
		{"a tag", ":one", nil, 0, []string{":two", "@" + m.Digest()}},
		{"a digest", "@" + m.Digest(), nil, 0, []string{":one", ":two"}}, // other registries delete the tags as well
		{"a missing tag", ":gone", nil, 0, []string{":one"}},
		{"ghcr.io", ":one", deleteError(405, "UNSUPPORTED"), 0, []string{":one"}},
		{"a registry that deletes by digest only", ":one", deleteError(400, "DIGEST_INVALID"), 0, []string{":one"}},
		{"an invalid digest", "@" + m.Digest(), deleteError(400, "DIGEST_INVALID"), 0, []string{":one"}},
		{"no such endpoint", ":one", fault(1, 404, nil, method("DELETE", "")), 0, nil},
		{"unsupported", ":one", deleteError(404, "UNSUPPORTED"), 0, nil},
		{"denied", ":one", deleteError(403, "DENIED"), 0, nil},
		{"a rate limit", ":one", fault(9, 403, map[string]string{"Retry-After": "3600"}, method("DELETE", "")), time.Hour, nil},
		{"unavailable", ":one", fault(9, 503, nil, method("DELETE", "")), 0, []string{":one"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g, host := serve(t)
			g.Deletes = true
			repo, client := host+"/a/b", quick()
			put(t, client, repo, "{}")
			for _, tag := range []string{":one", ":two"} {
				if err := client.PutManifest(t.Context(), repo+tag, m); err != nil {
					t.Fatal(err)
				}
			}
			g.Fault = c.fault
			err := client.Delete(t.Context(), repo+c.reference)
			if (err == nil) != (c.fault == nil) {
				t.Errorf("Delete = %v; want an error: %v", err, c.fault != nil)
			}
			if limited, is := errors.AsType[*RateLimited](err); is != (c.after > 0) || is && limited.RetryAfter() != c.after {
				t.Errorf("Delete = %v, *RateLimited: %v; want %v", err, is, c.after)
			}
			for _, reference := range c.remaining {
				if _, err := client.Manifest(t.Context(), repo+reference); err != nil {
					t.Errorf("after Delete: %v", err)
				}
			}
			if _, err := client.Manifest(t.Context(), repo+c.reference); err == nil && c.fault == nil {
				t.Errorf("%s still exists", c.reference)
			}
		})
	}
}

// deleteError answers a DELETE with an error of the registry's protocol.
func deleteError(status int, code string) faultFunc {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodDelete {
			return false
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"errors":[{"code":"` + code + `","message":"m"}]}`))
		return true
	}
}
