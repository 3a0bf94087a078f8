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

// Login is a user's name and password at the registry of one repository or image.
type Login struct{ Reference, Username, Password string }

// Keychain finds credentials in one Docker configuration folder and nowhere else.
type Keychain struct{ file *configfile.ConfigFile }

// WriteConfig makes a private Docker configuration in dir: what the folder inherited holds (which may be "" or
// absent), and the logins on top. buildx and the SDK's docker commands use the same folder by DOCKER_CONFIG, so a
// password is never in an argument list or in a build's environment. The folder must not be readable by others.
func WriteConfig(dir, inherited string, logins []Login) (Keychain, error) {
	file := configfile.New(filepath.Join(dir, config.ConfigFileName))
	if inherited != "" {
		theirs, err := config.Load(inherited)
		if err != nil {
			return Keychain{}, fmt.Errorf("reading the Docker configuration in %s: %w", inherited, err)
		}
		theirs.Filename = file.Filename
		file = theirs
		if err := keepPlugins(dir, inherited); err != nil {
			return Keychain{}, err
		}
	}
	for _, login := range logins {
		host, err := hostOf(login.Reference)
		if err != nil {
			return Keychain{}, err
		}
		// A credential store would be asked instead of the file, and does not know what came from an input.
		file.CredentialsStore = ""
		delete(file.CredentialHelpers, host)
		file.AuthConfigs[host] = types.AuthConfig{Username: login.Username, Password: login.Password, ServerAddress: host}
	}
	if err := file.Save(); err != nil {
		return Keychain{}, fmt.Errorf("writing %s: %w", file.Filename, err)
	}
	return Keychain{file}, nil
}

// keepPlugins lets the docker command find a user's own buildx, which it looks for beside the configuration.
func keepPlugins(dir, inherited string) error {
	theirs := filepath.Join(inherited, "cli-plugins")
	if _, err := os.Stat(theirs); err != nil {
		return nil
	}
	if err := os.Symlink(theirs, filepath.Join(dir, "cli-plugins")); err != nil {
		return fmt.Errorf("linking the docker command's plugins: %w", err)
	}
	return nil
}

func hostOf(reference string) (string, error) {
	ref, err := parse(reference)
	if err != nil {
		return "", err
	}
	return key(ref.Context().RegistryStr()), nil
}

// key is a registry's name in a Docker configuration, where Docker Hub has a name of its own.
func key(registry string) string {
	if registry == name.DefaultRegistry {
		return authn.DefaultAuthKey
	}
	return registry
}

// Resolve finds the credentials for a registry, as go-containerregistry asks for them.
func (k Keychain) Resolve(resource authn.Resource) (authn.Authenticator, error) {
	found, err := k.file.GetAuthConfig(key(resource.RegistryStr()))
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
