package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
)

// A list of tags comes in pages. Their number is bounded, because a registry that answers each request with the same page would never end.
const tagsPerPage, mostPages = 1000, 500

// nextPage matches the header that leads to the next page of a list (opencontainers/distribution-spec, spec.md, listing tags).
var nextPage = regexp.MustCompile(`<([^>]+)>\s*;[^,]*\brel="?next\b`)

// Tags lists the tags of a repository, in the registry's order. One that does not exist has none.
func (c *Client) Tags(ctx context.Context, repository string) ([]string, error) {
	ref, err := parse(repository)
	if err != nil {
		return nil, err
	}
	repo := ref.Context()
	page := endpoint(repo, "tags/list")
	page.RawQuery = url.Values{"n": {strconv.Itoa(tagsPerPage)}}.Encode()
	doing := fmt.Sprintf("listing the tags of %s", repo)
	var all []string
	for range mostPages {
		resp, err := c.do(ctx, request{
			doing: doing, method: http.MethodGet, repository: repo, scopes: pullScope(repo), url: page, success: []int{http.StatusOK},
		})
		if isMissing(err) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		var list struct{ Tags []string }
		if err := json.Unmarshal(resp.body, &list); err != nil {
			return nil, fmt.Errorf("%s: %w", doing, err)
		}
		all = append(all, list.Tags...)
		link := nextPage.FindStringSubmatch(resp.header.Get("Link"))
		if link == nil {
			return all, nil
		}
		next, err := page.Parse(link[1])
		if err != nil {
			return nil, fmt.Errorf("%s: reading the address of the next page: %w", doing, err)
		}
		page = endpoint(repo, "tags/list") // never another host, which would get the credentials
		page.RawQuery = next.RawQuery
	}
	return nil, fmt.Errorf("%s: the list does not end", doing)
}
