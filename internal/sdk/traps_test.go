package sdk

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// trap is a way of the SDK's build module and Dockerfile (OpenHands/software-agent-sdk,
// openhands-agent-server/openhands/agent_server/docker/{build.py,Dockerfile}) that a long-lived caller falls into.
type trap struct {
	what   string
	answer string // or why it is not ours to answer
	// where holds "file:identifier" of the test that protects the answer, or where no test can, of the code that gives
	// it; files are below internal. Empty where there is nothing to find: the answer then begins with "not ours".
	where string
}

// traps are all that were found in releases 1.0.0 to 1.58.2, by number. A number keeps its meaning.
var traps = [36]trap{
	1: {
		"the import takes GITHUB_SHA and GITHUB_REF for the SDK's: in a workflow, tags carry the workflow's commit",
		"SDK_* and GITHUB_* are set before the import, and git_sha and git_ref are passed too",
		"sdk/pool_test.go:TestWorkerEnvironment sdk/real_test.go:testNames",
	},
	2: {
		"the import runs git, which refuses another user's folder; tags then begin with unknown-",
		"SDK_SHA and SDK_REF spare it git; no pool starts without a whole SHA",
		"sdk/pool_test.go:TestPoolRefusesUnknownCommits sdk/pool_test.go:TestWorkerEnvironment",
	},
	3: {"without git on PATH the import fails", "as 2: git is not asked", "sdk/pool_test.go:TestWorkerEnvironment"},
	4: {
		"the import looks for the SDK's root from the working directory upwards: another checkout there wins",
		"workers run in the root, and get it as sdk_project_root", "sdk/worker_test.go:TestWorkerOutput",
	},
	5: {
		"all output of its commands goes to standard output, at import too: a protocol there is lost",
		"the protocol has a socket of its own", "sdk/worker_test.go:TestWorkerOutput",
	},
	6: {
		"in CI that output goes to standard output alone, not to logging",
		"descriptors 1 and 2 are the image's log while it is built", "sdk/worker_test.go:TestWorkerOutput",
	},
	7: {
		"DEBUG_LLM=1 asks on standard input at import; git and docker inherit it",
		"DEBUG_LLM is not passed on, and descriptor 0 is /dev/null",
		"sdk/pool_test.go:TestWorkerEnvironment sdk/worker_test.go:TestWorkersHaveNoStandardInput",
	},
	8: {
		"a build changes the module's shared logger: two at once log into each other",
		"a worker builds one image at a time", "sdk/pool_test.go:TestPoolStartsWorkersOnlyWhenNeeded",
	},
	9: {
		"unpacking the sdist changes the process's directory: threads unpack into each other's, often without an error",
		"each worker is a process, and goes back to the root for each request", "sdk/worker_test.go:TestWorkerFailures",
	},
	10: {
		"each build leaves a folder in TMPDIR, and a killed one its whole context",
		"TMPDIR is the worker's own, cleared after a build and removed with the worker",
		"sdk/worker_test.go:TestWorkerOutput sdk/worker_end_test.go:TestWorkerBuildsAreEnded",
	},
	11: {
		"a signal to the process leaves docker running, which goes on to push",
		"whole process groups are ended, by us and by the worker",
		"sdk/pool_test.go:TestPoolEndsBuilds sdk/worker_end_test.go:TestWorkerDeathIsSeen sdk/worker_test.go:TestWorkersEndWithTheirOwner",
	},
	12: {"its commands have no time limit", "image-timeout is ours", "sdk/pool_test.go:TestPoolEndsBuilds lab/e2e/faults_test.go:TestTimeout"},
	13: {"push=None means: in CI", "push is always passed", "sdk/worker_test.go:TestWorkerOptions sdk/real_test.go:testBuilds"},
	14: {
		"a push exports its cache to the registry, which buildx's docker driver cannot do",
		"the builder is one of docker-container or remote, never docker; cache-mode is off unless asked for",
		"docker/builder.go:Driver sdk/real_test.go:testBuilds",
	},
	15: {
		"without a push all builds export their cache to one folder of the home directory",
		"BUILD_CACHE_DIR is the worker's own", "sdk/pool_test.go:TestWorkerEnvironment sdk/worker_end_test.go:TestWorkersAreTheirOwn",
	},
	16: {
		"provenance attestations are not switched off: one more untagged package version for each image",
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1", "sdk/pool_test.go:TestWorkerEnvironment",
	},
	17: {
		"telemetry is read from BuildKit's plain progress alone", "BUILDKIT_PROGRESS=plain",
		"sdk/pool_test.go:TestWorkerEnvironment sdk/real_test.go:testBuilds",
	},
	18: {
		"BuildCommandError says nothing of docker's output as text, and cannot be pickled",
		"its return code, command, last lines and telemetry are sent one by one", "sdk/worker_test.go:TestWorkerFailures",
	},
	19: {
		"its command line appends to GITHUB_OUTPUT for each image", "its functions are called instead, without GITHUB_OUTPUT",
		"sdk/pool_test.go:TestWorkerEnvironment",
	},
	20: {
		"litellm fetches a price list over the internet at import", "LITELLM_LOCAL_MODEL_COST_MAP=True",
		"sdk/pool_test.go:TestWorkerEnvironment",
	},
	21: {
		"a fork beside Rich's live view, or any second thread, can hang (OpenHands/benchmarks#459, #476, #486, #487)",
		"no worker is forked: each is a process with an import of its own", "sdk/worker_end_test.go:TestWorkersAreTheirOwn",
	},
	22: {
		"sdists built at once share UNKNOWN.egg-info in the SDK's root, and read a stale one after a change of ref",
		"one is built ahead in a fresh clone; those that images have to make take turns, where _run can be answered (in all releases)",
		"sdk/worker_test.go:TestSdistBuildsTakeTurns",
	},
	23: {
		"a prebuilt sdist that is gone fails each image", "the worker looks first, and lets the SDK make its own; that is counted",
		"sdk/worker_test.go:TestWorkerSeams",
	},
	24: {
		".python-version in the root redirects Python launchers, and what lies there shadows modules",
		"the environment's interpreter is called by its path, with -P", "sdk/fakeworker_test.go:TestMain sdk/worker.go:spawn",
	},
	25: {
		"the set of ACP providers is in no tag: same tag, other content", "the options' hash is in the default tag",
		"plan/plan_test.go:TestOptionsSHA256 plan/tags_test.go:TestImageTagPrefix",
	},
	26: {
		"None for an option is an error, an empty value means none, absence means the default",
		"only what the user gave is passed, an empty value as such", "sdk/worker_test.go:TestWorkerOptions",
	},
	27: {
		"an unknown provider is refused when BuildOptions is constructed, that is, for each image; an unknown option is dropped",
		"naming constructs all of them before the first build; the run ends with exit code 2",
		"sdk/worker_test.go:TestWorkerOptions lab/e2e/faults_test.go:TestFaultsOfTheWhole",
	},
	28: {
		"without its provider catalog build() raises before it cleans up", "as any exception of the SDK; TMPDIR is cleared all the same",
		"sdk/worker_test.go:TestWorkerFailures sdk/worker.py:clean_temporary",
	},
	29: {
		"the acp-providers stage is shared and fatal: its fault fails every image on a cold builder",
		"the first image goes alone; when it fails in a stage that is no image's own, the others are not tried",
		"image/canary_test.go:TestFirstImageGoesAlone lab/e2e/shared_test.go:TestSharedStageFails",
	},
	30: {"an empty provider set still prints that the base is not compatible", "only how a failed command ended is read, never what a build said on its way", "docker/failure_test.go:TestOnlyTheEndingCounts"},
	31: {"a base that cannot run node builds, without ACP and with its payload", "not ours: the content of an image is the SDK's", ""},
	32: {"one layer digest occurs several times in an image", "not ours yet: nothing here reads layers", ""},
	33: {"images of 1.48.0 and later have no sudo, curl, jq, compilers or uv", "not ours: the content of an image is the SDK's", ""},
	34: {
		"the agent server's own dependencies include the tools since 1.49.6: 358 packages instead of 140",
		"the SDK's set is installed, with the agent server's folder on PYTHONPATH", "sdk/environment_test.go:TestEnvironmentAndSdistCommands",
	},
	35: {
		"each base build since 1.44.0 resolves docker.io/library/python:3.13-bookworm too, which counts at the hub",
		"not ours: BuildKit pulls it; a mirror or a login on the builder helps", "",
	},
}

func TestTraps(t *testing.T) {
	for i, trap := range traps {
		if i == 0 {
			continue
		}
		if notOurs := strings.HasPrefix(trap.answer, "not ours"); trap.what == "" || trap.answer == "" || notOurs != (trap.where == "") {
			t.Errorf("trap %d is neither answered nor named as not ours: %+v", i, trap)
		}
		for where := range strings.FieldsSeq(trap.where) {
			path, name, _ := strings.Cut(where, ":")
			text, err := os.ReadFile(filepath.Join("..", path))
			// A definition: a function or method, a field, or Python's def.
			defined := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|def |\t)` + regexp.QuoteMeta(name) + `\b`)
			if err != nil || name == "" || !defined.Match(text) {
				t.Errorf("trap %d: %s does not define %q (%v)", i, path, name, err)
			}
		}
	}
}
