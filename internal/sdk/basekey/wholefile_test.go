package basekey

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// Where the Dockerfile does not tell what the target depends on, all of it counts.
func TestWholeFile(t *testing.T) {
	const copies = "COPY --from=payload /payload /payload"
	cases := []struct {
		name string
		edit func(*Inputs)
		why  string
	}{
		{"a variable in COPY --from", replacing("COPY --from=payload", "COPY --from=${WORKER}"), "${WORKER}"},
		{"a variable in a mount's from", replacing("from=checker", "from=${WORKER}"), "variable expansion"},
		{"a number without a stage", replacing("--from=payload", "--from=17"), "no stage for --from=17"},
		{"an unpinned URL", replacing(copies, "ADD https://example.org/a.tar /a.tar"), "ADD https://example.org/a.tar has no checksum"},
		{"a checksum that is empty", replacing(copies, "ADD --checksum=${WORKER#worker} https://example.org/a /a"), "has no checksum"},
		{"a git repository", replacing(copies, "ADD git@github.com:a/b.git /a"), "has no checksum"},
		{"a URL that the base names", replacing(copies, "ADD ${URL} /"), "$URL"},
		{"a checksum that the base names", replacing(copies, "ADD --checksum=$SUM https://example.org/a /a"), "$SUM"},
		{"ONBUILD", replacing("ENV LANG=C", "ENV LANG=C\nONBUILD RUN true"), "ONBUILD"},
		{"a base that the builder's platform names", replacing("FROM busybox", "FROM busybox:$BUILDARCH"), "$BUILDARCH"},
		{"a base that nothing names", replacing("FROM ${PAYLOAD_IMAGE}", "FROM ${PAYLOAD}"), "FROM ${PAYLOAD} has no name"},
		{"an instruction that another syntax has", replacing("ENV LANG=C", "INCLUDE more"), "unknown instruction"},
		{"no instruction", func(in *Inputs) { in.Dockerfile = []byte("# nothing\n") }, "file with no instructions"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := inputs()
			c.edit(&in)
			got, err := Of(in)
			if err != nil || !got.WholeFile || !strings.Contains(got.Why, c.why) || len(got.Hash) != 64 {
				t.Fatalf("base key %+v, error %v; want the whole file because of %q", got, err, c.why)
			}
		})
	}
}

// With the whole file nearly every edit counts.
func TestWholeFileTakesInEverything(t *testing.T) {
	unclear := func() Inputs {
		in := inputs()
		replacing("ENV LANG=C", "ENV LANG=C\nONBUILD RUN true")(&in)
		return in
	}
	of := func(in Inputs) string {
		c, err := Of(in)
		if err != nil || !c.WholeFile {
			t.Fatalf("base key %+v, error %v", c, err)
		}
		return c.On(baseDigest)
	}
	before := of(unclear())
	same := map[string]bool{
		"nothing": true, "no options, said otherwise": true, "the base's name": true, "the target's case": true, "a folder's mode": true,
		"the context's copy of the Dockerfile": true,
	}
	for _, c := range edits {
		t.Run(c.name, func(t *testing.T) {
			in := unclear()
			c.edit(&in)
			if after := of(in); (after == before) != same[c.name] {
				t.Errorf("key %s became %s; want the same: %t", before, after, same[c.name])
			}
		})
	}
}

// The context counts exactly where an instruction of the stage reads it.
func TestInstructionsThatReadTheContext(t *testing.T) {
	cases := []struct {
		text  string
		reads bool
	}{
		{"COPY file /", true},
		{"COPY . /", true},
		{"COPY ../../fi[l]? /", true},
		{"COPY ${FILE} /", true},
		{"COPY --parents ./**/file /", true},
		{"COPY <<END file /\ntext\nEND", true},
		{"COPY <<END /\ntext\nEND", false},
		{"COPY --from=busybox file /", false},
		{"COPY --from=busybox file /\nCOPY file /", true},
		{"ARG FILE=file\nADD $FILE /", true},
		{"ADD --checksum=sha256:00 https://example.org/a /", false},
		{"ADD --checksum=sha256:00 https://example.org/a file /", true},
		{"ADD --checksum=00 git@github.com:a/b.git /", false},
		{"RUN true", false},
		{"RUN --network=none true", false},
		{"RUN --mount=target=/all true", true},
		{"RUN --mount=type=bind,source=file,target=/all true", true},
		{"RUN --mount=type=$KIND,source=file,target=/all true", true},
		{"RUN --mount=type=cache,target=/cache true", false},
		{"RUN --mount=TYPE=Secret,id=s true", false},
		{"RUN --mount=from=busybox,target=/all true", false},
		{"RUN --mount=type=cache,target=/cache --mount=target=/all true", true},
	}
	for _, c := range cases {
		t.Run(c.text, func(t *testing.T) {
			key := func(content string) string {
				return keyOf(t, Inputs{
					Dockerfile: []byte("FROM scratch\n" + c.text + "\n"), Platform: "linux/amd64",
					Context: fstest.MapFS{"file": {Data: []byte(content)}},
				})
			}
			if changes := key("1") != key("2"); changes != c.reads {
				t.Errorf("another content makes another key: %t, want %t", changes, c.reads)
			}
		})
	}
}

// Without a readable context there is no base key.
func TestUnreadableContext(t *testing.T) {
	in := inputs()
	in.Context = broken{in.Context.(fstest.MapFS)}
	if c, err := Of(in); err == nil || !strings.Contains(err.Error(), "reading the context: open catalog.py: permission denied") {
		t.Errorf("base key %+v, error %v", c, err)
	}
}

type broken struct{ fstest.MapFS }

func (b broken) ReadFile(name string) ([]byte, error) {
	if name == "catalog.py" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.MapFS.ReadFile(name)
}
