package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// accessLine matches a line of the registry's access log, which is in Apache's combined format.
var accessLine = regexp.MustCompile(`"([A-Z]+) /v2/(\S+) HTTP[^"]*" ([0-9]{3})`)

// request is one line of the access log. Its path is below the repository's.
type request struct{ method, path, status string }

// requestsTo returns the requests to the lab's registry since a moment, for one of this bench's repositories.
func (b *bench) requestsTo(ctx context.Context, since time.Time, repository string) (all []request, err error) {
	moment := fmt.Sprintf("%d.%09d", since.Unix(), since.Nanosecond())
	said, err := exec.CommandContext(ctx, "docker", "logs", "--since", moment, registryContainer).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("reading the registry's log: %w: %.500s", err, said)
	}
	for line := range strings.Lines(string(said)) {
		m := accessLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if path, ok := strings.CutPrefix(m[2], b.path(repository)+"/"); ok {
			all = append(all, request{m[1], path, m[3]})
		}
	}
	return all, nil
}

// countRequests counts them by method.
func (b *bench) countRequests(ctx context.Context, since time.Time, repository string) (map[string]int, error) {
	all, err := b.requestsTo(ctx, since, repository)
	counts := map[string]int{}
	for _, r := range all {
		counts[r.method]++
	}
	return counts, err
}

// registryContainer is the container of the lab's registry.
const registryContainer = "eval-images-lab-registry"

// readJSON reads a file that an output of a run names.
func readJSON(workspace, path string, v any) error {
	text, err := os.ReadFile(filepath.Join(workspace, path))
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		return fmt.Errorf("reading what a run left: %w", err)
	}
	return nil
}
