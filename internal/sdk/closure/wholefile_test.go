package closure

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

// What the Dockerfile does not tell makes all of it count.
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
		{"ONBUILD", replacing("ENV LANG=C", "ENV LANG=C\nONBUILD RUN true"), "ONBUILD"},
		{"a copied file that the base names", replacing(copies, "COPY ${FILE} /"), "$FILE"},
		{"a mounted folder that the base names", replacing("src=scripts", "source=$SCRIPTS"), "$SCRIPTS"},
		{"a kind of mount that the base names", replacing("--mount=src=", "--mount=type=$KIND,src="), "$KIND"},
		{"an ENV made of the base's", replacing(copies, "ENV WORKER=${HOME}\nCOPY ${WORKER} /"), "$WORKER"},
		{"an argument made of the base's", replacing(copies, "ARG FILE=$HOME/a\nCOPY ${FILE} /"), "$FILE"},
		{"a file that is not there", replacing(copies, "COPY missing /"), "missing is not in the context"},
		{"no context", func(in *Inputs) { in.Context = nil }, "there is no context"},
		{"a copied link", having("catalog.py", &fstest.MapFile{Data: []byte("tools/tool"), Mode: fs.ModeSymlink}), "symbolic link"},
		{"a copied file behind a link", func(in *Inputs) {
			replacing(copies, "COPY way/tool /")(in)
			having("way", &fstest.MapFile{Data: []byte("tools"), Mode: fs.ModeSymlink})(in)
		}, "way is a symbolic link"},
		{"a bad pattern", replacing("plans/*.txt", "plans/[a"), "plans/[a"},
		{"patterns of another kind", replacing(copies, "COPY --parents ./**/tool /"), "--parents"},
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
				t.Fatalf("closure %+v, error %v; want the whole file because of %q", got, err, c.why)
			}
		})
	}
}

// With the whole file every edit counts that is not one of the base's name, or of case.
func TestWholeFileTakesInEverything(t *testing.T) {
	unclear := func() Inputs {
		in := inputs()
		replacing("ENV LANG=C", "ENV LANG=C\nONBUILD RUN true")(&in)
		return in
	}
	of := func(in Inputs) string {
		c, err := Of(in)
		if err != nil || !c.WholeFile {
			t.Fatalf("closure %+v, error %v", c, err)
		}
		return c.Key(baseDigest)
	}
	before := of(unclear())
	same := map[string]bool{"nothing": true, "the base's name": true, "the target's case": true}
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

// Known values are used where a path is made of them.
func TestResolvedPaths(t *testing.T) {
	const copies = "COPY --from=payload /payload /payload"
	cases := []struct{ name, text string }{
		{"an argument", "COPY ${WORKER} /"},
		{"an argument of the stage", "ARG FILE=tools/$WORKER\nARG FILE=${FILE#tools/}\nCOPY $FILE /"},
		{"an ENV", "ENV FILE=${WORKER}\nCOPY \"${FILE}\" /"},
		{"two at once", "ENV WORKER=x FILE=${WORKER}\nCOPY ${FILE} /"},
		{"a target's platform", "ARG TARGETARCH\nCOPY ${TARGETARCH:+worker} /"},
		{"from above the context", "COPY ../../worker /"},
		{"all of it", "COPY . /"},
		{"a mount of all of it", "RUN --mount=target=/all true"},
		{"a mount by another name", "RUN --mount=type=bind,source=worker,target=/all true"},
		{"ADD", "ADD worker /"},
		{"a pattern", "COPY wo[r]k?r /"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			in := inputs()
			replacing(copies, c.text)(&in)
			having("worker", &fstest.MapFile{Data: []byte("1")})(&in)
			before := keyOf(t, in)
			having("worker", &fstest.MapFile{Data: []byte("2")})(&in)
			if keyOf(t, in) == before {
				t.Error("another file has the same key")
			}
		})
	}
}

// A parent's variables are its child's, and a pinned URL is as good as a file.
func TestResolvedElsewhere(t *testing.T) {
	in := inputs()
	in.Target = "full"
	replacing("RUN install", "ADD --checksum=sha256:00 https://example.org/a /a\nCOPY --from=2 /tmp /tmp\nCOPY scripts/$LANG /\nRUN install")(&in)
	having("scripts/C", &fstest.MapFile{Data: []byte("1")})(&in)
	before := keyOf(t, in)
	having("scripts/C", &fstest.MapFile{Data: []byte("2")})(&in)
	if keyOf(t, in) == before {
		t.Error("another file has the same key")
	}
}

// A context that cannot be read is no closure at all.
func TestUnreadableContext(t *testing.T) {
	in := inputs()
	in.Context = broken{in.Context.(fstest.MapFS)}
	if c, err := Of(in); err == nil || !strings.Contains(err.Error(), "reading the context: open catalog.py: permission denied") {
		t.Errorf("closure %+v, error %v", c, err)
	}
}

type broken struct{ fstest.MapFS }

func (b broken) ReadFile(name string) ([]byte, error) {
	if name == "catalog.py" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return b.MapFS.ReadFile(name)
}
