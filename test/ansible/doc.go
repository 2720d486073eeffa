// Package ansible really runs every playbook of deploy/ansible, by Ansible's chroot connection, against
// small Debian roots: files, packages, holds and modes are real; what would reach the kernel, systemd,
// kubeadm or a cluster is a stub that records its calls and keeps state (stubs/). `make test-ansible`
// runs it; it needs root, Ansible and debootstrap, which scripts/ansible-tools installs.
package ansible
