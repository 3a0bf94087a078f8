package report

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/OpenHands/eval-images/internal/failure"
	"github.com/OpenHands/eval-images/internal/ledger"
	"github.com/OpenHands/eval-images/internal/outcome"
)

// evalEnvOutputs are the outputs of environment images, which are empty where none were asked for.
func evalEnvOutputs(e *ledger.EvalEnv) [][2]string {
	if e == nil {
		return [][2]string{{"eval-env-total", ""}, {"eval-env-built", ""}, {"eval-env-skipped", ""}, {"eval-env-failed", ""}}
	}
	return [][2]string{
		{"eval-env-total", strconv.Itoa(e.Planned)},
		{"eval-env-built", strconv.Itoa(e.Count(outcome.Built))},
		{"eval-env-skipped", strconv.Itoa(e.Count(outcome.Skipped))},
		{"eval-env-failed", strconv.Itoa(e.Missing())},
	}
}

// evalEnvironments is the section about the images that SWT-Bench's evaluation runs in.
func evalEnvironments(run ledger.Run) string {
	e := run.EvalEnv
	if e == nil {
		return ""
	}
	var failed []string
	for _, image := range e.Images {
		if image.Status == outcome.Failed && len(failed) < failuresShown {
			failed = append(failed, fmt.Sprintf("- %s: %s<br>%s", code(image.Name, shortValue), reason(string(image.Error)), text(failure.Class(image.Class).Words(), shortValue)))
			if image.LogPath != "" {
				failed[len(failed)-1] += " · log " + logName(image.LogPath, run.Artifact)
			}
			failed[len(failed)-1] += "<br>What to do: " + text(failure.HintFor(failure.Class(image.Class), string(image.Error)), longValue) + "\n"
		}
	}
	line := fmt.Sprintf("%s for %s under %s: %d built, %d already existed, %d missing.\n", plural(e.Planned, "image", "images"),
		plural(e.Instances, "instance", "instances"), code(e.Prefix, shortValue), e.Count(outcome.Built), e.Count(outcome.Skipped), e.Missing())
	stale := ""
	if len(e.Stale) > 0 {
		stale = fmt.Sprintf("The new base makes %s of other instances too old for the evaluation; build them again.\n", plural(len(e.Stale), "environment", "environments"))
	}
	return section("Environment images of SWT-Bench", line, preformatted(string(e.Problem)), stale, strings.Join(failed, ""),
		"SWT-Bench at "+code(string(e.SHA), shortValue)+".\n")
}

// evalEnvPlan are the lines of a dry run about environment images.
func evalEnvPlan(e *ledger.EvalEnv) (lines []string) {
	if e == nil {
		return nil
	}
	lines = append(lines, fmt.Sprintf("Environment images: %d of %d to build.", e.Missing(), e.Planned))
	for _, image := range e.Images {
		state := "present"
		switch image.Status {
		case outcome.Failed:
			state = "unknown: " + oneLine(string(image.Error), longValue)
		case "":
			state = "missing, or older than its base"
		}
		lines = append(lines, image.Name+"  "+state)
	}
	return lines
}
