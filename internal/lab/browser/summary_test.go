package browser

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
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

// cutOff finds what a reader has to scroll sideways for, and the bottom of what to do next and of the first remedy while details are
// collapsed.
const cutOff = `(() => {
  const details = [...document.querySelectorAll("details")];
  details.forEach(d => d.open = false);
  const todo = [...document.querySelectorAll("strong")].filter((e, i, all) => ["Next:", "What to do:"].includes(e.textContent) && all.findIndex(f => f.textContent === e.textContent) === i);
  const next = Math.round(Math.max(0, ...todo.map(e => e.parentElement.getBoundingClientRect().bottom)));
  details.forEach(d => d.open = true);
  const wide = [...document.querySelectorAll("pre, table")].filter(e => e.scrollWidth > e.clientWidth);
  return {Wide: wide.map(e => e.outerHTML.slice(0, 200)), Next: next};
})()`

// mermaidModule is a module of Go whose only use is the Mermaid that is in it, version 11.6.0: GitHub draws the picture of a step summary
// with a Mermaid of its own, which is of version 11 (https://docs.github.com/get-started/writing-on-github/working-with-advanced-formatting/creating-diagrams).
const mermaidModule, mermaidSum = "github.com/dreampuf/mermaid.go@v0.0.27", "h1:uriWHpcc4clTaAUdJqpyDzyGvAZumeLb61n2VBxc0ZQ="

// mermaid returns the path of Mermaid's script.
func mermaid(t *testing.T) string {
	t.Helper()
	get := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", mermaidModule)
	get.Dir = t.TempDir() // outside of the lab's module, which has no use for it
	out, err := get.Output()
	var module struct{ Dir, Sum string }
	if err == nil {
		err = json.Unmarshal(out, &module)
	}
	if err != nil || module.Sum != mermaidSum {
		t.Fatalf("getting %s: %v: %s", mermaidModule, err, out)
	}
	return filepath.Join(module.Dir, "mermaid.min.js")
}

// draw puts pictures in the place of Mermaid's texts, as GitHub does.
const draw = `<script src="file://%s"></script><script>
document.addEventListener("DOMContentLoaded", async () => {
  const failed = [];
  mermaid.initialize({startOnLoad: false, securityLevel: "strict"});
  const texts = [...document.querySelectorAll("code.language-mermaid")];
  for (const [i, text] of texts.entries()) {
    const picture = document.createElement("section");
    text.parentElement.replaceWith(picture);
    try {
      picture.innerHTML = (await mermaid.render("picture" + i, text.textContent, picture)).svg;
    } catch (e) { failed.push(String(e)); }
  }
  window.drawn = texts.length + " pictures, failed: " + failed.join("; ");
});
</script>`

// clipped finds the texts of pictures that are cut off, or lie upon another one.
const clipped = `(() => {
  const bad = [];
  for (const svg of document.querySelectorAll("svg")) {
    const all = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter(e => e.textContent.trim()).map(e => ({said: e.textContent, at: e.getBoundingClientRect()}));
    texts.forEach((a, i) => {
      if (a.at.left < all.left - 1 || a.at.right > all.right + 1 || a.at.bottom > all.bottom + 1) bad.push(a.said + " is cut off");
      for (const b of texts.slice(i + 1))
        if (a.at.left < b.at.right && b.at.left < a.at.right && a.at.top + 2 < b.at.bottom && b.at.top + 2 < a.at.bottom) bad.push(a.said + " lies upon " + b.said);
    });
  }
  return bad;
})()`

// The summaries are those that package report is tested with. On a telephone and on a desk nothing of them is cut off, also when
// everything is unfolded, and what to do stands on the first screen. The hostile one has texts that are too long for that.
func TestStepSummariesFitTheirPage(t *testing.T) {
	files, err := filepath.Glob("../../report/testdata/*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d summaries, %v", len(files), err)
	}
	markdown := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(html.WithUnsafe()))
	b, script := start(t), mermaid(t)
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
		bars := strings.Count(string(text), "ms\n")
		if strings.Contains(string(text), "```mermaid") {
			page += fmt.Sprintf(draw, script)
		}
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
				if bars > 0 {
					if got := eventually[string](t, p, `window.drawn || ""`); got != "1 pictures, failed: " {
						t.Errorf("Mermaid: %s", got)
					}
					if n := eval[int](t, p, `document.querySelectorAll("rect.task").length`); n != bars {
						t.Errorf("the picture has %d bars, want %d", n, bars)
					}
					if bad := eval[[]string](t, p, clipped); len(bad) > 0 {
						t.Errorf("the picture cannot be read: %q", bad)
					}
				}
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
