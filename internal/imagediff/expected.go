package imagediff

import (
	"bufio"
	"bytes"
	"io"
	"path"
	"strings"
)

// expected is one entry of the lists of files that two builds of the same make differently. Such a file must still be
// there in both, with the same mode, owner, links and attributes.
type expected struct {
	// pattern is in the form of path.Match. One that begins with a slash is of the whole path, another of its end.
	pattern string
	reason  string
	// normal leaves what still has to be equal; nil is: nothing of the content.
	normal normalizer
}

// normalizer passes on of a file's content what has to be equal.
type normalizer func(io.Reader) (io.Reader, error)

// builtFiles are those below the agent's layers. Measured with the SDK's Dockerfile (1.58.2) on Debian, one base image,
// two SHAs, one builder and one day: 12,551 paths, six of other content. The SDK's Dockerfile has the SHA above its
// step that installs packages, so each SHA runs it anew.
var builtFiles = []expected{
	{pattern: "/var/cache/apt/pkgcache.bin", reason: "apt's cache holds times and inodes of its sources"},
	{pattern: "/var/cache/apt/srcpkgcache.bin", reason: "apt's cache holds times and inodes of its sources"},
	{pattern: "/var/cache/ldconfig/aux-cache", reason: "ldconfig's cache is by inode and time of each library"},
	{pattern: "/var/log/apt/history.log", reason: "begins and ends each entry with the time"},
	{pattern: "/var/log/apt/term.log", reason: "begins and ends each entry with the time"},
	{pattern: "/var/log/dpkg.log", reason: "each line begins with the time"},
	// Those two builds were of one day. useradd writes the day into the third field (shadow(5)), and the next change
	// of the file copies it into the one with the dash.
	{pattern: "/etc/shadow", reason: "the day on which the user was made", normal: withoutDays},
	{pattern: "/etc/shadow-", reason: "the day on which the user was made", normal: withoutDays},
}

// agentFiles are those of the agent's layers, where two builders made them. Measured: the same sdist (1.58.2) in two
// builders with cold caches, 25,985 paths, 139 of other content: RECORD and uv_cache.json of the SDK's four packages, and
// 131 modules of the managed Python, which its first run compiles. These 131 differed in the header's time alone.
var agentFiles = []expected{
	{pattern: "*.dist-info/RECORD", reason: "holds the hash of uv_cache.json"},
	{pattern: "*.dist-info/uv_cache.json", reason: "holds the time of the folder that uv built the package from"},
	{pattern: pycPattern, reason: "holds the source's time, and marks what happened to be referred to twice", normal: withoutTime},
}

// pycPattern is of compiled Python. What withoutTime leaves is compared as code where it differs.
const pycPattern = "*.pyc"

// find gives the entry of a list that a path is of, or nil.
func find(list []expected, name string) *expected {
	for i, e := range list {
		if ok, _ := path.Match(e.pattern, lastParts(name, strings.Count(e.pattern, "/")+1)); ok {
			return &list[i]
		}
	}
	return nil
}

// lastParts gives the last n components of a path; what is before the first slash counts as one.
func lastParts(name string, n int) string {
	for at := len(name); n > 0; n-- {
		if at = strings.LastIndexByte(name[:at], '/'); at < 0 {
			return name
		} else if n == 1 {
			return name[at+1:]
		}
	}
	return name
}

// normal gives what normalises the file at a path, or nil.
func normal(list []expected) func(string) normalizer {
	return func(name string) normalizer {
		if e := find(list, name); e != nil {
			return e.normal
		}
		return nil
	}
}

// withoutDays leaves out the third of the fields of each line.
func withoutDays(content io.Reader) (io.Reader, error) {
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

// headerSize is the length of a .pyc file's header: four words of 4 bytes, which are magic number, flags, and then the
// source's time and size, or a hash of it (PEP 552).
const headerSize = 16

// withoutTime blanks the source's time in the header, where there is one.
func withoutTime(content io.Reader) (io.Reader, error) {
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
