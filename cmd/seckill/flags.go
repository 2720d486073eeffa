package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seckill-go/seckill/cmd/seckill/internal/rundir"
	"github.com/spf13/cobra"
)

// Environment variables that the commands read.
const (
	envData          = "SECKILL_DATA"
	envJWTSecret     = "SECKILL_JWT_SECRET"
	envAdminPassword = "SECKILL_ADMIN_PASSWORD"
	envKafkaUsername = "SECKILL_KAFKA_USERNAME"
	envKafkaPassword = "SECKILL_KAFKA_PASSWORD"
)

// defaultData is the data folder without --data and SECKILL_DATA.
const defaultData = "./seckill-data"

// dataFlag adds --data.
func dataFlag(cmd *cobra.Command) *string {
	dir := os.Getenv(envData)
	if dir == "" {
		dir = defaultData
	}
	return cmd.Flags().String("data", dir, "folder of a platform started with seckill up (env "+envData+")")
}

// format is the value of -o.
type format string

const (
	formatText format = "text"
	formatJSON format = "json"
)

// String, Set and Type make format a flag's value.
func (f *format) String() string { return string(*f) }

// Set refuses everything but text and json.
func (f *format) Set(s string) error {
	switch format(s) {
	case formatText, formatJSON:
		*f = format(s)
		return nil
	default:
		return errors.New("it is text or json")
	}
}

// Type is shown in the help.
func (f *format) Type() string { return "text|json" }

// outputFlag adds -o.
func outputFlag(cmd *cobra.Command) *format {
	f := formatText
	cmd.Flags().VarP(&f, "output", "o", "form of what is printed")
	return &f
}

// loadRun reads where the platform of a data folder is; the zero Run when none has written it.
func loadRun(dir string) (rundir.Run, error) {
	run, err := rundir.LoadRun(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return rundir.Run{}, nil
	}
	return run, err
}

// secret is an environment variable, or else what pick takes from the data folder's secrets.
func secret(env, dir, what string, pick func(rundir.Secrets) string) (string, error) {
	if s := os.Getenv(env); s != "" {
		return s, nil
	}
	secrets, err := rundir.LoadSecrets(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if s := pick(secrets); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("%s is not known: set %s, or --data to the folder of a running platform", what, env)
}

func jwtSecret(dir string) (string, error) {
	return secret(envJWTSecret, dir, "the secret of access tokens", func(s rundir.Secrets) string { return s.JWTSecret })
}

func adminPassword(dir string) (string, error) {
	return secret(envAdminPassword, dir, "the admin's password", func(s rundir.Secrets) string { return s.AdminPassword })
}

// kafkaCredentials are the user and the password at Kafka, where it asks for them.
func kafkaCredentials() (username, password string) {
	return os.Getenv(envKafkaUsername), os.Getenv(envKafkaPassword)
}
