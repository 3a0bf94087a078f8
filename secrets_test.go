package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorder is what each stand-in begins with. It keeps the arguments and the environment of its process: not those of env(1),
// from which dash drops INPUT_REGISTRY-PASSWORD.
const recorder = `#!/bin/sh
{ tr '\0' ' ' </proc/$$/cmdline; echo; tr '\0' '\n' </proc/$$/environ; } >"$(dirname "$0")/seen/$(basename "$0").$$"
`

// recordingPrograms are the programs that a run starts, by name. HERE is their folder.
var recordingPrograms = map[string]string{
	"git": `exec GIT "$@"`,
	"uv": `echo "Resolving by $UV_DEFAULT_INDEX through $HTTPS_PROXY" >&2
case $1 in
sync) mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"; cp HERE/python "$UV_PROJECT_ENVIRONMENT/bin/python";;
build) mkdir "$4/unknown-0.0.0"; cp -R openhands-agent-server "$4/unknown-0.0.0"; tar -C "$4" -czf "$4/unknown-0.0.0.tar.gz" unknown-0.0.0; rm -r "$4/unknown-0.0.0";;
esac`,
	"docker": `cp "$DOCKER_CONFIG/config.json" HERE/config.json
case "$2 $3" in
create*)
	mkdir -p "$BUILDX_CONFIG/instances"
	echo "{\"Name\":\"$4\",\"Nodes\":[{\"Name\":\"${4}0\",\"DriverOpts\":null}]}" >"$BUILDX_CONFIG/instances/$4"
	echo "created behind $HTTPS_PROXY";;
inspect*) echo 'BuildKit version: v0.34.2'; echo "Driver Options: env.HTTPS_PROXY=\"$HTTPS_PROXY\" env.http_proxy=\"$http_proxy\"";;
"build "*) touch HERE/built; echo "[stdout] Driver Options: env.HTTPS_PROXY=\"$HTTPS_PROXY\""; echo '#1 exporting to image';;
esac`,
	"docker-credential-store": `read registry
echo '{"ServerURL":"'$registry'","Username":"me","Secret":"SECRET-store"}'`,
	// Python looks for the SDK's environment beside itself, so it is a copy in another folder that records into that.
	"python": "",
}

// secretsOf are all secrets of the runs, by the programs that may see each in their environment.
var secretsOf = map[string][]string{
	"SECRET-registry": nil, "SECRET-base": nil, "SECRET-hub": nil, "SECRET-hub-variable": nil, "SECRET-github": nil,
	"SECRET-runtime": nil, "SECRET-variable": nil, "SECRET-auth-config": nil, "SECRET-inherited": nil, "SECRET-store": nil,
	"SECRET-index":       {"uv"},
	"SECRET-index-url":   {"uv"},
	"SECRET-proxy":       {"git", "uv", "docker", "python", "docker-credential-store"},
	"SECRET-proxy-lower": {"git", "uv", "docker", "python", "docker-credential-store"},
}

// Nothing that a run leaves behind has a secret in it, no process gets one as an argument, and only those processes get one in their
// environment that need it. The credential store inherits this process's environment, with its proxies.
func TestSecretsStayWhereTheyAreNeeded(t *testing.T) {
	login := map[string]string{
		"INPUT_REGISTRY-USERNAME": "me", "INPUT_REGISTRY-PASSWORD": "SECRET-registry",
		"INPUT_BASE-REGISTRY-USERNAME": "me", "INPUT_BASE-REGISTRY-PASSWORD": "SECRET-base",
	}
	cases := []struct {
		name     string
		inputs   map[string]string
		password string // that the registry of image asks for
		started  []string
	}{
		{"inputs", login, "SECRET-registry", []string{"docker", "git", "python", "uv"}},
		{"a credential store", nil, "SECRET-store", []string{"docker", "docker-credential-store", "git", "python", "uv"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newProcess(t, "eval-images")
			here := p.standIn(t)
			image := registryThatRepeatsThePassword(t, c.password, filepath.Join(here, "built"))
			engine := dockerEngine(t, "")
			p.inheritDockerConfig(t)
			for name, value := range c.inputs {
				p.Env = append(p.Env, name+"="+value)
			}
			p.Env = append(
				p.Env, "INPUT_SDK-REPOSITORY=file://"+fakeSDK(t), "INPUT_SDK-REF=main", "INPUT_INSTANCE-IDS=django__django-11133",
				"INPUT_IMAGE="+image+"/o/eval", "INPUT_BASE-IMAGE-TEMPLATE=bases.test/{instance_id}:latest", "INPUT_STRATEGY=native",
				"INPUT_MAX-RETRIES=0", "INPUT_HF-TOKEN=SECRET-hub", "HF_TOKEN=SECRET-hub-variable", "DOCKER_HOST="+engine,
				"GITHUB_TOKEN=SECRET-github", "EVAL_IMAGES_REGISTRY_PASSWORD=SECRET-variable", "ACTIONS_RUNTIME_TOKEN=SECRET-runtime",
				`DOCKER_AUTH_CONFIG={"auths":{"env.test":{"auth":"`+encoded("SECRET-auth-config")+`"}}}`,
				"UV_DEFAULT_INDEX=https://me:SECRET-index-url@index.test/simple", "UV_INDEX_OWN_PASSWORD=SECRET-index",
				"HTTPS_PROXY=http://me:SECRET-proxy@proxy.test:3128", "http_proxy=http://me:SECRET-proxy-lower@proxy.test:3128", "NO_PROXY=127.0.0.1",
			)
			log := &bytes.Buffer{}
			p.Stdout, p.Stderr = log, log
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			p.ends(t, 1, log)

			// The run came to its end, with something to hide in each place.
			records := p.records(t)
			for place, words := range map[string]string{
				"ledger": "the password *** is not enough", "summary": "the password *** is not enough", "step summary": "is not enough",
			} {
				if !strings.Contains(records[place], words) {
					t.Errorf("%s does not have the registry's words:\n%s", place, records[place])
				}
			}
			if !strings.Contains(records["ledger"], "confirming the push: ") {
				t.Errorf("no image was built:\n%s", records["ledger"])
			}
			config, err := os.ReadFile(filepath.Join(here, "config.json"))
			if err != nil || !strings.Contains(string(config), encoded("SECRET-inherited")) || !strings.Contains(string(config), encoded("SECRET-auth-config")) {
				t.Errorf("docker has the logins %s, %v", config, err)
			}
			p.checkProcesses(t, here, c.started)
			p.checkFiles(t, log.String())
		})
	}
}

func encoded(password string) string {
	return base64.StdEncoding.EncodeToString([]byte("me:" + password))
}

// standIn puts the stand-ins first on PATH.
func (p process) standIn(t *testing.T) (here string) {
	t.Helper()
	here = t.TempDir()
	if err := os.Mkdir(filepath.Join(here, "seen"), 0o755); err != nil {
		t.Fatal(err)
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	for name, script := range recordingPrograms {
		script = recorder + strings.NewReplacer("HERE", here, "GIT", git).Replace(script) + "\n"
		if name == "python" {
			script = strings.Replace(recorder, `$(dirname "$0")`, here, 1) + "exec python3 \"$@\"\n"
		}
		if err := os.WriteFile(filepath.Join(here, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.Env[0] = "PATH=" + here + ":" + os.Getenv("PATH")
	return here
}

// inheritDockerConfig writes the Docker configuration of the user.
func (p process) inheritDockerConfig(t *testing.T) {
	t.Helper()
	path := filepath.Join(p.dir, ".docker/config.json")
	config := `{"credsStore":"store","auths":{"inherited.test":{"auth":"` + encoded("SECRET-inherited") + `"}}}`
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fakeSDK is a repository with a fake of the SDK, whose build does not look into the sdist.
func fakeSDK(t *testing.T) (repository string) {
	t.Helper()
	repository = t.TempDir()
	server := filepath.Join(repository, "openhands-agent-server")
	for _, folder := range []string{repository, server} {
		if err := os.CopyFS(folder, os.DirFS("internal/sdk/testdata/fakesdk")); err != nil {
			t.Fatal(err)
		}
	}
	module := filepath.Join(server, "openhands/agent_server/docker/build.py")
	text, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`Path(sdist).read_text().strip()`), []byte(`sdist`), 1)
	for path, content := range map[string][]byte{module: text, filepath.Join(repository, "variant"): []byte("native")} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "one"},
	} {
		if out, err := exec.Command("git", append([]string{"-C", repository}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return repository
}

// registryThatRepeatsThePassword has no image. When one was built, it refuses to say whether it is there, and shows the password
// that it got.
func registryThatRepeatsThePassword(t *testing.T, password, built string) (host string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, given, _ := r.BasicAuth()
		_, err := os.Stat(built)
		switch {
		case given != password:
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		case strings.Contains(r.URL.Path, "/manifests/") && err == nil:
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `{"errors":[{"code":"DENIED","message":"the password %s is not enough"}]}`, given)
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.WriteHeader(http.StatusNotFound)
		case r.Method == http.MethodPost:
			w.Header().Set("Location", r.URL.Path+"1")
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// checkProcesses looks for secrets in the arguments and the environment of all processes that the run has started.
func (p process) checkProcesses(t *testing.T, here string, started []string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(here, "seen/*"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range all {
		name, _, _ := strings.Cut(filepath.Base(path), ".")
		names = append(names, name)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		arguments, environ, _ := strings.Cut(string(text), "\n")
		for secret, may := range secretsOf {
			if strings.Contains(arguments, secret) {
				t.Errorf("%s gets %s as an argument: %s", name, secret, arguments)
			}
			for variable := range strings.Lines(environ) {
				// SECRET-proxy is the beginning of another one.
				if strings.Contains(variable+"@", secret+"@") || strings.Contains(variable, secret+"\n") || strings.Contains(variable, encoded(secret)) {
					if !slices.Contains(may, name) {
						t.Errorf("%s gets %s in its environment: %s%s", name, secret, arguments, variable)
					}
				}
			}
		}
		if name == "python" && !strings.Contains("\n"+environ, "\nUV_DEFAULT_INDEX=https://index.test/simple\n") {
			t.Errorf("a worker has another package index:\n%s", environ)
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); !slices.Equal(names, started) {
		t.Errorf("the run has started %v, want %v", names, started)
	}
}

// checkFiles looks for secrets in all that the run has printed and written, except in the commands that tell the runner to hide
// them. What the user had before stays as it is.
func (p process) checkFiles(t *testing.T, log string) {
	t.Helper()
	var printed strings.Builder
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "::add-mask::") {
			printed.WriteString(line)
		}
	}
	if err := os.WriteFile(filepath.Join(p.dir, "log"), []byte(printed.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(p.dir, ".docker")); err != nil {
		t.Fatal(err)
	}
	for secret := range secretsOf {
		for _, text := range []string{secret, encoded(secret)} {
			for _, folder := range []string{p.dir, p.memory} {
				if files := holding(t, folder, text); len(files) > 0 {
					t.Errorf("%s is in %v", text, files)
				}
			}
		}
	}
}

// Credentials in the address of the SDK's repository are a bad input that shows them nowhere.
func TestCredentialsInTheRepositoryAreNotShown(t *testing.T) {
	p := newProcess(t, "eval-images")
	p.Env = append(p.Env, "INPUT_SDK-REPOSITORY=https://me:SECRET-repository@git.test/sdk.git", "INPUT_SDK-REF=main")
	log := &bytes.Buffer{}
	p.Stdout, p.Stderr = log, log
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.ends(t, 2, log)
	if err := os.WriteFile(filepath.Join(p.dir, "log"), log.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if files := holding(t, p.dir, "SECRET-repository"); len(files) > 0 || !strings.Contains(log.String(), "***@git.test") {
		t.Errorf("it is in %v:\n%s", files, log)
	}
}
