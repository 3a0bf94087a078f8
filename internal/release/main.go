// Command release does the parts of .github/workflows/release.yml that depend on text: the notes of a version, the action.yml that
// names an image, and which tags move.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
)

const (
	changelog  = "docs/changelog.md"
	actionFile = "action.yml"
	usage      = `usage: go run ./internal/release COMMAND
  notes REPOSITORY v1.2.3           print the section of version 1.2.3 in ` + changelog + `
  action IMAGE@sha256:DIGEST        make ` + actionFile + ` name this image in place of the Dockerfile
  tags v1.2.3                       print the tags that the release moves; the existing tags are on standard input, one a line`
)

func main() {
	log.SetFlags(0)
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run runs a command in the root of the repository.
func run(args []string, stdin io.Reader, stdout io.Writer) error {
	switch command := strings.Join(args[:min(1, len(args))], ""); {
	case command == "notes" && len(args) == 3:
		text, err := os.ReadFile(changelog)
		if err != nil {
			return err
		}
		notes, err := notesOf(string(text), args[1], args[2])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, notes)
		return err
	case command == "action" && len(args) == 2:
		old, err := os.ReadFile(actionFile)
		if err != nil {
			return err
		}
		text, err := withImage(old, args[1])
		if err != nil {
			return err
		}
		return os.WriteFile(actionFile, text, 0o644)
	case command == "tags" && len(args) == 2:
		existing, err := io.ReadAll(stdin)
		if err != nil {
			return fmt.Errorf("reading the tags: %w", err)
		}
		tags, err := movedTags(strings.Fields(string(existing)), args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdout, strings.Join(tags, "\n"))
		return err
	default:
		return errors.New(usage)
	}
}

var releaseTag = regexp.MustCompile(`^v(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$`)

// parse returns major, minor and patch of a release's tag.
func parse(tag string) (version [3]int, err error) {
	match := releaseTag.FindStringSubmatch(tag)
	if match == nil {
		return version, fmt.Errorf("%q is no tag of a release\nhint: a release has a tag such as v1.2.3", tag)
	}
	for i := range version {
		version[i], _ = strconv.Atoi(match[i+1]) // the expression has digits only
	}
	return version, nil
}

// relativeLink is a link of Markdown to another file or heading.
var relativeLink = regexp.MustCompile(`\]\(([^():\s]+)\)`)

// notesOf returns the section of a version in the changelog. Its links to files of the repository become links to them at the tag,
// because the notes stand outside of the repository.
func notesOf(changelogText, repository, tag string) (string, error) {
	if _, err := parse(tag); err != nil {
		return "", err
	}
	version := tag[1:]
	title := regexp.MustCompile(`(?m)^## ` + regexp.QuoteMeta(version) + `(?: .*)?$`).FindStringIndex(changelogText)
	if title == nil {
		return "", fmt.Errorf("%s has no section \"## %s\"\nhint: rename its section \"## Unreleased\" to \"## %[2]s - YYYY-MM-DD\", and tag that commit",
			changelog, version)
	}
	section, _, _ := strings.Cut(changelogText[title[1]:], "\n## ")
	if section = strings.TrimSpace(section); section == "" {
		return "", fmt.Errorf("the section \"## %s\" of %s is empty\nhint: write there what users see of the release", version, changelog)
	}
	return relativeLink.ReplaceAllStringFunc(section, func(link string) string {
		target := relativeLink.FindStringSubmatch(link)[1]
		if strings.HasPrefix(target, "#") {
			target = path.Base(changelog) + target
		}
		return "](https://github.com/" + repository + "/blob/" + tag + "/" + path.Join(path.Dir(changelog), target) + ")"
	}), nil
}

var (
	fromDockerfile = []byte("\n  image: Dockerfile\n")
	byDigest       = regexp.MustCompile(`^[a-z0-9][a-z0-9.:_/-]*@sha256:[0-9a-f]{64}$`)
)

// withImage returns an action.yml that starts from an image where the old one starts from the Dockerfile. The image has to be named by
// digest: whoever can push a tag could otherwise change a release.
func withImage(old []byte, image string) ([]byte, error) {
	if !byDigest.MatchString(image) {
		return nil, fmt.Errorf("%q does not name an image by its digest\nhint: give it as NAME@sha256:DIGEST", image)
	}
	if n := bytes.Count(old, fromDockerfile); n != 1 {
		return nil, fmt.Errorf("%s has the line %q %d times, want once", actionFile, strings.Trim(string(fromDockerfile), "\n"), n)
	}
	return bytes.Replace(old, fromDockerfile, []byte("\n  image: docker://"+image+"\n"), 1), nil
}

// movedTags returns the tags that are on the commit of a release: its own, and that of its major version, unless a later release has that
// one.
func movedTags(existing []string, tag string) ([]string, error) {
	version, err := parse(tag)
	if err != nil {
		return nil, err
	}
	for _, other := range existing {
		v, err := parse(other)
		if err == nil && v[0] == version[0] && (v[1] > version[1] || v[1] == version[1] && v[2] > version[2]) {
			return []string{tag}, nil
		}
	}
	return []string{tag, fmt.Sprintf("v%d", version[0])}, nil
}
