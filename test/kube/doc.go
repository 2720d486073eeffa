// Package kube holds deploy/k8s to its rules: what kustomize builds of every overlay is decoded strictly,
// compared with the rest of the repository, and brought to a control plane that is real but for its nodes.
package kube
