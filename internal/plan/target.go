// Package plan turns a configuration and a list of instances into the images that a run has to make sure of.
package plan

// Target is one image to make: an instance's base image with the SDK's agent server on top.
type Target struct {
	// InstanceID is the benchmark's id of the task, for example "django__django-11333".
	InstanceID string
	// BaseImage is the image that the SDK builds upon, with registry host and tag.
	BaseImage string
	// PipRequirements are the requirements, in pip's words, that BaseImage is wrapped with before the SDK builds upon it; empty for
	// most. No tag depends on it.
	PipRequirements string
	// CustomTag is what goes into the SDK's custom_tags; it holds everything of the final tag but SHA and target.
	CustomTag string
	// Tags are the full references (repository:tag) under which the SDK will push the image. They are the SDK's
	// own word, so they are empty until it was asked.
	Tags []string
}
