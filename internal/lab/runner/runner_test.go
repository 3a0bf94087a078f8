package runner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadInputs(t *testing.T) {
	const action = `name: x
inputs:
  # a comment
  sdk-ref:
    description: "a: b"
    required: true
  max-workers:
    description: How many.
    default: '8'

  with_underscore:
    default: a plain text
outputs:
  total:
    description: Not an input.
`
	got, err := readInputs(strings.NewReader(action))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"sdk-ref": "", "max-workers": "8", "with_underscore": "a plain text"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadInputsRefusesWhatItWouldMisread(t *testing.T) {
	cases := map[string]string{
		"other indentation": "inputs:\n    sdk-ref:\n        default: x\n",
		"flow style":        "inputs:\n  sdk-ref: {default: x}\n",
		"expression":        "inputs:\n  token:\n    default: ${{ github.token }}\n",
		"block scalar":      "inputs:\n  token:\n    default: |\n      x\n",
		"escaped quote":     "inputs:\n  token:\n    default: \"a\\\"b\"\n",
	}
	for name, action := range cases {
		t.Run(name, func(t *testing.T) {
			if got, err := readInputs(strings.NewReader(action)); err == nil {
				t.Errorf("got %v, want an error", got)
			}
		})
	}
}

func TestUndeclaredInput(t *testing.T) {
	step := Step{ActionFile: "testdata/action.yml", Inputs: map[string]string{"sdk_ref": "v1"}, Workspace: t.TempDir()}
	_, err := step.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), `no input "sdk_ref"`) {
		t.Errorf("got %v, want the name of the undeclared input", err)
	}
}

func TestEnvironment(t *testing.T) {
	j := job{workspace: "/home/runner/work/r/r", temp: "/home/runner/work/_temp"}
	workflow := map[string]string{
		"DOCKER_CONFIG": "/home/runner/work/_temp/dockercfg",
		"NEIGHBOUR":     "/home/runner/work/r/r2",
		"INSIDE":        "see /home/runner/work/r/r",
		"GITHUB_SHA":    "overridden",
	}
	env := j.environment(workflow, map[string]string{"sdk-ref": "v1", "two words": ""})
	want := map[string]string{
		"DOCKER_CONFIG":       "/github/runner_temp/dockercfg",
		"NEIGHBOUR":           "/home/runner/work/r/r2",
		"INSIDE":              "see /home/runner/work/r/r",
		"GITHUB_SHA":          strings.Repeat("1", 40),
		"INPUT_SDK-REF":       "v1",
		"INPUT_TWO_WORDS":     "",
		"HOME":                "/github/home",
		"GITHUB_WORKSPACE":    "/github/workspace",
		"GITHUB_OUTPUT":       "/github/file_commands/set_output",
		"GITHUB_STEP_SUMMARY": "/github/file_commands/step_summary",
		"GITHUB_EVENT_PATH":   "/github/workflow/event.json",
		"RUNNER_TEMP":         "/github/runner_temp",
		"RUNNER_WORKSPACE":    "/home/runner/work/r",
	}
	got := map[string]string{}
	for name := range want {
		if value, ok := env[name]; ok {
			got[name] = value
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRunArgs(t *testing.T) {
	env := map[string]string{"INPUT_SDK-REF": "secret", "HOME": "/github/home"}
	mounts := []mount{{"/host", "/github/workspace"}}
	common := []string{
		"run", "--name", "n", "--label", label, "--workdir", "/github/workspace", "--rm",
		"-e", "HOME", "-e", "INPUT_SDK-REF", "-e", "GITHUB_ACTIONS=true", "-e", "CI=true",
	}
	cases := map[string]struct {
		entrypoint, network string
		volumes             []string
		want                []string
	}{
		"with services":    {"", "net", nil, append(common[:len(common):len(common)], "--network", "net", "-v", "/host:/github/workspace", "image")},
		"post step":        {"/post", "net", nil, append(common[:len(common):len(common)], "--entrypoint", "/post", "--network", "net", "-v", "/host:/github/workspace", "image")},
		"without services": {"", "", nil, append(common[:len(common):len(common)], "-v", "/host:/github/workspace", "image")},
		"with a volume":    {"", "", []string{"v:/v"}, append(common[:len(common):len(common)], "-v", "/host:/github/workspace", "-v", "v:/v", "image")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, runArgs("n", "image", c.entrypoint, c.network, env, mounts, c.volumes)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseKeyValues(t *testing.T) {
	cases := map[string]struct {
		text    string
		want    map[string]string
		invalid bool
	}{
		"plain":                {text: "a=1\r\nb=x=y\n\nc=\n", want: map[string]string{"a": "1", "b": "x=y", "c": ""}},
		"block":                {text: "a<<EOF\n1\n\n2\nEOF\nb=3\n", want: map[string]string{"a": "1\n\n2", "b": "3"}},
		"delimiter as a part":  {text: "a<<EOF\nEOF \nEOF\n", want: map[string]string{"a": "EOF "}},
		"block without end":    {text: "a=1\nb<<EOF\n2\n", want: map[string]string{"a": "1"}, invalid: true},
		"line without a name":  {text: "=1\n", want: map[string]string{}, invalid: true},
		"line of neither form": {text: "a=1\nstray\n", want: map[string]string{"a": "1"}, invalid: true},
		"equals then heredoc":  {text: "a=b<<c\n", want: map[string]string{"a": "b<<c"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseKeyValues(c.text)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if (err != nil) != c.invalid {
				t.Errorf("got error %v, want one: %t", err, c.invalid)
			}
		})
	}
}

func TestLog(t *testing.T) {
	cases := map[string]struct {
		chunks      []string
		text        string
		annotations []Annotation
		outputs     map[string]string
	}{
		"annotation with properties": {
			chunks:      []string{"  ::error title=a%2Cb,file=x::50%25%0Adone\n"},
			text:        "  ::error title=a%2Cb,file=x::50%25%0Adone\n",
			annotations: []Annotation{{"error", "50%\ndone", map[string]string{"title": "a,b", "file": "x"}}},
		},
		"command behind a bare carriage return": {
			chunks:      []string{"10%\r::warn", "ing::x\r", "\nend"},
			text:        "10%\n::warning::x\nend\n",
			annotations: []Annotation{{"warning", "x", map[string]string{}}},
		},
		"older form within a line": {
			chunks:      []string{"build said ##[error]no\n"},
			text:        "build said ##[error]no\n",
			annotations: []Annotation{{"error", "no", map[string]string{}}},
		},
		"mask": {
			chunks:      []string{"s3cret\n::add-mask::s3cret\ntoken s3cret\n::notice::s3cret\n"},
			text:        "s3cret\n::add-mask::***\ntoken ***\n::notice::***\n",
			annotations: []Annotation{{"notice", "***", map[string]string{}}},
		},
		"stopped commands": {
			chunks:      []string{"::stop-commands::tok\n::error::no\n::tok::\n::error::yes\n"},
			text:        "::stop-commands::tok\n::error::no\n::tok::\n::error::yes\n",
			annotations: []Annotation{{"error", "yes", map[string]string{}}},
		},
		"injected output": {
			chunks:  []string{"::set-output name=manifest::evil\n"},
			text:    "::set-output name=manifest::evil\n",
			outputs: map[string]string{"manifest": "evil"},
		},
		"not a command": {
			chunks: []string{"std::vector::x\n::nothing::x\na ::error::x\n"},
			text:   "std::vector::x\n::nothing::x\na ::error::x\n",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLog(nil)
			out := l.stream()
			for _, chunk := range c.chunks {
				out.Write([]byte(chunk))
			}
			l.flush()
			if c.outputs == nil {
				c.outputs = map[string]string{}
			}
			if diff := cmp.Diff(c.text, l.text.String()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.annotations, l.annotations); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.outputs, l.outputs); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSummaryLimit(t *testing.T) {
	cases := map[string]struct{ size, want int }{
		"at the limit":   {summaryLimit, summaryLimit},
		"over the limit": {summaryLimit + 1, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			j, err := newJob(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer j.remove()
			writeCommandFile(t, j, "step_summary", strings.Repeat("x", c.size))
			text, problem := j.summary()
			if len(text) != c.want || (problem == "") != (c.size == c.want) {
				t.Errorf("got %d bytes and %q, want %d", len(text), problem, c.want)
			}
		})
	}
}
