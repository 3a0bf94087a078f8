package basekey

import (
	"regexp"
	"testing"
)

var hexadecimal = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A Dockerfile of any SDK has a key, the same each time, or an error; nothing else.
func FuzzDockerfile(f *testing.F) {
	for _, text := range []string{
		"ARG BASE_IMAGE\nFROM python AS builder\nRUN --mount=from=builder,target=/x x\nFROM ${BASE_IMAGE} AS t\nARG A=1\nENV X=/a:$X\nCOPY --from=builder /a /a\n",
		"# syntax=x\n# check=skip=all\n# escape=`\nFROM $BASE_IMAGE AS t\nRUN <<EOF\nx\nEOF\n", "FROM t AS t", "FROM a AS t\nCOPY --from=1 a b\nFROM t AS a",
		"FROM ${BASE_IMAGE:-x} AS t\nONBUILD RUN x\nADD https://x/y z\nADD --checksum=sha256:x git@x:y z", "FROM x AS t\nRUN --mount=type=bind,from=$X x\n",
		"ARG A=${A}\nFROM ${A}${A} AS t", "FROM x AS t\nLABEL a=\"$b\\\n$c\"\nHEALTHCHECK CMD x\nSHELL [\"x\"]", "FROM\nFROM x AS", "\ufeffFROM x AS t\x00",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := Inputs{Dockerfile: []byte(text), Args: map[string]string{BaseArgument: "x/y:z"}, Target: "t", Platform: "linux/amd64"}
		key, err := Of(in)
		if err == nil && !hexadecimal.MatchString(key.Hash) {
			t.Errorf("the key is %q", key.Hash)
		}
		if again, errAgain := Of(in); again.Hash != key.Hash || (err == nil) != (errAgain == nil) {
			t.Errorf("two keys: %v, %v", key, again)
		}
		DirectlyOn(in.Dockerfile, "t", "base")
		_, _ = UsesOf(in.Dockerfile, "t")
	})
}
