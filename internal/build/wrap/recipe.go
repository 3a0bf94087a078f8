package wrap

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// testbedPython is the environment in which SWE-bench's images run an instance's tests (SWE-bench/SWE-bench,
// dockerfiles: conda's "testbed"). OpenHands/benchmarks takes the pip that PATH has, which another base image may not
// have, or have for another Python.
const testbedPython = "/opt/miniconda3/envs/testbed/bin/python"

// platform is the one that the SDK builds for by default, and the only one with a base image for every instance.
const platform = "linux/amd64"

// dockerfile is the whole recipe. Its one command is in exec form, so that a SHELL of the base image has no say, and it
// sets nothing: SHELL, USER or ENV would stay in the image and change the SDK's own stages, which are built upon it.
// -I keeps Python from importing what lies in the base image's working directory, /testbed: the code under evaluation.
// What the base image has already and is not too new stays as it is, dependencies included: the tests were made for it.
func dockerfile(base, requirements string) string {
	command := append([]string{testbedPython, "-I", "-m", "pip", "install", "--no-cache-dir", "--no-deps"}, strings.Fields(requirements)...)
	return "FROM " + base + "\nRUN " + array(command) + "\n"
}

// array is JSON with "<" as it is: the text is also the image's history, which people read.
func array(words []string) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(words) // strings always encode, and a buffer takes all
	return strings.TrimSpace(b.String())
}

// RecipeHash is the hex SHA-256 of all that decides what a wrap makes of a base image: the recipe with these
// requirements and the platform, but not the base image. It is empty where there are no requirements, and so no wrap.
// A key of something that is built upon wrapped bases must include it.
func RecipeHash(requirements string) string {
	if requirements == "" {
		return ""
	}
	return hash(platform, dockerfile("base", requirements))
}

// tag names a wrapped base image. It changes with the recipe and with the base, which is name:tag@digest where the digest
// is known. With the digest alone, a registry that once named another image's would give this image that one's wrap. No
// tag of an evaluation's image begins so: these begin with a commit's hexadecimal digits.
func tag(base, requirements string) string {
	return "base-" + hash(RecipeHash(requirements), base)[:16]
}

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:])
}
