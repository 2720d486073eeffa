// Package compose holds docker-compose.yml, the Dockerfile behind its images and the configuration
// that it mounts to their rules. It is a module of its own, because only this test needs the compose
// file's reference implementation.
package compose
