// Package user is the domain of accounts and sessions: who may register, how a password becomes a
// session, and how refresh tokens are rotated. It knows no driver; see Store, Hasher and Minter.
package user
