// Command git-server serves the repositories in /srv to git clients over http, read-only.
package main

import (
	"log"
	"net/http"
	"net/http/cgi"
)

func main() {
	backend := &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend",
		Env:  []string{"GIT_PROJECT_ROOT=/srv", "GIT_HTTP_EXPORT_ALL=1"},
	}
	log.Fatal(http.ListenAndServe(":8080", backend))
}
