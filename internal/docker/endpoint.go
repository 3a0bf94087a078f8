package docker

import (
	"cmp"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	clicontext "github.com/docker/cli/cli/context"
	"github.com/docker/cli/cli/context/store"
	"github.com/docker/docker/client"
	"github.com/docker/go-connections/tlsconfig"
)

// ConfigDir returns the folder of the user's Docker configuration, as the docker command does.
func ConfigDir(getenv func(string) string) string {
	return cmp.Or(getenv("DOCKER_CONFIG"), filepath.Join(getenv("HOME"), ".docker"))
}

// CertPath returns the folder with the certificates for an engine at a tcp:// address, as the docker command does, or "" if the
// environment does not ask for TLS.
func CertPath(getenv func(string) string) string {
	if getenv("DOCKER_TLS_VERIFY") == "" && getenv("DOCKER_TLS") == "" {
		return ""
	}
	return cmp.Or(getenv("DOCKER_CERT_PATH"), ConfigDir(getenv))
}

// endpoint is where an engine is, and how to connect to it.
type endpoint struct {
	host string
	// from is the setting that names the host, or "" for the default host.
	from string
	// tls is nil for an engine without TLS.
	tls *tlsconfig.Options
}

// findEndpoint returns the engine that the docker command would use with this environment: that of DOCKER_HOST, of the context in
// DOCKER_CONTEXT, of the current context of the user's configuration, or the default (docker/cli, cli/command/cli.go,
// resolveContextName).
func findEndpoint(getenv func(string) string) (endpoint, error) {
	if host := getenv("DOCKER_HOST"); host != "" {
		e := endpoint{host: host, from: "DOCKER_HOST"}
		if dir := CertPath(getenv); dir != "" {
			e.tls = certificatesIn(dir)
			e.tls.CAFile = filepath.Join(dir, authority)
			e.tls.InsecureSkipVerify = getenv("DOCKER_TLS_VERIFY") == ""
		}
		return e, nil
	}
	name, from := getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		file, err := config.Load(ConfigDir(getenv))
		if err != nil {
			return endpoint{from: "the Docker configuration"}, err
		}
		name, from = file.CurrentContext, "currentContext of "+file.Filename
	}
	if name == "" || name == "default" {
		return endpoint{host: client.DefaultDockerHost}, nil
	}
	return contextEndpoint(filepath.Join(ConfigDir(getenv), "contexts"), name, "the Docker context "+name+" ("+from+")")
}

// contextEndpoint reads the endpoint of a Docker context from the folder of all contexts.
func contextEndpoint(dir, name, from string) (endpoint, error) {
	const engine = "docker" // the name of the engine's endpoint in a context
	contexts := store.New(dir, store.NewConfig(
		func() any { return &map[string]any{} },
		store.EndpointTypeGetter(engine, func() any { return &clicontext.EndpointMetaBase{} }),
	))
	e := endpoint{from: from}
	found, err := contexts.GetMetadata(name)
	if err != nil {
		return e, err
	}
	meta, ok := found.Endpoints[engine].(clicontext.EndpointMetaBase)
	if !ok || meta.Host == "" {
		return e, errors.New("it names no engine")
	}
	e.host = meta.Host
	if dir := filepath.Join(contexts.GetStorageInfo(name).TLSPath, engine); meta.SkipTLSVerify || exists(dir) {
		e.tls = certificatesIn(dir)
		e.tls.InsecureSkipVerify = meta.SkipTLSVerify
	}
	return e, nil
}

// authority is the name of a certificate authority's file beside cert.pem and key.pem.
const authority = "ca.pem"

// certificatesIn returns the TLS files of a folder that exist.
func certificatesIn(dir string) *tlsconfig.Options {
	file := func(name string) string {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
		return ""
	}
	return &tlsconfig.Options{CAFile: file(authority), CertFile: file("cert.pem"), KeyFile: file("key.pem")}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// String names the endpoint for errors, without a user and password.
func (e endpoint) String() string {
	host := e.host
	if scheme, rest, _ := strings.Cut(host, "://"); strings.Contains(rest, "@") {
		host = scheme + "://***" + rest[strings.LastIndexByte(rest, '@'):]
	}
	switch {
	case e.from == "":
		return host
	case host == "":
		return e.from
	default:
		return host + ", from " + e.from
	}
}

// connect returns a client for the endpoint. It sends nothing.
func (e endpoint) connect() (*client.Client, error) {
	options := []client.Opt{client.WithHost(e.host), client.WithAPIVersionNegotiation()}
	if e.tls != nil && strings.HasPrefix(e.host, "tcp://") {
		tls, err := tlsconfig.Client(*e.tls)
		if err != nil {
			return nil, err
		}
		http := &http.Client{Transport: &http.Transport{TLSClientConfig: tls}, CheckRedirect: client.CheckRedirect}
		options = append([]client.Opt{client.WithHTTPClient(http)}, options...)
	}
	return client.NewClientWithOpts(options...)
}
