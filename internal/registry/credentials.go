package registry

import (
	"fmt"
	"os"
	"path/filepath"

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
// with the logins added. buildx and the SDK's docker commands use dir through DOCKER_CONFIG, so no password appears in an argument
// list or in the environment of a build. The caller makes sure that other users cannot read dir.
func WriteConfig(dir, inherited string, logins []Login) (Keychain, error) {
	path := filepath.Join(dir, config.ConfigFileName)
	file := configfile.New(path)
	if inherited != "" {
		var err error
		if file, err = config.Load(inherited); err != nil {
			return Keychain{}, fmt.Errorf("reading the Docker configuration in %s: %w", inherited, err)
		}
		file.Filename = path
		if err := linkPlugins(dir, inherited); err != nil {
			return Keychain{}, err
		}
	}
	for _, login := range logins {
		ref, err := parse(login.Reference)
		if err != nil {
			return Keychain{}, err
		}
		host := configKey(ref.Context().RegistryStr())
		// Docker would read a credential store instead of the file, and the store does not have this login.
		file.CredentialsStore = ""
		delete(file.CredentialHelpers, host)
		file.AuthConfigs[host] = types.AuthConfig{Username: login.Username, Password: login.Password, ServerAddress: host}
	}
	if err := file.Save(); err != nil {
		return Keychain{}, fmt.Errorf("writing %s: %w", file.Filename, err)
	}
	return Keychain{file}, nil
}

// linkPlugins links the user's plugins into dir: the docker command looks for buildx beside its configuration.
func linkPlugins(dir, inherited string) error {
	plugins := filepath.Join(inherited, "cli-plugins")
	if _, err := os.Stat(plugins); err != nil {
		return nil
	}
	if err := os.Symlink(plugins, filepath.Join(dir, "cli-plugins")); err != nil {
		return fmt.Errorf("linking the docker command's plugins: %w", err)
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

// Resolve returns the credentials for a registry. It implements authn.Keychain.
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
