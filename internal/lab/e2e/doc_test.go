// Package e2e runs the action as a runner would, on the lab's real parts. What it asserts about an image it reads from
// the registry or from a container, never from the action's own report alone.
package e2e
