package native

import (
	"bufio"
	"io"
	"os"
	"strings"
	"time"
)

// Shared is told when a build has got past the stages that all images share; a *build.Vanguard is.
type Shared interface {
	Passed()
	// Settled is closed when nobody wants to know any more.
	Settled() <-chan struct{}
}

// exporting is what BuildKit prints when all stages are built, and only the image's own layers are left to be packed and
// pushed (BuildKit, exporter/containerimage).
const exporting = "exporting to image"

// lookEvery is how often a growing log is read.
const lookEvery = 200 * time.Millisecond

// watch reads what is added to a log until done is closed, and tells shared when the export begins.
func watch(log string, shared Shared, done <-chan struct{}) {
	file, err := os.Open(log)
	if err != nil {
		return
	}
	defer file.Close()
	if _, err := file.Seek(0, io.SeekEnd); err != nil {
		return
	}
	lines, line := bufio.NewReader(file), ""
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		part, err := lines.ReadString('\n')
		if line += part; err == nil {
			if strings.HasSuffix(strings.TrimSpace(line), exporting) {
				shared.Passed()
				return
			}
			line = ""
			continue
		}
		select {
		case <-ticker.C:
		case <-done:
			return
		case <-shared.Settled():
			return
		}
	}
}
