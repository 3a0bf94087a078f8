package wrap

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sphinx = "docutils<0.21 roman"

func TestDockerfile(t *testing.T) {
	const want = `FROM hub:5000/a/b:latest@sha256:0123
RUN ["/opt/miniconda3/envs/testbed/bin/python","-I","-m","pip","install","--no-cache-dir","--no-deps","docutils<0.21","roman"]
`
	got := dockerfile("hub:5000/a/b:latest@sha256:0123", sphinx)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recipe (-want +got):\n%s", diff)
	}
	// Whatever else an instruction sets stays in the image, and the SDK's stages would be built with it.
	for line := range strings.Lines(got) {
		if instruction, _, _ := strings.Cut(line, " "); instruction != "FROM" && instruction != "RUN" {
			t.Errorf("the recipe has the instruction %s", instruction)
		}
	}
}

func TestKeys(t *testing.T) {
	one := tag("sha256:01", sphinx)
	if !regexp.MustCompile(`^base-[0-9a-f]{16}$`).MatchString(one) {
		t.Errorf("the tag is %s", one)
	}
	others := map[string]string{
		"another digest":        tag("sha256:02", sphinx),
		"another requirement":   tag("sha256:01", "docutils<0.22 roman"),
		"one requirement more":  tag("sha256:01", sphinx+" sphinx"),
		"a name, not a digest":  tag("hub/a:latest", sphinx),
		"an order of its own":   tag("sha256:01", "roman docutils<0.21"),
		"a digest's first part": tag("sha256:0", "1"+sphinx),
	}
	for name, other := range others {
		if other == one {
			t.Errorf("%s has the same tag", name)
		}
	}
	if again := tag("sha256:01", "docutils<0.21  roman"); again != one {
		t.Error("a second blank, which pip never sees, makes another tag")
	}
	if RecipeHash(sphinx) == RecipeHash("roman") || len(RecipeHash(sphinx)) != 64 || RecipeHash("") != "" {
		t.Errorf("hashes are %q, %q and %q", RecipeHash(sphinx), RecipeHash("roman"), RecipeHash(""))
	}
}
