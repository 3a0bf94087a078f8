package docker

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// proxyVariables are what BuildKit, and the git that it runs, read their proxies from.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}

// proxies returns the proxy variables for a builder on a network. A proxy on a loopback address is another machine's there, except
// on the network of this machine.
func proxies(environ []string, network string) (kept []string) {
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		if slices.Contains(proxyVariables, name) && value != "" && (network == "host" || !isLoopback(value)) {
			kept = append(kept, variable)
		}
	}
	return kept
}

// isLoopback reports whether a proxy's address, which may lack its scheme, is on a loopback interface.
func isLoopback(proxy string) bool {
	if !strings.Contains(proxy, "://") {
		proxy = "http://" + proxy
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// setEnviron adds the builder's variables to buildx's record of it, from which buildx creates the container. buildx's driver option
// env.NAME does the same, but it would put the password of a proxy into an argument list, which all users of a machine can read.
func (b Buildx) setEnviron(builder Builder) error {
	if len(builder.environ) == 0 {
		return nil
	}
	path := filepath.Join(lastValue(b.Environ, "BUILDX_CONFIG"), "instances", builder.Name)
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading buildx's record of the builder: %w", err)
	}
	var record map[string]any
	if err := json.Unmarshal(text, &record); err != nil {
		return fmt.Errorf("reading buildx's record of the builder: %w", err)
	}
	nodes, _ := record["Nodes"].([]any)
	for _, node := range nodes {
		node, ok := node.(map[string]any)
		if !ok {
			return errors.New("reading buildx's record of the builder: a node is not an object")
		}
		options, ok := node["DriverOpts"].(map[string]any)
		if !ok {
			options = map[string]any{}
		}
		for _, variable := range builder.environ {
			name, value, _ := strings.Cut(variable, "=")
			options["env."+name] = value
		}
		node["DriverOpts"] = options
	}
	if text, err = json.Marshal(record); err == nil {
		err = os.WriteFile(path, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing buildx's record of the builder: %w", err)
	}
	return nil
}

// lastValue returns a variable's last value, as a process would see it.
func lastValue(environ []string, name string) string {
	for _, variable := range slices.Backward(environ) {
		if value, found := strings.CutPrefix(variable, name+"="); found {
			return value
		}
	}
	return ""
}
