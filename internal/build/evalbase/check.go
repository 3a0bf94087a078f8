package evalbase

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/OpenHands/eval-images/internal/build"
	"github.com/OpenHands/eval-images/internal/build/native"
	"github.com/OpenHands/eval-images/internal/build/rebase"
	"github.com/OpenHands/eval-images/internal/plan"
	"github.com/OpenHands/eval-images/internal/registry"
)

// Checker marks an eval-base that was made when nothing in it would make the agent's layer land otherwise than a build's
// COPY does, and gives it its tag only then: what has the tag is whole, and was checked.
type Checker struct {
	// Next has the SDK build the eval-base; its tag is the SDK's own.
	Next     build.Builder
	Registry rebase.Registry
	// Image is the repository of the eval-bases.
	Image  string
	Buildx native.Buildx
	// Log is the path of an instance's log.
	Log func(instance string) string
}

// The user that the agent's files belong to, by the SDK's Dockerfile (ARG USERNAME, UID, GID). COPY asks the image's own
// /etc/passwd and /etc/group for the numbers.
const user, uid, gid = "openhands", "10001", "10001"

// Build makes the eval-base, looks into it, and puts it under its own tag.
func (c *Checker) Build(ctx context.Context, t plan.Target) (build.Result, error) {
	result, err := c.Next.Build(ctx, t)
	if err != nil {
		return result, err
	}
	begin := time.Now()
	verdict, err := c.verdict(ctx, t, result.Tags[0])
	if err != nil {
		result.Making += time.Since(begin)
		return result, native.Classified(fmt.Errorf("checking the eval-base: %w", err), t.BaseImage)
	}
	err = c.publish(ctx, t, result.Tags[0], verdict)
	result.Making += time.Since(begin)
	return result, rebase.Failed(ctx, "naming the eval-base", err)
}

// Plain lets next make a target's base stage, and refuses the target where an eval-base of it would be refused: what is
// learned from a reference is put on all others, and has to be what a build on an ordinary base image makes.
func (c *Checker) Plain(next build.Builder) build.Builder {
	return build.Func(func(ctx context.Context, t plan.Target) (build.Result, error) {
		result, err := next.Build(ctx, t)
		if err != nil {
			return result, err
		}
		verdict, err := c.verdict(ctx, t, result.Tags[0])
		switch {
		case err != nil:
			err = native.Classified(fmt.Errorf("checking the base stage: %w", err), t.BaseImage)
		case verdict != rebase.MarkPlain:
			err = &rebase.Refusal{Reason: strings.TrimPrefix(verdict, rebase.MarkRefused)}
		}
		return result, err
	})
}

func (c *Checker) publish(ctx context.Context, t plan.Target, made, verdict string) error {
	found, err := rebase.FetchReference(ctx, c.Registry, made)
	if err != nil {
		return err
	}
	base, digest, _ := strings.Cut(t.BaseImage, "@")
	marked := rebase.Mark(found.Image, verdict, base, digest, time.Now())
	return c.Registry.PutManifest(ctx, c.Image+":"+Tag(t.CustomTag), registry.Manifest{MediaType: marked.MediaType, Raw: marked.Manifest})
}

// verdict looks into the base image and the eval-base, on the builder, which has both.
func (c *Checker) verdict(ctx context.Context, t plan.Target, made string) (string, error) {
	folder, err := os.MkdirTemp("", "eval-base-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	args := []string{"--platform", "linux/amd64", "--output", "type=local,dest=" + folder}
	if err := c.Buildx.Build(ctx, c.Log(t.InstanceID), args, recipe(t.BaseImage, made)); err != nil {
		return "", err
	}
	paths, err := os.ReadFile(filepath.Join(folder, "paths"))
	if err != nil {
		return "", err
	}
	if found := strings.TrimSpace(string(paths)); found != "" {
		return rebase.MarkRefused + "its base image has " + strings.ReplaceAll(found, "\n", ", "), nil
	}
	return account(filepath.Join(folder, "passwd"), filepath.Join(folder, "group"))
}

// recipe looks for what the agent's layers would land on. The base image needs a shell for it, as for the SDK's stages.
func recipe(base, made string) string {
	return `FROM ` + base + ` AS base
USER 0
RUN ["/bin/sh", "-c", "for path in /agent-server /acp-node; do if [ -L $path ]; then echo $path as a symbolic link; elif [ -d $path ]; then echo $path as a folder; elif [ -e $path ]; then echo $path as a file; fi; done >/eval-images-paths"]
FROM ` + made + ` AS made
FROM scratch
COPY --from=base /eval-images-paths /paths
COPY --from=made /etc/passwd /passwd
COPY --from=made /etc/group /group
`
}

// account checks the numbers of the user's account.
func account(passwd, group string) (string, error) {
	fields, err := entry(passwd, user)
	if err != nil {
		return "", err
	}
	if len(fields) < 4 || fields[2] != uid {
		return rebase.MarkRefused + fmt.Sprintf("its user %s has not the uid %s", user, uid), nil
	}
	fields, err = entry(group, user)
	if err != nil {
		return "", err
	}
	if len(fields) < 3 || fields[2] != gid {
		return rebase.MarkRefused + fmt.Sprintf("its group %s has not the gid %s", user, gid), nil
	}
	return rebase.MarkPlain, nil
}

// entry gives the fields of the first line for name in a file such as /etc/passwd, or none.
func entry(path, name string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == name {
			return fields, nil
		}
	}
	return nil, nil
}
