package soak

import (
	"context"
	"fmt"
	"time"

	"github.com/OpenHands/eval-images/internal/lab/runner"
)

// rebaseFaults makes one run, with nothing but faults of the registry: it must make every image at once.
func (s *soak) rebaseFaults(ctx context.Context, round int) error {
	return s.rebaseRound(ctx, round, nil)
}

// rebaseKilled kills a run at a random moment of its rebases. The next one must make the missing images.
func (s *soak) rebaseKilled(ctx context.Context, round int) error {
	return s.rebaseRound(ctx, round, func(ctx context.Context, step runner.Step) error {
		return s.kill(ctx, step, "run killed during rebases", 4*time.Second)
	})
}

// recordDiskFull makes a run whose ledger and logs are on a disk of 48 KB, which is too small for the ledger alone.
func (s *soak) recordDiskFull(ctx context.Context, round int) error {
	return s.rebaseRound(ctx, round, func(ctx context.Context, step runner.Step) error {
		volume := s.name("record")
		s.tally.disks["disk of the record full"]++
		if _, err := docker(ctx, "volume", "create", "--driver", "local", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=48k", volume); err != nil {
			return err
		}
		step.Volumes = []string{volume + ":/github/workspace/builds"}
		got, err := s.run(ctx, step)
		if err != nil {
			return err
		}
		if got.ExitCode == 0 {
			return fmt.Errorf("a run that cannot write its record ended with 0:\n%s", got.Summary)
		}
		_, err = docker(ctx, "volume", "rm", volume)
		return err
	})
}

// rebaseRound makes all images under a new tag, first disturbed, and then until they are there.
func (s *soak) rebaseRound(ctx context.Context, round int, disturb func(context.Context, runner.Step) error) error {
	tag := fmt.Sprintf("round%d", round)
	step := s.rebaseStep(tag)
	runs := 1
	if disturb != nil {
		runs = reruns
		if err := disturb(ctx, step); err != nil {
			return err
		}
	}
	if err := s.untilThere(ctx, step, runs); err != nil {
		return err
	}
	there, err := s.digests(ctx, "rebase", tag)
	if err != nil {
		return err
	}
	var lost []string
	for id, digest := range s.calm {
		if there[id] != digest {
			lost = append(lost, fmt.Sprintf("%s of %s (%q, want %q)", id, tag, there[id], digest))
		}
	}
	s.tally.rebases += rebases
	s.ended(round, lost)
	return nil
}

// nativeFaults builds images natively with nothing but faults of the registry.
func (s *soak) nativeFaults(ctx context.Context, round int) error {
	return s.nativeRound(ctx, round, nil)
}

// nativeKilled kills a run in the middle of native builds.
func (s *soak) nativeKilled(ctx context.Context, round int) error {
	return s.nativeRound(ctx, round, func(ctx context.Context, step runner.Step) error {
		return s.kill(ctx, step, "run killed during native builds", 60*time.Second)
	})
}

// builderKilled kills BuildKit in the middle of native builds, and starts it again when the run has ended.
func (s *soak) builderKilled(ctx context.Context, round int) error {
	return s.nativeRound(ctx, round, func(ctx context.Context, step runner.Step) error {
		run, err := s.await(ctx, &step, pushesAccepted)
		if err != nil {
			return err
		}
		time.Sleep(s.within(60 * time.Second))
		s.tally.kills["builder killed"]++
		if _, err := docker(ctx, "kill", "--signal", "KILL", container(s.builder)); err != nil {
			return err
		}
		run.Wait()
		return s.restartBuilder(ctx)
	})
}

// builderDiskFull begins with a builder whose disk is too small for one image.
func (s *soak) builderDiskFull(ctx context.Context, round int) error {
	return s.nativeRound(ctx, round, func(ctx context.Context, step runner.Step) error {
		small, err := s.startBuilder(ctx, "small", "--tmpfs", "/var/lib/buildkit:size=900m")
		if err != nil {
			return err
		}
		s.tally.disks["disk of the builder full"]++
		step.Inputs["builder"] = small
		if _, err := s.run(ctx, step); err != nil {
			return err
		}
		return s.removeBuilder(ctx, small)
	})
}

// nativeRound builds images of a new commit, first disturbed, and then until they are there.
func (s *soak) nativeRound(ctx context.Context, round int, disturb func(context.Context, runner.Step) error) error {
	commit, err := s.sdk.Next(ctx)
	if err != nil {
		return err
	}
	repository := fmt.Sprintf("native%d", round)
	if disturb != nil {
		if err := disturb(ctx, s.nativeStep(commit, repository)); err != nil {
			return err
		}
	}
	if err := s.untilThere(ctx, s.nativeStep(commit, repository), reruns); err != nil {
		return err
	}
	lost, err := s.notWhole(ctx, repository, s.Instances[:natives])
	if err != nil {
		return err
	}
	s.tally.natives += natives
	s.ended(round, lost)
	return nil
}

// ended counts a round and prints what came of it.
func (s *soak) ended(round int, lost []string) {
	s.tally.rounds++
	if len(lost) == 0 {
		s.tally.survived++
	}
	s.tally.lost = append(s.tally.lost, lost...)
	fmt.Fprintf(s.out, "==> soak: round %d after %.0f s: %d rebased and %d native images, %d lost\n",
		round, time.Since(s.start).Seconds(), s.tally.rebases, s.tally.natives, len(s.tally.lost))
}

// untilThere runs a step until it makes all its images, but not more often than that. What is missing then is found in
// the registry.
func (s *soak) untilThere(ctx context.Context, step runner.Step, runs int) error {
	for range runs {
		got, err := s.run(ctx, step)
		if err != nil {
			return err
		}
		if got.ExitCode == 0 {
			return nil
		}
	}
	return nil
}

func (s *soak) run(ctx context.Context, step runner.Step) (runner.Result, error) {
	run, err := step.Start(ctx)
	if err != nil {
		return runner.Result{}, err
	}
	got := run.Wait()
	return got, ctx.Err()
}

// mustRun runs a step that nothing disturbs.
func (s *soak) mustRun(ctx context.Context, step runner.Step) error {
	got, err := s.run(ctx, step)
	if err == nil && got.ExitCode != 0 {
		err = fmt.Errorf("an undisturbed run ended with %d:\n%s", got.ExitCode, got.Summary)
	}
	return err
}

// pushesAccepted is what a run logs before its first image.
const pushesAccepted = "the registry accepts pushes"

// kill kills a run within some time after it has begun with its images. A run that ends before is not disturbed.
func (s *soak) kill(ctx context.Context, step runner.Step, what string, within time.Duration) error {
	run, err := s.await(ctx, &step, pushesAccepted)
	if err != nil {
		return err
	}
	time.Sleep(s.within(within))
	if _, err := docker(ctx, "kill", "--signal", "KILL", run.Container); err == nil {
		s.tally.kills[what]++
	}
	run.Wait()
	return ctx.Err()
}

func (s *soak) within(limit time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(limit)))
}

// await starts a step and waits until its log has a text, or it ends.
func (s *soak) await(ctx context.Context, step *runner.Step, text string) (*runner.Run, error) {
	log, seen := runner.Watch(step.Log, text)
	step.Log = log
	run, err := step.Start(ctx)
	if err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		run.Wait()
		close(ended)
	}()
	select {
	case <-seen:
	case <-ended:
	}
	return run, nil
}
