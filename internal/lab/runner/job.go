package runner

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The paths that a container action sees.
const (
	workspaceDir    = "/github/workspace"
	runnerTempDir   = "/github/runner_temp"
	homeDir         = "/github/home"
	workflowDir     = "/github/workflow"
	fileCommandsDir = "/github/file_commands"
	engineSocket    = "/var/run/docker.sock"
	packagesDir     = "/packages"
)

// label is on the containers of this fake. The real runner's label is a hash of its folder.
const label = "eval-images.lab.runner"

// job is the runner's folder on the host, with the step's files, and the workspace.
type job struct {
	workspace string
	temp      string // _work/_temp of a real runner
}

// fileCommands maps the variables that name a file for the action to write to the name of that file in a real run.
var fileCommands = map[string]string{
	"GITHUB_ENV":          "set_env",
	"GITHUB_OUTPUT":       "set_output",
	"GITHUB_PATH":         "add_path",
	"GITHUB_STATE":        "save_state",
	"GITHUB_STEP_SUMMARY": "step_summary",
}

func newJob(workspace string) (job, error) {
	if info, err := os.Stat(workspace); err != nil || !info.IsDir() {
		return job{}, fmt.Errorf("opening the workspace %q: not a folder", workspace)
	}
	workspace, err := filepath.Abs(workspace)
	if err != nil {
		return job{}, fmt.Errorf("resolving the workspace: %w", err)
	}
	temp, err := os.MkdirTemp("", "lab-runner-")
	if err != nil {
		return job{}, fmt.Errorf("making the runner's folder: %w", err)
	}
	j := job{workspace: workspace, temp: temp}
	if err := j.fill(); err != nil {
		j.remove()
		return job{}, fmt.Errorf("filling the runner's folder: %w", err)
	}
	return j, nil
}

func (j job) fill() error {
	for _, dir := range []string{j.home(), j.workflow(), j.commands()} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	for _, file := range fileCommands {
		if err := os.WriteFile(filepath.Join(j.commands(), file), nil, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(j.workflow(), "event.json"), []byte("{}\n"), 0o644)
}

func (j job) home() string     { return filepath.Join(j.temp, "_github_home") }
func (j job) workflow() string { return filepath.Join(j.temp, "_github_workflow") }
func (j job) commands() string { return filepath.Join(j.temp, "_runner_file_commands") }

// remove ignores errors: an action may leave root's files in its home, which only root can remove.
func (j job) remove() { os.RemoveAll(j.temp) }

type mount struct{ source, target string }

// mounts returns the mounts in the runner's order. A folder comes before the folder that contains it, so translate can
// take the first match.
func (j job) mounts() []mount {
	return []mount{
		{engineSocket, engineSocket},
		{j.home(), homeDir},
		{j.workflow(), workflowDir},
		{j.commands(), fileCommandsDir},
		{j.temp, runnerTempDir},
		{j.workspace, workspaceDir},
	}
}

// environment returns all variables of the step's container: those of the workflow, INPUT_*, and the runner's own,
// which override the others.
func (j job) environment(workflow, inputs map[string]string) map[string]string {
	env := maps.Clone(workflow)
	if env == nil {
		env = map[string]string{}
	}
	for name, value := range inputs {
		env[inputVariable(name)] = value
	}
	maps.Copy(env, githubVariables)
	env["HOME"] = j.home()
	env["GITHUB_WORKSPACE"] = j.workspace
	env["RUNNER_WORKSPACE"] = filepath.Dir(j.workspace)
	env["RUNNER_TEMP"] = j.temp
	env["GITHUB_EVENT_PATH"] = filepath.Join(j.workflow(), "event.json")
	for name, file := range fileCommands {
		env[name] = filepath.Join(j.commands(), file)
	}
	for name, value := range env {
		env[name] = translate(value, j.mounts())
	}
	return env
}

// inputVariable replaces blanks and keeps hyphens, as the runner does.
func inputVariable(input string) string {
	return "INPUT_" + strings.ToUpper(strings.ReplaceAll(input, " ", "_"))
}

// translate replaces a host path at the start of a value with the path in the container. The runner does that with
// every variable.
func translate(value string, mounts []mount) string {
	for _, m := range mounts {
		if rest, ok := strings.CutPrefix(value, m.source); ok && (rest == "" || rest[0] == '/') {
			return m.target + rest
		}
	}
	return value
}

// runArgs returns the arguments of the runner's docker command, in its order, with volumes that only the lab adds.
func runArgs(name, image, entrypoint, network string, env map[string]string, mounts []mount, volumes []string) []string {
	args := []string{"run", "--name", name, "--label", label, "--workdir", workspaceDir, "--rm"}
	for _, variable := range slices.Sorted(maps.Keys(env)) {
		args = append(args, "-e", variable)
	}
	args = append(args, "-e", "GITHUB_ACTIONS=true")
	if _, ok := env["CI"]; !ok {
		args = append(args, "-e", "CI=true")
	}
	if entrypoint != "" {
		args = append(args, "--entrypoint", entrypoint)
	}
	if network != "" {
		args = append(args, "--network", network)
	}
	for _, m := range mounts {
		args = append(args, "-v", m.source+":"+m.target)
	}
	for _, volume := range volumes {
		args = append(args, "-v", volume)
	}
	return append(args, image)
}

func assignments(env map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// githubVariables have the same value in every run of this fake. SHA and ref are the workflow's, not the SDK's, so a
// program that mixes them up makes wrong tags and fails its test.
var githubVariables = map[string]string{
	"GITHUB_ACTION":              "__self",
	"GITHUB_ACTION_REF":          "",
	"GITHUB_ACTION_REPOSITORY":   "",
	"GITHUB_ACTOR":               "octocat",
	"GITHUB_ACTOR_ID":            "583231",
	"GITHUB_API_URL":             "https://api.github.com",
	"GITHUB_BASE_REF":            "",
	"GITHUB_EVENT_NAME":          "workflow_dispatch",
	"GITHUB_GRAPHQL_URL":         "https://api.github.com/graphql",
	"GITHUB_HEAD_REF":            "",
	"GITHUB_JOB":                 "build",
	"GITHUB_REF":                 "refs/heads/main",
	"GITHUB_REF_NAME":            "main",
	"GITHUB_REF_PROTECTED":       "false",
	"GITHUB_REF_TYPE":            "branch",
	"GITHUB_REPOSITORY":          "octocat/evaluation",
	"GITHUB_REPOSITORY_ID":       "1296269",
	"GITHUB_REPOSITORY_OWNER":    "octocat",
	"GITHUB_REPOSITORY_OWNER_ID": "583231",
	"GITHUB_RETENTION_DAYS":      "90",
	"GITHUB_RUN_ATTEMPT":         "1",
	"GITHUB_RUN_ID":              "1658821493",
	"GITHUB_RUN_NUMBER":          "3",
	"GITHUB_SERVER_URL":          "https://github.com",
	"GITHUB_SHA":                 "1111111111111111111111111111111111111111",
	"GITHUB_TRIGGERING_ACTOR":    "octocat",
	"GITHUB_WORKFLOW":            "build images",
	"GITHUB_WORKFLOW_REF":        "octocat/evaluation/.github/workflows/build.yml@refs/heads/main",
	"GITHUB_WORKFLOW_SHA":        "1111111111111111111111111111111111111111",
	"RUNNER_ARCH":                "X64",
	"RUNNER_ENVIRONMENT":         "github-hosted",
	"RUNNER_NAME":                "GitHub Actions 2",
	"RUNNER_OS":                  "Linux",
	"RUNNER_TOOL_CACHE":          "/opt/hostedtoolcache",
}

// NoHub points a step at an address where nothing listens, instead of the Hugging Face hub. The action then uses its
// embedded lists.
var NoHub = map[string]string{"HF_ENDPOINT": "http://127.0.0.1:1"}

// UsePackages lets uv keep what it downloads in the volume at packagesDir. It copies the files from there, because no hard
// link leads out of a volume.
var UsePackages = map[string]string{"UV_CACHE_DIR": packagesDir, "UV_LINK_MODE": "copy"}

// PackagesMount mounts a volume where UsePackages expects it, in the form of docker's --volume.
func PackagesMount(volume string) string { return volume + ":" + packagesDir }
