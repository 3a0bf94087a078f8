package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/OpenHands/eval-images/internal/ledger"
)

// How much of the comparisons is shown; what is different in one image mostly is in the others.
const (
	maxVerified    = 5
	maxDifferences = 20
	maxTagsLeft    = 50
)

// verifyFailures counts the images that are not what they should be, for the verdict.
func verifyFailures(all []ledger.Verified) string {
	different, failed := 0, 0
	for _, v := range all {
		switch v.Result {
		case ledger.VerifiedOK:
		case ledger.VerifiedDifferent:
			different++
		default:
			failed++
		}
	}
	var said []string
	if different > 0 {
		said = append(said, plural(different, "rebased image differs", "rebased images differ")+" from the native build")
	}
	if failed > 0 {
		said = append(said, plural(failed, "rebased image", "rebased images")+" could not be compared with the native build")
	}
	return fmt.Sprintf("of %s, %s", plural(len(all), "image compared", "images compared"), strings.Join(said, ", and "))
}

// verification shows what is different in images that should be equal, and what to do about it.
func verification(run ledger.Run) string {
	if !run.VerifyFailed() {
		return ""
	}
	var shown []string
	bad := slices.DeleteFunc(slices.Clone(run.Rebase.Verified), func(v ledger.Verified) bool { return v.Result == ledger.VerifiedOK })
	for i, v := range bad {
		if i == maxVerified {
			shown = append(shown, fmt.Sprintf("\n… and %d more.\n", len(bad)-i))
			break
		}
		what := "is different"
		if v.Result != ledger.VerifiedDifferent {
			what = "could not be compared"
		}
		shown = append(shown, fmt.Sprintf("%s %s:\n\n%s", code(v.Instance, shortValue), what, differences(v)))
	}
	advice := "Nothing is known of these images before they are compared: eval-images verify does it by hand.\n"
	if slices.ContainsFunc(bad, func(v ledger.Verified) bool { return v.Result == ledger.VerifiedDifferent }) {
		advice = "Do not use the images that this run rebased before the cause is known: strategy native with force-build builds them anew.\n"
	}
	return section("Verification", append([]string{advice}, shown...)...)
}

func differences(v ledger.Verified) string {
	var said []string
	for i, difference := range v.Differences {
		if i == maxDifferences {
			said = append(said, fmt.Sprintf("- … and %d more\n", len(v.Differences)-i))
			break
		}
		said = append(said, "- "+text(difference, longValue)+"\n")
	}
	if len(said) == 0 {
		return "- no reason is known\n"
	}
	return strings.Join(said, "")
}

// verified says what was found equal, and which tags of native builds stay.
func verified(run ledger.Rebase) string {
	equal := 0
	var left []string
	for _, v := range run.Verified {
		if v.Result == ledger.VerifiedOK {
			equal++
		}
		left = append(left, v.TagsLeft...)
	}
	var said string
	if equal > 0 {
		said = fmt.Sprintf("Verified: %s built natively too, and equal.\n", plural(equal, "rebased image was", "rebased images were"))
	}
	if len(left) > 0 {
		var some []string
		for _, tag := range left[:min(maxTagsLeft, len(left))] {
			some = append(some, code(tag, shortValue))
		}
		said += fmt.Sprintf("The registry refuses to delete, so %s of these native builds %s: %s",
			plural(len(left), "tag", "tags"), map[bool]string{true: "stays", false: "stay"}[len(left) == 1], strings.Join(some, ", "))
		if len(some) < len(left) {
			said += ", …"
		}
		said += ". The next run that verifies overwrites them.\n"
	}
	return said
}
