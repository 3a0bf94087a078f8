package sdkrepo

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// Releases gives a folder that has one for each release in releases/releases.txt, by its version, with what the SDK
// itself puts into the build context of its base stage there. They come from the published wheels, which takes a minute
// and 32 MB of downloads at the first time.
func Releases(ctx context.Context, e *engine.Engine, log io.Writer) (string, error) {
	recipe := e.Lab("sdkrepo", "releases")
	key, err := engine.FilesKey(os.DirFS(recipe))
	if err != nil {
		return "", err
	}
	return e.Cached("releases", key, func(folder string) error {
		image, err := buildImage(ctx, e, log)
		if err != nil {
			return err
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		user := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
		return e.Docker(ctx, log, "run", "--rm", "--user", user, "--volume", folder+":/out",
			"--volume", recipe+":/releases:ro", image, "sh", "/releases/fetch", "/out")
	})
}
