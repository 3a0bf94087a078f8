package sdk

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// git runs git on one repository, with our own configuration only.
type git struct {
	cmds       Commands
	environ    []string
	dir, root  string // Checkout.Dir and Checkout.Root
	userConfig string // a file that includes the configuration of the user before our own
}

// gitConfig replaces the host's configuration.
//   - safe.directory: git refuses a repository of another user otherwise, such as the runner's workspace seen by root
//     in a container. The upload-pack behind file:// reads it from a file only, not from -c.
//   - lowSpeedLimit: git ends a transfer that stays below 1000 bytes a second for lowSpeedTime. A server that counts objects sends
//     about one byte a second, but it counts those of a single commit in less time.
const gitConfig = `[safe]
	directory = *
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = %d
[init]
	defaultBranch = main
[core]
	hooksPath = /dev/null
[advice]
	detachedHead = false
`

// lowSpeedSeconds is how long git waits for a server that sends too little. It is shorter than stall, after which a silent git is
// ended, because git's own error names the server.
func lowSpeedSeconds(stall time.Duration) int { return max(1, int(stall.Seconds())/5) }

// newGit creates the folders of a checkout in dir, which must be absent or empty.
func newGit(cmds Commands, dir string) (*git, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, config := filepath.Join(dir, "sdk"), filepath.Join(dir, "gitconfig")
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", dir)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	own := fmt.Appendf(nil, gitConfig, lowSpeedSeconds(cmds.stall()))
	if err := os.WriteFile(config, own, 0o644); err != nil {
		return nil, err
	}
	userConfig := filepath.Join(dir, "gitconfig-user")
	if err := os.WriteFile(userConfig, append(includes(cmds.Environ), own...), 0o644); err != nil {
		return nil, err
	}
	environ := append(gitCertificates(cmds.Environ), pick(cmds.Environ, append(passedOn, "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")...)...)
	environ = append(environ,
		// remedies match git's messages in English.
		"GIT_CONFIG_GLOBAL="+config, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		// Leave the user's work tree as it is: do not refresh the index, do not fetch objects on demand.
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1",
		// Nobody can answer a prompt. Other protocols may run a program or use a key.
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "GIT_ALLOW_PROTOCOL=https:http:file")
	return &git{cmds: cmds, environ: environ, dir: dir, root: root, userConfig: userConfig}, nil
}

// asUser returns a git that also reads the configuration of the machine and of the user. Our own comes last, so it wins.
func (g *git) asUser() *git {
	user := *g
	user.environ = append(slices.Clip(g.environ), "GIT_CONFIG_GLOBAL="+g.userConfig, "GIT_CONFIG_NOSYSTEM=0")
	return &user
}

// includes returns a configuration that includes the files that git reads for a user (git-config, FILES). git ignores those that
// are not there.
func includes(environ []string) []byte {
	files := []string{value(environ, "GIT_CONFIG_GLOBAL")}
	if home := value(environ, "HOME"); files[0] == "" && home != "" {
		folder := cmp.Or(value(environ, "XDG_CONFIG_HOME"), filepath.Join(home, ".config"))
		files = []string{filepath.Join(folder, "git", "config"), filepath.Join(home, ".gitconfig")}
	}
	var text []byte
	for _, file := range files {
		if file != "" {
			text = fmt.Appendf(text, "[include]\n\tpath = \"%s\"\n", strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(file))
		}
	}
	return text
}

// gitCertificates makes git trust SSL_CERT_FILE, as uv and Python do. Git does not read that variable.
func gitCertificates(environ []string) []string {
	path := value(environ, "SSL_CERT_FILE")
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return []string{"GIT_SSL_CAINFO=" + path}
}

func (g *git) run(ctx context.Context, args ...string) (string, error) {
	return g.cmds.run(ctx, g.root, g.environ, append([]string{"git"}, args...)...)
}

func (g *git) init(ctx context.Context) error {
	_, err := g.run(ctx, "init", "--quiet", "--template=")
	return err
}
