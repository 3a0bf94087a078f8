package main

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/OpenHands/eval-images/internal/dataset"
	"github.com/OpenHands/eval-images/internal/dataset/hubtest"
)

// answers is a registry whose repositories have names that say how it answers.
func answers(w http.ResponseWriter, r *http.Request) {
	has := func(part string) bool { return strings.Contains(r.URL.Path, "/"+part+"/") }
	manifest := strings.Contains(r.URL.Path, "/manifests/")
	switch {
	case has("unauthorized"):
		w.WriteHeader(http.StatusUnauthorized)
	case has("limited"):
		w.WriteHeader(http.StatusTooManyRequests)
	case has("forbidden") && !manifest:
		w.WriteHeader(http.StatusForbidden)
	case (has("absent") || has("forbidden")) && manifest:
		http.NotFound(w, r)
	default:
		hasEveryImage(w, r)
	}
}

// Programs that stand for those that are missing, old or broken.
const (
	noBuildx = "#!/bin/sh\ncase $1 in --version) echo Docker version 26.1.5;; " +
		"*) echo \"unknown flag: --name\nRun 'docker --help' for more information\" >&2; exit 125;; esac\n"
	oldUV  = "#!/bin/sh\necho \"error: unexpected argument '--frozen' found\" >&2; exit 2\n"
	noSync = `#!/bin/sh
case "$*" in *find*) exit 0;; esac
`
	untrusting = noSync + "echo 'error: Failed to fetch: https://pypi.org/simple/x\n  Caused by: invalid peer certificate: UnknownIssuer' >&2; exit 2\n"
	noPython   = "#!/bin/sh\ncase \"$*\" in *find*) echo 'error: No interpreter found for Python 3.13' >&2; exit 2;; esac\n" +
		"echo 'error: Failed to download https://github.com/astral-sh/python' >&2; exit 1\n"
	missingBase = "#!/bin/sh\n[ \"$2\" = build ] || exit 0\nfor word; do case $word in BASE_IMAGE=*) b=${word#BASE_IMAGE=};; esac; done\n" +
		"echo \"ERROR: failed to solve: $b: failed to resolve source metadata for $b: $b: not found\" >&2; exit 1\n"
)

// mistakes are what users do wrong, and what the program has to say: what is wrong, where, why, and what to do.
var mistakes = []struct {
	name  string
	args  string
	setup []string // "NAME=value" for the environment, "program: text" for the first folder of PATH, or "without: program"
	code  int
	want  string // a pattern
}{
	{"no such ref", "--sdk-repository REPOSITORY --sdk-ref v9.9.9 ONE", nil, 2, `error: sdk-ref "v9.9.9" is no branch, tag or commit of .*\nhint: the newest release there is sdk-ref: v1.10.0$`},
	{"too few digits", "--sdk-repository REPOSITORY --sdk-ref 3a546 ONE", nil, 2, `error: sdk-ref "3a546" is no .*\nhint: write at least 7 digits of the SHA`},
	{"no such repository", "--sdk-repository REPOSITORYx --sdk-ref main ONE", nil, 3, `error: cloning .*: .*\nhint: check sdk-repository; a private one looks as if it were not there`},
	{"ssh", "--sdk-repository git@github.com:o/sdk.git --sdk-ref main", nil, 2, `error: sdk-repository: "git@github.com:o/sdk.git" needs ssh, which is not supported\nhint: write https://github.com/o/sdk.git$`},
	{"a misspelled id", "SDK --instance-ids django__django-1133", nil, 2, `error: instance-ids: the dataset has no instance "django__django-1133"\nhint: did you mean django__django-11133\?`},
	{"another number", "SDK --instance-ids django__django-99999", nil, 2, `no instance "django__django-99999"\nhint: the dataset has 231 instances of django__django, such as django__django-10097$`},
	{"ids in JSON", `SDK --instance-ids ["django__django-11133","django__django-11179"]`, nil, 2, `is a list in JSON\nhint: write the ids alone, without brackets and quotes: django__django-11133,django__django-11179$`},
	{"no such dataset", "--dataset princeton-nlp/SWE-bench_Verifid --dry-run", nil, 2, `error: dataset: the hub does not show .*there is no such dataset, or it is not public\nhint: did you mean princeton-nlp/SWE-bench_Verified\?`},
	{"no such dataset, offline", "--dataset princeton-nlp/SWE-bench_Verifid --dry-run", []string{"HF_ENDPOINT=http://127.0.0.1:1"}, 3, `connection refused; .*\nhint: did you mean princeton-nlp/SWE-bench_Verified\? Otherwise run it again later`},
	{"no such split", "--split tset --dry-run", nil, 2, `error: split: .* has no split "tset"\nhint: did you mean test\?`},
	{"no such split, offline", "--split tset --dry-run", []string{"HF_ENDPOINT=http://127.0.0.1:1"}, 3, `connection refused; .*\nhint: the benchmark's split is test; otherwise run it again later`},
	{"no such file", "SDK --dataset absent.jsonl", nil, 2, `error: dataset: reading absent.jsonl: no such file or directory\nhint: check the path, which starts in the working directory /`},
	{"no such file of ids", "SDK --instances-file absent.txt", nil, 2, `error: instances-file: reading absent.txt: no such file or directory\nhint: check the path, which starts in`},
	{"a file outside the workspace", "SDK --instances-file /etc/hosts", []string{"GITHUB_ACTIONS=true"}, 2, `::error::instances-file: "/etc/hosts" is not inside the workspace%0Ahint: write a path relative to the workspace`},
	{"no number", "SDK --n-limit abc", nil, 2, `error: n-limit: "abc" is not a whole number of at least 0\nhint: write`},
	{"a negative number", "SDK --n-limit -5", nil, 2, `error: n-limit: "-5" is not a whole number of at least 0\nhint: write`},
	{"an image with a tag", "SDK --image ghcr.io/me/eval:latest", nil, 2, `error: image: "ghcr.io/me/eval:latest" has a tag or a digest\nhint: leave out everything after the repository`},
	{"a URL", "SDK --image https://ghcr.io/me/eval", nil, 2, `error: image: .* is a URL, not a repository\nhint: leave out the scheme: ghcr.io/`},
	{"upper case", "SDK --image ghcr.io/Me/Eval", nil, 2, `error: image: "ghcr.io/Me/Eval" has upper-case letters, which registries refuse\nhint: write ghcr.io/me/eval$`},
	{"no host", "SDK --image me/eval", nil, 2, `error: image: "me/eval" does not name a registry\nhint: add the host of the registry`},
	{"a shard beyond the last", "SDK --shard 5/4", nil, 2, `error: shard: "5/4" is none of 1/n to n/n, with n from 1 to 1000\nhint: write INDEX/COUNT`},
	{"three wrong choices", "SDK --strategy bild --cache-mode on --fail-on al", nil, 2, `(?s)strategy: "bild" is unknown\nhint: write auto, native or rebase.*fail-on: "al" is unknown\nhint: write any.*cache-mode: "on" is unknown\nhint: write off, min or max`},
	{"no unit", "SDK --image-timeout 30", nil, 2, `error: image-timeout: "30" has no unit\nhint: write a duration such as 90s`},
	{"a user without a password", "SDK --registry-username me", nil, 2, `error: registry-password: is empty, but registry-username is set\nhint: set both or none; a secret that is not set arrives as an empty value`},
	{"a word after a flag", "SDK --force-build true", nil, 2, `error: force-build: "true" after it is not read\nhint: write --force-build or --force-build=false`},
	{"a unit too many", "SDK --keep-storage-gb 60GB", nil, 2, `error: keep-storage-gb: "60GB" is not a whole number .*\nhint: write the number alone, 60: `},
	{"too many workers", "plan --max-workers 500 ONE", nil, 0, `warning: eval-images: max-workers 500 builds as many images at once: .*; the benchmark's own is 8$`},
	{"a misspelled placeholder", "SDK --custom-tag-template {instanc_tag}", nil, 2, `error: custom-tag-template: .* has the unknown placeholder \{instanc_tag\}\nhint: did you mean \{instance_tag\}\?`},
	{"one tag for all", "SDK --custom-tag-template x", nil, 2, `get the same tag "x"; 489 more like these are not shown\nhint: include \{instance_tag\} or \{instance_id\}$`},
	{"one base for all", "SDK --base-image-template HOST/x/y:latest --n-limit 3", nil, 2, `error: base-image-template: .* have the same base image ".*/x/y:latest"\nhint: include \{instance_id\}, or \{repo\} and \{name\}$`},
	{"no such option of the SDK", "SDK ONE BUILDER --sdk-options flavr=x --image HOST/absent/eval", nil, 2, `error: asking the SDK for tags: sdk-options: this SDK has no option flavr\nhint: the options .* are flavor$`},
	{"no such checkout", "--sdk-path absent --sdk-ref v1", nil, 2, `(?s)sdk-ref: "v1" cannot be combined with sdk-path\nhint: leave out sdk-ref .*sdk-path "absent" does not exist\nhint: check the path; git clone`},
	{"no engine", "SDK ONE THERE --image HOST/absent/eval --strategy native", nil, 3, `(?s)warning: eval-images: No image can be built natively: reaching the Docker Engine at unix.*nowhere.sock.*checkout took.*error: reaching the Docker Engine at .*\nhint: run on a machine with Docker`},
	{"no buildx", "SDK ONE THERE BUILDER --image HOST/absent/eval", []string{"docker: " + noBuildx}, 3, `(?s)warning: eval-images: No image can be built natively: reaching buildx: .*error: .*this docker command has no plugin buildx\nhint: install buildx`},
	{"no docker", "SDK ONE THERE BUILDER --image HOST/absent/eval", []string{"without: docker"}, 3, `(?s)warning: eval-images: No image can be built natively: reaching the docker command: .*error: .*\nhint: install the docker command with its plugin buildx`},
	{"no such builder", "SDK ONE THERE --builder nobody --image HOST/absent/eval", []string{"DOCKER_HOST=ENGINE"}, 3, `(?s)warning: eval-images: No image can be built natively: reaching the builder "nobody": .*error: reaching the builder "nobody": this engine has no container buildx_buildkit_nobody0\nhint: .*this engine has`},
	{"no Python", "SDK ONE", []string{"uv: " + noPython}, 3, `error: installing the SDK's Python environment: this machine has no Python 3.13, and uv could not fetch it: .*\nhint: install Python in that version`},
	{"no uv", "SDK ONE", []string{"without: uv"}, 3, `error: .*"uv": executable file not found.*\nhint: install uv 0.13.5 or later, or put it on PATH`},
	{"no git", "SDK ONE", []string{"without: git"}, 3, `error: .*"git": executable file not found.*\nhint: install git, or put it on PATH`},
	{"an old uv", "SDK ONE", []string{"uv: " + oldUV}, 3, `error: .*unexpected argument '--frozen' found\nhint: this uv cannot read .* a newer uv \(0.13.5 or later\)`},
	{"a dead proxy", "--sdk-repository https://git.test/o/sdk --sdk-ref main ONE", []string{"HTTPS_PROXY=http://127.0.0.1:1"}, 3, `error: cloning https://git.test/o/sdk: .*\nhint: check (the runner's network and proxy|HTTPS_PROXY)`},
	{"a proxy that breaks TLS", "SDK ONE", []string{"uv: " + untrusting}, 3, `error: .*invalid peer certificate: UnknownIssuer.*\nhint: let SSL_CERT_FILE name a file`},
	{"no right to push", "SDK ONE THERE BUILDER --image HOST/forbidden/eval", nil, 3, `(?s)warning: eval-images: No image can be pushed: pushing to .*/forbidden/eval: 403, not allowed.*hint: check registry-username.*write:packages.*error: pushing to .*: 403, not allowed`},
	{"no right to read", "SDK ONE THERE BUILDER --image HOST/unauthorized/eval", nil, 3, `error: checking \S+/unauthorized/eval:\S+: 401, not allowed\nhint: check registry-username and registry-password`},
	{"too many requests", "plan SDK ONE THERE --strategy native --image HOST/limited/eval", nil, 0, `warning: eval-images: The registry did not say of every image whether it exists: .*: 429, too many requests\n`},
	{"a certificate of its own", "SDK ONE THERE BUILDER --image UNTRUSTED/absent/eval", nil, 1, `(?s)No image can be pushed: .*x509: certificate signed by unknown authority.*hint: let both sides trust the registry in image: for this program, name a file with its CA in SSL_CERT_FILE .*error: django__django-11133: registry-tls: .*hint: let the builder trust the registry`},
	{"no registry", "SDK ONE THERE BUILDER --image 127.0.0.1:1/eval", nil, 3, `error: reaching the registry of 127.0.0.1:1/eval: .*connection refused\nhint: check that image names a registry that this process can reach`},
	{"a folder that is read-only", "SDK ONE --build-dir /sys/x", nil, 3, `error: making the folder for logs: mkdir /sys/x: .*\nhint: set build-dir and TMPDIR to folders that this user can write to$`},
	{"a folder that is read-only, planned", "plan SDK ONE --build-dir /sys/x", nil, 3, `error: making the folder for logs: mkdir /sys/x: .*\nhint: set build-dir and TMPDIR to folders that this user can write to$`},
	{"no such image to verify", "verify SDK HOST/there/eval:1234567-TAG-django__django-1133-source-minimal THERE BUILDER", nil, 2, `error: verify: .* is none of the images that these inputs make\nhint: did you mean .*-django__django-11133-source-minimal\? Otherwise give the sdk-ref`},
	{"no bases, planned", "plan SDK --n-limit 3 --image HOST/absent/eval --base-image-template HOST/absent/{instance_id}:latest", nil, 1, `warning: base images: 3 of 3 base images do not exist, such as .*\nhint: check that the base image exists \(base-image-template\)`},
	{"private bases, planned", "plan SDK --n-limit 3 --strategy native --image HOST/absent/eval --base-image-template HOST/unauthorized/{instance_id}:latest", nil, 0, `warning: base images: it is not known whether 3 of 3 base images exist: .*401, not allowed.*\nhint: check .* base-registry-username and base-registry-password`},
	{"bases that are limited, planned", "plan SDK --n-limit 3 --strategy native --image HOST/absent/eval --base-image-template HOST/limited/{instance_id}:latest", nil, 0, `warning: base images: it is not known whether 3 of 3 base images exist: .*429, too many requests.*\nhint: .*the registry asked to slow down`},
	{"no base", "SDK ONE THERE BUILDER --strategy native --max-retries 0 --image HOST/absent/eval", []string{"docker: " + missingBase}, 1, `(?s)error: django__django-11133: base-missing: .*hint: check that the base image exists.*❌ 1 of 1 image is missing: 1 base image not found`},
	{"help", "--help", nil, 0, `(?s)^Usage:\n.*^Commands:\n.*^Examples:\n.*^What to build:\n`},
	{"version", "--version", nil, 0, `^eval-images \S+`},
	{"a misspelled command", "merg one two", nil, 2, `error: command line: "merg" is not a command\nhint: did you mean merge\?`},
	{"a misspelled flag", "--sdk-rf v1", nil, 2, `error: command line: unknown flag "--sdk-rf"\nhint: did you mean --sdk-ref\?`},
}

// Each mistake ends the program with its exit code, and with a message that says what is wrong and what to do.
func TestMistakesAreToldWithWhatToDo(t *testing.T) {
	bin, sdk := standIns(t)
	for _, tag := range []string{"v1.1.0", "v1.9.9", "v1.10.0"} {
		if out, err := exec.Command("git", "-C", sdk, "tag", tag).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	ids, err := dataset.Embedded("princeton-nlp/SWE-bench_Verified", "test")
	if err != nil {
		t.Fatal(err)
	}
	hub := hubtest.New(t)
	hub.Add("princeton-nlp/SWE-bench_Verified", hubtest.Whole(t, "test", ids))
	registry := httptest.NewServer(http.HandlerFunc(answers))
	t.Cleanup(registry.Close)
	untrusted := httptest.NewTLSServer(http.HandlerFunc(answers))
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(untrusted.Close)
	host := strings.TrimPrefix(registry.URL, "http://")
	words := strings.NewReplacer(
		"REPOSITORY", "file://"+sdk, "SDK", "--sdk-repository file://"+sdk+" --sdk-ref main", "ONE", "--instance-ids django__django-11133",
		"THERE", "--base-image-template "+host+"/there/{instance_id}:latest", "BUILDER", "--builder tcp://"+host,
		"UNTRUSTED", strings.TrimPrefix(untrusted.URL, "https://"), "HOST", host,
	)
	engine := dockerEngine(t, "")
	var all sync.WaitGroup
	places := make(chan struct{}, 3)
	for _, c := range mistakes {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(c.name, func(t *testing.T) {
				dir, err := os.MkdirTemp("", "mistake-") // not t.TempDir, whose name is too long for a socket
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.RemoveAll(dir) })
				environ := []string{"HOME=" + dir, "TMPDIR=" + dir, "XDG_RUNTIME_DIR=" + dir, "HF_ENDPOINT=" + hub.URL, "DOCKER_HOST=unix://" + dir + "/nowhere.sock"}
				path := programs(t, dir, bin, c.setup)
				for _, variable := range c.setup {
					if !strings.Contains(variable, ": ") {
						environ = append(environ, strings.ReplaceAll(variable, "ENGINE", engine))
					}
				}
				cmd := exec.Command("eval-images", strings.Fields(words.Replace(c.args))...)
				cmd.Dir, cmd.Env = dir, append(environ, "PATH="+path)
				out, _ := cmd.CombinedOutput()
				if code := cmd.ProcessState.ExitCode(); code != c.code || !regexp.MustCompile("(?m)"+c.want).Match(out) {
					t.Errorf("eval-images %s\nended with %d, want %d and %s:\n%s", c.args, code, c.code, c.want, out)
				}
			})
		})
	}
	all.Wait()
}

// programs returns a PATH with the stand-ins in bin and the machine's own programs, changed as setup says.
func programs(t *testing.T, dir, bin string, setup []string) (path string) {
	t.Helper()
	first := filepath.Join(dir, "bin")
	if err := os.Mkdir(first, 0o755); err != nil {
		t.Fatal(err)
	}
	folders := append([]string{first, bin}, filepath.SplitList(os.Getenv("PATH"))...)
	for _, change := range setup {
		name, text, isProgram := strings.Cut(change, ": ")
		switch {
		case !isProgram:
		case name == "without":
			for _, folder := range folders[1:] {
				linkAll(t, folder, first, text)
			}
			return first
		default:
			if err := os.WriteFile(filepath.Join(first, name), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(folders, ":")
}

// linkAll links all programs of a folder but one, where there is none of that name yet.
func linkAll(t *testing.T, from, to, without string) {
	t.Helper()
	all, err := os.ReadDir(from)
	if err != nil {
		return // not all folders of PATH exist
	}
	for _, program := range all {
		err := os.Symlink(filepath.Join(from, program.Name()), filepath.Join(to, program.Name()))
		if err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	os.Remove(filepath.Join(to, without))
}
