package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inputsOf gives the least that a run needs, changed as said.
func inputsOf(changes map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := changes[name]; ok {
			return v
		}
		return map[string]string{"sdk-ref": "v1.58.2", "builder": "builder-1"}[name]
	}
}

// unexported lets go-cmp see all of a Config.
var unexported = cmp.AllowUnexported(Config{})

func least() Config {
	return Config{
		Benchmark: Benchmark{
			Name: "swebench", Title: "SWE-Bench image build", Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test",
			BaseImageTemplate: "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest",
			CustomTagTemplate: "{sdk_dockerfile_sha7}-{instance_tag}", PrefixVariable: "IMAGE_TAG_PREFIX", MaxWorkers: 8,
			PipPackages: []RepositoryPackages{{"sphinx-doc", "docutils<0.21 roman"}},
		},
		Dataset: "princeton-nlp/SWE-bench_Verified", Split: "test", Title: "SWE-Bench image build", Format: "text", DeadlineOpen: true,
		SDKRepository:     "https://github.com/OpenHands/software-agent-sdk.git",
		SDKRef:            "v1.58.2",
		Image:             "ghcr.io/openhands/eval-agent-server",
		EvalBaseImage:     "ghcr.io/openhands/eval-base",
		BaseImageTemplate: "docker.io/swebench/sweb.eval.{arch}.{repo}_1776_{name}:latest",
		CustomTagTemplate: "{sdk_dockerfile_sha7}-{instance_tag}",
		Target:            "source-minimal", Strategy: "auto", Verify: 1, MaxWorkers: 8, MaxRetries: 2, CacheMode: "off",
		ImageTimeout: 2000 * time.Second, StallTimeout: 10 * time.Minute, Builder: "builder-1", BuildDir: "builds",
		BatchSize: 15, KeepStorageGB: 60, PruneThreshold: 60,
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		inputs map[string]string
		want   func(*Config)
	}{
		"the least":                   {nil, func(*Config) {}},
		"an empty value is not given": {map[string]string{"image": "", "max-workers": " ", "cache-mode": "\n", "target": ""}, func(*Config) {}},
		"swtbench brings its dataset, title and workers": {map[string]string{"benchmark": "swtbench"}, func(c *Config) {
			c.Benchmark.Name, c.Benchmark.Title = "swtbench", "SWT-Bench image build"
			c.Benchmark.Dataset = "eth-sri/SWT-bench_Verified_bm25_27k_zsp"
			c.Dataset, c.Title = c.Benchmark.Dataset, c.Benchmark.Title
			c.Benchmark.MaxWorkers, c.MaxWorkers = 4, 4
		}},
		"a given value wins over the preset": {map[string]string{"benchmark": "swebench", "max-workers": " 3\n"}, func(c *Config) { c.MaxWorkers = 3 }},
		"no retries":                         {map[string]string{"max-retries": "0"}, func(c *Config) { c.MaxRetries = 0 }},
		"options enter the default tag": {
			map[string]string{"sdk-options": "install_acp_providers=\r\n\n  image_flavor = a=b \n"},
			func(c *Config) {
				c.SDKOptions = []Option{{"install_acp_providers", ""}, {"image_flavor", "a=b"}}
				c.CustomTagTemplate = "{sdk_dockerfile_sha7}-{options_sha7}-{instance_tag}"
			},
		},
		"options leave a given template alone": {
			map[string]string{"sdk-options": "a=1", "custom-tag-template": "x-{instance_id}"},
			func(c *Config) {
				c.SDKOptions = []Option{{"a", "1"}}
				c.CustomTagTemplate, c.TagTemplateGiven = "x-{instance_id}", true
			},
		},
		"ids by commas, blanks and lines": {
			map[string]string{"instance-ids": "a__a-1, b__b-2\n\tc__c-3\r\n,d__d-4 ,"},
			func(c *Config) { c.InstanceIDs = []string{"a__a-1", "b__b-2", "c__c-3", "d__d-4"} },
		},
		"a path instead of a repository": {
			map[string]string{"sdk-path": " checkouts/sdk ", "sdk-ref": "", "sdk-repository": "\n"},
			func(c *Config) { c.SDKPath, c.SDKRef, c.SDKRepository = "checkouts/sdk", "", "" },
		},
		"no builder, and what one of our own is to be like": {
			map[string]string{
				"builder": "", "buildkitd-config-inline": "[registry.\"r:5000\"]\n\thttp = true\n", "batch-size": "1",
				"keep-storage-gb": "0", "prune-threshold-percent": "100",
			},
			func(c *Config) {
				c.Builder, c.BuildkitdConfig = "", "[registry.\"r:5000\"]\n\thttp = true"
				c.BatchSize, c.KeepStorageGB, c.PruneThreshold = 1, 0, 100
			},
		},
		"ids win over a limit": {map[string]string{"instance-ids": "a__a-1", "n-limit": "5"}, func(c *Config) {
			c.InstanceIDs, c.limitUnused = []string{"a__a-1"}, true
		}},
		"a deadline and a percentage": {map[string]string{"deadline": "5h40m", "fail-on": "5%"}, func(c *Config) {
			c.Deadline, c.DeadlineOpen, c.MissingAllowed = 340*time.Minute, false, 5
		}},
		"no deadline, and no image is needed": {map[string]string{"deadline": "0", "fail-on": "never"}, func(c *Config) {
			c.DeadlineOpen, c.MissingAllowed = false, 100
		}},
		"percentages at their limits": {map[string]string{"fail-on": "100 %"}, func(c *Config) { c.MissingAllowed = 100 }},
		"all images are needed":       {map[string]string{"fail-on": "0%"}, func(*Config) {}},
		"a limit of 0 is all":         {map[string]string{"n-limit": "0"}, func(*Config) {}},
		"a dry run needs neither SDK nor builder": {map[string]string{"dry-run": "true", "sdk-ref": "", "builder": "", "format": "json"}, func(c *Config) {
			c.DryRun, c.Format, c.SDKRef, c.Builder = true, "json", "", ""
		}},
		"a dataset of the workspace": {map[string]string{"dataset": "./data/a.jsonl", "base-image-template": "docker.io/x/y:{column:tag}"}, func(c *Config) {
			c.Dataset, c.BaseImageTemplate = "data/a.jsonl", "docker.io/x/y:{column:tag}"
		}},
		"what the preset brings, overridden": {
			map[string]string{"dataset": "a/b.C-d", "split": "dev", "n-limit": "7", "shard": "2/4", "title": "Mine", "hf-token": "t"},
			func(c *Config) {
				c.Dataset, c.Split, c.Limit, c.Shard, c.Title, c.HFToken = "a/b.C-d", "dev", 7, Shard{2, 4}, "Mine", "t"
			},
		},
		"eval-base images of their own": {
			map[string]string{"image": "r:5000/a/b", "eval-base-image": "r:5000/a/bases", "eval-base-max-age": "30d"},
			func(c *Config) {
				c.Image, c.EvalBaseImage, c.EvalBaseGiven, c.EvalBaseMaxAge = "r:5000/a/b", "r:5000/a/bases", true, 720*time.Hour
			},
		},
		"eval-base images among the images": {
			map[string]string{"image": "r:5000/a/b", "eval-base-image": "r:5000/a/b"},
			func(c *Config) { c.Image, c.EvalBaseImage, c.EvalBaseGiven = "r:5000/a/b", "r:5000/a/b", true },
		},
		"an age in hours":                    {map[string]string{"eval-base-max-age": "36h30m"}, func(c *Config) { c.EvalBaseMaxAge = 36*time.Hour + 30*time.Minute }},
		"any age":                            {map[string]string{"eval-base-max-age": "0"}, func(*Config) {}},
		"any age in days":                    {map[string]string{"eval-base-max-age": "0d"}, func(*Config) {}},
		"verify, the default given outright": {map[string]string{"verify": "1"}, func(c *Config) { c.VerifyGiven = true }},
		"no verify":                          {map[string]string{"verify": "0"}, func(c *Config) { c.Verify, c.VerifyGiven = 0, true }},
		"more of it": {map[string]string{"strategy": "rebase", "verify": "3", "verify-tree": "true"}, func(c *Config) {
			c.Strategy, c.Verify, c.VerifyGiven, c.VerifyTree = "rebase", 3, true, true
		}},
		"everything else": {
			map[string]string{
				"sdk-repository": "file:///srv/sdk.git", "sdk-ref": "refs/tags/v1.58.2", "instances-file": "ids.txt",
				"image": "localhost:5000/a/b", "base-image-template": "hub:5000/x/{instance_id}", "target": "binary",
				"strategy": "native", "force-build": "TRUE", "cache-mode": "max", "image-timeout": "1h30m", "stall-timeout": "0",
				"builder": "unix:///run/buildkit/buildkitd.sock", "registry-username": "u", "registry-password": " p\n",
				"base-registry-username": "v", "base-registry-password": "q", "build-dir": "./out/x/",
			},
			func(c *Config) {
				c.SDKRepository, c.SDKRef, c.InstancesFile = "file:///srv/sdk.git", "refs/tags/v1.58.2", "ids.txt"
				c.Image, c.BaseImageTemplate, c.Target = "localhost:5000/a/b", "hub:5000/x/{instance_id}", "binary"
				c.EvalBaseImage, c.Strategy = "localhost:5000/a/b-base", "native"
				c.ForceBuild, c.CacheMode, c.ImageTimeout, c.StallTimeout = true, "max", 90*time.Minute, 0
				c.Builder = "unix:///run/buildkit/buildkitd.sock"
				c.Registry, c.BaseRegistry = Credentials{"u", "p"}, Credentials{"v", "q"}
				c.BuildDir = "out/x"
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := least()
			tc.want(&want)
			got, err := Parse(inputsOf(tc.inputs))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, unexported); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

// each takes a joined error apart.
func each(t *testing.T, err error) []*InputError {
	t.Helper()
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("%T is not a joined error: %v", err, err)
	}
	var all []*InputError
	for _, e := range joined.Unwrap() {
		if _, nested := e.(interface{ Unwrap() []error }); nested {
			all = append(all, each(t, e)...)
			continue
		}
		var m *InputError
		if !errors.As(e, &m) {
			t.Fatalf("%T is not an *InputError: %v", e, e)
		}
		all = append(all, m)
	}
	return all
}

func TestErrors(t *testing.T) {
	cases := []struct{ input, value, says, hint string }{
		{"benchmark", "swebenhc", `"swebenhc" is unknown`, "did you mean swebench?"},
		{"benchmark", "gaia", `"gaia" is unknown`, "swebench, swtbench, swebench-multimodal, swebench-multilingual, swebench-pro, swegym or swesmith"},
		{"sdk-ref", "", "is required", "v1.58.2"},
		{"sdk-ref", "--upload-pack=x", `"--upload-pack=x" is not a valid git ref`, "tag"},
		{"sdk-ref", "HEAD~1", "is not a valid git ref", "SHA"},
		{"sdk-ref", "a..b", "is not a valid git ref", "SHA"},
		{"sdk-ref", "main\nother", `"main\nother" contains a line break`, "one line"},
		{"sdk-path", "sdk", `"v1.58.2" cannot be combined with sdk-path`, "leave out sdk-ref to use"}, // the least has a ref
		{"sdk-repository", "git@github.com:OpenHands/x.git", "needs ssh, which is not supported", "https://github.com/OpenHands/x.git"},
		{"sdk-repository", "ssh://git@github.com/x", "contains credentials", "leave out user"},
		{"sdk-repository", "https://ghp_secret@github.com/o/r", `"***@github.com/o/r" contains credentials`, "logs"},
		{"sdk-repository", "https://u:p%zz@github.com/o/r", `"***@github.com/o/r" is not`, "https://host/path"},
		{"sdk-repository", "https://github.com/o/r?token=s3cret", `"https://github.com/o/r?***" has a query`, "leave out"},
		{"sdk-repository", "HTTPS://github.com/o/r", "is not an https", "https://host/path"},
		{"sdk-repository", "https:///o/r", "is not an https", "https://host/path"},
		{"sdk-repository", "/srv/sdk.git", "is not an https", "file:///path"},
		{"sdk-repository", "file://srv/sdk.git", "is not an https", "file:///path"},
		{"sdk-options", "image_flavor", `"image_flavor" is not name=value`, "name=value"},
		{"sdk-options", "=x", `"=x" is not name=value`, "name=value"},
		{"sdk-options", "a=1\nb=2\n a = 3", `"a" is set twice`, "once"},
		{"instance-ids", ", ,\n,", "contains no instance id", "leave it empty"},
		{"instance-ids", "[]", `"[]" is an empty list`, "leave it empty to build the whole benchmark, or write ids such as django__django-11333"},
		{"instances-file", "a\x00b", "control character", "one line"},
		{"dataset", "https://huggingface.co/datasets/a/b", "is not the name of a dataset", "princeton-nlp/SWE-bench_Verified"},
		{"dataset", "a/../b", "is not the name of a dataset", ".jsonl, .json or .parquet"},
		{"split", "test[:10]", `"test[:10]" is not the name of a split`, "n-limit"},
		{"split", "../x", "is not the name of a split", "test"},
		{"n-limit", "-1", `"-1" is not a whole number of at least 0`, "empty for 0"},
		{"n-limit", "5%", "is not a whole number", "at least 0"},
		{"shard", "0/4", `"0/4" is none of 1/n to n/n`, "INDEX/COUNT"},
		{"shard", "5/4", "is none of 1/n", "2/4"},
		{"shard", "1/0", "is none of 1/n", "2/4"},
		{"shard", "1/100000", "with n from 1 to 1000", "2/4"},
		{"shard", "2", `"2" is none of 1/n`, "2/4"},
		{"shard", "-1/4", "is none of 1/n", "2/4"},
		{"dry-run", "maybe", "is not a boolean", "true or false"},
		{"format", "yaml", `"yaml" is unknown`, "text or json"},
		{"format", "json", `"json" needs a dry run`, "--dry-run"},
		{"hf-token", "s3cret\nx", "the value contains a line break", "one line"},
		{"base-image-template", "x/{column:}", "unknown placeholder {column:}", "{column:NAME}"},
		{"base-image-template", "x/{column:a b}", "unknown placeholder", "{column:NAME}"},
		{"image", "ghcr.io/o/x:latest", `"ghcr.io/o/x:latest" has a tag or a digest`, "the SDK makes the tags"},
		{"image", "ghcr.io/o/x@sha256:" + strings.Repeat("a", 64), "has a tag or a digest", "the SDK makes the tags"},
		{"image", "localhost:5000", "does not name a registry", "host"},
		{"image", "openhands/eval", "does not name a registry", "docker.io/owner/name"},
		{"image", "https://ghcr.io/o/x", "is a URL", "scheme"},
		{"image", "ghcr.io/OpenHands/Eval", "upper-case", "write ghcr.io/openhands/eval"},
		{"image", "ghcr.io/o//x", "is not a valid repository name", "ghcr.io/"},
		{"image", "ghcr.io/o/x/", "is not a valid repository name", "ghcr.io/"},
		{"image", "ghcr.io/o/{name}", "is not a valid repository name", "ghcr.io/"},
		{"base-image-template", "x/{instanceid}", "unknown placeholder {instanceid}", "did you mean {instance_id}? the placeholders are {instance_id} {repo} {name} {arch}, and {column:NAME}"},
		{"base-image-template", "x/{instance_id", "a brace that belongs to no placeholder", "{arch}"},
		{"base-image-template", "x/{instance_id}@sha256:" + strings.Repeat("a", 64), "has a digest", "by tag"},
		{"base-image-template", "X/{instance_id}", "does not make a valid image name", "sweb.eval"},
		{"custom-tag-template", "{tag}", "unknown placeholder {tag}", "{instance_tag} {instance_id} {base_image_tag} {sdk_dockerfile_sha7} {options_sha7}"},
		{"target", "source minimal", "is not a valid stage name", "source-minimal"},
		{"strategy", "rebased", `"rebased" is unknown`, "did you mean rebase? The choices are auto, native or rebase"},
		{"verify", "-1", `"-1" is not a whole number from 0 to 1000`, "from 0 to 1000, or leave it empty for 1"},
		{"verify", "1\n2", "contains a line break", "one line"},
		{"verify", "all", `"all" is not a whole number`, "from 0"},
		{"verify", "1001", "is not a whole number", "to 1000"},
		{"verify-tree", "1", `"1" is not a boolean`, "true or false"},
		{"eval-base-max-age", "30", `"30" has no unit`, "30d"},
		{"eval-base-max-age", "-1h", `"-1h" is too short`, "30d"},
		{"eval-base-max-age", "-1d", "is not a duration", "30d"},
		{"eval-base-max-age", "2 weeks", "is not a duration", "30d"},
		{"eval-base-max-age", "100000d", "is not a duration", "30d"},
		{"eval-base-image", "ghcr.io/o/bases:x", `"ghcr.io/o/bases:x" has a tag or a digest`, "keys"},
		{"eval-base-image", "bases", `"bases" does not name a registry`, "host"},
		{"eval-base-image", "ghcr.io/o/Bases", "upper-case", "write ghcr.io/o/bases"},
		{"build-eval-env", "true", "only swtbench has environment images", "leave it out, or set benchmark: swtbench"},
		{"build-eval-env", "on", `"on" is not a boolean`, "true or false"},
		{"eval-image-prefix", "ghcr.io/o/env:latest", `"ghcr.io/o/env:latest" has a tag or a digest`, "SWT-Bench makes the rest"},
		{"eval-image-prefix", "env", `"env" does not name a registry`, "host"},
		{"eval-image-prefix", "ghcr.io/o/Env", "upper-case", "write ghcr.io/o/env"},
		{"eval-env-build-batch-size", "0", `"0" is not a whole number from 1 to 10000`, "leave it empty for 10"},
		{"swt-bench-repository", "logic-star-ai/swt-bench", "is not an https", "https://host/path"},
		{"swt-bench-ref", "a..b", `"a..b" is not`, "branch"},
		{"force-build", "yes", `"yes" is not a boolean`, "true or false"},
		{"force-build", "tRUE", "is not a boolean", "true or false"},
		{"max-workers", "0", `"0" is not a whole number of at least 1`, "at least 1"},
		{"max-workers", "-2", "at least 1", "at least 1"},
		{"max-workers", "2.5", "whole number", "at least 1"},
		{"max-retries", "-1", `"-1" is not a whole number from 0 to 20`, "from 0 to 20"},
		{"max-retries", "21", "from 0 to 20", "from 0 to 20"},
		{"cache-mode", "full", `"full" is unknown`, "off, min or max"},
		{"image-timeout", "2000", `"2000" has no unit`, "30m"},
		{"image-timeout", "soon", `"soon" is not a duration`, "30m"},
		{"image-timeout", "0s", "too short", "30m"},
		{"image-timeout", "0d", `"0d" is too short`, "30m"},
		{"image-timeout", "-5m", "too short", "30m"},
		{"deadline", "340", `"340" has no unit`, "30m"},
		{"deadline", "soon", `"soon" is not a duration`, "30m"},
		{"deadline", "-5m", `"-5m" is too short`, "30m"},
		{"deadline", "1h\n2h", "contains a line break", "one line"},
		{"fail-on", "5", `"5" has no percent sign`, "any, never, or a percentage of the images such as 5%"},
		{"fail-on", "101%", `"101%" is not a whole percentage from 0% to 100%`, "such as 5%"},
		{"fail-on", "-1%", "is not a whole percentage", "such as 5%"},
		{"fail-on", "0.5%", "is not a whole percentage", "such as 5%"},
		{"fail-on", "%", "is not a whole percentage", "such as 5%"},
		{"fail-on", "nevr", `"nevr" is unknown`, "did you mean never? write any, never, or"},
		{"fail-on", "all of them", `"all of them" is unknown`, "write any, never, or"},
		{"stall-timeout", "600", `"600" has no unit`, "30m"},
		{"stall-timeout", "soon", `"soon" is not a duration`, "30m"},
		{"stall-timeout", "-1s", `"-1s" is too short`, "30m"},
		{"builder", "-x", "is not a valid builder name", "the name output of docker/setup-buildx-action, or unix:///... or tcp://"},
		{"buildkitd-config-inline", "debug = true", `cannot configure the existing builder "builder-1"`, "leave builder empty"},
		{"batch-size", "0", `"0" is not a whole number`, "from 1 to"},
		{"keep-storage-gb", "60GB", `"60GB" is not a whole number`, "from 0 to"},
		{"prune-threshold-percent", "101", `"101" is not a whole number`, "from 1 to 100"},
		{"builder", "unix://run/x.sock", "is not the address", "unix:///"},
		{"builder", "tcp://host", "is not the address", "tcp://host:1234"},
		{"builder", "docker-container://x", "is not the address", "tcp://"},
		{"registry-username", "u", "is empty, but registry-username is set", "both"},
		{"base-registry-password", "s3cret", "is empty, but base-registry-password is set", "both"},
		{"registry-password", "s3cret\x00x", "the value contains a line break or control character", "one line"},
		{"registry-username", "s3cret\nx", "the value contains a line break", "one line"},
		{"image", "https://u:s3cret@ghcr.io/o/x", `"***@ghcr.io/o/x" is a URL`, "scheme"},
		{"dataset", "https://u:s3@cret/s3cret@hub/x y", `"***@hub/x y" is not the name`, "Hub"},
		{"sdk-ref", "a b HTTPS://hub/x?token=s3cret", `"a b HTTPS://hub/x?***" is not`, "tag"},
		{"sdk-repository", "https://u:s3cret@hub/\tx", "contains a line break or control character", "one line"},
		{"instances-file", "https://u:s3cret@hub/\tx", "contains a line break or control character", "one line"},
	}
	for _, tc := range cases {
		t.Run(tc.input+"="+tc.value, func(t *testing.T) {
			_, err := Parse(inputsOf(map[string]string{tc.input: tc.value}))
			errs := each(t, err)
			if len(errs) != 1 {
				t.Fatalf("got %d errors, want 1: %v", len(errs), err)
			}
			m := errs[0]
			if !strings.Contains(m.Error(), tc.says) || strings.Contains(m.Error(), "\n") {
				t.Errorf("says %q, want one line with %q", m.Error(), tc.says)
			}
			if !strings.Contains(m.Hint(), tc.hint) {
				t.Errorf("hints %q, want %q in it", m.Hint(), tc.hint)
			}
			if strings.Contains(m.Error()+m.Hint(), "s3cret") || strings.Contains(m.Error()+m.Hint(), "ghp_") {
				t.Errorf("shows a secret: %s; %s", m, m.Hint())
			}
		})
	}
}

// A GitHub-hosted runner kills a job after six hours.
func TestHostedDeadline(t *testing.T) {
	if d := HostedDeadline(); d != 5*time.Hour+40*time.Minute || !strings.Contains(inputNamed("deadline").Description(), "`5h40m` on a GitHub-hosted runner") {
		t.Errorf("%s; %s", d, inputNamed("deadline").Description())
	}
}

// The password of Google's registries for the user _json_key is a JSON file.
func TestPasswordsMayHaveSeveralLines(t *testing.T) {
	const key = "{\n  \"type\": \"service_account\",\r\n\t\"private_key\": \"s3cret\"\n}"
	got, err := Parse(inputsOf(map[string]string{
		"registry-username": "_json_key", "registry-password": key + "\n", "base-registry-username": "_json_key", "base-registry-password": key,
	}))
	want := Credentials{Username: "_json_key", Password: key}
	if err != nil || got.Registry != want || got.BaseRegistry != want {
		t.Errorf("credentials %q and %q, %v; want %q", got.Registry, got.BaseRegistry, err, want)
	}
}

// The words of the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#1032-tag-resolution).
func TestBooleans(t *testing.T) {
	cases := map[string]bool{
		"true": true, "True": true, "TRUE": true, " true\n": true,
		"false": false, "False": false, "FALSE": false, "": false,
	}
	for word, want := range cases {
		c, err := Parse(inputsOf(map[string]string{"force-build": word}))
		if err != nil || c.ForceBuild != want {
			t.Errorf("%q is %t, error %v; want %t", word, c.ForceBuild, err, want)
		}
	}
}

func TestAllErrorsAtOnce(t *testing.T) {
	_, err := Parse(inputsOf(map[string]string{
		"sdk-ref": "", "benchmark": "x", "max-workers": "0", "image": "X", "custom-tag-template": "{a}{b}",
		"registry-password": "only", "builder": "-x", "buildkitd-config-inline": "debug = true",
	}))
	var got []string
	for _, m := range each(t, err) {
		got = append(got, m.Input)
	}
	want := []string{"benchmark", "sdk-ref", "image", "custom-tag-template", "custom-tag-template", "max-workers", "builder", "registry-username"}
	if diff := cmp.Diff(want, got, unexported); diff != "" {
		t.Errorf("inputs with errors (-want +got):\n%s", diff)
	}
}

func TestSDKPathExcludesRepositoryAndRef(t *testing.T) {
	_, err := Parse(inputsOf(map[string]string{
		"sdk-path": "sdk", "sdk-ref": "-x", "sdk-repository": "https://ghp_s3cret@github.com/o/r", "max-workers": "0",
	}))
	var got []string
	for _, m := range each(t, err) {
		got = append(got, m.Error())
	}
	want := []string{
		`sdk-ref: "-x" cannot be combined with sdk-path`, `sdk-repository: "***@github.com/o/r" cannot be combined with sdk-path`,
		`max-workers: "0" is not a whole number of at least 1`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
}

func TestPathsAreConfinedInARunnerOnly(t *testing.T) {
	cases := []struct{ input, value, problem, fix string }{
		{"dataset", "/srv/a.jsonl", `"/srv/a.jsonl" is not inside the workspace`, "data/instances.jsonl"},
		{"dataset", "../a.json", "is not inside the workspace", "data/instances.jsonl"},
		{"instances-file", "/etc/passwd", `"/etc/passwd" is not inside the workspace`, "relative"},
		{"build-dir", "/github/workspace/builds", "is not inside the workspace", "relative"},
		{"build-dir", "a/../../b", "is not inside the workspace", "relative"},
		{"previous-summary", "../last.json", `"../last.json" is not inside the workspace`, "last/build-summary.json"},
	}
	for _, tc := range cases {
		t.Run(tc.input+" "+tc.value, func(t *testing.T) {
			c, err := Parse(inputsOf(map[string]string{tc.input: tc.value}))
			if err != nil {
				t.Fatalf("refused outside of a runner: %v", err)
			}
			got := each(t, c.Confine())
			if len(got) != 1 || got[0].Input != tc.input || !strings.Contains(got[0].Problem, tc.problem) || !strings.Contains(got[0].Fix, tc.fix) {
				t.Errorf("got %v, want that %s %s", got, tc.input, tc.problem)
			}
		})
	}
	if err := least().Confine(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}
