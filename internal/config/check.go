package config

import (
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

const refExample = "a branch, tag or commit SHA of sdk-repository, such as v1.58.2"

// refName is the form of a git ref (git-check-ref-format). It has no leading dash, which git would take for an option.
var refName = regexp.MustCompile(`^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$`)

func checkRef(v string) (problem, fix string) {
	if !refName.MatchString(v) || strings.Contains(v, "..") || strings.Contains(v, "@{") {
		return Quote(v) + " is not a valid git ref", "write " + refExample
	}
	return "", ""
}

func checkRepositoryURL(v string) (problem, fix string) {
	shown := Quote(redacted(v))
	if scp := scpForm.FindStringSubmatch(v); scp != nil {
		return Quote(v) + " needs ssh, which is not supported", "write https://" + scp[1] + "/" + scp[2]
	}
	switch u, err := url.Parse(v); {
	case err == nil && u.User != nil:
		return shown + " contains credentials", "leave out user and password, which would appear in logs"
	case err == nil && (u.RawQuery != "" || u.Fragment != ""):
		return shown + " has a query or fragment", "leave out everything after the path"
	case err != nil || !isCloneURL(v, u):
		return shown + " is not an https, http or file URL",
			"write https://host/path, http://host/path or, for a local repository, file:///path; ssh is not supported"
	}
	return "", ""
}

// scpForm is git's short form of an ssh URL, for the user git, whose name is no secret.
var scpForm = regexp.MustCompile(`^git@([\w.-]+):([\w./~-]+)$`)

// isCloneURL compares schemes as written: git takes HTTPS:// for the name of a remote helper.
func isCloneURL(raw string, u *url.URL) bool {
	if strings.HasPrefix(raw, "file://") {
		return u.Host == "" && len(u.Path) > 1
	}
	web := strings.HasPrefix(raw, "https://") || strings.HasPrefix(raw, "http://")
	return web && u.Hostname() != "" && len(u.Path) > 1
}

// redacted hides the parts of a URL that may be secret, even if the URL cannot be parsed.
func redacted(raw string) string {
	if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		raw = "***" + raw[at:]
	}
	if query := strings.IndexAny(raw, "?#"); query >= 0 {
		raw = raw[:query+1] + "***"
	}
	return raw
}

// pythonName is the name of a field of BuildOptions.
var pythonName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// hubName is the name of a dataset on the Hub: owner and name, or a name alone for the oldest ones.
var hubName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*/)?[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// tableEnding is the ending of files that other tools read as a dataset, but this program does not. No dataset on the Hub is
// meant by such a name.
var tableEnding = regexp.MustCompile(`\.(csv|tsv|txt|arrow|feather|ya?ml|(jsonl?|csv|tsv|parquet|tar)\.[a-z0-9]+|zip|gz)$`)

func checkDataset(v string) (problem, fix string) {
	switch {
	case tableEnding.MatchString(strings.ToLower(v)):
		return Quote(v) + " is a file of a kind that is not read", "convert it to .jsonl, .json or .parquet, and unpack it if it is compressed"
	case !LocalDataset(v) && (!hubName.MatchString(v) || strings.Contains(v, "..")):
		return Quote(v) + " is not the name of a dataset",
			"write the name of a dataset on the Hub, such as " + presets[0].Dataset + ", or a .jsonl, .json or .parquet file"
	}
	return "", ""
}

// splitName is what the Hub allows. The slices of Python's datasets library, test[:10], are no names.
var splitName = regexp.MustCompile(`^\w+(\.\w+)*$`)

func checkSplit(v string) (problem, fix string) {
	if splitName.MatchString(v) {
		return "", ""
	}
	fix = "write a split such as " + presets[0].Split
	if strings.Contains(v, "[") {
		fix += "; n-limit selects a part of it"
	}
	return Quote(v) + " is not the name of a split", fix
}

// stageName is the form of a stage's name in a Dockerfile.
var stageName = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)

func checkTarget(v string) (problem, fix string) {
	if !stageName.MatchString(v) {
		return Quote(v) + " is not a valid stage name", "write a stage of the SDK's Dockerfile, such as " + defaultTarget
	}
	return "", ""
}

func checkImage(v string) (problem, fix string) {
	return checkUntagged(v, "the SDK makes the tags")
}

func checkEvalImagePrefix(v string) (problem, fix string) {
	return checkUntagged(v, "SWT-Bench makes the rest of the names")
}

func checkEvalBaseImage(v string) (problem, fix string) {
	return checkUntagged(v, "the tags of eval-base images are keys")
}

// checkUntagged checks the name of a repository. why says why it must not have a tag.
func checkUntagged(v, why string) (problem, fix string) {
	_, path, _ := strings.Cut(v, "/")
	if !strings.Contains(v, "://") && strings.ContainsAny(path, ":@") {
		return Quote(v) + " has a tag or a digest", "leave out everything after the repository: " + why
	}
	if problem, fix := repositoryProblem(v); problem != "" {
		return Quote(v) + " " + problem, fix
	}
	return "", ""
}

// pathComponent is a component of a repository name in the OCI distribution specification.
var pathComponent = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

// repositoryProblem finds what is wrong with the name of a repository, which is not in the result.
func repositoryProblem(v string) (problem, fix string) {
	host, path, _ := strings.Cut(v, "/")
	invalid := func(component string) bool { return !pathComponent.MatchString(component) }
	switch _, err := name.NewRepository(v); {
	case strings.Contains(v, "://"):
		return "is a URL, not a repository", "leave out the scheme: ghcr.io/owner/name"
	case !strings.ContainsAny(host, ".:") && host != "localhost" || path == "":
		// Docker and the registry library would take such a name for one on Docker Hub.
		return "does not name a registry", "add the host of the registry, such as ghcr.io/owner/name or docker.io/owner/name"
	case path != strings.ToLower(path):
		return "has upper-case letters, which registries refuse", "write " + host + "/" + strings.ToLower(path)
	case err != nil || slices.ContainsFunc(strings.Split(path, "/"), invalid):
		return "is not a valid repository name", "write a repository such as " + defaultImage
	}
	return "", ""
}

func checkBaseImage(template string) (problem, fix string) {
	sample := map[string]string{"instance_id": "owner__name-1", "repo": "owner", "name": "name-1", "arch": "x86_64"}
	for _, column := range Columns(template) {
		sample[columnPlaceholder+column] = "column"
	}
	switch _, err := name.ParseReference(Fill(template, sample)); {
	case strings.Contains(template, "@"):
		return Quote(template) + " has a digest", "name base images by tag: the custom tags are made from it"
	case err != nil:
		return Quote(template) + " does not make a valid image name", "write an image such as " + presets[0].BaseImageTemplate
	}
	return "", ""
}

// builderName is the form of a buildx builder's name. It cannot be mistaken for an option.
var builderName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

func checkBuilder(v string) (problem, fix string) {
	if !strings.Contains(v, "://") {
		if !builderName.MatchString(v) {
			return Quote(v) + " is not a valid builder name", "pass the name output of docker/setup-buildx-action, " +
				"or unix:///... or tcp://... of a buildkitd, or leave it empty"
		}
		return "", ""
	}
	u, err := url.Parse(v)
	unix := err == nil && u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1
	tcp := err == nil && u.Scheme == "tcp" && u.Hostname() != "" && u.Port() != "" && strings.Trim(u.Path, "/") == ""
	if !unix && !tcp || u.User != nil {
		return Quote(redacted(v)) + " is not the address of a buildkitd",
			"write unix:///run/buildkit/buildkitd.sock or tcp://host:1234"
	}
	return "", ""
}

// Confine checks that the paths of a Config are inside the workspace, as they have to be in a runner: its log shows a part of what is
// in a file that has no list.
func (c Config) Confine() error {
	var outside []error
	check := func(input, path, example string) {
		if path != "" && !filepath.IsLocal(path) {
			outside = append(outside, &InputError{
				Input: input, Problem: Quote(path) + " is not inside the workspace",
				Fix: "write a path relative to the workspace, such as " + example,
			})
		}
	}
	if LocalDataset(c.Dataset) {
		check("dataset", c.Dataset, "data/instances.jsonl")
	}
	check("instances-file", c.InstancesFile, "ids.txt")
	check("build-dir", c.BuildDir, defaultBuildDir)
	check("previous-summary", c.PreviousSummary, "last/build-summary.json")
	return errors.Join(outside...)
}
