// Package sdkrepo makes the lab's git repository of the SDK from the published packages, with a commit and upstream's
// tag for each of a few releases, and serves it over http.
//
// The workspace's pyproject.toml, the lock and the licence are the lab's own, because no package contains them. The
// build module and its Dockerfile are the published bytes; image/recipe/make-repository checks that.
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

// Refs are the releases that build in the lab, newest first. The repository has others, but only their names are used.
var Refs = []string{"v1.58.2", "v1.14.0", "v1.13.1"}

// Options are the SDK options with which the newest release builds in the lab. Its default providers come from a host
// for which the lab has no stand-in.
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
		"LAB_PACKAGES":              engine.Packages,
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

// makeRepository returns the folder with the repository. Its key is the recipe's, so a change of the server does not
// make it again.
func makeRepository(ctx context.Context, e *engine.Engine, image string, log io.Writer) (string, error) {
	key, err := engine.FilesKey(os.DirFS(filepath.Join(sources(e), "recipe")))
	if err != nil {
		return "", err
	}
	return e.Cached("sdkrepo", key, func(folder string) error {
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		// As the lab's user, who may have to remove a half-made one.
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

// Releases returns a folder with one folder for each release in releases/releases.txt, named by version. Each has the
// files that the SDK puts into the build context of its base stage. The first call downloads 32 MB of wheels, which
// takes a minute.
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
