package browser

import (
	"bytes"
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/renderer/html"
)

//go:embed testdata/markdown.css
var markdownStyle string

var shots = flag.String("shots", "", "folder for pictures of the step summaries")

// cutOff finds what a reader has to scroll sideways for, and the bottom of the first thing to do while details are collapsed.
const cutOff = `(() => {
  const details = [...document.querySelectorAll("details")];
  details.forEach(d => d.open = false);
  const todo = [...document.querySelectorAll("strong")].find(e => ["Next:", "What to do:"].includes(e.textContent));
  const next = todo ? Math.round(todo.getBoundingClientRect().bottom) : 0;
  details.forEach(d => d.open = true);
  const wide = [...document.querySelectorAll("pre, table")].filter(e => e.scrollWidth > e.clientWidth);
  return {Wide: wide.map(e => e.outerHTML.slice(0, 200)), Next: next};
})()`

// The summaries are those that package report is tested with. On a telephone and on a desk nothing of them is cut off, also when
// everything is unfolded, and what to do stands on the first screen. The hostile one has texts that are too long for that.
func TestStepSummariesFitTheirPage(t *testing.T) {
	files, err := filepath.Glob("../../report/testdata/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d summaries, %v", len(files), err)
	}
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	b := start(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".md")
		var body bytes.Buffer
		if err := markdown.Convert(text, &body); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "summary.html")
		page := "<!DOCTYPE html><meta charset=utf-8><style>" + markdownStyle + "</style><body>" + body.String()
		if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, width := range []int{1280, 390} {
			t.Run(fmt.Sprint(name, " ", width), func(t *testing.T) {
				p, err := b.Open("file://"+path, width, false)
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				if *shots != "" {
					shoot(t, p, filepath.Join(*shots, fmt.Sprintf("%s-%d.png", name, width)))
				}
				if over, err := p.Overflow(); err != nil || over.Pixels > 0 {
					t.Errorf("%d pixels are cut off: %s, %v", over.Pixels, over.Element, err)
				}
				got, err := Eval[struct {
					Wide []string
					Next int
				}](p, cutOff)
				if err != nil {
					t.Fatal(err)
				}
				if name == "hostile" {
					if asked := p.Requests(); len(asked) != 1 {
						t.Errorf("the page asks for %q", asked)
					}
					return
				}
				if len(got.Wide) > 0 {
					t.Errorf("one has to scroll sideways for %q", got.Wide)
				}
				if got.Next > 800 {
					t.Errorf("what to do stands %d pixels below the top", got.Next)
				}
			})
		}
	}
}

func shoot(t *testing.T, p *Page, path string) {
	t.Helper()
	picture, err := p.Screenshot()
	if err == nil {
		err = os.WriteFile(path, picture, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
