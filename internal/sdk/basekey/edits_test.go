package basekey

import (
	"io/fs"
	"strings"
	"testing/fstest"
)

// dockerfile has the parts that matter in the SDK's: a target on a base that is an argument, what it copies from, what
// it does not reach, and arguments of all kinds.
const dockerfile = `# syntax=docker/dockerfile:1.7
# escape=\
# check=skip=JSONArgsRecommended

# What follows is the head.
ARG BASE_IMAGE=runtime
ARG PAYLOAD_IMAGE=debian:trixie
ARG PLUGINS=one,two
ARG CAPABILITIES=editor
ARG WORKER=worker
ARG DEBUG=0
ARG SUITE=trixie
ARG MIRROR=mirror/${SUITE}

FROM debian:${SUITE}-slim AS runtime
RUN apt-get install runtime

FROM alpine:3.22 AS tools
ARG CAPABILITIES
COPY tools /tools
RUN make-tools "$CAPABILITIES"

FROM ${PAYLOAD_IMAGE} AS payload
ARG PLUGINS MIRROR
COPY catalog.py plans/*.txt /tmp/
RUN <<END
set -eu
python3 /tmp/catalog.py "$PLUGINS"
install-from "$MIRROR"
END
COPY <<"END" /etc/payload
a line of text
END

FROM ${BASE_IMAGE} AS minimal
ARG WORKER UNSET
ARG SHA=unknown
ENV BUILD_SHA=${SHA}
RUN set -eux; \
    # A comment between the lines.
    apt-get install bash git; \
    useradd "$WORKER"

COPY --from=payload /payload /payload
COPY --from=ghcr.io/tools/uv:0.13 /uv /bin/
COPY --from=helper /helper /bin/
RUN --mount=type=bind,from=checker,source=/bin,target=/checker \
    --mount=type=cache,target=/home/${WORKER}/.cache,uid=${WORKER} /checker/check
RUN --mount=src=scripts,target=/scripts /scripts/finish
ENV LANG=C

FROM busybox AS checker
RUN make-checker

FROM minimal AS full
ARG CAPABILITIES
RUN install "$CAPABILITIES"
`

func inputs() Inputs {
	return Inputs{
		Dockerfile: []byte(dockerfile), Target: "minimal", Platform: "linux/amd64",
		Args: map[string]string{"BASE_IMAGE": "hub/base:1", "SHA": "unknown", "PLUGINS": "one,two", "CAPABILITIES": "editor,browser"},
		Context: fstest.MapFS{
			"catalog.py":       {Data: []byte("catalog"), Mode: 0o644},
			"plans/a.txt":      {Data: []byte("a"), Mode: 0o644},
			"plans/read.me":    {Data: []byte("not copied"), Mode: 0o644},
			"scripts/finish":   {Data: []byte("finish"), Mode: 0o755},
			"scripts/sub/link": {Data: []byte("../finish"), Mode: fs.ModeSymlink | 0o777},
			"tools/tool":       {Data: []byte("of another stage"), Mode: 0o755},
		},
	}
}

const baseDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// replacing edits the Dockerfile.
func replacing(old, text string) func(*Inputs) {
	return func(in *Inputs) {
		if !strings.Contains(string(in.Dockerfile), old) {
			panic("the Dockerfile has no " + old)
		}
		in.Dockerfile = []byte(strings.Replace(string(in.Dockerfile), old, text, 1))
	}
}

// passing sets a build argument.
func passing(name, value string) func(*Inputs) {
	return func(in *Inputs) { in.Args[name] = value }
}

// having puts a file into the context, or takes it out.
func having(name string, file *fstest.MapFile) func(*Inputs) {
	return func(in *Inputs) {
		files := in.Context.(fstest.MapFS)
		delete(files, name)
		if file != nil {
			files[name] = file
		}
	}
}

// edits are changes of what a build is given, and whether the target's result can change by them.
var edits = []struct {
	name  string
	edit  func(*Inputs)
	isNew bool
}{
	{"nothing", func(*Inputs) {}, false},
	{"an option more", func(in *Inputs) { in.Options = []string{"--build-context=a=b"} }, true},
	{"no options, said otherwise", func(in *Inputs) { in.Options = []string{} }, false},
	{"another stage", replacing("make-tools", "make-more-tools"), false},
	{"the stage above", replacing("install \"$CAP", "install --all \"$CAP"), false},
	{"one more stage before", replacing("FROM alpine", "FROM fedora AS rpms\nRUN true\n\nFROM alpine"), false},
	{"one more stage between", replacing("FROM ${BASE_IMAGE}", "FROM fedora AS rpms\n\nFROM ${BASE_IMAGE}"), false},
	{"another stage's base", replacing("FROM alpine:3.22", "FROM alpine:3.23"), false},
	{"a comment", replacing("# What follows is the head.", "# This was the head."), false},
	{"a comment before an instruction", replacing("ENV LANG", "# The locale.\nENV LANG"), false},
	{"a comment between an instruction's lines", replacing("    # A comment between the lines.\n", ""), false},
	{"a comment that switches checks off", replacing("# What follows is the head.", "# check=skip=all"), false},
	{"an earlier stage of the same name", replacing("FROM busybox AS checker", "FROM fedora AS checker\n\nFROM busybox AS checker"), false},
	{"a later stage of an image's name", replacing("FROM minimal AS full", "FROM fedora AS busybox\n\nFROM minimal AS full"), false},
	{"blank lines", replacing("ENV LANG", "\n\nENV LANG"), false},
	{"no blank line", replacing("\n\nCOPY --from=payload", "\nCOPY --from=payload"), false},
	{"an unused argument's default", replacing("DEBUG=0", "DEBUG=1"), false},
	{"one more unused argument", replacing("ARG DEBUG=0", "ARG DEBUG=0\nARG TRACE=0"), false},
	{"an argument of other stages passed", passing("CAPABILITIES", ""), false},
	{"an undeclared argument passed", passing("TRACE", "1"), false},
	{"a proxy", passing("HTTP_PROXY", "http://proxy"), false},
	{"a used argument passed with its default's value", passing("WORKER", "worker"), false},
	{"a default that a passed argument replaces", replacing("PLUGINS=one,two", "PLUGINS=one"), false},
	{"a stage's default that a passed argument replaces", replacing("SHA=unknown", "SHA=none"), false},
	{"the base's name", passing("BASE_IMAGE", "hub/base:2"), false},
	{"the base's default", replacing("BASE_IMAGE=runtime", "BASE_IMAGE=tools"), false},
	{"the target's case", func(in *Inputs) { in.Target = "Minimal" }, false},
	{"a folder's mode", having("scripts/sub", &fstest.MapFile{Mode: fs.ModeDir | 0o700}), false},
	{"the context's copy of the Dockerfile", having("Dockerfile", &fstest.MapFile{Data: []byte("FROM scratch")}), false},

	{"a package", replacing("bash git", "bash git tini"), true},
	{"a blank in a command", replacing("bash git", "bash  git"), true},
	{"an ENV", replacing("LANG=C", "LANG=C.UTF-8"), true},
	{"one more ENV", replacing("ENV LANG=C", "ENV LANG=C\nENV X=y"), true},
	{"the order of instructions", replacing("ARG WORKER UNSET\nARG SHA=unknown", "ARG SHA=unknown\nARG WORKER UNSET"), true},
	{"a used argument's default", replacing("WORKER=worker", "WORKER=agent"), true},
	{"a used argument's default, now empty", replacing("WORKER=worker", "WORKER="), true},
	{"a used argument without default", replacing("ARG WORKER=worker\n", ""), true},
	{"a stage's own default", func(in *Inputs) { delete(in.Args, "SHA"); replacing("SHA=unknown", "SHA=none")(in) }, true},
	{"an argument that a used one is made of", replacing("SUITE=trixie", "SUITE=bookworm"), true},
	{"a used argument passed", passing("WORKER", "agent"), true},
	{"a used argument of a stage below passed", passing("PLUGINS", ""), true},
	{"an argument that has no default passed", passing("UNSET", ""), true},
	{"a stage it copies from", replacing("set -eu\n", "set -eux\n"), true},
	{"one line of a command's here-document", replacing(`install-from "$MIRROR"`, `install-from "$MIRROR" all`), true},
	{"one line of a file's here-document", replacing("a line of text", "another line of text"), true},
	{"a comment in a here-document", replacing("set -eu\n", "set -eu\n# for sure\n"), true},
	{"a here-document's expansion", replacing(`<<"END"`, "<<END"), true},
	{"the names of two stages, exchanged", func(in *Inputs) {
		replacing("AS payload", "AS other")(in)
		replacing("AS checker", "AS payload")(in)
		replacing("AS other", "AS checker")(in)
	}, true},
	{"a stage it mounts", replacing("make-checker", "make-better-checker"), true},
	{"the base of a stage it mounts", replacing("FROM busybox", "FROM busybox:musl"), true},
	{"the base of a stage it copies from", replacing("PAYLOAD_IMAGE=debian:trixie", "PAYLOAD_IMAGE=debian:forky"), true},
	{"the same passed", passing("PAYLOAD_IMAGE", "debian:forky"), true},
	{"a stage that is built on another platform", replacing("FROM busybox", "FROM --platform=$BUILDPLATFORM busybox"), true},
	{"an image it copies from", replacing("uv:0.13", "uv:0.14"), true},
	{"an image that becomes a stage", replacing("alpine:3.22 AS tools", "alpine:3.22 AS helper"), true},
	{"a stage that it no longer reaches", replacing("from=checker", "from=busybox"), true},
	{"another syntax image", replacing("dockerfile:1.7", "dockerfile:1.8"), true},
	{"the same passed", passing("BUILDKIT_SYNTAX", "docker/dockerfile:1.8"), true},
	{"no syntax image", replacing("# syntax=docker/dockerfile:1.7\n", ""), true},
	{"another escape", func(in *Inputs) {
		replacing("escape=\\", "escape=`")(in)
		in.Dockerfile = []byte(strings.ReplaceAll(string(in.Dockerfile), " \\\n", " `\n"))
	}, true},
	{"other checks", replacing("skip=JSONArgsRecommended", "error=true"), true},
	{"a copied file", having("catalog.py", &fstest.MapFile{Data: []byte("changed"), Mode: 0o644}), true},
	{"a copied file's mode", having("catalog.py", &fstest.MapFile{Data: []byte("catalog"), Mode: 0o755}), true},
	{"a file that a pattern matches", having("plans/a.txt", &fstest.MapFile{Data: []byte("changed"), Mode: 0o644}), true},
	{"the name of a file that a pattern matches", func(in *Inputs) {
		having("plans/a.txt", nil)(in)
		having("plans/c.txt", &fstest.MapFile{Data: []byte("a"), Mode: 0o644})(in)
	}, true},
	{"one more file that a pattern matches", having("plans/b.txt", &fstest.MapFile{Mode: 0o644}), true},
	{"a file of a mounted folder", having("scripts/finish", &fstest.MapFile{Data: []byte("changed"), Mode: 0o755}), true},
	{"one more file of a mounted folder", having("scripts/sub/more", &fstest.MapFile{}), true},
	{"one file less of a mounted folder", having("scripts/sub/link", nil), true},
	{"a link's target", having("scripts/sub/link", &fstest.MapFile{Data: []byte("../start"), Mode: fs.ModeSymlink | 0o777}), true},
	{"one more file", having("new", &fstest.MapFile{}), true},
	{"another Dockerfile in the context", having("plans/Dockerfile", &fstest.MapFile{}), true},
	{"what the builder is not shown", having(".dockerignore", &fstest.MapFile{Data: []byte("plans")}), true},
	{"the platform", func(in *Inputs) { in.Platform = "linux/arm64" }, true},
	{"the target", func(in *Inputs) { in.Target = "full" }, true},
}
