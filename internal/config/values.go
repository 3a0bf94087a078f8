package config

import (
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"
)

// defaultImageTimeout is OpenHands/benchmarks' own limit for one image, 2000 s.
const defaultImageTimeout = 2000 * time.Second

func (p *parser) benchmark() Benchmark {
	v := p.or("benchmark", presets[0].Name)
	for _, b := range presets {
		if b.Name == v {
			return b
		}
	}
	fix := "write " + listed(presetNames())
	if near := Nearest(v, presetNames()); near != "" {
		fix = "did you mean " + near + "? The benchmarks are " + strings.Join(presetNames(), ", ")
	}
	p.wrong("benchmark", fix, "%s is unknown", Quote(v))
	return Benchmark{}
}

// refName is what git allows in the name of a ref (git-check-ref-format), and no leading dash: git would take it for
// an option.
var refName = regexp.MustCompile(`^[^-\s~^:?*\[\\][^\s~^:?*\[\\]*$`)

func (p *parser) ref(dryRun bool) string {
	const input, fix = "sdk-ref", "write a branch, a tag or a commit SHA of sdk-repository, such as v1.58.2; or give sdk-path"
	v := p.requiredUnless(dryRun, input, fix)
	if v != "" && (!refName.MatchString(v) || strings.Contains(v, "..") || strings.Contains(v, "@{")) {
		p.wrong(input, fix, "%s cannot be the name of a git ref", Quote(v))
	}
	return v
}

func (p *parser) repository() string {
	const input = "sdk-repository"
	v := p.or(input, defaultSDKRepository)
	u, err := url.Parse(v)
	switch {
	case err == nil && u.User != nil:
		p.wrong(input, "leave out user and password: they would land in logs", "%s holds credentials", Quote(redacted(v)))
	case err == nil && (u.RawQuery != "" || u.Fragment != ""):
		p.wrong(input, "leave out what follows the path", "%s has a query or fragment", Quote(redacted(v)))
	case err != nil || !clonable(v, u):
		p.wrong(input, "write https://host/path, http://host/path or, for a local repository, file:///path; ssh is not supported",
			"%s is not an https, http or file URL", Quote(redacted(v)))
	}
	return v
}

// clonable compares the schemes as written: git takes HTTPS:// for the name of a remote helper.
func clonable(raw string, u *url.URL) bool {
	if strings.HasPrefix(raw, "file://") {
		return u.Host == "" && len(u.Path) > 1
	}
	web := strings.HasPrefix(raw, "https://") || strings.HasPrefix(raw, "http://")
	return web && u.Hostname() != "" && len(u.Path) > 1
}

// redacted hides what may be a secret in a URL that is about to be shown, also in one that cannot be parsed.
func redacted(raw string) string {
	if at := strings.LastIndexByte(raw, '@'); at >= 0 {
		raw = "***" + raw[at:]
	}
	if query := strings.IndexAny(raw, "?#"); query >= 0 {
		raw = raw[:query+1] + "***"
	}
	return raw
}

// optionName is a Python field's name.
var optionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (p *parser) options() []Option {
	const input = "sdk-options"
	var options []Option
	for line := range strings.FieldsFuncSeq(p.given(input), func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		field, value, ok := strings.Cut(line, "=")
		o := Option{Name: strings.TrimSpace(field), Value: strings.TrimSpace(value)}
		switch {
		case !ok || !optionName.MatchString(o.Name):
			p.wrong(input, "write one field of the SDK's BuildOptions a line, as name=value", "%s is not name=value", Quote(line))
		case slices.ContainsFunc(options, func(other Option) bool { return other.Name == o.Name }):
			p.wrong(input, "give each option once", "%s is given twice", Quote(o.Name))
		default:
			options = append(options, o)
		}
	}
	return options
}

func (p *parser) instanceIDs() []string {
	const input = "instance-ids"
	v := p.given(input)
	if v == "" {
		return nil
	}
	ids := strings.FieldsFunc(v, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
	if len(ids) == 0 {
		p.wrong(input, "write ids such as django__django-11333, or leave it empty to build the whole benchmark", "%s names no instance", Quote(v))
	}
	return ids
}

// pathComponent is one part of a repository's path, from the OCI distribution specification.
var pathComponent = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)

func (p *parser) image() string {
	const input = "image"
	v := p.or(input, defaultImage)
	p.checkRepository(input, v, "tags come from the SDK")
	return v
}

// checkRepository refuses what is no repository with its host; untagged says why it must have no tag.
func (p *parser) checkRepository(input, v, untagged string) {
	_, path, _ := strings.Cut(v, "/")
	if !strings.Contains(v, "://") && strings.ContainsAny(path, ":@") {
		p.wrong(input, "leave out what follows the repository's name: "+untagged, "%s has a tag or a digest", Quote(v))
		return
	}
	if problem, fix := repositoryProblem(v); problem != "" {
		p.wrong(input, fix, "%s %s", Quote(v), problem)
	}
}

// repositoryProblem says what is wrong with a repository's name, and what to do about it; both are empty for a good one.
func repositoryProblem(v string) (problem, fix string) {
	host, path, _ := strings.Cut(v, "/")
	invalid := func(component string) bool { return !pathComponent.MatchString(component) }
	switch _, err := name.NewRepository(v); {
	case strings.Contains(v, "://"):
		return "is a URL, not a repository", "leave out the scheme: ghcr.io/owner/name"
	case !strings.ContainsAny(host, ".:") && host != "localhost" || path == "":
		// Docker and the registry library would silently take such a name for one on Docker Hub.
		return "names no registry", "write the registry's host too, such as ghcr.io/owner/name or docker.io/owner/name"
	case path != strings.ToLower(path):
		return "has upper-case letters, which registries refuse", "write " + host + "/" + strings.ToLower(path)
	case err != nil || slices.ContainsFunc(strings.Split(path, "/"), invalid):
		return "is not a repository's name", "write a repository such as " + defaultImage
	}
	return "", ""
}

func (p *parser) baseImageTemplate(b Benchmark) string {
	const input = "base-image-template"
	v := p.template(input, BasePlaceholders, columnPlaceholder)
	if v == "" {
		return b.BaseImageTemplate
	}
	if p.unusable[input] {
		return v
	}
	sample := map[string]string{"instance_id": "owner__name-1", "repo": "owner", "name": "name-1", "arch": "x86_64"}
	for _, column := range Columns(v) {
		sample[columnPlaceholder+column] = "column"
	}
	switch _, err := name.ParseReference(Fill(v, sample)); {
	case strings.Contains(v, "@"):
		p.wrong(input, "name base images by tag: the tags of the images that are built come from it", "%s has a digest", Quote(v))
	case err != nil:
		p.wrong(input, "write an image's name such as "+presets[0].BaseImageTemplate, "%s does not make an image's name", Quote(v))
	}
	return v
}

// stageName is what a Dockerfile can call a stage.
var stageName = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)

func (p *parser) target() string {
	v := p.or("target", defaultTarget)
	if !stageName.MatchString(v) {
		p.wrong("target", "write a stage of the SDK's Dockerfile, such as "+defaultTarget, "%s cannot be the name of a stage", Quote(v))
	}
	return v
}

func (p *parser) maxWorkers(b Benchmark) int {
	const input = "max-workers"
	v := p.given(input)
	if v == "" {
		return b.MaxWorkers
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		p.wrong(input, "write how many images to build at once, 1 or more", "%s is not a whole number of at least 1", Quote(v))
	}
	return n
}

func (p *parser) imageTimeout() time.Duration {
	const input = "image-timeout"
	v := p.given(input)
	if v == "" {
		return defaultImageTimeout
	}
	d, err := time.ParseDuration(v)
	if _, bare := strconv.ParseFloat(v, 64); bare == nil {
		p.wrong(input, "add the unit, such as 90s, 30m or 1h", "%s has no unit", Quote(v))
	} else if err != nil || d <= 0 {
		p.wrong(input, "write a duration such as 90s, 30m or 1h", "%s is not a duration above zero", Quote(v))
	}
	return d
}

// credentials never quotes a value: not even the user name, which some registries make a part of the secret.
func (p *parser) credentials(which string) Credentials {
	user, password := which+"-username", which+"-password"
	c := Credentials{Username: p.given(user), Password: p.given(password)}
	if p.unusable[user] || p.unusable[password] {
		return c
	}
	missing, given := "", ""
	switch {
	case c.Username != "" && c.Password == "":
		missing, given = password, user
	case c.Username == "" && c.Password != "":
		missing, given = user, password
	default:
		return c
	}
	p.wrong(missing, "give both, or neither; an unset secret arrives as an empty value", "is empty although %s is given", given)
	return c
}

func (p *parser) buildDir() string {
	const input = "build-dir"
	v := p.or(input, defaultBuildDir)
	if !filepath.IsLocal(v) {
		p.wrong(input, "write a folder relative to the workspace, such as "+defaultBuildDir, "%s is not inside the workspace", Quote(v))
	}
	return filepath.Clean(v)
}
