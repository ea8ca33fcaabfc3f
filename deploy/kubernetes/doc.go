// Package kubernetes holds the manifests and the test that they are what Kubernetes takes. It is a module of its own, so
// that Kubernetes' types are not among tapway's dependencies.
package kubernetes
