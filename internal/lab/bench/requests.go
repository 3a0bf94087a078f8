package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// accessLine is the registry's access log, in Apache's combined form.
var accessLine = regexp.MustCompile(`"([A-Z]+) /v2/(\S+) HTTP`)

// requests counts, by method, what the lab's registry was asked since a moment about one of this bench's repositories.
func (b *bench) requests(ctx context.Context, since time.Time, repository string) (map[string]int, error) {
	_, path, _ := strings.Cut(b.image(repository), "/")
	said, err := exec.CommandContext(ctx, "docker", "logs", "--since", strconv.FormatInt(since.Unix(), 10), registryContainer).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("reading the registry's log: %w: %.500s", err, said)
	}
	counts := map[string]int{}
	for line := range strings.Lines(string(said)) {
		if m := accessLine.FindStringSubmatch(line); m != nil && strings.HasPrefix(m[2], path+"/") {
			counts[m[1]]++
		}
	}
	return counts, nil
}

// registryContainer is the lab's registry.
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
