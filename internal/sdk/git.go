package sdk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// git runs git on one repository, without any configuration but our own.
type git struct {
	cmds      Commands
	environ   []string
	dir, root string // as Checkout's Dir and Root
}

// gitConfig stands for all of the host's configuration.
//   - safe.directory: a repository of another user (a workspace of the runner's, seen by root in a container) is
//     refused otherwise. It is honoured in a configuration file only, not in -c, by the upload-pack behind file://.
//   - the slowest transfer that still counts: less than a byte a second for two minutes is a connection that hangs.
const gitConfig = `[safe]
	directory = *
[http]
	lowSpeedLimit = 1
	lowSpeedTime = 120
[init]
	defaultBranch = main
[core]
	hooksPath = /dev/null
[advice]
	detachedHead = false
`

// newGit makes the folders of a checkout in dir, which must be absent or empty.
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
	if err := os.WriteFile(config, []byte(gitConfig), 0o644); err != nil {
		return nil, err
	}
	environ := append(gitCertificates(cmds.Environ), pick(cmds.Environ, append(passedOn, "GIT_SSL_CAINFO", "GIT_SSL_CAPATH")...)...)
	environ = append(environ,
		// What it says is read for what helps against it, so not in the user's language.
		"GIT_CONFIG_GLOBAL="+config, "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		// Nothing of ours in a work tree of the user's: no refreshed index, no objects fetched on demand.
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1",
		// Whoever answers a prompt is not there; and no protocol that could run a program or use a key.
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "GIT_ALLOW_PROTOCOL=https:http:file")
	return &git{cmds: cmds, environ: environ, dir: dir, root: root}, nil
}

// gitCertificates has git trust what SSL_CERT_FILE names, as uv and Python do; git by itself does not look at it.
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
