// Command testlog reads the output of `go test -json` and prints it as go test does without -json: the failed tests and a
// line for each package.
//
//	go test -json ./... | testlog           print it
//	go test -json ./... | testlog -v        print what all tests log, too
//	testlog -slowest 10 <out.json           print the ten slowest tests instead
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	verbose := flag.Bool("v", false, "print the log of every test")
	slowest := flag.Int("slowest", 0, "print only this many tests, the slowest first")
	flag.Parse()
	tests, err := show(os.Stdin, os.Stdout, *verbose, *slowest == 0)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog: reading the output of go test:", err)
		os.Exit(1)
	}
	if *slowest > 0 {
		printSlowest(os.Stdout, tests, *slowest)
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Elapsed float64 // seconds
	Output  string
}

// show prints the events unless print is false, and returns the result of each test. Subtests are tests, too: the time of a
// test does not include that of its parallel subtests.
func show(in io.Reader, out io.Writer, verbose, print bool) (tests []event, err error) {
	if !print {
		out = io.Discard
	}
	type test struct{ pkg, name string }
	logs := map[test]string{} // of the tests that run
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return tests, nil
		}
		if err != nil {
			return tests, err
		}
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			e = event{Action: "output", Output: line} // go test itself writes text when it cannot start
		}
		this := test{e.Package, e.Test}
		switch {
		case e.Output != "" && (verbose || e.Test == "" && e.Output != "PASS\n"):
			fmt.Fprint(out, e.Output)
		case e.Output != "":
			logs[this] += e.Output
		case e.Action == "fail" && e.Test == "":
			// A test that panics or runs out of time has no result of its own.
			for unfinished, log := range logs {
				if unfinished.pkg == e.Package {
					fmt.Fprint(out, log)
				}
			}
		case e.Action == "fail":
			fmt.Fprint(out, logs[this])
			fallthrough
		case e.Action == "pass", e.Action == "skip":
			delete(logs, this)
			if e.Test != "" {
				tests = append(tests, e)
			}
		}
	}
}

func printSlowest(out io.Writer, tests []event, n int) {
	slices.SortFunc(tests, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, t := range tests[:min(n, len(tests))] {
		fmt.Fprintf(out, "%8.1f s  %s  %s\n", t.Elapsed, t.Test, strings.TrimPrefix(t.Package, "github.com/OpenHands/eval-images/"))
	}
}
