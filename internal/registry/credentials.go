package registry

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

// Login is the user name and password for the registry of one repository or image.
type Login struct{ Reference, Username, Password string }

// Keychain finds credentials in one Docker configuration folder and nowhere else.
type Keychain struct{ file *configfile.ConfigFile }

// WriteConfig writes a private Docker configuration to dir: the configuration in the folder inherited, which may be "" or absent,
// with the logins added. authConfig is the value of the environment variable DOCKER_AUTH_CONFIG, or "". Of two logins for one
// registry the last one counts, then authConfig, then what is inherited, with its credential store. buildx and the SDK's docker
// commands use dir through DOCKER_CONFIG, so no password appears in an argument list or in the environment of a build. The caller
// makes sure that other users cannot read dir.
func WriteConfig(dir, inherited, authConfig string, logins []Login) (Keychain, error) {
	path := filepath.Join(dir, config.ConfigFileName)
	file := configfile.New(path)
	if inherited != "" {
		var err error
		if file, err = config.Load(inherited); err != nil {
			return Keychain{}, fmt.Errorf("reading the Docker configuration in %s: %w", inherited, err)
		}
		file.Filename = path
		// The docker command looks for buildx and for contexts beside its configuration.
		for _, folder := range []string{"cli-plugins", "contexts"} {
			if err := linkFolder(dir, inherited, folder); err != nil {
				return Keychain{}, err
			}
		}
	}
	if authConfig != "" {
		// The error of the decoder could quote a part of the value.
		given, err := config.LoadFromReader(strings.NewReader(authConfig))
		if err != nil {
			return Keychain{}, errors.New("reading the environment variable DOCKER_AUTH_CONFIG: it is not a Docker configuration in JSON")
		}
		for key, auth := range given.AuthConfigs {
			addLogin(file, key, auth)
		}
	}
	for _, login := range logins {
		ref, err := parse(login.Reference)
		if err != nil {
			return Keychain{}, err
		}
		key := configKey(ref.Context().RegistryStr())
		addLogin(file, key, types.AuthConfig{Username: login.Username, Password: login.Password, ServerAddress: key})
	}
	if err := file.Save(); err != nil {
		return Keychain{}, fmt.Errorf("writing %s: %w", file.Filename, err)
	}
	return Keychain{file}, nil
}

// addLogin adds a login to a configuration. Docker asks the credential store for all registries, and the store does not have this
// login: a credential helper without a name makes docker read the file for this one registry (docker/cli,
// cli/config/configfile/file.go, GetCredentialsStore).
func addLogin(file *configfile.ConfigFile, key string, auth types.AuthConfig) {
	file.AuthConfigs[key] = auth
	delete(file.CredentialHelpers, key)
	if file.CredentialsStore != "" {
		if file.CredentialHelpers == nil {
			file.CredentialHelpers = map[string]string{}
		}
		file.CredentialHelpers[key] = ""
	}
}

// linkFolder links a folder of the user's Docker configuration into dir, if there is one.
func linkFolder(dir, inherited, folder string) error {
	from, err := filepath.Abs(filepath.Join(inherited, folder))
	if err != nil {
		return err
	}
	if _, err := os.Stat(from); err != nil {
		return nil
	}
	if err := os.Symlink(from, filepath.Join(dir, folder)); err != nil {
		return fmt.Errorf("linking %s of the Docker configuration: %w", folder, err)
	}
	return nil
}

// configKey returns the key of a registry in a Docker configuration. Docker Hub has a special one.
func configKey(registry string) string {
	if registry == name.DefaultRegistry {
		return authn.DefaultAuthKey
	}
	return registry
}

// ResolveContext returns the credentials for a registry. It does not wait for a credential helper longer than ctx.
func (k Keychain) ResolveContext(ctx context.Context, resource authn.Resource) (authn.Authenticator, error) {
	type result struct {
		found authn.Authenticator
		err   error
	}
	resolved := make(chan result, 1)
	go func() {
		found, err := k.Resolve(resource)
		resolved <- result{found, err}
	}()
	select {
	case r := <-resolved:
		return r.found, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the credential helper of %s: %w", resource.RegistryStr(), ctx.Err())
	}
}

// Resolve is ResolveContext without an end. It implements authn.Keychain.
func (k Keychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	found, err := k.file.GetAuthConfig(configKey(resource.RegistryStr()))
	if err != nil {
		return nil, fmt.Errorf("finding credentials for %s: %w", resource.RegistryStr(), err)
	}
	c := authn.AuthConfig{
		Username: found.Username, Password: found.Password, Auth: found.Auth,
		IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
	}
	if c == (authn.AuthConfig{}) {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(c), nil
}

// Host returns the registry of an image or repository, as errors and configurations name it: "ghcr.io" or "docker.io".
func Host(reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	if host := ref.Context().RegistryStr(); host != name.DefaultRegistry {
		return host, nil
	}
	return "docker.io", nil
}
