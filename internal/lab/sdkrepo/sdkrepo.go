// Package sdkrepo is the lab's git repository of the SDK: one commit and one tag (upstream's name) for each of a few
// releases, made from the packages that were published, and served over http as a forge serves the real one.
//
// What no package publishes (the workspace's pyproject.toml, the lock, the licence) is the lab's own; the build module
// and its Dockerfile are the published bytes, which image/recipe/make-repository checks.
package sdkrepo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/engine"
)

// Refs are the releases of which an image builds in the lab, newest first. The repository has others, for their names
// only.
var Refs = []string{"v1.58.2", "v1.14.0", "v1.13.1"}

// Options make the newest release build in the lab: the default providers come from a host that the lab has no stand-in
// for.
const Options = "install_acp_providers="

// Part makes and serves the repository.
var Part = engine.Part{Name: "SDK repository", Up: up, Env: env}

const (
	alias      = "git.local" // the server's name on the lab's network
	port       = "8080"
	repository = "software-agent-sdk.git"
	url        = "http://" + engine.GitPort + "/" + repository
)

func env(*engine.Engine) (map[string]string, error) {
	return map[string]string{
		"LAB_SDK_REPOSITORY":        url,
		"LAB_SDK_REPOSITORY_INSIDE": "http://" + alias + ":" + port + "/" + repository,
		"LAB_SDK_REF":               Refs[0],
		"LAB_SDK_REFS":              strings.Join(Refs, " "),
		"LAB_SDK_OPTIONS":           Options,
	}, nil
}

func up(ctx context.Context, e *engine.Engine, log io.Writer) error {
	image, err := buildImage(ctx, e, log)
	if err != nil {
		return err
	}
	folder, err := makeRepository(ctx, e, image, log)
	if err != nil {
		return err
	}
	err = e.Start(ctx, log, engine.Container{
		Name:    "eval-images-lab-git",
		Image:   image,
		Alias:   alias,
		Options: []string{"--publish", engine.GitPort + ":" + port, "--volume", folder + ":/srv:ro"},
	})
	if err != nil {
		return err
	}
	return engine.Await(ctx, "the git server", 20*time.Second, answers)
}

func buildImage(ctx context.Context, e *engine.Engine, log io.Writer) (string, error) {
	key, err := engine.FilesKey(os.DirFS(sources(e)))
	if err != nil {
		return "", err
	}
	image := "eval-images-lab/sdkrepo:" + key
	if there, err := e.Output(ctx, "images", "--quiet", image); err != nil || there != "" {
		return image, err
	}
	return image, e.Build(ctx, log, sources(e), image)
}

func sources(e *engine.Engine) string { return e.Lab("sdkrepo", "image") }

// makeRepository gives the folder that holds the repository, keyed by its recipe: another server does not remake it.
func makeRepository(ctx context.Context, e *engine.Engine, image string, log io.Writer) (string, error) {
	key, err := engine.FilesKey(os.DirFS(filepath.Join(sources(e), "recipe")))
	if err != nil {
		return "", err
	}
	return e.Cached("sdkrepo", key, func(folder string) error {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		// As the lab's user, who has to remove a half-made one.
		user := fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid())
		return e.Docker(ctx, log, "run", "--rm", "--user", user, "--volume", folder+":/out", image,
			"sh", "/recipe/make-repository", "/out/"+repository)
	})
}

func answers(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/HEAD", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("getting %s: %s", request.URL, response.Status)
	}
	return nil
}

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
