// Package browser opens pages in a headless Chromium, to look at what people see.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// programs are the names of Chromium, the smallest first: Debian's package chromium-headless-shell has no more than this needs.
var programs = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"}

// Browser is a running Chromium.
type Browser struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// Start starts a Chromium, which Close ends.
func Start(ctx context.Context) (*Browser, error) {
	path := ""
	for _, name := range programs {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("none of %s is installed\nhint: run make packages, or apt-get install %s", strings.Join(programs, ", "), programs[0])
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, end := chromedp.NewExecAllocator(ctx, options...)
	ctx, cancel := chromedp.NewContext(ctx)
	b := &Browser{ctx, func() { cancel(); end() }}
	if err := chromedp.Do(ctx); err != nil {
		b.Close()
		return nil, fmt.Errorf("starting %s: %w", path, err)
	}
	return b, nil
}

// Close ends the browser.
func (b *Browser) Close() { b.cancel() }

// Page is an open page.
type Page struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	requests []string
	problems []string
}

// openWithin bounds what is asked of a page.
const openWithin = time.Minute

// Open opens a URL, such as file:///tmp/report.html, in a window of this width, and waits until it is loaded.
func (b *Browser) Open(url string, width int, dark bool) (*Page, error) {
	p := &Page{}
	tab, closeTab := chromedp.NewContext(b.ctx, chromedp.WithListener(p.hear))
	p.cancel = closeTab
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	err := chromedp.Do(tab) // the first call lives as long as its context, so it gets no time limit
	if err == nil {
		var stop context.CancelFunc
		p.ctx, stop = context.WithTimeout(tab, openWithin)
		p.cancel = func() { stop(); closeTab() }
		err = chromedp.Do(p.ctx,
			call(network.Enable, network.EnableParams{}),
			call(performance.Enable, performance.EnableParams{}),
			call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			}),
			chromedp.EmulateViewport(int64(width), 800),
			chromedp.Navigate(url),
		)
	}
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("opening %s: %w", url, err)
	}
	return p, nil
}

// call is an action that sends a command to the page.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// hear notes what a page asks the network for, and what goes wrong in it.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.requests = append(p.requests, e.Request.URL)
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			p.problems = append(p.problems, "console.error")
		}
	case *page.EventJavascriptDialogOpening:
		p.problems = append(p.problems, "dialog: "+e.Message)
	}
}

// Close closes the page.
func (p *Page) Close() { p.cancel() }

// Requests are the URLs that were asked for, the page's own first.
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Problems are exceptions, logged errors and dialogs of the page.
func (p *Page) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Eval evaluates an expression of JavaScript. T is any where its value does not matter.
func Eval[T any](p *Page, expression string) (T, error) {
	return chromedp.Run(p.ctx, chromedp.Evaluate[T](expression))
}

// Do evaluates JavaScript for what it does.
func (p *Page) Do(script string) error {
	return chromedp.Do(p.ctx, chromedp.Evaluate[chromedp.Void](script))
}

// Keys types keys, such as "django" or kb.Tab, where the focus is.
func (p *Page) Keys(keys string) error { return chromedp.Do(p.ctx, chromedp.KeyEvent(keys)) }

// Screenshot is the whole page as a PNG.
func (p *Page) Screenshot() ([]byte, error) {
	return chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
}

// Layouts counts how often the page was laid out.
func (p *Page) Layouts() (int, error) {
	return chromedp.Run(p.ctx, func(ctx context.Context, t *chromedp.Target) (int, error) {
		result, err := cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
		if err != nil {
			return 0, err
		}
		for _, m := range result.Metrics {
			if m.Name == "LayoutCount" {
				return int(m.Value), nil
			}
		}
		return 0, errors.New("the browser does not count layouts")
	})
}

// widest finds the element that reaches furthest beyond the window, unless it is in one that scrolls or cuts by itself.
const widest = `(() => {
  const width = document.documentElement.clientWidth;
  let most = {Pixels: Math.max(0, document.documentElement.scrollWidth - width), Element: ""};
  for (const e of document.body.querySelectorAll("*")) {
    const beyond = Math.round(e.getBoundingClientRect().right - width);
    let inner = false;
    for (let up = e.parentElement; up && up !== document.body; up = up.parentElement)
      inner ||= getComputedStyle(up).overflowX !== "visible";
    if (!inner && beyond > 0 && beyond >= most.Pixels)
      most = {Pixels: beyond, Element: e.outerHTML.slice(0, 200)};
  }
  return most;
})()`

// Overflow is how far a page reaches beyond the right side of its window, and what does.
type Overflow struct {
	Pixels  int
	Element string
}

// Overflow returns the widest overflow of the page: 0 pixels when nothing is cut off.
func (p *Page) Overflow() (Overflow, error) { return Eval[Overflow](p, widest) }

// faintest finds the text with the least contrast, by the formula of WCAG 2 (https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio).
const faintest = `(() => {
  const numbers = c => c.match(/[\d.]+/g).map(Number);
  const light = c => {
    const [r, g, b] = numbers(c).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = numbers(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] === 1) return getComputedStyle(e).backgroundColor;
    }
    return "rgb(255, 255, 255)";
  };
  let least = {Ratio: 21, Element: ""};
  for (const e of document.body.querySelectorAll("*")) {
    if (!e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least.Ratio) least = {Ratio: ratio, Element: e.outerHTML.slice(0, 200)};
  }
  return least;
})()`

// Contrast is the contrast of a text to what is behind it, from 1 to 21.
type Contrast struct {
	Ratio   float64
	Element string
}

// Contrast returns the contrast of the text that is hardest to read.
func (p *Page) Contrast() (Contrast, error) { return Eval[Contrast](p, faintest) }
