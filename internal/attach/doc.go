// Package attach puts tapway in front of an API Gateway that exists, and takes it off again
// so that the API is as it was: discover what is there, plan, attach, detach, status, backup.
//
// It works by convergence, not by a journal of steps. Before the first change everything
// that will be touched is saved, raw, together with what it is to become. From then on each
// step looks at what is there: what is as it was is changed, what is as it is to become is
// done, and what is neither was changed by somebody else. So an attach that was interrupted
// at any call can be finished or undone by whoever holds the saved state, and doing a step
// twice does no harm. Only what AWS names by itself (integrations of HTTP APIs, deployments)
// bears a mark in its description by which it is found again.
//
// What a newcomer gets wrong: changes to a REST API are not live until a deployment is, and a
// deployment takes the whole working copy along, other people's unfinished edits included.
// PutIntegration replaces the whole integration and deletes its responses. And an error from
// AWS does not say that nothing happened: after one, look.
package attach
