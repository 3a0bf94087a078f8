package cmd

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/OpenHands/eval-images/internal/actions"
	"github.com/OpenHands/eval-images/internal/config"
	"github.com/OpenHands/eval-images/internal/docker"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// logins returns the logins of the inputs: registry-* for the registry of image, base-registry-* for all other registries with base
// images. The error is a *config.InputError if the base images are in the registry of image only, and the two logins differ: a
// Docker configuration has one login for each registry.
func logins(c config.Config, targets []plan.Target) (all []registry.Login, err error) {
	own, err := registry.Host(c.Image)
	if err != nil {
		return nil, err
	}
	others := map[string]string{} // a base image in each other registry
	for _, t := range targets {
		host, err := registry.Host(t.BaseImage)
		if err != nil {
			return nil, err
		}
		if host != own {
			others[host] = t.BaseImage
		}
	}
	add := func(reference string, given config.Credentials) {
		if given.Username != "" {
			all = append(all, registry.Login{Reference: reference, Username: given.Username, Password: given.Password})
		}
	}
	forImage := c.Registry
	if len(others) == 0 && len(targets) > 0 && c.BaseRegistry.Username != "" {
		if c.Registry.Username != "" && c.Registry != c.BaseRegistry {
			return nil, &config.InputError{
				Input:   "base-registry-username",
				Problem: "the base images are in the registry of image, " + own + ", and docker has one login for a registry",
				Fix: "leave out base-registry-username and base-registry-password, and give registry-username a login that may also " +
					"read the base images",
			}
		}
		forImage = c.BaseRegistry
	}
	add(c.Image, forImage)
	for _, host := range slices.Sorted(maps.Keys(others)) {
		add(others[host], c.BaseRegistry)
	}
	return all, nil
}

// writeCredentials writes the run's own Docker configuration: the user's, with the logins of the inputs.
func writeCredentials(c config.Config, env environment, targets []plan.Target, work *workspace) (registry.Keychain, error) {
	logins, err := logins(c, targets)
	if err != nil {
		return registry.Keychain{}, err
	}
	inherited := docker.ConfigDir(env.get) // has the credentials of an earlier docker login
	if _, err := os.Stat(inherited); err != nil {
		inherited = ""
	}
	keychain, err := registry.WriteConfig(work.dockerConfig, inherited, env.get("DOCKER_AUTH_CONFIG"), logins)
	return keychain, withDiskHint(err)
}

// maskingKeychain hides the passwords that come from the user's Docker configuration, and from its credential store.
type maskingKeychain struct {
	next    registry.Keychain
	actions *actions.Runner
}

// authn.Resolve calls ResolveContext where a keychain has it.
var _ authn.ContextKeychain = maskingKeychain{}

// Resolve implements authn.Keychain.
func (k maskingKeychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	return k.ResolveContext(context.Background(), resource)
}

// ResolveContext returns the credentials for a registry.
func (k maskingKeychain) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	found, err := k.next.ResolveContext(ctx, resource)
	if err != nil {
		return nil, err
	}
	c, err := found.Authorization()
	if err != nil {
		return nil, err
	}
	for _, secret := range []string{c.Password, c.Auth, c.IdentityToken, c.RegistryToken} {
		k.actions.Mask(secret)
	}
	return found, nil
}

// dockerConfigPrefix begins the names of the folders with a run's own Docker configuration.
const dockerConfigPrefix = "eval-images-docker-"

// makeDockerConfig makes the folder of the run's own Docker configuration, which only this user can read: in memory if this machine
// has a place there, otherwise in the folder temporary. What is in memory is gone when the action's container or the machine has
// ended, even if the run was killed; before that, the lock tells the next run whether it is still in use.
func makeDockerConfig(env environment, temporary string) (folder string, lock *os.File, err error) {
	for _, dir := range []string{env.get("XDG_RUNTIME_DIR"), "/dev/shm"} {
		if !isInMemory(dir) {
			continue
		}
		removeLeftovers(dir, dockerConfigPrefix)
		if folder, lock, err := makeLockedFolder(dir, dockerConfigPrefix); err == nil {
			return folder, lock, nil
		}
	}
	if folder, err = os.MkdirTemp(temporary, dockerConfigPrefix); err != nil {
		return "", nil, fmt.Errorf("making the Docker configuration: %w", err)
	}
	return folder, nil, nil
}

// isInMemory reports whether a folder is on a file system in memory that has room for a Docker configuration.
func isInMemory(dir string) bool {
	var s syscall.Statfs_t
	if dir == "" || syscall.Statfs(dir, &s) != nil {
		return false
	}
	const room = 8 << 20                        // bytes; buildx keeps a small file there for each build
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // statfs(2); package unix has them for Linux only, and macOS has no such types
	return (s.Type == tmpfs || s.Type == ramfs) && (s.Blocks == 0 || s.Bavail*uint64(s.Bsize) >= room)
}

// dockerConfigState is the name of the saved state that tells the post step where the credentials of a killed run are.
const dockerConfigState = "docker-config"

// removeLeftCredentials removes the Docker configuration of a run that was killed.
func removeLeftCredentials(a *actions.Runner) {
	folder := a.State(dockerConfigState)
	if !strings.HasPrefix(filepath.Base(folder), dockerConfigPrefix) {
		return
	}
	if _, err := os.Stat(folder); err != nil {
		return
	}
	if err := os.RemoveAll(folder); err != nil {
		a.Warning("credentials", "credentials of this run are left: "+err.Error())
		return
	}
	a.Info("removed the credentials that the run had left")
}
