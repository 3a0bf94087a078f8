package imagediff

import (
	"bufio"
	"bytes"
	"io"
	"path"
	"strings"
)

// expectedDiff describes files whose content differs between two builds of the same image. Such a file must still exist in
// both images, with the same mode, owner, links and attributes.
type expectedDiff struct {
	// pattern is a pattern for path.Match. With a leading slash it matches the whole path, otherwise the end of a path.
	pattern string
	reason  string
	// normal removes the part of the content that may differ. If it is nil, all of the content may differ.
	normal normalizer
}

// normalizer returns the part of a file's content that has to be equal.
type normalizer func(io.Reader) (io.Reader, error)

// builtFiles are the expected differences below the agent layers. Measured with the SDK's Dockerfile (1.58.2) on Debian, with
// one base image, two SHAs and one builder, on one day: of 12,551 paths, six had different content. The SDK's Dockerfile sets
// the SHA before it installs packages, so each SHA installs them again.
var builtFiles = []expectedDiff{
	{pattern: "/var/cache/apt/pkgcache.bin", reason: "apt's cache holds times and inodes of its sources"},
	{pattern: "/var/cache/apt/srcpkgcache.bin", reason: "apt's cache holds times and inodes of its sources"},
	{pattern: "/var/cache/ldconfig/aux-cache", reason: "ldconfig's cache is by inode and time of each library"},
	{pattern: "/var/log/apt/history.log", reason: "begins and ends each entry with the time"},
	{pattern: "/var/log/apt/term.log", reason: "begins and ends each entry with the time"},
	{pattern: "/var/log/dpkg.log", reason: "each line begins with the time"},
	// The two builds ran on the same day. useradd writes the day into the third field (shadow(5)). The next change of the file
	// copies it to /etc/shadow-.
	{pattern: "/etc/shadow", reason: "the day on which the user was made", normal: dropPasswordDays},
	{pattern: "/etc/shadow-", reason: "the day on which the user was made", normal: dropPasswordDays},
}

// agentFiles are the expected differences in the agent layers of two builders. Measured with the same sdist (1.58.2) and two
// builders with cold caches: of 25,985 paths, 139 had different content. These were RECORD and uv_cache.json of the SDK's four
// packages, and 131 modules of the managed Python, which its first run compiles. In the modules only the time in the header
// differed.
var agentFiles = []expectedDiff{
	{pattern: "*.dist-info/RECORD", reason: "holds the hash of uv_cache.json"},
	{pattern: "*.dist-info/uv_cache.json", reason: "holds the time of the folder that uv built the package from"},
	{pattern: pycPattern, reason: "holds the source's time, and marks what happened to be referred to twice", normal: dropSourceTime},
}

// pycPattern matches compiled Python. Files that still differ after dropSourceTime are compared as code.
const pycPattern = "*.pyc"

// findExpected returns the entry of list that matches a path, or nil.
func findExpected(list []expectedDiff, name string) *expectedDiff {
	for i, e := range list {
		if ok, _ := path.Match(e.pattern, lastComponents(name, strings.Count(e.pattern, "/")+1)); ok {
			return &list[i]
		}
	}
	return nil
}

// lastComponents returns the last n components of a path. The part before the first slash counts as one.
func lastComponents(name string, n int) string {
	for at := len(name); n > 0; n-- {
		if at = strings.LastIndexByte(name[:at], '/'); at < 0 {
			return name
		} else if n == 1 {
			return name[at+1:]
		}
	}
	return name
}

// normalizers returns a function that finds the normalizer for a path, or nil.
func normalizers(list []expectedDiff) func(string) normalizer {
	return func(name string) normalizer {
		if e := findExpected(list, name); e != nil {
			return e.normal
		}
		return nil
	}
}

// dropPasswordDays clears the third field of each line.
func dropPasswordDays(content io.Reader) (io.Reader, error) {
	var out bytes.Buffer
	lines := bufio.NewScanner(content)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) > 2 {
			fields[2] = ""
		}
		out.WriteString(strings.Join(fields, ":") + "\n")
	}
	return &out, lines.Err()
}

// headerSize is the length of a .pyc file's header in bytes: magic number, flags, and then the source's time and size, or a
// hash of the source (PEP 552).
const headerSize = 16

// dropSourceTime clears the source's time in the header, if there is one.
func dropSourceTime(content io.Reader) (io.Reader, error) {
	var header [headerSize]byte
	n, err := io.ReadFull(content, header[:])
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return bytes.NewReader(header[:n]), nil
	case err != nil:
		return nil, err
	}
	if header[4]&1 == 0 {
		clear(header[8:12])
	}
	return io.MultiReader(bytes.NewReader(header[:]), content), nil
}
